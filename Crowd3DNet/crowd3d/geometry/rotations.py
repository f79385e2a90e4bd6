"""Batched rotations in PyTorch, any float dtype and device, with finite gradients everywhere, the identity included.

NumPy arrays go through ``torch.from_numpy``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMALL_SQUARED = 1e-6
"""Squared angle below which series replace quotients that tend to 0/0; their error is below 1e-15."""


def rot6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """(..., 6) → (..., 3, 3) rotation matrices (Zhou et al., On the Continuity of Rotation Representations, CVPR 2019).

    The six numbers are (a0, b0, a1, b1, a2, b2) of two column vectors a and b, as in the Crowd3D release; the identity
    is (1, 0, 0, 1, 0, 0).
    """
    a, b = rotation_6d.unflatten(-1, (3, 2)).unbind(-1)
    first = F.normalize(a, dim=-1, eps=1e-6)
    second = F.normalize(b - (first * b).sum(-1, keepdim=True) * first, dim=-1, eps=1e-6)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_rot6d(matrix: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 6), the inverse of `rot6d_to_matrix`."""
    return matrix[..., :2].flatten(-2)


def axis_angle_to_matrix(axis_angle_rad: Tensor) -> Tensor:
    """(..., 3) → (..., 3, 3), Rodrigues' formula."""
    squared = axis_angle_rad.square().sum(-1)[..., None, None]
    small = squared < SMALL_SQUARED
    # The unused branch of `where` must stay finite too, or its gradient is 0·NaN.
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    half = (angle / 2).sin() / angle
    versine = torch.where(small, 0.5 - squared / 24, 2 * half.square())
    skew = _skew(axis_angle_rad)
    identity = torch.eye(3, dtype=skew.dtype, device=skew.device)
    return identity + sine * skew + versine * (skew @ skew)


def left_jacobian(axis_angle_rad: Tensor) -> Tensor:
    """(..., 3) → (..., 3, 3): angular velocity per rate of the axis-angle (Barfoot, State Estimation for Robotics, 7.77)."""
    squared = axis_angle_rad.square().sum(-1)[..., None, None]
    small = squared < SMALL_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    first = torch.where(small, 0.5 - squared / 24, 2 * (angle / 2).sin().square() / angle.square())
    second = torch.where(small, 1 / 6 - squared / 120, (angle - angle.sin()) / angle**3)
    skew = _skew(axis_angle_rad)
    return torch.eye(3, dtype=skew.dtype, device=skew.device) + first * skew + second * (skew @ skew)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 3) axis times angle, angle in 0…π."""
    quaternion = _matrix_to_quaternion(matrix)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    squared = vector.square().sum(-1, keepdim=True)
    small = squared < SMALL_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # atan2(s, w)/s = 1/w − s²/(3w³) + … for small s, where w is close to 1.
    safe_w = torch.where(small, w, torch.ones_like(w))
    ratio = torch.where(small, 1 / safe_w - squared / (3 * safe_w**3), torch.atan2(sine, w) / sine)
    return 2 * ratio * vector


def _skew(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """(..., 3, 3) → (..., 4) unit quaternions, w first and not negative.

    With q the quaternion, 4·q·qᵀ is linear in the matrix; its row with the largest diagonal entry, normalised, is ±q. That
    needs no square root of a number that may vanish.
    """
    m = matrix.flatten(-2).unbind(-1)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m
    wx, wy, wz = m21 - m12, m02 - m20, m10 - m01
    xy, xz, yz = m10 + m01, m02 + m20, m21 + m12
    diagonal = torch.stack([1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], dim=-1)
    ww, xx, yy, zz = diagonal.unbind(-1)
    outer = torch.stack([ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz], dim=-1).unflatten(-1, (4, 4))
    largest = diagonal.argmax(-1)[..., None, None].expand(*diagonal.shape[:-1], 1, 4)
    quaternion = F.normalize(outer.gather(-2, largest).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
