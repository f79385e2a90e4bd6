"""The keypoints of one person, as the tools write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crowd3d.pose.keypoint_files.layouts import coco17
from crowd3d.pose.keypoint_files.table import BadEntry

_SCORES = ("keypoint_scores", "keypoints_scores", "confidence", "scores")
_KEYS = ("keypoints", "pred_keypoints", "joints", "pose_keypoints_2d")


def person(entry: Any, where: str, order: list[int] | None = None) -> np.ndarray:
    """(17, 3) u, v, score of an entry.

    Its keypoints are numbers u, v, score in one list or in a list of triples; a list of pairs with the scores beside it (MMPose); or the
    lists ``x``, ``y`` and ``visible`` (Ultralytics).

    Raises:
        BadEntry: it has none, or not as many as a known layout has.
    """
    if not isinstance(entry, dict):
        raise BadEntry(f"{where} is {_told(entry)}, not an object with keypoints")
    key = next((key for key in _KEYS if key in entry), None)
    if key is None:
        has = ", ".join(map(str, list(entry)[:5])) or "nothing"
        raise BadEntry(f"{where} has no keypoints, only {has}; run a pose estimator, not a detector of boxes alone")
    scores = next((entry[name] for name in _SCORES if isinstance(entry.get(name), list)), None)
    return _person(entry[key], scores, f"{key} of {where}", order)


def people(entries: Any, where: str, order: list[int] | None = None) -> list[np.ndarray]:
    """The same for a list of entries.

    Raises:
        BadEntry: see `person`, or it is no list.
    """
    if not isinstance(entries, list):
        raise BadEntry(f"{where} is {_told(entries)}, not a list of people")
    return [person(entry, f"person {number} of {len(entries)} of {where}", order) for number, entry in enumerate(entries, 1)]


def _person(values: Any, scores: Any, where: str, order: list[int] | None) -> np.ndarray:
    if isinstance(values, dict):
        if not {"x", "y"} <= values.keys():
            raise BadEntry(f"{where} has no x and y")
        columns = [_numbers(values[axis], f"{axis} of {where}") for axis in ("x", "y")]
        score = next((values[name] for name in ("visible", "confidence", "score") if values.get(name) is not None), None)
        points = _with_scores(_stacked(columns, where), score, where)
    else:
        points = _numbers(values, where)
        if points.ndim == 1:
            if points.size % 3:
                raise BadEntry(f"{where} has {points.size} numbers, not three for every keypoint")
            points = points.reshape(-1, 3)
        elif points.ndim == 2 and points.shape[1] == 2:
            points = _with_scores(points, scores, where)
        elif points.ndim != 2 or points.shape[1] != 3:
            raise BadEntry(f"{where} has the shape {points.shape}, not (K, 2) or (K, 3)")
    try:
        return coco17(points, order)
    except BadEntry as error:
        raise BadEntry(f"{where} {error}") from error
    except IndexError as error:
        raise BadEntry(f"{where} has {len(points)} keypoints, fewer than the file gives names to") from error


def _stacked(columns: Sequence[np.ndarray], where: str) -> np.ndarray:
    if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
        raise BadEntry(f"{where} has lists x and y of {' and '.join(str(column.shape) for column in columns)}")
    return np.stack(list(columns), -1)


def _with_scores(xy: np.ndarray, scores: Any, where: str) -> np.ndarray:
    """(K, 2) and a list of K, or none at all, which means that all are sure → (K, 3)."""
    score = np.ones(len(xy)) if scores is None else _numbers(scores, f"scores of {where}").reshape(-1)
    if len(score) != len(xy):
        raise BadEntry(f"{where} has {len(xy)} keypoints but {len(score)} scores")
    return np.c_[xy, score]


def _numbers(value: Any, where: str) -> np.ndarray:
    if value is None:
        raise BadEntry(f"{where} is null")
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadEntry(f"{where} is {_told(value)}, not numbers in lists of equal length") from error
    if array.ndim == 0 or array.size == 0:
        raise BadEntry(f"{where} is {_told(value)}, not a list of numbers")
    return array


def _told(value: Any) -> str:
    return "null" if value is None else "empty" if value in ([], {}, "") else f"{type(value).__name__} {str(value)[:40]}"
