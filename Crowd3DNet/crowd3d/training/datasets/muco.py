"""MuCo-3DHP in the release's form: composed groups with joints in space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from crowd3d.training.datasets.base import ReleasedTiles, place, with_keypoints
from crowd3d.training.supervision.annotation import Annotation, unlabelled
from crowd3d.training.supervision.annotation_files import intrinsics, numbers, upright_plane

SCENE_PX = 2048.0
TARGETS = np.array([4, 5, 7, 8, 16, 17, 18, 19, 20, 21, 22, 23, 29, 32, 45, 46, 48, 49, 53])
SOURCES = np.array([12, 9, 13, 10, 5, 2, 6, 3, 7, 4, 18, 17, 20, 19, 8, 11, 0, 14, 16])
"""SMPL-54 joints and the ones of the 21 that they are."""
HIPS21 = (8, 11)
LEAST_INSIDE = 2


class Entry(NamedTuple):
    """One picture of P people; keypoints in stored pixels, metres in the camera frame."""

    name: str
    keypoints: np.ndarray
    joints_m: np.ndarray
    hvip: np.ndarray
    K: np.ndarray
    plane: np.ndarray


class MuCoScale(ReleasedTiles):
    """``muco_scale``: keypoints, joints in space and HVIPs are known, SMPL parameters are not."""

    name = "muco_scale"
    subsampling = 1.77

    def parse(self, name: str, value: Any) -> Entry:
        """See `ReleasedTiles`."""
        keypoints = numbers(value["j2d"], -1, 21, 2)
        people = len(keypoints)
        joints, hvip = numbers(value["j3d"], people, 21, 3), numbers(value["foot2d"], people, 2)
        return Entry(name, keypoints, joints, hvip, intrinsics(value["camMatrix"]), upright_plane(value["ground"]))

    def label(self, entry: Entry, image: np.ndarray) -> Annotation:
        """See `ReleasedTiles`."""
        picture = place(image, np.zeros(2), SCENE_PX)
        inside = picture.inside(entry.keypoints)
        kept = inside.sum(1) >= LEAST_INSIDE
        count = int(kept.sum())
        yes = np.ones(count, bool)
        keypoints, known = np.zeros((count, 54, 2)), np.zeros((count, 54), bool)
        keypoints[:, TARGETS] = picture.to_scene(entry.keypoints[kept][:, SOURCES])
        known[:, TARGETS] = inside[kept][:, SOURCES]
        root = entry.joints_m[kept][:, HIPS21].mean(1)
        joints, joints_known = np.zeros((count, 54, 3)), np.zeros((count, 54), bool)
        joints[:, TARGETS] = entry.joints_m[kept][:, SOURCES] - root[:, None]
        joints_known[:, TARGETS] = True
        people = replace(
            unlabelled(count),
            joints_cam_m=joints,
            joints_known=joints_known,
            hvip_px=picture.to_scene(entry.hvip[kept]),
            hvip_known=yes,
            root_cam_m=root,
            root_known=yes,
        )
        return Annotation(
            image=picture.image,
            origin_px=picture.origin_px,
            side_px=picture.side_px,
            K=entry.K,
            plane=entry.plane,
            scene_width_px=SCENE_PX,
            people=with_keypoints(people, keypoints, known),
        )
