"""Files of keypoints, one module per format; `read_keypoint_file` finds out which one it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import read_text
from crowd3d.pose.keypoint_files.arrays import read_instances, read_npy
from crowd3d.pose.keypoint_files.coco import read_annotations, read_results
from crowd3d.pose.keypoint_files.mmpose import read_mmpose
from crowd3d.pose.keypoint_files.openpifpaf import read_openpifpaf
from crowd3d.pose.keypoint_files.openpose import read_openpose
from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.scores import unit_scores
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture
from crowd3d.pose.keypoint_files.ultralytics import read_ultralytics

__all__ = ["SUFFIXES", "BadEntry", "KeypointTable", "NamedPicture", "everybody", "read_keypoint_file", "read_npy"]

SUFFIXES = (".npy", ".npz", ".json", ".jsonl")
ARRAYS = (".npy", ".npz")
FORMATS = "AlphaPose, COCO (results or annotations), Detectron2, MMPose, OpenPifPaf, OpenPose, Ultralytics"
_OF_ONE_PICTURE = (read_openpose, read_mmpose, read_ultralytics, read_openpifpaf, read_instances)
_ENDINGS = re.compile(r"(_keypoints|\.predictions|\.pifpaf|_openpifpaf)$")


def read_keypoint_file(path: Path) -> KeypointTable:
    """Everybody in a file of any known format, with scores from 0 to 1.

    Raises:
        MissingAsset: it is absent, in no known format, or wrong; the message says what and where.
    """
    try:
        table = _read(path)
        keypoints = table.keypoints.copy()
        keypoints[..., 2] = unit_scores(keypoints[..., 2])
        return KeypointTable(table.pictures, table.picture, keypoints)
    except BadEntry as error:
        raise MissingAsset(f"keypoints {path}: {error}") from error


def _read(path: Path) -> KeypointTable:
    if path.suffix.lower() in ARRAYS:
        return KeypointTable.of([(NamedPicture(path.stem, by_file=True), list(read_npy(path)))])
    content = _parse(path)
    own = NamedPicture(_ENDINGS.sub("", path.stem), by_file=True)
    # COCO first: its entries tell their picture, besides what other formats have, too.
    readers = [read_results, read_annotations, *(lambda value, read=read: read(value, own) for read in _OF_ONE_PICTURE)]
    table = next((table for read in readers if (table := read(content)) is not None), None)
    if table is not None:
        return table
    if content in ([], {}):
        return KeypointTable.of([(own, [])])
    if isinstance(content, list):
        return KeypointTable.of([(own, people(content, "the list"))])
    raise BadEntry(f"in no known format ({FORMATS}): {_outline(content)}")


def _parse(path: Path) -> Any:
    """The value in a JSON file; a list of the values where every line is one."""
    try:
        text = read_text(path)
    except OSError as error:
        raise MissingAsset(f"cannot open keypoints {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise BadEntry(f"not JSON, but data or a text that is not UTF-8 ({error.reason} at byte {error.start})") from error
    try:
        return _lines(text) if path.suffix.lower() == ".jsonl" else json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and "\n" in text[error.pos - 2 : error.pos + 1]:
            return _lines_or_error(text)
        cut = not text.strip() or error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        what = "empty" if not text.strip() else f"cut off at the end (line {error.lineno})" if cut else f"not JSON ({error})"
        raise BadEntry(f"{what}; copy it again, or let the pose estimator write it again") from error
    except RecursionError as error:
        raise BadEntry("nested too deeply for keypoints") from error


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _lines_or_error(text: str) -> list[Any]:
    try:
        return _lines(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadEntry(f"its lines are not all JSON ({error}); copy it again") from error


def _outline(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(repr(str(key)[:40]) for key in list(content)[:6])}"
    return f"a {type(content).__name__}: {str(content)[:40]}"


def everybody(paths: list[Path]) -> KeypointTable:
    """What several files say, of which nobody is in two."""
    tables = [read_keypoint_file(path) for path in paths]
    return KeypointTable.joined(tables) if tables else KeypointTable((), np.zeros(0, np.int64), np.zeros((0, 17, 3)))
