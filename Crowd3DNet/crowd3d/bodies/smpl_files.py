"""SMPL's own files: under which names they come, and what a file is that is none."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_SHORT = {"neutral": "neutral|n", "male": "male|m", "female": "female|f"}
_NAME = r"(?:smpl_(?:{0})|basicmodel_(?:{0})_lbs_10_207_0_v[\d.]+)\.(?:npz|pkl)"
"""The names that SMPL's readers agreed on, and those of the downloads (basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl), in any case."""
_LOOKALIKE = re.compile(r"(smplx?|smplh|basicmodel|mano|flame|star)[_.\-].*\.(npz|pkl|zip)", re.IGNORECASE)
_DEEPEST = 3
"""SMPL_python_v.1.1.0/smpl/models is where the archive of the download has them."""
_VERTICES = {10475: "SMPL-X", 778: "MANO, a hand", 5023: "FLAME, a head"}
_SMPL_VERTICES, _SMPL_JOINTS = 6890, 24


def find_smpl(folder: Path, gender: str) -> Path | None:
    """SMPL's file of a gender in a folder or its subfolders; the uppermost, ``.npz`` before ``.pkl``; None when there is none.

    Args:
        folder: may be absent.
        gender: ``neutral``, ``male`` or ``female``.
    """
    name = re.compile(_NAME.format(_SHORT[gender]), re.IGNORECASE)
    found = [path for path in _files(folder) if name.fullmatch(path.name)]
    return min(
        found,
        key=lambda path: (len(path.parts), path.suffix.lower() != ".npz", not path.name.lower().startswith("smpl"), path.name),
        default=None,
    )


def lookalikes(folder: Path) -> list[Path]:
    """Files in a folder that are called like a body model, whichever."""
    return [path for path in _files(folder) if _LOOKALIKE.fullmatch(path.name)]


def other_model(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Which body model these arrays are if they are evidently another one than SMPL, else None."""
    vertices = len(arrays["v_template"]) if "v_template" in arrays and np.ndim(arrays["v_template"]) == 2 else 0
    if vertices in _VERTICES:
        return f"{_VERTICES[vertices]} ({vertices} vertices)"
    joints = np.shape(arrays.get("weights", np.zeros((0, 0))))[-1:]
    if vertices == _SMPL_VERTICES and joints != (_SMPL_JOINTS,):
        return f"SMPL-H ({joints[0] if joints else 0} joints)"
    return None


def foreign_content(path: Path) -> str | None:
    """What a file is that is evidently no body model by its first bytes, with the remedy; None when it may be one."""
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0, 2)
        size = file.tell()
    if not head:
        return "an empty file; download it again"
    if head.lstrip()[:1] == b"<":
        return "a web page, such as that of a login; log in at https://smpl.is.tue.mpg.de and download the file itself"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; run `git lfs pull`"
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        return "a packed archive; unpack it"
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return f"cut off after {size} bytes; download it again"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name.endswith(".npy") for name in names):
            model = next((name for name in names if name.lower().endswith((".pkl", ".npz"))), None)
            return f"a ZIP archive{'' if model is None else f' with {model} in it'}; unpack it"
    return None


def _files(folder: Path) -> list[Path]:
    patterns = ["/".join(["*"] * depth) for depth in range(1, _DEEPEST + 2)]
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file()) if folder.is_dir() else []
