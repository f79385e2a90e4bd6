"""What lies in a folder after a run, and whether it is whole, and what a fresh run gives."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from crowd3d.files import is_temporary, load_arrays

OPTIONAL = ("extract_mesh", "lifted")
"""What earlier options may have left: meshes, and pictures of the scene before the optimisation."""
OF_TIMES = ("manifest.json", "log.jsonl")
"""Files that tell when or how fast."""


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that tell times and hold locks, without the folder's own name, and weights without the order of their parts."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (*OF_TIMES, ".lock") and "tfevents" not in path.name)
    return {path.relative_to(folder).as_posix(): _content(path).replace(str(folder).encode(), b"") for path in files}


def _content(path: Path) -> bytes:
    try:
        match path.suffix:
            case ".safetensors":
                content = path.read_bytes()
                start = 8 + int.from_bytes(content[:8], "little")
                return json.dumps(json.loads(content[8:start]), sort_keys=True).encode() + content[start:]
            case ".pt":
                return pickle.dumps(_plain(torch.load(path, map_location="cpu", weights_only=True)))
    except (ValueError, RuntimeError, pickle.UnpicklingError):
        return b"damaged"
    return path.read_bytes()


def _plain(value: Any) -> Any:
    """Tensors as what is in them, so that equal states are equal bytes."""
    match value:
        case torch.Tensor():
            return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
        case dict():
            return sorted((repr(key), _plain(part)) for key, part in value.items())
        case list() | tuple():
            return [_plain(part) for part in value]
    return repr(value)


def compared(folder: Path, fresh: Path) -> dict[str, Any]:
    """Whether a folder holds what a fresh run gives."""
    found, expected = contents(folder), contents(fresh)
    wrong = [name for name in expected if found.get(name) != expected[name]]
    more = [name for name in found.keys() - expected.keys() if not any(part in name.split("/") for part in OPTIONAL)]
    return {"outcome": "different" if wrong or more else "same", "wrong": wrong[:9], "more": more[:9]}


def half_written(folder: Path) -> list[str]:
    """Files that cannot be read to their end, but for those that only a killed process leaves behind, under names that nobody reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not is_temporary(path))
    return [path.relative_to(folder).as_posix() for path in files if not _is_whole(path)]


def temporary(folder: Path) -> list[str]:
    """Those files."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if is_temporary(path)]


def _is_whole(path: Path) -> bool:
    try:
        match path.suffix:
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".jsonl":
                for line in path.read_text(encoding="utf-8").splitlines():
                    json.loads(line)
            case ".npy" | ".npz":
                load_arrays(path)
            case ".safetensors":
                load_file(path)
            case ".pt":
                torch.load(path, map_location="cpu", weights_only=True)
            case ".jpg" | ".png":
                content = path.read_bytes()
                end = b"\xff\xd9" if path.suffix == ".jpg" else b"IEND\xaeB`\x82"
                return content.endswith(end) and cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
            case ".glb":
                content = path.read_bytes()
                return int.from_bytes(content[8:12], "little") == len(content)
    except (OSError, ValueError, RuntimeError, SafetensorError):
        return False
    return True
