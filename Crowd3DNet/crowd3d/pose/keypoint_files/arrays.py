"""Keypoints as arrays: ``.npy``, ``.npz`` (also of supervision), and JSON of arrays (Detectron2's instances, torchvision)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import PLAIN, load_arrays
from crowd3d.pose.keypoint_files.layouts import coco17
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture

_POINTS = ("keypoints", "pred_keypoints", "xy", "poses", "arr_0")
_SCORES = ("keypoint_confidence", "keypoint_scores", "keypoints_scores", "confidence", "scores")


def read_npy(path: Path) -> np.ndarray:
    """(N, 17, 3) float64 u, v, score of an ``.npy`` or ``.npz`` file; what is not finite is unknown: score 0.

    Raises:
        MissingAsset: the file is absent, unreadable or of another shape.
    """
    try:
        arrays = load_arrays(path)
        return from_arrays({"keypoints": arrays[PLAIN]} if list(arrays) == [PLAIN] else arrays)
    except BadEntry as error:
        raise MissingAsset(f"keypoints {path}: {error}") from error
    except (OSError, ValueError) as error:
        raise MissingAsset(f"cannot read keypoints {path}: {error}; save them with numpy.save as an array (N, 17, 3)") from error


def from_arrays(arrays: Mapping[str, Any]) -> np.ndarray:
    """(N, 17, 3) of arrays with the names that are in use.

    Args:
        arrays: (N, K, 3) u, v, score under one of `_POINTS`, or (N, K, 2) with (N, K) scores under one of `_SCORES`; without scores
            all keypoints count as sure. K as in `crowd3d.pose.keypoint_files.layouts`.

    Raises:
        BadEntry: there are none, or they have other shapes.
    """
    name = next((name for name in _POINTS if name in arrays), None)
    if name is None:
        raise BadEntry(f"holds {', '.join(arrays) or 'nothing'}, not keypoints (N, K, 3), or xy (N, K, 2) with confidence (N, K)")
    try:
        points = np.asarray(arrays[name], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadEntry(f"{name} is no array of numbers") from error
    if points.size == 0:
        return np.zeros((0, 17, 3))
    if points.ndim != 3 or points.shape[2] not in (2, 3):
        raise BadEntry(f"{name} has the shape {points.shape}, not (N, 17, 3) u, v, score in COCO order")
    scores = next((found for key in _SCORES if (found := _scores(arrays.get(key), points.shape[:2])) is not None), None)
    if scores is not None:
        points = np.concatenate([points[..., :2], scores[..., None]], -1)
    elif points.shape[2] == 2:
        points = np.concatenate([points, np.ones((*points.shape[:2], 1))], -1)
    try:
        return coco17(points)
    except BadEntry as error:
        raise BadEntry(f"{name} has the shape {points.shape} and so {error}") from error


def _scores(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Scores of that shape; None when they are something else, such as one score per person."""
    try:
        scores = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return scores if scores.shape == shape else None


def read_instances(content: Any, own: NamedPicture) -> KeypointTable | None:
    """JSON of arrays, perhaps below ``instances``; None when it is none.

    Args:
        content: what the file holds.
        own: the picture that the file is named after.
    """
    if isinstance(content, dict) and isinstance(content.get("instances"), dict):
        content = content["instances"]
    if not isinstance(content, dict) or not any(isinstance(content.get(name), list) for name in _POINTS):
        return None
    return KeypointTable.of([(own, list(from_arrays(content)))])
