"""Whether keypoints can be those of a photograph, and what is evidently wrong with them if not."""

from __future__ import annotations

import numpy as np

from crowd3d.bodies.joints import HIPS17, SHOULDERS17

_ROOM = 0.1
"""Estimators guess keypoints beyond the edge of the photograph: up to so many widths or heights are no fault."""
_MOST_OUTSIDE = 0.2
"""Share of the people beyond that room at which the keypoints are not believed."""
_ENOUGH = 8
"""Fewer people than this may all stand in one corner, or lie."""


def fault(keypoints: np.ndarray, image_size: tuple[int, int]) -> str | None:
    """What is wrong, in words that end with the remedy; None when the keypoints may be right.

    Args:
        keypoints: (N, 17, 3) u, v, score in what should be pixels of the photograph; score 0 is unknown.
        image_size: its width and height.
    """
    known = keypoints[..., 2] > 0
    known = known[known.any(1)]
    xy = keypoints[(keypoints[..., 2] > 0).any(1), :, :2]
    if len(xy) == 0:
        return None
    width, height = image_size
    low, high = xy[known].min(0), xy[known].max(0)
    extent = f"u from {low[0]:.4g} to {high[0]:.4g} and v from {low[1]:.4g} to {high[1]:.4g} in a photograph of {width}×{height} pixels"
    if min(width, height) > 8 and high.max() <= 1.5 and low.min() >= -0.5:
        return f"keypoints have {extent}: they are shares of its width and height; multiply u by {width} and v by {height}"
    outside = _outside(xy, known, image_size)
    if outside <= _MOST_OUTSIDE:
        return None
    told = f"{outside:.0%} of the people are outside: keypoints have {extent}"
    if _outside(xy[..., ::-1], known, image_size) < 0.05 and _lying(xy, known) > 0.7:
        return f"{told}; u and v are exchanged, or the keypoints are of the picture before it was turned by 90°: write u, v, score"
    ratio = float((high / [width, height]).max())
    if (low < 0.5 * high).all() and 1.0 < ratio < 20 and (high / [width, height]).min() > ratio / 1.6:
        return f"{told}; they are of a version that is {ratio:.2g} or more times as large: scale u and v, or give that picture"
    return f"{told}; they are shifted or of another picture: u and v must be pixels of the photograph, from its upper left corner"


def doubt(keypoints: np.ndarray, image_size: tuple[int, int]) -> str | None:
    """A remark on keypoints that are possible but strange; None when there is none. Arguments as for `fault`."""
    rows = (keypoints[..., 2] > 0).any(1)
    known, xy = keypoints[rows, :, 2] > 0, keypoints[rows, :, :2]
    if len(xy) < _ENOUGH:
        return None
    if _lying(xy, known) > 0.9:
        return "nearly everybody lies on their side: if u and v are exchanged, or the picture is to be turned by 90°, correct that"
    share = float((xy[known].max(0) / image_size).max())
    if share < 0.55:
        return f"all keypoints lie in the upper left {share:.0%} of the photograph: if they are of a smaller version, scale u and v"
    return None


def _outside(xy: np.ndarray, known: np.ndarray, image_size: tuple[int, int]) -> float:
    """Share of the people of whom most known keypoints are outside the photograph."""
    room = _ROOM * np.array(image_size)
    beyond = ((xy < -room) | (xy > image_size + room)).any(-1) & known
    return float((beyond.sum(1) > 0.5 * known.sum(1)).mean())


def _lying(xy: np.ndarray, known: np.ndarray) -> float:
    """Share of the people whose hips are beside their shoulders rather than below or above, of those whose shoulders and hips are known."""
    seen = known[:, SHOULDERS17].all(1) & known[:, HIPS17].all(1)
    torso = np.abs(xy[seen][:, HIPS17].mean(1) - xy[seen][:, SHOULDERS17].mean(1))
    return float((torso[:, 0] > 1.5 * torso[:, 1]).mean()) if seen.any() else 0.0
