"""Where joints are in people who stand and in people who sit, and how far they stray from there.

Fractions of stature. Standing people: `Proportions`. Seated people: the hip's joint centre is about 0.09 m over a seat of 0.36 to 0.45 m
(popliteal heights of Gordon et al., 2012 Anthropometric Survey of U.S. Army Personnel, NATICK/TR-15/007: 0.39 to 0.43 m), less on stairs
and kerbs, more on stools: 0.46 ± 0.13 m of 1.70 m. The trunk keeps its length. The spreads of joints beyond the detector's noise
are this project's estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ANKLE, KNEE, HIP, SHOULDER, HEAD = range(5)
LOW_JOINTS = (ANKLE, KNEE, HIP, SHOULDER)
SEATED_HIP = 0.27
SEATED_KNEE = 0.28


@dataclass(frozen=True)
class PostureSpread:
    """How far people of one posture stray from their nominal shape, fractions of stature.

    Attributes:
        low: (4,) standard deviation of a low joint's height, by joint.
        span: (4, 5) standard deviation of the height between a low and a high joint.
        lean_rad: (4,) standard deviation, per axis, of how far the line from the low to the high joint is off the vertical.
    """

    low: np.ndarray
    span: np.ndarray
    lean_rad: np.ndarray


def _spans(ankle: tuple[float, float], knee: tuple[float, float], hip: tuple[float, float], head: float) -> np.ndarray:
    """(4, 5) from the pairs (to the shoulders, to the head) of each low joint, and shoulders to head."""
    table = np.full((4, 5), np.inf)
    table[:3, SHOULDER:] = ankle, knee, hip
    table[SHOULDER, HEAD] = head
    return table


STANDING_SPREAD = PostureSpread(
    low=np.array([0.0, 0.01, 0.025, 0.03]),
    span=_spans((0.0, 0.02), (0.015, 0.025), (0.03, 0.035), 0.03),
    lean_rad=np.deg2rad([0.0, 2.0, 7.0, 15.0]),
)
"""Beyond the lean of the whole crowd, which is fitted."""
SEATED_SPREAD = PostureSpread(
    low=np.array([0.03, 0.04, 0.075, 0.09]),
    span=_spans((0.08, 0.085), (0.08, 0.085), (0.035, 0.045), 0.03),
    lean_rad=np.deg2rad([22.0, 35.0, 12.0, 17.0]),
)
"""Feet and knees are in front of the trunk, to any side of the picture."""
