"""Heads made unrecognisable: before a picture of a crowd is shown to anybody."""

from __future__ import annotations

import cv2
import numpy as np

from crowd3d.bodies import COCO17_FROM_SMPL54
from crowd3d.types import Scene

HEAD_M = 0.2
"""Radius of the disc around the middle of the face: a head is 0.24 m high, the rest is for what the body misses."""
SEEN = 0.1
"""Score above which a keypoint of the face is believed; believing too many only blurs more."""
CELLS = 3
"""So many differently coloured patches are left across a disc."""
_FACE = slice(0, 5)


def head_discs(scene: Scene, joints_cam_m: np.ndarray) -> np.ndarray:
    """(K, 3) x, y, radius in pixels of the photograph: over the head of everybody's body, and over the face that their keypoints show.

    Args:
        scene: with N people.
        joints_cam_m: (N, 54, 3) SMPL-54 joints of their bodies, camera frame, metres.
    """
    people, camera = scene.people, scene.camera
    face = joints_cam_m[:, COCO17_FROM_SMPL54[_FACE]].mean(1)
    with np.errstate(divide="ignore"):
        radius = np.where(face[:, 2] > 0, camera.fx * HEAD_M / face[:, 2], np.nan)
    points = people.keypoints_px[:, _FACE]
    seen = points[..., 2] > SEEN
    count = seen.sum(1)[:, None]
    observed = np.where(count > 0, (points[..., :2] * seen[..., None]).sum(1) / np.maximum(count, 1), np.nan)
    discs = np.concatenate([np.column_stack([camera.project(face), radius]), np.column_stack([observed, radius])])
    return discs[np.isfinite(discs).all(1)]


def blur_discs(photo: np.ndarray, discs_px: np.ndarray) -> None:
    """Leave `CELLS` patches of mean colour across each disc (K, 3) of a picture (h, w, 3), in place."""
    height, width = photo.shape[:2]
    for x, y, radius in discs_px:
        left, top = max(int(np.floor(x - radius)), 0), max(int(np.floor(y - radius)), 0)
        right, bottom = min(int(np.ceil(x + radius)) + 1, width), min(int(np.ceil(y + radius)) + 1, height)
        if right <= left or bottom <= top:
            continue
        part = photo[top:bottom, left:right]
        coarse = cv2.resize(part, (min(CELLS, right - left), min(CELLS, bottom - top)), interpolation=cv2.INTER_AREA)
        smooth = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        row, column = np.ogrid[top:bottom, left:right]
        inside = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius**2
        part[inside] = smooth[inside]
