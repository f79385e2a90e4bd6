"""Joints that nobody sees are where somebody who stands has them."""

from __future__ import annotations

import numpy as np

from crowd3d.bodies.joints import ANKLES17, HIPS17, KNEES17, SHOULDERS17
from crowd3d.imaging import turned
from crowd3d.types import Keypoints

STANDING = np.array(
    [
        *([0.0, -0.93], [0.02, -0.95], [-0.02, -0.95], [0.045, -0.94], [-0.045, -0.94]),
        *([0.11, -0.82], [-0.11, -0.82], [0.14, -0.63], [-0.14, -0.63], [0.15, -0.48], [-0.15, -0.48]),
        *([0.07, -0.53], [-0.07, -0.53], [0.07, -0.28], [-0.07, -0.28], [0.07, -0.05], [-0.07, -0.05]),
    ]
)
"""(17, 2) COCO-17 keypoints right and down of a standing adult who faces the camera, in statures, over the feet."""
STIFF = (0, 1, 2, 3, 4, *SHOULDERS17, *HIPS17)
"""Of these the distances sideways tell how tall people are at least; arms and legs spread as they like."""
HEAD_AND_SHOULDERS = (0, 1, 2, 3, 4, *SHOULDERS17)
ARMS = (7, 8, 9, 10)
LOWER_PAIRS = (HIPS17, KNEES17, ANKLES17)
LOWER_UNSEEN, UPPER_SEEN = 0.25, 0.15
"""Where the better of a network's mean scores of hips, knees and ankles is below the first, it has not seen them but filled its box with
them: on street crowds those who show their legs have 0.3 and more, those who show their heads only 0.2 and less. Of head and shoulders it
has seen what is above the second, and of arms."""


def complete(keypoints: np.ndarray) -> Keypoints:
    """Unknown keypoints are where a standing person of that place and size has them, with score 0.

    Args:
        keypoints: (N, 17, 3) u, v, score (0 = unknown), of everybody at least two.
    """
    known = (keypoints[..., 2] > 0)[..., None]
    across, stature, middle, model = _fitted(keypoints[..., :2], known)
    stiff = known & np.isin(np.arange(17), STIFF)[:, None]
    # A person seen from behind is mirrored, one from the side is narrow; nobody is wider than from the front, or upside down.
    stature = np.maximum(stature, np.abs(_fitted(keypoints[..., :2], stiff)[0]))
    guess = middle + model * np.stack([np.clip(across, -stature, stature), stature], axis=-1)[:, None]
    return Keypoints(np.where(known, keypoints[..., :2], guess), np.where(known[..., 0], keypoints[..., 2], 0.0))


def _fitted(xy_px: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of `STANDING` to the `known` (N, 17, 1) keypoints (N, 17, 2): scales across and upwards (N,), middle of these
    keypoints (N, 1, 2), and the model (N, 17, 2) about its own."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    middle = (xy_px * known).sum(axis=1, keepdims=True) / count
    model = STANDING - (STANDING * known).sum(axis=1, keepdims=True) / count
    across, upwards = ((known * model * (xy_px - middle)).sum(axis=1) / np.maximum((known * model**2).sum(axis=1), 1e-9)).T
    return across, np.maximum(upwards, 0.0), middle, model


def without_invented_legs(xy_px: np.ndarray, score: np.ndarray, lean_rad: np.ndarray) -> Keypoints:
    """People of whom a network has seen nothing below the shoulders get the rest of a standing body of the size that head and shoulders
    tell, with score 0; the others stay as they are.

    Head and shoulders tell the stature of people of whom all is seen to 18 % (156 people of street crowds and squares).

    Args:
        xy_px: (N, 17, 2) keypoints.
        score: (N, 17) of the network.
        lean_rad: (N,) how far verticals lean to the right there.
    """
    lower = np.max([score[:, pair].mean(1) for pair in LOWER_PAIRS], axis=0)
    seen = np.zeros(score.shape, bool)
    seen[:, HEAD_AND_SHOULDERS] = score[:, HEAD_AND_SHOULDERS] > UPPER_SEEN
    rows = np.flatnonzero((lower < LOWER_UNSEEN) & (seen.sum(1) >= 3))
    middle = xy_px[rows].mean(1, keepdims=True)
    upright = turned(xy_px[rows] - middle, -lean_rad[rows, None])
    whole = complete(np.concatenate([upright, np.where(seen[rows], score[rows], 0.0)[..., None]], -1))
    xy, told = xy_px.copy(), score.copy()
    arms = np.isin(np.arange(17), ARMS) & (score[rows] > UPPER_SEEN)
    xy[rows] = np.where(arms[..., None], xy_px[rows], middle + turned(whole.xy_px, lean_rad[rows, None]))
    told[rows] = np.where(arms, score[rows], whole.score)
    return Keypoints(xy, told)
