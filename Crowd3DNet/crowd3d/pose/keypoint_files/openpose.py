"""OpenPose: one file per picture; and AlphaPose's formats ``open`` and ``cmu``: the same under the pictures' names."""

from __future__ import annotations

from typing import Any

from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture, base_name

_LISTS = ("people", "bodies")


def read_openpose(content: Any, own: NamedPicture) -> KeypointTable | None:
    """The people of one picture, or of several by their names; None when it is none.

    Args:
        content: what the file holds.
        own: the picture that the file is named after.
    """
    if not isinstance(content, dict):
        return None
    key = _list_of(content)
    if key is not None:
        return KeypointTable.of([(own, people(content[key], key))])
    if not content or not any(_list_of(image) for image in content.values()):
        return None
    groups = []
    for name, image in content.items():
        key = _list_of(image)
        if key is None:
            raise BadEntry(f"the picture {name!r} has neither people nor bodies")
        groups.append((NamedPicture(base_name(name)), people(image[key], f"{key} of {name!r}")))
    return KeypointTable.of(groups)


def _list_of(image: Any) -> str | None:
    return next((key for key in _LISTS if key in image), None) if isinstance(image, dict) else None
