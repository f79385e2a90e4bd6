"""RTMPose through the package ``rtmlib``, which downloads detector and pose network on first use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.tile_batches import detect_in_tiles
from crowd3d.types import TileLayout

TILE_PX = 640
"""Input of the detector of rtmlib's balanced mode."""
BATCH = 8
LEAST_SCORE = 0.3
REMEDY = "pip install rtmlib onnxruntime, or choose --pose_backend embedded"


@dataclass(frozen=True)
class RtmPose:
    """YOLOX-m and RTMPose-m (rtmlib's balanced mode) on tiles; on the GPU when onnxruntime can use one."""

    name: ClassVar[str] = "rtmpose"

    def check(self) -> None:
        """Raise MissingAsset unless rtmlib and onnxruntime can be imported."""
        _packages()

    def downloaded(self) -> bool:
        """Whether rtmlib's detector and pose network are on this machine: rtmlib keeps what it downloads in a folder of its own."""
        folder = Path.home() / ".cache" / "rtmlib" / "hub" / "checkpoints"
        return folder.is_dir() and all(any(folder.glob(f"{part}*.onnx")) for part in ("yolox_m", "rtmpose-m"))

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Everybody in the tiles of `layout`, which are cut from `image`: `tiles_folder` is not read.

        Returns:
            (M, 17, 3) float64 u, v, score in scene pixels; (M,) rows of `layout`.

        Raises:
            MissingAsset: rtmlib or onnxruntime are not installed.
            BackendFailed: the networks cannot be downloaded.
        """
        rtmlib, runtime = _packages()
        device = "cuda" if "CUDAExecutionProvider" in runtime.get_available_providers() else "cpu"
        try:
            body = rtmlib.Body(mode="balanced", backend="onnxruntime", device=device)
        except (OSError, RuntimeError) as error:
            raise BackendFailed(f"cannot load RTMPose: {error}; connect to the internet once") from error

        def look(tile: np.ndarray) -> np.ndarray:
            bgr = np.ascontiguousarray(tile[..., ::-1])
            boxes = body.det_model(bgr)
            # Without boxes the pose network would take the whole tile for one person.
            if len(boxes) == 0:
                return np.zeros((0, 17, 3))
            xy, score = body.pose_model(bgr, bboxes=boxes)
            score = np.clip(score, 0.0, 1.0)
            return np.concatenate([xy, score[..., None]], axis=-1)[score.mean(axis=1) >= LEAST_SCORE]

        return detect_in_tiles(image, layout, lambda tiles: [look(tile) for tile in tiles], TILE_PX, BATCH, "RTMPose")


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        import onnxruntime
        import rtmlib
    except ImportError as error:
        raise MissingAsset(f"RTMPose needs rtmlib and onnxruntime ({error}); {REMEDY}") from error
    return rtmlib, onnxruntime
