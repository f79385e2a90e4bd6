"""Losses of matched people in the image and in space; N people, one function per term. Formulas of the release."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crowd3d.bodies.joints import ANKLES54, HIPS54, SHOULDERS54
from crowd3d.training.supervision.averages import Averaged, alone, masked_mean

# fmt: off
KEYPOINT_WEIGHTS = (
    0.2, 0.2, 0.2, 0.2, 1.0, 1.0, 0.2, 2.0, 2.0, 0.2, 0.2, 0.2, 1.0, 0.2, 0.2, 0.2, 0.8, 0.8, 1.0, 1.0, 2.0, 2.0, 0.2, 0.2,
    1.0, 0.2, 0.2, 0.2, 0.2, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2,
    1.0, 1.0, 1.0, 2.0, 1.0, 0.6, 0.6, 0.6, 0.8,
)
# fmt: on
"""Of the SMPL-54 joints in the image: ankles, wrists and the top of the head say most."""


def keypoint_loss(predicted: Tensor, target: Tensor, known: Tensor, people: Tensor, averaged: Averaged = alone) -> Tensor:
    """Weighted distance of the joints in the tile; as in the release divided by the number of known joints, not by their weights.

    Args:
        predicted, target: (N, 54, 2) tile coordinates.
        known: (N, 54) bool.
        people: (N,) bool, those who count.
    """
    weights = predicted.new_tensor(KEYPOINT_WEIGHTS)
    distance = (predicted - target).norm(dim=-1).where(known, 0.0)
    return masked_mean((distance * weights).sum(1) / (1e-6 + known.sum(1)), people, averaged)


def mpjpe_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Mean distance in metres of a person's joints with both hip centres in the origin.

    Args:
        predicted, target: (N, 54, 3) metres.
        known: (N, 54) bool; people of whom a hip or everything is unknown do not count.
    """
    predicted, target = (joints - joints[:, HIPS54].mean(1, keepdim=True) for joints in (predicted, target))
    distance = (predicted - target).norm(dim=-1).where(known, 0.0)
    return masked_mean(distance.sum(1) / known.sum(1).clamp(min=1), known[:, HIPS54].all(1), averaged)


def hvip_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Distance of the HVIP in the tile; (N, 2), (N, 2), (N,) bool."""
    return masked_mean((predicted - target).norm(dim=-1), known, averaged)


def torso_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Distance of the torso centre in the tile; (N, 2), (N, 2), (N,) bool. The release has no mask here."""
    return masked_mean((predicted - target).norm(dim=-1), known, averaged)


def root_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Distance in metres of the middle of the hips in the camera frame; (N, 3), (N, 3), (N,) bool."""
    return masked_mean((predicted - target).norm(dim=-1), known, averaged)


def out_of_bound_loss(height_m: Tensor, people: Tensor, averaged: Averaged = alone) -> Tensor:
    """How deep the deepest vertex of a person is below the ground.

    Args:
        height_m: (N, V) signed heights of the vertices over the ground.
        people: (N,) bool, those who count.
    """
    return masked_mean((-height_m).amax(1).clamp(min=0), people, averaged)


def ground_normal_loss(joints_m: Tensor, normals: Tensor, people: Tensor, averaged: Averaged = alone) -> Tensor:
    """1 − cos of the angle between ankles → shoulders and the normal of the ground: people stand upright.

    Args:
        joints_m: (N, 54, 3) in the camera's axes.
        normals: (N, 3) unit normals.
        people: (N,) bool, those who count.
    """
    up = joints_m[:, SHOULDERS54].mean(1) - joints_m[:, ANKLES54].mean(1)
    return masked_mean(1 - F.cosine_similarity(up, normals, dim=-1), people, averaged)


def pa_mpjpe_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Mean distance in metres of a person's joints after the similarity that fits the prediction best (Procrustes).

    Each person is fitted on their own known joints. The release uses those that everybody in the batch has; `known` reduced to
    these gives its value.

    Args:
        predicted, target: (N, 54, 3) metres.
        known: (N, 54) bool; people with fewer than three joints do not count.
    """
    count = known.sum(1)
    enough = count >= 3
    weights = (known.to(predicted.dtype) / count.clamp(min=1)[:, None])[..., None]
    predicted, target = (joints - (joints * weights).sum(1, keepdim=True) for joints in (predicted, target.where(known[..., None], 0.0)))
    products = (target * weights).transpose(1, 2) @ predicted
    # somebody who does not count has an identity here, because the rotation of nothing has no gradient
    rotation = nearest_rotation(products.where(enough[:, None, None], torch.eye(3, dtype=products.dtype, device=products.device)))
    variance = (predicted.square() * weights).sum((1, 2))
    scale = (rotation * products).sum((1, 2)) / variance.clamp(min=1e-12)
    fitted = scale[:, None, None] * predicted @ rotation.transpose(1, 2)
    distance = (fitted - target).norm(dim=-1) * weights[..., 0]
    return masked_mean(distance.sum(1), enough, averaged)


def nearest_rotation(matrix: Tensor) -> Tensor:
    """(N, 3, 3) → (N, 3, 3) the rotations nearest to the matrices, differentiable once.

    The gradient of a singular value decomposition is infinite for equal singular values, though that of the rotation is not.
    So the rotation Q is found without gradient, and its derivative follows from M = Q·P with P symmetric: the turn ω of Q that
    goes with a change of M solves (tr P − P)·ω = the vector of the antisymmetric part of Qᵀ·M.
    """
    with torch.no_grad():
        left, _, right = torch.linalg.svd(matrix)
        handed = torch.linalg.det(left @ right).sign()
        signs = torch.stack([torch.ones_like(handed), torch.ones_like(handed), handed], dim=1)
        nearest = (left * signs[:, None]) @ right
        stretch = nearest.transpose(1, 2) @ matrix
        trace = stretch.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        system = (trace + 1e-9 * trace.abs() + 1e-30) * identity - (stretch + stretch.transpose(1, 2)) / 2
    relative = nearest.transpose(1, 2) @ matrix
    a = relative - relative.transpose(1, 2)
    turn = torch.linalg.solve_ex(system, torch.stack([a[:, 2, 1], a[:, 0, 2], a[:, 1, 0]], dim=1))[0]
    x, y, z = (turn - turn.detach()).unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).unflatten(1, (3, 3))
    return nearest + nearest @ skew
