"""Whether two pictures were taken by a camera that stood still: by what of the background is at the same place."""

from __future__ import annotations

import cv2
import numpy as np

STEADY = 0.003
"""Pictures whose background is shifted by less than this share of their longer side are by a camera that stands still."""
WIDTH_PX = 1280
"""Longer side of the reduced pictures that are compared."""
_FEATURES = 2000
_LEAST_AGREEING, _LEAST_SHARE = 30, 0.2
_TOLERANCE_PX = 2.0


def background_shift(first_gray: np.ndarray, second_gray: np.ndarray) -> float | None:
    """How far a corner of the picture moved from one (h, w) uint8 picture to another, as a share of the longer side.

    By the similarity transform on which most pairs of ORB features agree (Rublee et al., ICCV 2011; RANSAC): that of the background, unless
    people hide nearly all of it. None where too few agree on anything.
    """
    finder = cv2.ORB_create(_FEATURES)  # type: ignore[attr-defined]
    (points, marks), (others, other_marks) = (finder.detectAndCompute(image, None) for image in (first_gray, second_gray))
    if marks is None or other_marks is None:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(marks, other_marks)
    if len(pairs) < _LEAST_AGREEING:
        return None
    start = np.array([points[pair.queryIdx].pt for pair in pairs])
    end = np.array([others[pair.trainIdx].pt for pair in pairs])
    moved, agree = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=_TOLERANCE_PX)
    if moved is None or agree.sum() < max(_LEAST_AGREEING, _LEAST_SHARE * len(pairs)):
        return None
    height, width = first_gray.shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    shift = corners @ moved[:, :2].T + moved[:, 2] - corners
    return float(np.linalg.norm(shift, axis=1).max() / max(width, height))
