"""Linear blend skinning of SMPL's skeleton and its exact derivatives: the one place with this arithmetic.

After Loper et al., SMPL (ACM Transactions on Graphics 34(6), 2015), equations 2 to 4. With R_j the rotation of bone j against the
body's frame, P_j its posed and J_j its rest joint, a point x of the rest shape with the weights w_j moves to

    Σ_j w_j (R_j (x − J_j) + P_j).

`skin` blends the bones' transforms first, which suits many points of few people. `Points` sums over points first: a fixed mixture
of skinned points, such as a regressed joint, is ``Σ_j R_j · offset_j + weight_j · P_j`` with offsets that are linear in the betas,
so that a handful of points costs no mesh. Rest shapes here contain everything that shapes do, corrections for the pose included,
except in `Points`, which leave these out.

What moves whole bodies takes NumPy arrays or PyTorch tensors, which may need gradients; mixtures and derivatives are for NumPy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from crowd3d.bodies.joints import SMPL_PARENTS
from crowd3d.geometry.rotations import Array, left_jacobian

JOINTS = len(SMPL_PARENTS)
_PARENTS = [int(parent) for parent in SMPL_PARENTS[1:]]


def _ancestors() -> np.ndarray:
    """(24, 24) 1 where the second bone is the first or one that it hangs on."""
    above = np.eye(JOINTS)
    for joint, parent in enumerate(_PARENTS, 1):
        above[joint] += above[parent]
    return above


def _generations() -> list[tuple[slice, list[int]]]:
    """Bones in turn by their distance from the pelvis: their rows, and where in the generation before their parents are."""
    depth = (_ancestors().sum(1) - 1).astype(int).tolist()
    first = [depth.index(generation) for generation in range(max(depth) + 1)] + [JOINTS]
    return [
        (slice(begin, end), [_PARENTS[joint - 1] - before for joint in range(begin, end)])
        for before, begin, end in zip(first, first[1:], first[2:], strict=False)
    ]


_ANCESTORS = _ancestors()
_GENERATIONS = _generations()


class Bones(NamedTuple):
    """Posed skeletons of n people.

    Attributes:
        rotation: (n, 24, 3, 3) of each bone against the body's frame.
        position: (n, 24, 3) of each joint, metres.
    """

    rotation: Any
    position: Any


def reshape(mean: Array, directions: Array, amounts: Array) -> Array:
    """Points (P, 3) or (n, P, 3) plus (P, 3, B) per unit of each of the amounts (n, B) → (n, P, 3)."""
    moved = amounts @ directions.reshape(-1, directions.shape[-1]).T
    return mean + moved.reshape(len(amounts), *mean.shape[-2:])


def turn_bones(local: Array) -> Array:
    """(n, 24, 3, 3) rotations against the parent bone → against the body's frame."""
    turned = [local[:, :1]]
    for rows, parents in _GENERATIONS:
        turned.append(turned[-1][:, parents] @ local[:, rows])
    return array_namespace(local).concat(turned, axis=1)


def place_joints(rotation: Array, rest: Array) -> Array:
    """Posed joints; the pelvis stays where it is at rest.

    Being linear in the rest joints, this also turns their change per beta into that of the posed joints.

    Args:
        rotation: (n, 24, 3, 3) bones against the body's frame.
        rest: (n or 1, 24, 3, C) C rest skeletons, metres.

    Returns:
        (n, 24, 3, C).
    """
    xp = array_namespace(rotation)
    bones = rotation[:, _PARENTS] @ (rest[:, 1:] - rest[:, _PARENTS])
    pelvis = xp.broadcast_to(rest[:, :1], (len(rotation), 1, *rest.shape[2:]))
    steps = xp.concat([pelvis, bones], axis=1)
    above = xp.asarray(_ANCESTORS, dtype=rotation.dtype, device=device(rotation))
    return (above @ steps.reshape(len(rotation), JOINTS, 3 * steps.shape[-1])).reshape(steps.shape)


def articulate(local: Array, rest: Array) -> Bones:
    """Pose skeletons: rotations against the parent bone (n, 24, 3, 3), rest joints (n, 24, 3) in metres."""
    rotation = turn_bones(local)
    return Bones(rotation, place_joints(rotation, rest[..., None])[..., 0])


def skin(bones: Bones, rest: Array, weights: Array, points: Array) -> Array:
    """Move points of the rest shape with the bones.

    Args:
        bones: of n people.
        rest: (n, 24, 3) their rest joints, metres.
        weights: (V, 24).
        points: (n, V, 3) their rest shapes.

    Returns:
        (n, V, 3) metres.
    """
    xp = array_namespace(rest)
    shift = bones.position - (bones.rotation @ rest[..., None])[..., 0]
    # coordinates before points: sums over coordinates then run over long contiguous rows, twice as fast as 3 × 3 products per point
    columns = xp.concat([bones.rotation, shift[..., None]], axis=-1)
    columns = xp.permute_dims(columns, (0, 2, 3, 1)).reshape(-1, JOINTS)
    transform = (columns @ weights.T).reshape(len(rest), 3, 4, len(weights))
    x, y, z = (points[:, None, :, axis] for axis in range(3))
    moved = transform[:, :, 0] * x + transform[:, :, 1] * y + transform[:, :, 2] * z + transform[:, :, 3]
    return xp.permute_dims(moved, (0, 2, 1))


