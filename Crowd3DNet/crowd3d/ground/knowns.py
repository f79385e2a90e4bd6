"""What may be known besides the people: focal length, camera height, a measured distance on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera
from crowd3d.ground.prediction import up_vectors

_DISTANCE_SIGMA = 0.01


@dataclass(frozen=True)
class Knowns:
    """Facts and good guesses. What is None is unknown.

    Attributes:
        focal_px: focal length in pixels of the whole image, such as the one of the EXIF data.
        focal_sigma: relative standard deviation of `focal_px`; 0 fixes it.
        height_m: height of the camera over the ground that people stand on, metres.
        height_sigma_m: standard deviation of `height_m`; 0 fixes it.
        scale_points: u1, v1, u2, v2, metres: two ground pixels and the distance between them.
    """

    focal_px: float | None = None
    focal_sigma: float = 0.05
    height_m: float | None = None
    height_sigma_m: float = 0.0
    scale_points: tuple[float, float, float, float, float] | None = None

    @property
    def tell_size(self) -> bool:
        """Whether a length is among them, so that the scale does not rest on people's statures alone."""
        return self.height_m is not None or self.scale_points is not None


@dataclass(frozen=True)
class MeasuredDistance:
    """Likelihood of a distance measured on the ground, 1 % standard deviation (see `solver.Evidence`).

    Attributes:
        points: (2, 2) image units.
        distance_m: metres between them.
    """

    points: np.ndarray
    distance_m: float

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        up = up_vectors(parameters[:, 1], parameters[:, 2])
        focal = np.exp(parameters[:, 0])[:, None, None]
        rays = np.concatenate([self.points[None] / focal, np.ones((len(parameters), 2, 1))], -1)
        down = -np.einsum("bki,bi->bk", rays, up)
        ground = rays * (np.exp(parameters[:, 3])[:, None] / np.maximum(down, 1e-3))[..., None]
        length = np.linalg.norm(ground[:, 0] - ground[:, 1], axis=-1)
        return -0.5 * (np.log(np.maximum(length, 1e-9) / self.distance_m) / _DISTANCE_SIGMA) ** 2


def measured_distance(scale_points: tuple[float, float, float, float, float], camera: Camera, unit_px: float) -> MeasuredDistance:
    """From `Knowns.scale_points`; `camera` gives principal point and aspect.

    Raises:
        UnsolvableGround: the distance is not positive or both points are the same pixel.
    """
    *coordinates, metres = scale_points
    pixels = np.array(coordinates, np.float64).reshape(2, 2)
    if not metres > 0 or np.allclose(pixels[0], pixels[1]):
        raise UnsolvableGround(f"scale points {scale_points} need two different pixels and a positive distance in metres")
    return MeasuredDistance((pixels - [camera.cx, camera.cy]) * [1.0, camera.fx / camera.fy] / unit_px, float(metres))
