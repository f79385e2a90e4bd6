"""Whether knees and hips are where somebody who stands has them."""

from __future__ import annotations

import numpy as np

from crowd3d.ground.body import HIP, KNEE
from crowd3d.ground.sightings import Sightings
from crowd3d.types import NOMINAL_STATURE_M

_POSTURE_SIGMA = 0.03
_LEAST_POSTURE_SIGMA = 0.006
_MOST_ALONG, _MOST_ACROSS = 0.05, 0.06
"""A crowd in which joints stray more along the body does not stand."""
_ODD_ALONG_SIGMA, _ODD_ACROSS_SIGMA = 0.06, 0.1


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
    odds = np.zeros(len(o))
    low, high, low_sigma, high_sigma = o.low, o.high, o.low_sigma, o.high_sigma
    stature = np.maximum(NOMINAL_STATURE_M * scale, 0.3 * o.size)
    axis = high - low
    along = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    across = along[:, ::-1] * [1.0, -1.0]
    for joint in (KNEE, HIP):
        sigma = o.sigma[:, joint]
        known = np.isfinite(sigma) & (o.low_joint < joint)
        if not known.any():
            continue
        fraction = (o.proportions.heights[joint] - o.low_fraction) / o.span
        share = fraction * depth_ratio / (1.0 - fraction + fraction * depth_ratio)
        offset = o.joints[:, joint] - (1.0 - share[:, None]) * low - share[:, None] * high
        noise = (np.where(known, sigma, 1.0) ** 2 + (share * high_sigma) ** 2 + ((1 - share) * low_sigma) ** 2) / stature**2
        for direction, odd_sigma, most in ((along, _ODD_ALONG_SIGMA, _MOST_ALONG), (across, _ODD_ACROSS_SIGMA, _MOST_ACROSS)):
            miss = (offset * direction).sum(1) ** 2 / stature**2
            straight = noise + _posture_variance(miss[known], noise[known], most)
            odd = noise + odd_sigma**2
            odds += np.where(known, 0.5 * (miss * (1.0 / straight - 1.0 / odd) + np.log(straight / odd)), 0.0)
    return np.clip(odds, -4.0, 8.0) + o.bent


def _posture_variance(miss: np.ndarray, noise: np.ndarray, most: float) -> float:
    """Variance of joints of standing people around their nominal place in one direction, beyond noise, in squared statures.

    From the 40 % quantile of squared misses, which is 0.275 variances and hardly moved by 40 % outliers; ten people's worth of 3 % as
    prior.
    """
    seen = np.quantile(miss, 0.4) / 0.275 - np.median(noise)
    blend = (len(miss) * max(float(seen), 0.0) + 10.0 * _POSTURE_SIGMA**2) / (len(miss) + 10.0)
    return float(np.clip(blend, _LEAST_POSTURE_SIGMA**2, most**2))
