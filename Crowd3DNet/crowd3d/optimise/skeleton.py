"""Points of skinned bodies and their exact derivatives with respect to pose and shape.

A point that is a fixed mixture of skinned vertices is a sum over the 24 bones j of ``R_j · offset_j + weight_j · P_j``, with R_j
and P_j the bone's rotation and joint; the offsets are linear in the betas. So a handful of points costs no mesh.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from crowd3d.bodies import COCO17_FROM_SMPL54, SMPL_PARENTS, Body
from crowd3d.geometry.rotations import axis_angle_to_matrix

JOINTS = 24
LANDMARKS = 17
DIRECTIONS = 60
TOUCHING_PARTS = (0, 1, 2, 4, 5, 7, 8, 10, 11, 20, 21, 22, 23)
"""Bones whose surface may touch the ground: pelvis, legs, feet, wrists and hands."""


class Points(NamedTuple):
    """K points that move with the bones.

    Attributes:
        weight: (..., K, 24) share of each bone.
        offset: (..., K, 24, 3) metres against the bone's joint, times the share, at betas 0.
        offset_shape: (..., K, 24, 3, 10) change of `offset` per beta.
    """

    weight: Tensor
    offset: Tensor
    offset_shape: Tensor


class Skeleton(NamedTuple):
    """A body reduced to what the optimisation looks at. Corrective blend shapes of the pose are left out.

    Attributes:
        joint: (24, 3) rest joints at betas 0.
        joint_shape: (24, 3, 10) change of them per beta.
        landmarks: the 17 COCO keypoints.
        touching: C surface points that may be the lowest.
        stature: (11,) metres of stature at betas 0, then per beta.
    """

    joint: Tensor
    joint_shape: Tensor
    landmarks: Points
    touching: Points
    stature: Tensor

    @classmethod
    def of(cls, body: Body) -> Skeleton:
        """From a whole body."""
        count = len(body.template)
        regressor = torch.zeros(LANDMARKS, count, dtype=torch.float64)
        for row, joint in enumerate(COCO17_FROM_SMPL54):
            if 24 <= joint < 45:
                regressor[row, body.extra_vertex_ids[joint - 24]] = 1.0
            elif joint >= 45:
                regressor[row] = torch.from_numpy(body.regressor_extra9[joint - 45])
        joint, joint_shape = torch.from_numpy(body.joint_template), torch.from_numpy(body.joint_shapedirs)
        used = torch.nonzero(regressor.any(0))[:, 0]
        landmarks = _mixtures(body, regressor[:, used], used, joint, joint_shape)
        rows = [row for row, bone in enumerate(COCO17_FROM_SMPL54) if bone < JOINTS]
        landmarks.weight[rows, COCO17_FROM_SMPL54[rows]] = 1.0
        surface = _outermost(body)
        crown, sole = body.template[:, 1].argmax(), body.template[:, 1].argmin()
        rise = body.shapedirs[crown, 1] - body.shapedirs[sole, 1]
        height = body.template[crown, 1] - body.template[sole, 1]
        return cls(
            joint=joint,
            joint_shape=joint_shape,
            landmarks=landmarks,
            touching=_mixtures(body, torch.eye(len(surface), dtype=torch.float64), surface, joint, joint_shape),
            stature=torch.cat([torch.tensor([height], dtype=torch.float64), torch.from_numpy(rise)]),
        )


def _mixtures(body: Body, regressor: Tensor, vertices: Tensor, joint: Tensor, joint_shape: Tensor) -> Points:
    """Mixtures (K, R) of the vertices with indices (R,)."""
    weights = torch.from_numpy(body.weights)[vertices]
    shares = regressor @ weights
    template, shape = torch.from_numpy(body.template)[vertices], torch.from_numpy(body.shapedirs)[vertices]
    offset = torch.einsum("kv,vj,vc->kjc", regressor, weights, template) - shares[..., None] * joint
    offset_shape = torch.einsum("kv,vj,vcb->kjcb", regressor, weights, shape) - shares[..., None, None] * joint_shape
    return Points(shares, offset, offset_shape)


def _outermost(body: Body) -> Tensor:
    """(C,) vertices that are extreme in one of many directions within their bone's part of the surface."""
    index = torch.arange(DIRECTIONS, dtype=torch.float64)
    height = 1 - (2 * index + 1) / DIRECTIONS
    turn = index * (torch.pi * (1 + 5**0.5))
    radius = (1 - height**2).sqrt()
    directions = torch.stack([radius * turn.cos(), height, radius * turn.sin()])
    # soles are flat: a fan of nearly vertical directions finds their whole rim
    slope = 0.06 * torch.stack([turn.cos(), torch.full_like(turn, -1 / 0.06), turn.sin()])
    template, part = torch.from_numpy(body.template), torch.from_numpy(body.part)
    found = []
    for bone in TOUCHING_PARTS:
        rows = torch.nonzero(part == bone)[:, 0]
        if len(rows):
            found.append(rows[(template[rows] @ torch.cat([directions, slope], 1)).argmax(0)])
    return torch.unique(torch.cat(found))