class Points(NamedTuple):
    """K mixtures of skinned points.

    Attributes:
        weight: (..., K, 24) share of each bone.
        offset: (..., K, 24, 3) metres against the bone's joint, times the share, at betas 0.
        offset_shape: (..., K, 24, 3, B) change of `offset` per beta.
    """

    weight: np.ndarray
    offset: np.ndarray
    offset_shape: np.ndarray


def mix(mixture: np.ndarray, weights: np.ndarray, shape: tuple[np.ndarray, ...], joints: tuple[np.ndarray, ...]) -> Points:
    """Prepare mixtures of points.

    Args:
        mixture: (K, V) share of each point in each mixture.
        weights: (V, 24) skinning weights.
        shape: (V, 3) and (V, 3, B) points at betas 0 and their change per beta.
        joints: (24, 3) and (24, 3, B) likewise.
    """
    share = mixture @ weights
    each = (mixture[:, :, None] * weights).transpose(0, 2, 1).reshape(-1, len(weights))
    offset, offset_shape = (
        (each @ of_points.reshape(len(weights), -1)).reshape(*share.shape, *of_points.shape[1:])
        - share.reshape(*share.shape, *[1] * (of_joints.ndim - 1)) * of_joints
        for of_points, of_joints in zip(shape, joints, strict=True)
    )
    return Points(share, offset, offset_shape)


def _parts(bones: Bones, points: Points, betas: np.ndarray) -> np.ndarray:
    """(n, K, 24, 3) what each bone contributes to each point."""
    offset = points.offset + (points.offset_shape @ betas[:, None, None, :, None])[..., 0]
    return np.einsum("njxy,nkjy->nkjx", bones.rotation, offset) + points.weight[..., None] * bones.position[:, None]


def locate(bones: Bones, points: Points, betas: np.ndarray) -> np.ndarray:
    """(n, K, 3) places of points that everybody has."""
    return _along(bones.rotation, bones.position, points, betas).swapaxes(1, 2)


def heights(bones: Bones, points: Points, betas: np.ndarray) -> np.ndarray:
    """(n, K) the y coordinates alone, cheaply."""
    return _along(bones.rotation[:, :, 1:2], bones.position[..., 1:2], points, betas)[:, 0]


def _along(rows: np.ndarray, position: np.ndarray, points: Points, betas: np.ndarray) -> np.ndarray:
    """(n, x, K) some coordinates of points, from these rows (n, 24, x, 3) of the rotations and coordinates (n, 24, x) of the bones.

    Betas come last: what moves with them is then summed over the bones for everybody at once.
    """
    flat = rows.swapaxes(1, 2).reshape(len(rows), rows.shape[2], -1)
    count, betas_count = len(points.weight), betas.shape[1]
    shape = points.offset_shape.reshape(count, -1, betas_count).transpose(1, 0, 2).reshape(-1, count * betas_count)
    moved = (flat @ shape).reshape(*flat.shape[:2], count, betas_count)
    still = flat @ points.offset.reshape(count, -1).T + position.swapaxes(1, 2) @ points.weight.T
    return still + (moved @ betas[:, None, :, None])[..., 0]


def spin(pose_rad: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(n, 24, 3, 3) columns: angular velocity of a bone per component of its axis-angle.

    Args:
        pose_rad: (n, 24, 3) axis-angle against the parent; that of the pelvis is the last rotation applied to it.
        rotation: (n, 24, 3, 3) bones against the body's frame.
    """
    velocity = left_jacobian(pose_rad)
    return np.concatenate([velocity[:, :1], rotation[:, _PARENTS] @ velocity[:, 1:]], 1)


def differentiate(
    bones: Bones, spins: np.ndarray, joint_shape: np.ndarray, points: Points, betas: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of points and their derivatives.

    A point turns about a joint with all that the bones from there on contribute to it.

    Args:
        bones: of n people.
        spins: (n, 24, 3, 3), see `spin`.
        joint_shape: (24, 3, B) change of the rest joints per beta.
        points: K mixtures, of everybody or of each of the n people.
        betas: (n, B).

    Returns:
        (n, K, 3) places; (n, K, 3, 24, 3) change per component of each bone's axis-angle; (n, K, 3, B) change per beta.
    """
    parts = _parts(bones, points, betas)
    carried = _ANCESTORS.T @ parts
    lever = carried - (points.weight @ _ANCESTORS)[..., None] * bones.position[:, None]
    turned = np.cross(spins[:, None], lever[..., None], axis=3)
    weight = np.broadcast_to(points.weight, (len(betas), *points.weight.shape[-2:]))
    people, count, betas_count = len(betas), weight.shape[1], points.offset_shape.shape[-1]
    rows = bones.rotation.swapaxes(1, 2).reshape(people, 1, 3, -1)
    per_beta = rows @ points.offset_shape.reshape(*points.offset_shape.shape[:-3], -1, betas_count)
    moved = place_joints(bones.rotation, joint_shape[None]).reshape(people, JOINTS, -1)
    return parts.sum(2), turned.transpose(0, 1, 3, 2, 4), per_beta + (weight @ moved).reshape(people, count, 3, betas_count)
