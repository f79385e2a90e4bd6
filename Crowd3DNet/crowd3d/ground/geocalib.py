"""GeoCalib's opinion: focal length and gravity from one picture (Veicht et al., GeoCalib, ECCV 2024).

The package `geocalib` is not part of this project and is not installed with it; on its first use it fetches its weights itself.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.ground.opinion import Opinion

NAME = "geocalib"
LEAST_FOCAL_SIGMA, LEAST_UP_SIGMA_RAD = 0.05, float(np.deg2rad(0.7))
"""Its spreads are those of its own optimiser and leave out what its features have in common: they are never believed to be smaller."""
LARGEST_PX = 1280
"""It looks at 320 pixels; more than this is only copied about."""


class GeoCalibOpinion:
    """An `OpinionSource`; the network is loaded on the first picture.

    Raises:
        MissingAsset: the package is not installed.
    """

    def __init__(self) -> None:
        try:
            from geocalib import GeoCalib
        except ImportError as error:
            raise MissingAsset(
                "--opinion geocalib needs the package geocalib; install it with: pip install git+https://github.com/cvg/GeoCalib"
            ) from error
        import torch

        self._make: Any = GeoCalib
        self._model: Any = None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def __call__(self, image: np.ndarray) -> Opinion:
        """See `OpinionSource`.

        Raises:
            BackendFailed: it cannot be loaded or gives no usable answer.
        """
        import torch

        shrink = max(1.0, max(image.shape[:2]) / LARGEST_PX)
        if shrink > 1.0:
            image = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div(255)
        try:
            if self._model is None:
                self._model = self._make().to(self.device)
            found = self._model.calibrate(picture.to(self.device))
            focal = _first(found["camera"].f)[-1]
            up = _first(found["gravity"].vec3d)
            spread = {key: _first(found[f"{key}_uncertainty"])[0] for key in ("focal", "roll", "pitch")}
        except (RuntimeError, OSError, KeyError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BackendFailed(f"geocalib failed: {reason}; leave --opinion out, or see its documentation") from error
        return Opinion(
            focal_px=float(focal * shrink),
            up_cam=(float(up[0]), float(up[1]), float(up[2])),
            focal_sigma=max(float(spread["focal"] / focal), LEAST_FOCAL_SIGMA),
            up_sigma_rad=max(float(np.hypot(spread["roll"], spread["pitch"]) / np.sqrt(2)), LEAST_UP_SIGMA_RAD),
            source=NAME,
        )


def _first(values: Any) -> np.ndarray:
    """The row of the first picture, as numbers."""
    import torch

    return np.atleast_1d(torch.as_tensor(values).detach().cpu().double().reshape(-1).numpy())
