"""Orders of keypoints in use, and where COCO's 17 are in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from crowd3d.bodies import COCO17_NAMES
from crowd3d.pose.keypoint_files.table import BadEntry

OPENPOSE_TO_COCO = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
"""COCO-17 keypoints in the 18 of OpenPose and CMU-Pose (nose, neck, right arm, left arm, right leg, left leg, eyes, ears)."""
BODY25_TO_COCO = [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]
"""The same in OpenPose's BODY_25, which has the middle of the hips before the legs."""
_FIRST = list(range(17))
TO_COCO = {17: _FIRST, 18: OPENPOSE_TO_COCO, 25: BODY25_TO_COCO, 26: _FIRST, 68: _FIRST, 133: _FIRST, 136: _FIRST}
"""Number of keypoints → rows of COCO-17: COCO, OpenPose, BODY_25, Halpe-26, Halpe without a face, COCO-WholeBody, Halpe-136."""
LAYOUTS = "17 (COCO), 18 or 25 (OpenPose), 26, 68 or 136 (Halpe), 133 (COCO-WholeBody)"


def order_of(count: int) -> list[int]:
    """Rows of COCO-17 among `count` keypoints.

    Raises:
        BadEntry: no known layout has so many.
    """
    if count not in TO_COCO:
        raise BadEntry(f"has {count} keypoints; known are {LAYOUTS}")
    return TO_COCO[count]


def order_by_names(names: Mapping[int, str]) -> list[int]:
    """Rows of COCO-17 by the names that a file gives its keypoints, such as ``left_shoulder``.

    Raises:
        BadEntry: a shoulder, hip or other keypoint of COCO has no row.
    """
    row_of = {_plain(name): row for row, name in names.items()}
    absent = [name for name in COCO17_NAMES if _plain(name) not in row_of]
    if absent:
        raise BadEntry(f"has no keypoint called {absent[0]}; it must have the 17 of COCO")
    return [row_of[_plain(name)] for name in COCO17_NAMES]


def coco17(points: np.ndarray, order: list[int] | None = None) -> np.ndarray:
    """(..., K, 3) in any known layout → (..., 17, 3), what is not finite or lies in the corner (0, 0) being unknown: all 0."""
    chosen = points[..., order_of(points.shape[-2]) if order is None else order, :].astype(np.float64)
    unknown = ~np.isfinite(chosen).all(-1) | (chosen[..., :2] == 0).all(-1) | (chosen[..., 2] <= 0)
    return np.where(unknown[..., None], 0.0, chosen)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
