"""Made-up data sets in the release's file formats, from people whose geometry is known."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from crowd3d.bodies import load_body

# the tables of the specification, target joint to source joint
MUCO = dict(
    zip(
        [4, 5, 7, 8, 16, 17, 18, 19, 20, 21, 22, 23, 29, 32, 45, 46, 48, 49, 53],
        [12, 9, 13, 10, 5, 2, 6, 3, 7, 4, 18, 17, 20, 19, 8, 11, 0, 14, 16],
        strict=True,
    )
)
H36M = dict(
    zip(
        [4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 29, 30, 32, 33, 45, 46, 49, 51, 52, 53],
        [7, 2, 8, 3, 24, 17, 25, 18, 26, 19, 27, 9, 10, 4, 5, 1, 6, 11, 12, 14, 15],
        strict=True,
    )
)
COCO = [24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 46, 45, 4, 5, 7, 8]
PLANE = np.array([0.02, -0.98, -0.19, 0.0])
PLANE[:3] /= np.linalg.norm(PLANE[:3])
PLANE[3] = 3.0


@dataclass
class Group:
    """People in front of a camera; scene pixels and metres."""

    K: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    joints: np.ndarray
    pixels: np.ndarray
    hvip: np.ndarray


def project(K: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pinhole."""
    seen = points @ K.T
    return seen[..., :2] / seen[..., 2:]


def make_group(width: float, height: float, xz: list[tuple[float, float]], focal: float, turned: bool = False) -> Group:
    """People of the free body who stand on `PLANE` at x, z metres; each in another pose."""
    rng = np.random.default_rng(len(xz))
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    pose = rng.normal(0, 0.15, (len(xz), 24, 3))
    pose[:, 22:] = 0
    # SMPL's y is up, the camera's is down
    pose[:, 0] = [np.pi, 0, 0]
    betas = rng.normal(0, 0.5, (len(xz), 10))
    joints = load_body("free_low").pose(pose, betas)[1]
    ground_y = [-(PLANE[3] + PLANE[0] * x + PLANE[2] * z) / PLANE[1] for x, z in xz]
    place = np.array([[x, y - 0.95, z] for (x, z), y in zip(xz, ground_y, strict=True)])
    joints = joints - joints[:, :1] + place[:, None]
    torso = joints[:, [16, 17, 45, 46]].mean(1)
    foot = torso - (torso @ PLANE[:3] + PLANE[3])[:, None] * PLANE[:3]
    return Group(K, pose.reshape(-1, 72), betas, joints, project(K, joints), project(K, foot))


def write_picture(path: Path, width: int, height: int) -> None:
    """Noise, so that nothing is equal by accident."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8))


def write_annotations(path: Path, content: object, protocol: int = 4) -> None:
    """A pickle like the release's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
