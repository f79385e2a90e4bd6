"""Batched rotations of NumPy arrays or PyTorch tensors, of any float dtype and device: what comes out is what goes in.

Gradients of tensors are finite everywhere, the identity included.
"""

from __future__ import annotations

from typing import Any, TypeVar

from array_api_compat import array_namespace, device

Array = TypeVar("Array", bound=Any)
"""NumPy array or PyTorch tensor."""

SMALL_SQUARED = 1e-6
"""Squared angle below which series replace quotients that tend to 0/0; their error is below 1e-15."""
LEAST_LENGTH = 1e-6


def rot6d_to_matrix(rotation_6d: Array) -> Array:
    """(..., 6) → (..., 3, 3) rotation matrices (Zhou et al., On the Continuity of Rotation Representations, CVPR 2019).

    The six numbers are (a0, b0, a1, b1, a2, b2) of two column vectors a and b, as in the Crowd3D release; the identity
    is (1, 0, 0, 1, 0, 0).
    """
    xp = array_namespace(rotation_6d)
    first = _normalised(rotation_6d[..., 0::2])
    second = rotation_6d[..., 1::2]
    second = _normalised(second - xp.sum(first * second, axis=-1, keepdims=True) * first)
    return xp.stack([first, second, xp.linalg.cross(first, second)], axis=-1)


def matrix_to_rot6d(matrix: Array) -> Array:
    """(..., 3, 3) → (..., 6), the inverse of `rot6d_to_matrix`."""
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6)


def axis_angle_to_matrix(axis_angle_rad: Array) -> Array:
    """(..., 3) → (..., 3, 3), Rodrigues' formula."""
    xp = array_namespace(axis_angle_rad)
    squared = xp.sum(axis_angle_rad**2, axis=-1)[..., None, None]
    small = squared < SMALL_SQUARED
    # The unused branch of `where` must stay finite too, or its gradient is 0·NaN.
    angle = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    sine = xp.where(small, 1 - squared / 6, xp.sin(angle) / angle)
    half = xp.sin(angle / 2) / angle
    versine = xp.where(small, 0.5 - squared / 24, 2 * half**2)
    skew = _skew(axis_angle_rad)
    return _identity(skew) + sine * skew + versine * (skew @ skew)


def left_jacobian(axis_angle_rad: Array) -> Array:
    """(..., 3) → (..., 3, 3): angular velocity per rate of the axis-angle (Barfoot, State Estimation for Robotics, 7.77)."""
    xp = array_namespace(axis_angle_rad)
    squared = xp.sum(axis_angle_rad**2, axis=-1)[..., None, None]
    small = squared < SMALL_SQUARED
    angle = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    first = xp.where(small, 0.5 - squared / 24, 2 * xp.sin(angle / 2) ** 2 / angle**2)
    second = xp.where(small, 1 / 6 - squared / 120, (angle - xp.sin(angle)) / angle**3)
    skew = _skew(axis_angle_rad)
    return _identity(skew) + first * skew + second * (skew @ skew)


def matrix_to_axis_angle(matrix: Array) -> Array:
    """(..., 3, 3) → (..., 3) axis times angle, angle in 0…π."""
    xp = array_namespace(matrix)
    quaternion = _matrix_to_quaternion(matrix)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    squared = xp.sum(vector**2, axis=-1, keepdims=True)
    small = squared < SMALL_SQUARED
    sine = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    # atan2(s, w)/s = 1/w − s²/(3w³) + … for small s, where w is close to 1.
    safe_w = xp.where(small, w, xp.ones_like(w))
    ratio = xp.where(small, 1 / safe_w - squared / (3 * safe_w**3), xp.atan2(sine, w) / sine)
    return 2 * ratio * vector


def _normalised(vector: Array) -> Array:
    xp = array_namespace(vector)
    return vector / xp.clip(xp.linalg.vector_norm(vector, axis=-1, keepdims=True), LEAST_LENGTH)


def _identity(like: Array) -> Array:
    return array_namespace(like).eye(3, dtype=like.dtype, device=device(like))


def _skew(vector: Array) -> Array:
    xp = array_namespace(vector)
    x, y, z = (vector[..., axis] for axis in range(3))
    zero = xp.zeros_like(x)
    return xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vector.shape, 3)


def _matrix_to_quaternion(matrix: Array) -> Array:
    """(..., 3, 3) → (..., 4) unit quaternions, w first and not negative.

    With q the quaternion, 4·q·qᵀ is linear in the matrix; its row with the largest diagonal entry, normalised, is ±q. That
    needs no square root of a number that may vanish.
    """
    xp = array_namespace(matrix)
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = ([matrix[..., row, column] for column in range(3)] for row in range(3))
    wx, wy, wz = m21 - m12, m02 - m20, m10 - m01
    xy, xz, yz = m10 + m01, m02 + m20, m21 + m12
    ww, xx, yy, zz = 1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22
    rows = [xp.stack(row, axis=-1) for row in ([ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz])]
    diagonal = xp.stack([ww, xx, yy, zz], axis=-1)
    largest = xp.argmax(diagonal, axis=-1)[..., None]
    chosen = rows[0]
    for number, row in enumerate(rows[1:], 1):
        chosen = xp.where(largest == number, row, chosen)
    quaternion = _normalised(chosen)
    return xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
