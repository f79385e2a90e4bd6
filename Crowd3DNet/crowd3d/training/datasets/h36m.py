"""Human3.6M in the release's form: one person per picture, four calibrated cameras with lens distortion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crowd3d.training.augment import NONE, Augmentation
from crowd3d.training.datasets.base import Bodies, ReleasedTiles, place, rotations_of, with_keypoints
from crowd3d.training.supervision.annotation import Annotation, unlabelled
from crowd3d.training.supervision.annotation_files import numbers, upright_plane

SCENE_PX = 1000.0
TARGETS = np.array([4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 29, 30, 32, 33, 45, 46, 49, 51, 52, 53])
SOURCES = np.array([7, 2, 8, 3, 24, 17, 25, 18, 26, 19, 27, 9, 10, 4, 5, 1, 6, 11, 12, 14, 15])
"""SMPL-54 joints and the ones of the 32 that they are."""
HIPS32 = (1, 6)
GENDERS = {"S1": "female", "S5": "female", "S7": "female", "S6": "male", "S8": "male", "S9": "male", "S11": "male"}
CAMERAS = np.array(
    [
        [1145.0494384765625, 1143.7811279296875, 512.54150390625, 515.4514770507812],
        [1149.6756591796875, 1147.5916748046875, 508.8486328125, 508.0649108886719],
        [1149.1407470703125, 1148.7989501953125, 519.8158569335938, 501.40264892578125],
        [1145.5113525390625, 1144.77392578125, 514.9682006835938, 501.88201904296875],
    ]
)
"""(4, 4) fx, fy, cx, cy in pixels of the full picture."""
DISTORTION = np.array(
    [
        [-0.20709891617298126, 0.24777518212795258, -0.0030751503072679043, -0.0009756988729350269, -0.00142447161488235],
        [-0.1942136287689209, 0.2404085397720337, 0.006819975562393665, -0.0016190266469493508, -0.0027408944442868233],
        [-0.2083381861448288, 0.25548800826072693, -0.0024604974314570427, 0.0014843869721516967, -0.0007599993259645998],
        [-0.198384091258049, 0.21832367777824402, -0.008947807364165783, -0.0005872055771760643, -0.0018133620033040643],
    ]
)
"""(4, 5) k1, k2, k3, p1, p2."""


class Entry(NamedTuple):
    """One picture; keypoints in stored pixels, metres in the camera frame."""

    name: str
    camera: int
    gender: str
    keypoints: np.ndarray
    joints_m: np.ndarray
    pose_rad: np.ndarray
    betas: np.ndarray
    hvip: np.ndarray
    plane: np.ndarray


class H36MScale(ReleasedTiles):
    """``h36m_scale``: everything is known."""

    name = "h36m_scale"
    subsampling = 1.59

    def __init__(self, root: Path, size: int, bodies: Bodies | None = None, augmentation: Augmentation = NONE) -> None:
        super().__init__(root, size, bodies, augmentation)
        for gender in {entry.gender for entry in self.entries}:
            self.bodies.load(gender)

    def parse(self, name: str, value: Any) -> Entry:
        """See `ReleasedTiles`."""
        tokens = name.split("_")
        pose = numbers(value["poses"][1], 72).copy()
        pose[:3] = numbers(value["cam"][1], 3)
        camera = int(tokens[2])
        if not 0 <= camera < len(CAMERAS):
            raise ValueError(f"camera {camera}")
        return Entry(
            name=name,
            camera=camera,
            gender=GENDERS[tokens[0]],
            keypoints=numbers(np.reshape(value["kp2d"], (32, 2)), 32, 2),
            joints_m=numbers(np.reshape(value["kp3d_mono"], (32, 3)), 32, 3),
            pose_rad=pose,
            betas=numbers(np.reshape(value["betas"], 10), 10),
            hvip=numbers(np.reshape(value["foot2d"], 2), 2),
            plane=upright_plane(value["ground"]),
        )

    def label(self, entry: Entry, image: np.ndarray) -> Annotation:
        """See `ReleasedTiles`."""
        picture = place(image, np.zeros(2), SCENE_PX)
        yes = np.ones(1, bool)
        keypoints, known = np.zeros((1, 54, 2)), np.zeros((1, 54), bool)
        keypoints[0, TARGETS] = picture.to_scene(entry.keypoints[SOURCES])
        known[0, TARGETS] = picture.inside(entry.keypoints[SOURCES])
        people = replace(
            unlabelled(1),
            joints_cam_m=self.bodies.joints_m(entry.gender, entry.pose_rad[None], entry.betas[None]),
            joints_known=np.ones((1, 54), bool),
            rotations=rotations_of(entry.pose_rad[None]),
            orientation_known=yes,
            pose_known=yes,
            betas=entry.betas[None],
            betas_known=yes,
            hvip_px=picture.to_scene(entry.hvip)[None],
            hvip_known=yes,
            root_cam_m=entry.joints_m[HIPS32, :].mean(0)[None],
            root_known=yes,
        )
        fx, fy, cx, cy = CAMERAS[entry.camera]
        return Annotation(
            image=picture.image,
            origin_px=picture.origin_px,
            side_px=picture.side_px,
            K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
            plane=entry.plane,
            scene_width_px=SCENE_PX,
            people=with_keypoints(people, keypoints, known),
            distortion=DISTORTION[entry.camera],
        )
