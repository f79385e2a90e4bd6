"""A second opinion about focal length and gravity: a network that looks at one picture, a phone's gravity sensor, a user's own function.

It is one more term of the posterior, heavy-tailed: where the people say clearly something else, it gives way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crowd3d.errors import BadConfig
from crowd3d.geometry import GroundPlane

FREEDOM = 4.0
"""Degrees of freedom of the Student distribution: an opinion that is five of its standard deviations off costs 10, not 17."""
DEFAULT_FOCAL_SIGMA, DEFAULT_UP_SIGMA_RAD = 0.1, float(np.deg2rad(2.0))


@dataclass(frozen=True)
class Opinion:
    """What somebody thinks of a picture's camera. What is None has no opinion.

    Attributes:
        focal_px: focal length in pixels of the picture that was looked at.
        up_cam: direction away from gravity in the camera's frame (x right, y down, z forward), of any length.
        focal_sigma: relative standard deviation of `focal_px`.
        up_sigma_rad: standard deviation of tilt and of roll.
        covariance: (3, 3) of (log focal length, tilt, roll) as rows of numbers; replaces the two spreads where it is known.
        source: who says so, for the log.
    """

    focal_px: float | None = None
    up_cam: tuple[float, float, float] | None = None
    focal_sigma: float = DEFAULT_FOCAL_SIGMA
    up_sigma_rad: float = DEFAULT_UP_SIGMA_RAD
    covariance: tuple[tuple[float, ...], ...] | None = None
    source: str = "second opinion"

    def __post_init__(self) -> None:
        if self.focal_px is None and self.up_cam is None:
            raise BadConfig(f"{self.source} says nothing: an opinion needs a focal length or an up vector")
        if self.focal_px is not None and not 0 < self.focal_px < np.inf:
            raise BadConfig(f"{self.source}: focal length {self.focal_px} px; it must be positive and finite")
        if not (0 < self.focal_sigma < np.inf and 0 < self.up_sigma_rad < np.inf):
            raise BadConfig(f"{self.source}: spreads {self.focal_sigma} and {self.up_sigma_rad} must be positive and finite")
        if self.up_cam is not None:
            up = np.asarray(self.up_cam, np.float64)
            if up.shape != (3,) or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-9:
                raise BadConfig(f"{self.source}: up vector {self.up_cam}; it needs three finite numbers that are not all 0")
            if up[1] > 0.5 * np.linalg.norm(up):
                raise BadConfig(f"{self.source}: up vector {self.up_cam} points down in the picture; give the direction away from gravity")
        if self.covariance is not None:
            matrix = np.asarray(self.covariance, np.float64)
            if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or np.linalg.eigvalsh((matrix + matrix.T) / 2).min() <= 0:
                raise BadConfig(f"{self.source}: the covariance must be a positive definite 3 × 3 matrix of (log focal, tilt, roll)")

    def scaled(self, factor: float) -> Opinion:
        """The same for the picture enlarged `factor` times."""
        return self if self.focal_px is None else replace(self, focal_px=self.focal_px * factor)

    @property
    def mean(self) -> np.ndarray:
        """(3,) log focal length, tilt, roll; NaN without opinion."""
        focal = np.nan if self.focal_px is None else np.log(self.focal_px)
        if self.up_cam is None:
            return np.array([focal, np.nan, np.nan])
        up = np.asarray(self.up_cam, np.float64)
        plane = GroundPlane(up / np.linalg.norm(up), 1.0)
        return np.array([focal, plane.tilt_rad, plane.roll_rad])

    @property
    def spread(self) -> np.ndarray:
        """(3, 3) covariance of `mean`."""
        if self.covariance is not None:
            return np.asarray(self.covariance, np.float64)
        return np.diag([self.focal_sigma, self.up_sigma_rad, self.up_sigma_rad]) ** 2


OpinionSource = Callable[[np.ndarray], Opinion]
"""(H, W, 3) uint8 RGB picture → what is thought of it, in its pixels."""


@dataclass(frozen=True)
class OpinionEvidence:
    """Likelihood of an opinion (see `solver.Evidence`).

    Attributes:
        mean: (k,) of those of log focal length in image units, tilt and roll that there is an opinion of.
        precision: (k, k).
        which: (k,) their places among the parameters.
    """

    mean: np.ndarray
    precision: np.ndarray
    which: np.ndarray

    @classmethod
    def of(cls, opinion: Opinion, unit_px: float) -> OpinionEvidence:
        """`unit_px`: pixels per image unit."""
        mean = opinion.mean - [np.log(unit_px), 0.0, 0.0]
        which = np.flatnonzero(np.isfinite(mean))
        return cls(mean[which], np.linalg.inv(opinion.spread[np.ix_(which, which)]), which)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        miss = parameters[:, self.which] - self.mean
        angles = self.which > 0
        miss[:, angles] = (miss[:, angles] + np.pi) % (2 * np.pi) - np.pi
        squared = np.einsum("bi,ij,bj->b", miss, self.precision, miss)
        return -0.5 * (FREEDOM + len(self.which)) * np.log1p(squared / FREEDOM)
