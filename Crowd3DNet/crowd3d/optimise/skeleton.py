"""The few points of skinned bodies that the optimisation looks at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crowd3d.bodies import COCO17_FROM_SMPL54, Body, skinning
from crowd3d.bodies.skinning import JOINTS, Bones, Points, mix, reshape
from crowd3d.geometry.rotations import axis_angle_to_matrix

LANDMARKS = 17
DIRECTIONS = 60
TOUCHING_PARTS = (0, 1, 2, 4, 5, 7, 8, 10, 11, 20, 21, 22, 23)
"""Bones whose surface may touch the ground: pelvis, legs, feet, wrists and hands."""


class Skeleton(NamedTuple):
    """A body reduced to what the optimisation looks at. Corrective blend shapes of the pose are left out.

    Attributes:
        joint: (24, 3) rest joints at betas 0.
        joint_shape: (24, 3, 10) change of them per beta.
        landmarks: the 17 COCO keypoints.
        touching: C surface points that may be the lowest.
        stature: (11,) metres of stature at betas 0, then per beta.
    """

    joint: np.ndarray
    joint_shape: np.ndarray
    landmarks: Points
    touching: Points
    stature: np.ndarray

    @classmethod
    def of(cls, body: Body) -> Skeleton:
        """From a whole body."""
        count = len(body.template)
        regressor = np.zeros((LANDMARKS, count))
        for row, joint in enumerate(COCO17_FROM_SMPL54):
            if 24 <= joint < 45:
                regressor[row, body.extra_vertex_ids[joint - 24]] = 1.0
            elif joint >= 45:
                regressor[row] = body.regressor_extra9[joint - 45]
        joints = body.joint_template, body.joint_shapedirs
        used = np.flatnonzero(regressor.any(0))
        landmarks = _mixtures(body, regressor[:, used], used, joints)
        rows = [row for row, bone in enumerate(COCO17_FROM_SMPL54) if bone < JOINTS]
        landmarks.weight[rows, COCO17_FROM_SMPL54[rows]] = 1.0
        surface = _outermost(body)
        crown, sole = body.template[:, 1].argmax(), body.template[:, 1].argmin()
        rise = body.shapedirs[crown, 1] - body.shapedirs[sole, 1]
        height = body.template[crown, 1] - body.template[sole, 1]
        return cls(
            joint=joints[0],
            joint_shape=joints[1],
            landmarks=landmarks,
            touching=_mixtures(body, np.eye(len(surface)), surface, joints),
            stature=np.r_[height, rise],
        )


def _mixtures(body: Body, regressor: np.ndarray, vertices: np.ndarray, joints: tuple[np.ndarray, np.ndarray]) -> Points:
    """Mixtures (K, R) of the vertices with indices (R,)."""
    weights, template, shapedirs = (array[vertices] for array in (body.weights, body.template, body.shapedirs))
    return mix(regressor, weights, (template, shapedirs), joints)


def _outermost(body: Body) -> np.ndarray:
    """(C,) vertices that are extreme in one of many directions within their bone's part of the surface."""
    index = np.arange(DIRECTIONS)
    height = 1 - (2 * index + 1) / DIRECTIONS
    turn = index * (np.pi * (1 + 5**0.5))
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(turn), height, radius * np.sin(turn)])
    # soles are flat: a fan of nearly vertical directions finds their whole rim
    slope = 0.06 * np.stack([np.cos(turn), np.full_like(turn, -1 / 0.06), np.sin(turn)])
    template, part = body.template, body.part
    found = []
    for bone in TOUCHING_PARTS:
        rows = np.flatnonzero(part == bone)
        if len(rows):
            found.append(rows[(template[rows] @ np.concatenate([directions, slope], 1)).argmax(0)])
    return np.unique(np.concatenate(found))


def articulate(skeleton: Skeleton, pose: np.ndarray, root: np.ndarray, betas: np.ndarray) -> Bones:
    """Pose n people whose pelvis is at the origin.

    Args:
        skeleton: their body.
        pose: (n, 24, 3) axis-angle; that of the root is applied after `root`, in the outer frame.
        root: (n, 3, 3) rotation of the root before its axis-angle.
        betas: (n, 10).
    """
    local = axis_angle_to_matrix(pose)
    rest = reshape(skeleton.joint, skeleton.joint_shape, betas)
    return skinning.articulate(np.concatenate([local[:, :1] @ root[:, None], local[:, 1:]], 1), rest - rest[:, :1])
