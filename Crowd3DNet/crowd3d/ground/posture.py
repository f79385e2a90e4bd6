"""Whether knees and hips are where somebody who stands has them."""

from __future__ import annotations

import numpy as np

from crowd3d.ground.body import HIP, KNEE
from crowd3d.ground.sightings import Sightings
from crowd3d.types import NOMINAL_STATURE_M

_POSTURE_SIGMA = 0.03
_LEAST_POSTURE_SIGMA = 0.006
_MOST_SIGMA = np.array([0.05, 0.06])
"""Along the body and across it; a crowd in which joints stray more does not stand."""
_ODD_SIGMA = np.array([0.06, 0.1])
"""Of those who do not stand, along and across."""


def posture_log_odds(observations: Sightings, depth_ratio: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log odds that knees and hips do not belong to somebody who stands straight, (N,); `Sightings.bent` where they are unknown.

    On the straight line from the low joint to the high one each joint has its place (perspective included). A stride moves the knees
    across that line; somebody who sits has higher knees and lower hips, seen from any side. How far standing people stray along and
    across is read off the crowd itself.

    Args:
        observations: the people.
        depth_ratio: (N,) depth of the high joint / depth of the low joint.
        scale: (N,) image units per metre at the low joint.
    """
    o = observations
    odds = [np.zeros(len(o))]
    low, high, low_sigma, high_sigma = o.low, o.high, o.low_sigma, o.high_sigma
    stature = np.maximum(NOMINAL_STATURE_M * scale, 0.3 * o.size)
    axis = high - low
    along = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    directions = np.stack([along, along[:, ::-1] * [1.0, -1.0]])
    for joint in (KNEE, HIP):
        sigma = o.sigma[:, joint]
        known = np.isfinite(sigma) & (o.low_joint < joint)
        if not known.any():
            continue
        fraction = (o.proportions.heights[joint] - o.low_fraction) / o.span
        share = fraction * depth_ratio / (1.0 - fraction + fraction * depth_ratio)
        offset = o.joints[:, joint] - (1.0 - share[:, None]) * low - share[:, None] * high
        noise = (np.where(known, sigma, 1.0) ** 2 + (share * high_sigma) ** 2 + ((1 - share) * low_sigma) ** 2) / stature**2
        miss = (offset * directions).sum(-1) ** 2 / stature**2
        straight = noise + _posture_variance(miss[:, known], noise[known])[:, None]
        odd = noise + _ODD_SIGMA[:, None] ** 2
        odds.extend(np.where(known, 0.5 * (miss * (1.0 / straight - 1.0 / odd) + np.log(straight / odd)), 0.0))
    return np.clip(np.sum(odds, axis=0), -4.0, 8.0) + o.bent


def _posture_variance(miss: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(2,) variances of joints of standing people around their nominal place along and across, beyond noise, in squared statures.

    From the 40 % quantile of squared misses, which is 0.275 variances and hardly moved by 40 % outliers; ten people's worth of 3 % as
    prior.

    Args:
        miss: (2, N) squared misses along and across.
        noise: (N,) variance of either by pixel noise.
    """
    people = len(noise)
    seen = _quantile(miss, 0.4) / 0.275 - np.median(noise)
    blend = (people * np.maximum(seen, 0.0) + 10.0 * _POSTURE_SIGMA**2) / (people + 10.0)
    return np.clip(blend, _LEAST_POSTURE_SIGMA**2, _MOST_SIGMA**2)


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    """(..., N) → (...), as of NumPy, which takes ten times as long about a few people."""
    ranked = np.sort(values, axis=-1)
    low, rest = divmod(share * (values.shape[-1] - 1), 1.0)
    below, above = ranked[..., int(low)], ranked[..., min(int(low) + 1, values.shape[-1] - 1)]
    return below + rest * (above - below) if rest < 0.5 else above - (1.0 - rest) * (above - below)
