"""AGORA in the release's form: rendered groups with SMPL parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crowd3d.bodies.joints import HIPS54
from crowd3d.training.augment import NONE, Augmentation
from crowd3d.training.datasets.base import Bodies, ReleasedTiles, place, rotations_of, with_keypoints
from crowd3d.training.supervision.annotation import Annotation, unlabelled
from crowd3d.training.supervision.annotation_files import intrinsics, numbers, upright_plane

SCENE_PX = 1280.0
LEAST_INSIDE = 2


class Entry(NamedTuple):
    """One picture of P people; keypoints (P, 54, 3) in stored pixels with visibility, metres in the camera frame."""

    name: str
    keypoints: np.ndarray
    joints_m: np.ndarray
    pose_rad: np.ndarray
    betas: np.ndarray
    hvip: np.ndarray
    kid: np.ndarray
    K: np.ndarray
    plane: np.ndarray


class AgoraScale(ReleasedTiles):
    """``agora_scale``: everything is known of adults; of children, whom SMPL does not model, only what needs no body."""

    name = "agora_scale"

    def __init__(self, root: Path, size: int, bodies: Bodies | None = None, augmentation: Augmentation = NONE) -> None:
        super().__init__(root, size, bodies, augmentation)
        self.bodies.load("neutral")

    def parse(self, name: str, value: Any) -> Entry:
        """See `ReleasedTiles`."""
        keypoints = numbers(value["gt_joints_2d_all_vis"], -1, 54, 3)
        people = len(keypoints)
        return Entry(
            name=name,
            keypoints=keypoints,
            joints_m=numbers(value["gt_joints_3d_all"], people, 54, 3),
            pose_rad=numbers(value["pose_params"], people, 72),
            betas=numbers(value["beta_params"], people, 10),
            hvip=numbers(value["foot2d_torso_center"], people, 2),
            kid=numbers(value["kids_flag"], people) != 0,
            K=intrinsics(value["camMatrix"]),
            plane=upright_plane(value["ground"]),
        )

    def label(self, entry: Entry, image: np.ndarray) -> Annotation:
        """See `ReleasedTiles`. Everything is selected by the same rows, and the visibility of keypoints is used."""
        picture = place(image, np.zeros(2), SCENE_PX)
        inside = picture.inside(entry.keypoints[..., :2]) & (entry.keypoints[..., 2] > 0)
        kept = inside.sum(1) >= LEAST_INSIDE
        count = int(kept.sum())
        yes, adult = np.ones(count, bool), ~entry.kid[kept]
        pose, betas = entry.pose_rad[kept], entry.betas[kept]
        people = replace(
            unlabelled(count),
            joints_cam_m=self.bodies.joints_m("neutral", pose, betas),
            joints_known=np.repeat(adult[:, None], 54, 1),
            rotations=rotations_of(pose),
            orientation_known=adult,
            pose_known=adult,
            betas=betas,
            betas_known=adult,
            hvip_px=picture.to_scene(entry.hvip[kept]),
            hvip_known=yes,
            root_cam_m=entry.joints_m[kept][:, HIPS54].mean(1),
            root_known=yes,
        )
        return Annotation(
            image=picture.image,
            origin_px=picture.origin_px,
            side_px=picture.side_px,
            K=entry.K,
            plane=entry.plane,
            scene_width_px=SCENE_PX,
            people=with_keypoints(people, picture.to_scene(entry.keypoints[kept][..., :2]), inside[kept]),
        )
