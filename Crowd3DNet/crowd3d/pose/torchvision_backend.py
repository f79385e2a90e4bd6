"""Keypoint R-CNN of torchvision, with the weights that torchvision downloads on first use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlparse

import numpy as np
from scipy.special import expit

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.model.engines import choose_device
from crowd3d.pose.tile_batches import detect_in_tiles
from crowd3d.types import TileLayout

if TYPE_CHECKING:
    from torch import Tensor

TILE_PX = 640
BATCH = 4
PERSON_SCORE = 0.5
HALF_SURE_LOGIT, LOGIT_SCALE = 3.0, 2.0
"""Peaks of the heat maps are logits: below 2 hardly ever right, above 8 hardly ever wrong (torchvision's own examples cut at 2)."""
REMEDY = "pip install torchvision, in the build that matches torch, or choose --pose_backend embedded"


@dataclass(frozen=True)
class TorchvisionPose:
    """``keypointrcnn_resnet50_fpn`` on tiles, in batches.

    Attributes:
        device: where it runs, see `crowd3d.model.engines.choose_device`.
    """

    device: str = "auto"
    name: ClassVar[str] = "torchvision"

    def check(self) -> None:
        """Raise MissingAsset unless torchvision can be imported."""
        _detection()

    def downloaded(self) -> bool:
        """Whether the weights are on this machine."""
        return find_spec("torchvision") is not None and _weights_file().is_file()

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Everybody in the tiles of `layout`, which are cut from `image`: `tiles_folder` is not read.

        Returns:
            (M, 17, 3) float64 u, v, score in scene pixels; (M,) rows of `layout`.

        Raises:
            MissingAsset: torchvision is not installed, or not in the build that matches torch.
            BackendFailed: the weights cannot be downloaded or loaded.
        """
        import torch

        device = choose_device(self.device)
        try:
            # The tiles have the size that the network is to see, so that it does not resize them once more.
            model = _detection().keypointrcnn_resnet50_fpn(weights="DEFAULT", min_size=TILE_PX, max_size=TILE_PX)
        except OSError as error:
            raise BackendFailed(f"cannot download the weights of Keypoint R-CNN: {error}; connect to the internet once") from error
        except (RuntimeError, EOFError, UnpicklingError) as error:
            first = str(error).split("\n")[0][:120]
            raise BackendFailed(f"cannot load the weights of Keypoint R-CNN ({first}); delete {_weights_file()}") from error
        model = model.eval().to(device)

        @torch.inference_mode()
        def look(tiles: np.ndarray) -> list[np.ndarray]:
            batch = torch.from_numpy(tiles).to(device).permute(0, 3, 1, 2).float() / 255.0
            return [_people(found) for found in model(list(batch))]

        return detect_in_tiles(image, layout, look, TILE_PX, BATCH, "Keypoint R-CNN")


def _people(found: dict[str, Tensor]) -> np.ndarray:
    """(n, 17, 3) u, v, score of the detections that are likely people."""
    scores, keypoints, logits = (found[name].cpu().numpy() for name in ("scores", "keypoints", "keypoints_scores"))
    sure = scores >= PERSON_SCORE
    score = expit((logits[sure] - HALF_SURE_LOGIT) / LOGIT_SCALE)
    return np.concatenate([keypoints[sure][..., :2], score[..., None]], axis=-1)


def _weights_file() -> Path:
    """Where torchvision keeps what it has downloaded."""
    from torch import hub

    url = _detection().KeypointRCNN_ResNet50_FPN_Weights.DEFAULT.url
    return Path(hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _detection() -> ModuleType:
    try:
        from torchvision.models import detection
    except ImportError as error:
        raise MissingAsset(f"torchvision is not installed ({error}); {REMEDY}") from error
    except RuntimeError as error:
        raise MissingAsset(f"torchvision does not fit torch {version('torch')} ({error}); {REMEDY}") from error
    return detection
