"""How far the given people and the measurements of them are believed.

A lifter has seen the very keypoints that the optimisation looks at, so its people already contain them: its remaining error and theirs go
together. Keypoint networks err alike in neighbouring joints, towards the average pose, and their depths are averages over what they
cannot see. Stated spreads therefore promise too much; the factors here say how much. ``benchmarks/optimise.py --calibrate`` prints what
the errors of the networks at hand suggest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.pose.observations import Observations


@dataclass(frozen=True)
class Belief:
    """Spreads of what is given, and factors on the stated spreads of what is measured.

    Attributes:
        keypoints: factors on the spreads of the 17 keypoints.
        depth: factor on the spreads of depths, infinite if they are not to be used.
        hvip: spread of a measured HVIP, as a share of stature; infinite if it is not to be used.
        pose: spread of the given poses, in standard deviations of people's poses.
        turn_rad: (x, y, z) spread of a given pelvis' orientation about the world's axes.
        place: spread of a given HVIP, as a share of stature.
        betas: spread of the given betas.
        ground: factor on the inverse spreads of camera and ground: below 1 if their estimate may be bettered by whole bodies, above it if
            errors that people have in common would move them.
        scale: relative spread of the scene's scale, given focal length and ground's orientation; infinite if bodies may tell it. What
            statures say of it is in the given camera height already, and bodies lifted from wrong keypoints come out too small.
    """

    keypoints: tuple[float, ...]
    depth: float
    hvip: float
    pose: float
    turn_rad: tuple[float, float, float]
    place: float
    betas: float
    ground: float
    scale: float


INDEPENDENT = Belief(
    keypoints=17 * (1.0,), depth=1.0, hvip=0.03, pose=1.0, turn_rad=(0.3, 0.6, 0.3), place=0.15, betas=1.0, ground=0.5, scale=np.inf
)
"""Measurements that the given people do not know, with honest independent errors."""
PLAIN = Belief(
    keypoints=17 * (2.0,), depth=np.inf, hvip=np.inf, pose=0.7, turn_rad=(0.15, 0.3, 0.15), place=0.05, betas=0.5, ground=1.0, scale=np.inf
)
"""People lifted from plain keypoints, whose errors are nearly independent."""
EMBEDDED = Belief(
    keypoints=17 * (4.0,), depth=np.inf, hvip=np.inf, pose=0.7, turn_rad=(0.15, 0.3, 0.15), place=0.05, betas=0.5, ground=100.0, scale=0.002
)
"""People lifted from the embedded networks' measurements, which camera and ground were estimated from with all that is known of them."""


CALIBRATED = Belief(
    keypoints=17 * (1.0,), depth=np.inf, hvip=np.inf, pose=1.0, turn_rad=(0.15, 0.3, 0.15), place=0.2, betas=1.0, ground=1.0, scale=np.inf
)
"""People lifted from keypoints whose spreads are calibrated on photographs: there the keypoints know better.

A lifter that has learned such errors from rendered people sets bodies nearer to the truth than the optimisation leaves them, but farther
from annotated photographs. With orientations held as firmly as for plain keypoints, bodies lose 7 mm there in the mean instead of 13, and
photographs nothing.
"""


def belief_of(observed: Observations) -> Belief:
    """For people lifted from `observed`."""
    if observed.source.lifter_knows_errors:
        return EMBEDDED
    return CALIBRATED if observed.source.calibrated_spreads else PLAIN
