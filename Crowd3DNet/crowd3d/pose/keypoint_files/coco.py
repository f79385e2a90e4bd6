"""COCO: annotations (images and people) and results (a list of people), the latter also of AlphaPose and Detectron2."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from crowd3d.pose.keypoint_files.people import person
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture, base_name

log = logging.getLogger(__name__)

_IMAGE_KEYS = ("image_id", "image_name", "file_name", "image")


def read_results(content: Any) -> KeypointTable | None:
    """A list of people who each name their picture; None when it is none."""
    if not (isinstance(content, list) and content and any(isinstance(entry, dict) and _key(entry) for entry in content)):
        return None
    groups = []
    for number, entry in enumerate(content, 1):
        where = f"entry {number} of {len(content)}"
        found = person(entry, where)
        key = _key(entry)
        if key is None:
            raise BadEntry(f"{where} has no image_id")
        groups.append((_picture(entry[key], where), [found]))
    return KeypointTable.of(groups)


def read_annotations(content: Any) -> KeypointTable | None:
    """Images and annotations; None when it is none. People with a box only are left out and counted aloud."""
    if not (isinstance(content, dict) and isinstance(content.get("images"), list) and "annotations" in content):
        return None
    if not isinstance(content["annotations"], list):
        raise BadEntry("annotations is no list")
    pictures: dict[Any, NamedPicture] = {}
    for number, image in enumerate(content["images"], 1):
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise BadEntry(f"image {number} of {len(content['images'])} has no id")
        named = isinstance(image.get("file_name"), str)
        pictures[image["id"]] = NamedPicture(
            base_name(image["file_name"]) if named else "",
            None if named or not isinstance(image["id"], int) else image["id"],
            _size(image.get("width"), image.get("height")),
        )
    found: dict[Any, list[np.ndarray]] = {name: [] for name in pictures}
    boxes_only = 0
    for number, entry in enumerate(content["annotations"], 1):
        where = f"annotation {number} of {len(content['annotations'])}"
        if not isinstance(entry, dict):
            raise BadEntry(f"{where} is {'null' if entry is None else type(entry).__name__}")
        owner = entry.get("image_id")
        if not isinstance(owner, int | str) or owner not in found:
            raise BadEntry(f"{where} is about the image {owner!r}, which is not among the images")
        # COCO gives people of whom no keypoint was marked 51 zeros, crowds nothing.
        marked = entry.get("keypoints")
        if not marked or (isinstance(marked, list) and not any(marked)):
            boxes_only += 1
        else:
            found[owner].append(person(entry, where))
    if boxes_only:
        log.warning("%d of %d annotations have a box but no keypoints: left out", boxes_only, len(content["annotations"]))
    return KeypointTable.of((pictures[name], people) for name, people in found.items())


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    told = all(isinstance(side, int | float) and 0 < side < 1e9 for side in (width, height))
    return (int(width), int(height)) if told else None


def _key(entry: Any) -> str | None:
    return next((key for key in _IMAGE_KEYS if key in entry), None) if isinstance(entry, dict) else None


def _picture(value: Any, where: str) -> NamedPicture:
    if isinstance(value, int) and not isinstance(value, bool):
        return NamedPicture(number=value)
    if not isinstance(value, str) or not value:
        raise BadEntry(f"{where} has the image_id {value!r}, not a name or a number")
    return NamedPicture(base_name(value))
