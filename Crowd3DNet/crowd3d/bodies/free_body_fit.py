"""Linear algebra that turns sampled meshes into a body in SMPL's layout: T-pose, shape space, sparse regressors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from crowd3d.bodies import skinning
from crowd3d.bodies.skinning import Bones, place_joints, turn_bones

ARM_CHAINS = ((1.0, (16, 18, 20, 22)), (-1.0, (17, 19, 21, 23)))


@dataclass(frozen=True)
class LinearShape:
    """Points that depend linearly on the betas.

    Attributes:
        mean: (P, 3) metres at betas 0.
        directions: (P, 3, 10) metres per unit of each beta.
    """

    mean: np.ndarray
    directions: np.ndarray

    def at(self, betas: np.ndarray) -> np.ndarray:
        """(N, 10) → (N, P, 3) metres."""
        return self.mean + np.einsum("pck,nk->npc", self.directions, betas)


def rotations_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotations that turn (N, 3) vectors into the direction `end` (3,), as (N, 3, 3) matrices (Rodrigues)."""
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    axis = np.cross(start, end)
    zero = np.zeros(len(start))
    cross = np.stack([zero, -axis[:, 2], axis[:, 1], axis[:, 2], zero, -axis[:, 0], -axis[:, 1], axis[:, 0], zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)[:, None, None]


def skin(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Skinning with rotations that are known against the body's frame; the pelvis joint comes to the origin.

    Args:
        vertices: (N, V, 3) metres.
        joints: (N, 24, 3) metres.
        weights: (V, 24) skinning weights.
        rotations: (N, 24, 3, 3) of each joint against the body's frame, not against its parent.

    Returns:
        Moved vertices and joints.
    """
    bones = Bones(rotations, place_joints(rotations, (joints - joints[:, :1])[..., None])[..., 0])
    return skinning.skin(bones, joints, weights, vertices), bones.position


def t_pose_rotations(joints: np.ndarray) -> np.ndarray:
    """(N, 24, 3) rest joints, y up, facing z → (N, 24, 3, 3) rotations that stretch the arms along x."""
    rotations = np.tile(np.eye(3), (len(joints), 24, 1, 1))
    for side, (shoulder, elbow, wrist, hand) in ARM_CHAINS:
        along_x = np.array([side, 0.0, 0.0])
        rotations[:, shoulder] = rotations_between(joints[:, elbow] - joints[:, shoulder], along_x)
        rotations[:, elbow] = rotations_between(joints[:, wrist] - joints[:, elbow], along_x)
        rotations[:, wrist] = rotations[:, hand] = rotations_between(joints[:, hand] - joints[:, wrist], along_x)
    return rotations


def random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    """(N, 24, 3, 3) rotations against the body's frame: legs and arms swung widely, everything else a little, all by chance."""
    spread = np.full((24, 3), 0.15)
    spread[[1, 2, 4, 5, 16, 17, 18, 19]] = 0.35
    local = spread * rng.normal(size=(count, 24, 3))
    local[:, 1:3, 0] -= rng.uniform(0, 1.6, (count, 2))
    local[:, 4:6, 0] += rng.uniform(0, 1.6, (count, 2))
    local[:, 16, 2] -= rng.uniform(0, 1.5, count)
    local[:, 17, 2] += rng.uniform(0, 1.5, count)
    rotations = Rotation.from_rotvec(local.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)
    return turn_bones(rotations)


@dataclass(frozen=True)
class ShapeMixing:
    """How samples are mixed into a shape space; the same mixture applies to every level of detail and to the joints.

    Attributes:
        mean: (S,) weight of each sample in the mean.
        directions: (10, S) weight of each sample in each shape direction.
    """

    mean: np.ndarray
    directions: np.ndarray

    def apply(self, samples: np.ndarray) -> LinearShape:
        """(S, P, 3) metres → the linear model."""
        return LinearShape(np.tensordot(self.mean, samples, 1), np.moveaxis(np.tensordot(self.directions, samples, 1), 0, -1))


def shape_mixing(samples: np.ndarray, adults: int, stature_m: np.ndarray, youth_m: float, stature_sd_m: float) -> ShapeMixing:
    """Nine principal components of the adults, then the axis from the average adult to children.

    The last axis is the mean change of shape per metre of missing stature over the children, times `youth_m`. The components
    are those of what is left of the adults once a unit variance along that axis is taken away, scaled so that with betas from
    N(0, 1) stature has the standard deviation `stature_sd_m`. Each component is signed so that stature grows with it.

    Args:
        samples: (S, P, 3) metres, the first `adults` of them adults, the rest children.
        adults: number of adults.
        stature_m: (S,) statures.
        youth_m: metres of stature lost per unit of the last beta.
        stature_sd_m: standard deviation of adult stature to reproduce.
    """
    flat = samples.reshape(len(samples), -1)
    mean = np.zeros(len(samples))
    mean[:adults] = 1 / adults
    gap = stature_m[:adults].mean() - stature_m[adults:]
    youth = np.concatenate([np.full(adults, -gap.sum() / adults), gap]) / (gap @ gap)
    youth_direction = youth @ flat
    centred = flat[:adults] - mean @ flat
    along = centred @ youth_direction / (youth_direction @ youth_direction)
    removed = 1 - np.sqrt(1 - youth_m**2 / along.var())
    left, _, _ = np.linalg.svd(centred - removed * along[:, None] * youth_direction, full_matrices=False)
    left = left[:, :9].T / np.sqrt(adults)
    components = -removed * (left @ along)[:, None] * youth
    components[:, :adults] += left - left.mean(1, keepdims=True)
    rise = components @ stature_m
    components *= np.sign(rise)[:, None] * np.sqrt((stature_sd_m**2 - youth_m**2) / (rise @ rise))
    return ShapeMixing(mean, np.concatenate([components, youth_m * youth[None]]))


def sigma_betas(betas: np.ndarray) -> np.ndarray:
    """(11, 1 + 10) weights of mean and directions whose sum of squares equals the mean square over (N, 10) betas.

    Least squares over these eleven mixtures is least squares over all the sampled shapes.
    """
    return np.linalg.qr(np.concatenate([np.ones((len(betas), 1)), betas], axis=1), mode="r") / np.sqrt(len(betas))


def regressor(vertices: np.ndarray, targets: np.ndarray, distance: np.ndarray, candidates: int, tolerance_m: float) -> np.ndarray:
    """(K, V) non-negative sparse rows that sum to 1 and reproduce `targets` from nearby vertices.

    Args:
        vertices: (N, V, 3) samples, each multiplied by the root of its weight in the mean square error.
        targets: (N, K, 3) likewise.
        distance: (K, V) from each target to each vertex.
        candidates: how many of the nearest vertices are tried first; twice as many until the tolerance is met.
        tolerance_m: root mean square error that ends the search.
    """
    rows = np.zeros(distance.shape)
    for index, row in enumerate(rows):
        order = np.argsort(distance[index])
        for count in candidates * 2 ** np.arange(16):
            near = order[:count]
            system = (vertices[:, near] - targets[:, index, None]).transpose(0, 2, 1).reshape(-1, len(near))
            weights, _ = nnls(np.concatenate([system, np.ones((1, len(near)))]), np.append(np.zeros(len(system)), 1.0))
            row[:] = 0
            row[near] = weights / weights.sum()
            if np.linalg.norm(system @ row[near]) <= tolerance_m or count >= len(order):
                break
    return rows
