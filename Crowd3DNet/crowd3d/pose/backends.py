"""Which 2D pose estimator a run uses."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.alphapose import AlphaPose
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.rtmpose import RtmPose
from crowd3d.pose.torchvision_backend import TorchvisionPose
from crowd3d.types import TileLayout

BackendName = Literal["auto", "embedded", "alphapose", "torchvision", "rtmpose", "file"]
BACKEND_NAMES: tuple[str, ...] = get_args(BackendName)


class PoseBackend(Protocol):
    """Finds people in tiles. Its `repr` tells all its settings."""

    @property
    def name(self) -> str:
        """As in `BackendName`."""
        ...

    def check(self) -> None:
        """Raise MissingAsset, with the remedy, when it cannot run on this machine. Loads no weights."""
        ...

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Find people, in every tile independently.

        Args:
            image: the photograph.
            layout: the tiles.
            tiles_folder: holds the tiles of `layout` as 512² JPEG files, named by `format_tile_name`.

        Returns:
            (M, 17, 3) float64 COCO-17 u, v, score in scene pixels; (M,) int64 rows of `layout` that they were found in.

        Raises:
            MissingAsset: a program, package or file that it needs is absent.
            BackendFailed: it did not work.
        """
        ...


Backend = PoseBackend | FileBackend | Literal["embedded"]
"""Finds people in tiles; has them from elsewhere; or is the project's own, which looks at the photograph its own way (`EmbeddedPose`)."""


def choose_backend(
    name: BackendName,
    *,
    alphapose_root: Path | None = None,
    alphapose_python: Path | None = None,
    keypoints: Path | None = None,
) -> Backend:
    """The backend of that name, checked to be usable.

    ``auto`` is the file when there is one, AlphaPose when it is configured, RTMPose when rtmlib is installed, torchvision when its weights
    are on this machine already (many have torchvision for other reasons, and nothing should be downloaded unasked), else the embedded one.

    Args:
        name: what the user wants.
        alphapose_root: checkout of AlphaPose, None when not configured.
        alphapose_python: its interpreter.
        keypoints: file or folder for the backend ``file``.

    Raises:
        MissingAsset: the backend cannot run here.
    """
    if keypoints is not None and name not in ("auto", "file"):
        raise MissingAsset(f"--keypoints {keypoints} goes with --pose_backend file, not {name}; leave one of them out")
    if name == "auto":
        name = "file" if keypoints is not None else _best_available(alphapose_root)
    backend: Backend
    if name == "embedded":
        return "embedded"
    if name == "alphapose":
        if alphapose_root is None:
            raise MissingAsset("alphapose_root is not set; set it in global_setting.py to a checkout of https://github.com/MVIG-SJTU/AlphaPose")
        backend = AlphaPose(alphapose_root, alphapose_python)
    elif name == "file":
        if keypoints is None:
            raise MissingAsset("--pose_backend file has no keypoints; give them by --keypoints PATH")
        backend = FileBackend(keypoints)
    else:
        backend = TorchvisionPose() if name == "torchvision" else RtmPose()
    backend.check()
    return backend


def _best_available(alphapose_root: Path | None) -> BackendName:
    if alphapose_root is not None:
        return "alphapose"
    if find_spec("rtmlib") is not None and find_spec("onnxruntime") is not None:
        return "rtmpose"
    try:
        return "torchvision" if TorchvisionPose().downloaded() else "embedded"
    except MissingAsset:
        return "embedded"
