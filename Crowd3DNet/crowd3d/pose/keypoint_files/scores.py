"""Scores of all tools on one scale from 0 to 1."""

from __future__ import annotations

import numpy as np

from crowd3d.pose.keypoint_files.table import BadEntry

OCCLUDED_SCORE = 0.5
"""Of a keypoint that an annotator of COCO marked although it is hidden (visibility 1)."""
_LARGEST = 1.5
"""Heights of heat maps may be a little more than 1."""


def unit_scores(score: np.ndarray) -> np.ndarray:
    """Scores of any shape → 0…1; COCO's visibilities 0, 1, 2 become 0, `OCCLUDED_SCORE`, 1.

    Raises:
        BadEntry: they are on another scale, which the message names.
    """
    largest = float(score.max(initial=0.0))
    if largest <= _LARGEST:
        return np.clip(score, 0.0, 1.0)
    if np.isin(score, (0.0, 1.0, 2.0)).all():
        return np.where(score == 1.0, OCCLUDED_SCORE, score / 2.0)
    if largest <= 100.0:
        raise BadEntry(f"scores run to {largest:.4g}, but must be 0 to 1; if they are per cent, divide them by 100")
    raise BadEntry(f"scores run to {largest:.4g}, but must be 0 to 1; u, v, score is the order of the numbers")
