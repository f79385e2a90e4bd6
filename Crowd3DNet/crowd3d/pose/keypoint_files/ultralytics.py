"""Ultralytics' ``to_json``: a list of objects with a name, a box and lists of x, y and visibility."""

from __future__ import annotations

from typing import Any

from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.table import KeypointTable, NamedPicture


def read_ultralytics(content: Any, own: NamedPicture) -> KeypointTable | None:
    """The people of one picture; None when it is none. Objects of other classes than person are left out.

    Args:
        content: what the file holds.
        own: the picture that the file is named after.
    """
    if not isinstance(content, list) or not any(isinstance(entry, dict) and isinstance(entry.get("keypoints"), dict) for entry in content):
        return None
    persons = [entry for entry in content if not isinstance(entry, dict) or entry.get("name", "person") == "person"]
    return KeypointTable.of([(own, people(persons, "the list"))])
