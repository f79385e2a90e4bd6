"""Upright edges (poles, door frames, corners of buildings) where no family of lines settles: each segment is upright, or has any direction.

How fast uprights converge across the picture tells what people, who lean, tell badly: the focal length of a camera that looks down.
Which segments are upright is summed over, so nothing has to be chosen, and strangers pull nothing along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crowd3d.ground.lines import REPEATS, axes, miss, sampled
from crowd3d.ground.prediction import VIEW

_MOST_SEGMENTS = 500
_SIGMA_RAD = np.deg2rad(0.4)
"""Of upright edges against the vertical, lenses that bend them a little included; 0.25° to 0.6° give the same on 15 photographs."""
_SHARES = np.linspace(0.02, 0.7, 8)
"""Of the segments that are upright; all as probable."""
_AT_ONCE = 64


@dataclass(frozen=True)
class Uprights:
    """Likelihood of segments of which some are upright (see `solver.Evidence`).

    Attributes:
        ends: (L, 2, 2) image units.
        sigma: (L,) radians, of an upright segment's direction.
    """

    ends: np.ndarray
    sigma: np.ndarray
    which: ClassVar[tuple[int, ...]] = VIEW

    @classmethod
    def of(cls, ends: np.ndarray, end_sigma: float) -> Uprights:
        """From (L, 2, 2) segments whose ends are good to `end_sigma`."""
        some = sampled(ends, _MOST_SEGMENTS)
        return cls(some, np.hypot(_SIGMA_RAD, 2 * end_sigma / np.linalg.norm(some[:, 1] - some[:, 0], axis=1)))

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        parts = [self._of_some(parameters[first : first + _AT_ONCE]) for first in range(0, len(parameters), _AT_ONCE)]
        return np.concatenate(parts)

    def _of_some(self, parameters: np.ndarray) -> np.ndarray:
        up = axes(parameters)[0]
        half = np.linalg.norm(self.ends[:, 1] - self.ends[:, 0], axis=1) / 2
        sine = miss(self.ends, np.exp(parameters[:, 0]), np.broadcast_to(up[:, None], (len(up), len(half), 3))) / half
        off = np.arcsin(np.clip(sine, -1.0, 1.0)) / self.sigma
        # of any direction: 1 / π
        upright = np.sqrt(np.pi / 2) / self.sigma * np.exp(-0.5 * off**2)
        told = np.log1p(_SHARES[:, None, None] * (upright - 1.0)).sum(2)
        return (np.logaddexp.reduce(told, axis=0) - np.log(len(_SHARES))) / REPEATS