class Posture(NamedTuple):
    """Bones of n posed people whose pelvis is at the origin.

    Attributes:
        rotation: (n, 24, 3, 3) of each bone.
        position: (n, 24, 3) of each joint, metres.
        axes: (n, 24, 3, 3) columns: angular velocity of a bone per component of its axis-angle.
        position_shape: (n, 24, 3, 10) change of `position` per beta.
    """

    rotation: Tensor
    position: Tensor
    axes: Tensor
    position_shape: Tensor


def articulate(skeleton: Skeleton, pose: Tensor, root: Tensor, betas: Tensor) -> Posture:
    """Pose n people.

    Args:
        skeleton: their body.
        pose: (n, 24, 3) axis-angle; that of the root is applied after `root`, in the outer frame.
        root: (n, 3, 3) rotation of the root before its axis-angle.
        betas: (n, 10).
    """
    local = axis_angle_to_matrix(pose)
    velocity = left_jacobian(pose)
    rest = skeleton.joint + torch.einsum("jcb,nb->njc", skeleton.joint_shape, betas)
    rotation, position = [local[:, 0] @ root], [torch.zeros_like(rest[:, 0])]
    axes, shape = [velocity[:, 0]], [torch.zeros_like(skeleton.joint_shape[0]).expand(len(pose), 3, 10)]
    for j in range(1, JOINTS):
        parent = int(SMPL_PARENTS[j])
        turn = rotation[parent]
        rotation.append(turn @ local[:, j])
        axes.append(turn @ velocity[:, j])
        position.append(position[parent] + (turn @ (rest[:, j] - rest[:, parent])[..., None])[..., 0])
        shape.append(shape[parent] + turn @ (skeleton.joint_shape[j] - skeleton.joint_shape[parent]))
    return Posture(torch.stack(rotation, 1), torch.stack(position, 1), torch.stack(axes, 1), torch.stack(shape, 1))


def _parts(posture: Posture, points: Points, betas: Tensor) -> Tensor:
    """(n, K, 24, 3) what each bone contributes to each point."""
    offset = points.offset + (points.offset_shape @ betas[:, None, None, :, None])[..., 0]
    return torch.einsum("njxy,nkjy->nkjx", posture.rotation, offset) + points.weight[..., None] * posture.position[:, None]


def locate(posture: Posture, points: Points, betas: Tensor) -> Tensor:
    """(n, K, 3) places of the points."""
    return _parts(posture, points, betas).sum(2)


def heights(posture: Posture, points: Points, betas: Tensor) -> Tensor:
    """(n, K) the y coordinates alone, cheaply."""
    row = posture.rotation[:, :, 1]
    along = torch.einsum("njy,kjyb->nkb", row, points.offset_shape)
    still = torch.einsum("njy,kjy->nk", row, points.offset) + posture.position[..., 1] @ points.weight.T
    return still + (along @ betas[..., None])[..., 0]


def differentiate(posture: Posture, points: Points, betas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the points and their derivatives.

    Returns:
        (n, K, 3) places; (n, K, 3, 24, 3) change per component of each bone's axis-angle; (n, K, 3, 10) change per beta.
    """
    parts = _parts(posture, points, betas)
    below = _descendants().to(parts)
    carried = torch.einsum("ij,nkjx->nkix", below, parts)
    lever = carried - (points.weight @ below.T)[..., None] * posture.position[:, None]
    turned = torch.linalg.cross(posture.axes[:, None], lever[..., None].expand(*lever.shape, 3), dim=3)
    weight = points.weight.expand(len(betas), *points.weight.shape[-2:])
    shape = points.offset_shape.expand(len(betas), *points.offset_shape.shape[-4:])
    per_beta = torch.einsum("njxy,nkjyb->nkxb", posture.rotation, shape)
    per_beta = per_beta + torch.einsum("nkj,njxb->nkxb", weight, posture.position_shape)
    return parts.sum(2), turned.permute(0, 1, 3, 2, 4), per_beta


def _descendants() -> Tensor:
    """(24, 24) 1 where the second bone is the first or hangs on it."""
    below = torch.eye(JOINTS)
    for j in range(JOINTS - 1, 0, -1):
        below[int(SMPL_PARENTS[j])] += below[j]
    return below


def left_jacobian(rotation_rad: Tensor) -> Tensor:
    """(..., 3) axis-angle → (..., 3, 3): angular velocity per rate of the axis-angle (Barfoot, State Estimation for Robotics, 7.77)."""
    squared = rotation_rad.square().sum(-1)[..., None, None]
    small = squared < 1e-6
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    first = torch.where(small, 0.5 - squared / 24, 2 * (angle / 2).sin().square() / angle.square())
    second = torch.where(small, 1 / 6 - squared / 120, (angle - angle.sin()) / angle**3)
    x, y, z = rotation_rad.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=skew.dtype, device=skew.device) + first * skew + second * (skew @ skew)
