"""Files that list the frames of a video."""

from __future__ import annotations

from typing import Any

from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture


def frames(content: list[Any], number_key: str, people_key: str, order: list[int] | None = None) -> KeypointTable:
    """The people of every frame. Such files list all frames from the first one on, which some call 0 and others 1.

    Args:
        content: an object per frame.
        number_key: what holds its number.
        people_key: what holds its people.
        order: rows of COCO-17 where the file describes its keypoints.

    Raises:
        BadEntry: a frame has no number or no people.
    """
    for number, frame in enumerate(content, 1):
        where = f"frame {number} of {len(content)}"
        if not isinstance(frame, dict) or people_key not in frame:
            raise BadEntry(f"{where} has no {people_key}")
        if not isinstance(frame.get(number_key), int):
            raise BadEntry(f"{where} has no {number_key}")
    first = min(frame[number_key] for frame in content)
    start = 1 if first == 1 else 0
    return KeypointTable.of(
        (NamedPicture(number=frame[number_key] - start), people(frame[people_key], f"frame {frame[number_key]}")) for frame in content
    )
