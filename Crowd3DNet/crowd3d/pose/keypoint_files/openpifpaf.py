"""OpenPifPaf: the people of one picture as a list; of a video one line of JSON per frame."""

from __future__ import annotations

from typing import Any

from crowd3d.pose.keypoint_files.frames import frames
from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.table import KeypointTable, NamedPicture


def read_openpifpaf(content: Any, own: NamedPicture) -> KeypointTable | None:
    """People with a box and a list of numbers, who name no picture; None when it is none.

    Args:
        content: what the file holds, several lines as a list.
        own: the picture that the file is named after.
    """
    if isinstance(content, dict) and isinstance(content.get("predictions"), list) and "frame" in content:
        content = [content]
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return None
    if "predictions" in content[0] and "frame" in content[0]:
        return frames(content, "frame", "predictions")
    if not isinstance(content[0].get("keypoints"), list) or "bbox" not in content[0]:
        return None
    return KeypointTable.of([(own, people(content, "the list"))])
