"""MMPose: its inferencer (a list of people, or of frames) and its demos (the same with a description of the keypoints)."""

from __future__ import annotations

from typing import Any

from crowd3d.pose.keypoint_files.frames import frames
from crowd3d.pose.keypoint_files.layouts import order_by_names
from crowd3d.pose.keypoint_files.people import people
from crowd3d.pose.keypoint_files.table import BadEntry, KeypointTable, NamedPicture


def read_mmpose(content: Any, own: NamedPicture) -> KeypointTable | None:
    """People of one picture or of a video's frames; None when it is none.

    Args:
        content: what the file holds.
        own: the picture that the file is named after.
    """
    order = None
    if isinstance(content, dict):
        if "instance_info" not in content:
            return None
        order = _order(content.get("meta_info"))
        content = content["instance_info"]
        if content == []:
            return KeypointTable.of([(own, [])])
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return None
    if "instances" in content[0]:
        return frames(content, "frame_id", "instances", order)
    if order is None and "keypoint_scores" not in content[0]:
        return None
    return KeypointTable.of([(own, people(content, "the list", order))])


def _order(meta: Any) -> list[int] | None:
    """Rows of COCO-17 by the names of keypoints that the file describes, None where it does not."""
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return None
    try:
        rows = {int(row): str(name) for row, name in names.items()}
    except ValueError as error:
        raise BadEntry("keypoint_id2name of meta_info has a key that is no number") from error
    try:
        return order_by_names(rows)
    except BadEntry as error:
        raise BadEntry(f"meta_info {error}") from error
