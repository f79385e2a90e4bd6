"""RTMPose through the package ``rtmlib``, which downloads detector and pose network on first use."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlparse

import numpy as np

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.tile_batches import detect_in_tiles
from crowd3d.types import TileLayout

log = logging.getLogger(__name__)

MODE = "balanced"
TILE_PX = 640
"""Input of the detector of rtmlib's balanced mode."""
BATCH = 8
LEAST_SCORE = 0.3
PIXEL_MIDDLE = 0.5
"""rtmlib counts from the middle of the first pixel, this project from its corner."""
REMEDY = "pip install rtmlib onnxruntime, or choose --pose_backend embedded"


@dataclass(frozen=True)
class RtmPose:
    """YOLOX-m and RTMPose-m (rtmlib's balanced mode) on tiles.

    Attributes:
        device: where it runs: ``auto`` is the GPU when onnxruntime can use one.
    """

    device: str = "auto"
    name: ClassVar[str] = "rtmpose"

    def check(self) -> None:
        """Raise MissingAsset unless rtmlib and onnxruntime can be imported."""
        _packages()

    def downloaded(self) -> bool:
        """Whether both networks are on this machine."""
        return all(path.is_file() for path in _network_files(_packages()[0]))

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Everybody in the tiles of `layout`, which are cut from `image`: `tiles_folder` is not read.

        Returns:
            (M, 17, 3) float64 u, v, score in scene pixels; (M,) rows of `layout`.

        Raises:
            MissingAsset: rtmlib or onnxruntime are not installed, or not for the device.
            BackendFailed: the networks cannot be downloaded or loaded.
        """
        body = _load(self.device)

        def look(tile: np.ndarray) -> np.ndarray:
            # The detector was trained on blue, green, red; the pose network on red, green, blue.
            boxes = body.det_model(np.ascontiguousarray(tile[..., ::-1]))
            # Without boxes the pose network would take the whole tile for one person.
            if len(boxes) == 0:
                return np.zeros((0, 17, 3))
            xy, score = body.pose_model(tile, bboxes=boxes)
            score = np.clip(score, 0.0, 1.0)
            return np.concatenate([xy + PIXEL_MIDDLE, score[..., None]], axis=-1)[score.mean(axis=1) >= LEAST_SCORE]

        return detect_in_tiles(image, layout, lambda tiles: [look(tile) for tile in tiles], TILE_PX, BATCH, "RTMPose")


def _load(wanted: str) -> Any:
    """``rtmlib.Body`` on the wanted device, whose messages go to the log."""
    rtmlib, runtime = _packages()
    gpu = "CUDAExecutionProvider" in runtime.get_available_providers()
    if wanted not in ("auto", "cpu", *(["cuda", "cuda:0"] if gpu else [])):
        raise MissingAsset(f"this onnxruntime cannot use {wanted}; pip install onnxruntime-gpu for CUDA, or choose --device cpu")
    device = "cuda" if gpu and wanted != "cpu" else "cpu"
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            body = rtmlib.Body(mode=MODE, backend="onnxruntime", device=device)
    except OSError as error:
        raise BackendFailed(f"cannot download RTMPose: {error}; connect to the internet once") from error
    except Exception as error:
        # For a spoilt download rtmlib, zipfile and onnxruntime each raise something of their own.
        folder = _network_files(rtmlib)[0].parent
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendFailed(f"cannot load RTMPose: {first}; delete its files in {folder} and connect to the internet once") from error
    log.debug("%s", said.getvalue().strip())
    return body


def _network_files(rtmlib: ModuleType) -> list[Path]:
    """Where rtmlib keeps detector and pose network."""
    folder, urls = Path(rtmlib.tools.file._get_rtmhub_dir()) / "checkpoints", rtmlib.Body.MODE[MODE]
    return [folder / f"{Path(urlparse(urls[kind]).path).name.split('.')[0]}.onnx" for kind in ("det", "pose")]


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        import onnxruntime
        import rtmlib
    except ImportError as error:
        raise MissingAsset(f"RTMPose needs rtmlib and onnxruntime ({error}); {REMEDY}") from error
    return rtmlib, onnxruntime
