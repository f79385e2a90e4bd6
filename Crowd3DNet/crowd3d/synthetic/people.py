"""Who stands where, in which pose, how tall, facing whom."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body, load_body
from crowd3d.bodies.population import YOUTH_AXIS
from crowd3d.synthetic.poses import KINDS, sample_poses

CHILD_SHARE = 0.08
CHILD_BETA = (3.0, 12.5)
MIN_SPACING_M = 0.42
# Kinds of pose in a loose crowd, in a group that talks, and in one that walks together.
_ALONE = {"walk": 0.36, "stand": 0.17, "phone": 0.1, "call": 0.03, "raise": 0.05, "bend": 0.05, "crouch": 0.03, "hips": 0.03,
          "crossed": 0.03, "carry": 0.05, "run": 0.03, "sit_ground": 0.03, "wild": 0.04}  # fmt: skip
_TALKING = {
    "stand": 0.38,
    "talk": 0.26,
    "crossed": 0.08,
    "hips": 0.07,
    "phone": 0.07,
    "raise": 0.04,
    "carry": 0.06,
    "bend": 0.02,
    "call": 0.02,
}
_WALKING = {"walk": 0.88, "phone": 0.04, "carry": 0.05, "run": 0.03}
_ON_GROUND = {"sit_ground": 0.85, "crouch": 0.08, "stand": 0.07}


@dataclass(frozen=True)
class PosedCrowd:
    """N posed people in the upright world.

    Attributes:
        kind: (N,) names of poses.
        pose_rad: (N, 24, 3) float64 axis-angle; the global orientation is in the world frame.
        betas: (N, 10) float64.
        vertices_m: (N, V, 3) float32 world frame; the lowest vertex of each touches the ground, y = 0.
        joints_m: (N, 54, 3) float32 SMPL-54 joints, world frame.
        yaw_rad: (N,) turn about the vertical; 0 faces the camera's side (+z).
    """

    kind: np.ndarray
    pose_rad: np.ndarray
    betas: np.ndarray
    vertices_m: np.ndarray
    joints_m: np.ndarray
    yaw_rad: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: np.ndarray) -> PosedCrowd:
        """The people selected by a mask or indices."""
        return PosedCrowd(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Placement:
    """Where N people are.

    Attributes:
        xz_m: (N, 2) world ground coordinates.
        yaw_rad: (N,) facing; 0 is +z.
        kind: (N,) names of poses.
    """

    xz_m: np.ndarray
    yaw_rad: np.ndarray
    kind: np.ndarray

    def take(self, rows: np.ndarray) -> Placement:
        """The people selected by a mask or indices."""
        return Placement(self.xz_m[rows], self.yaw_rad[rows], self.kind[rows])

    def joined(self, other: Placement) -> Placement:
        """These people, then the others."""
        return Placement(
            np.concatenate([self.xz_m, other.xz_m]), np.concatenate([self.yaw_rad, other.yaw_rad]), np.concatenate([self.kind, other.kind])
        )


@njit(cache=True, nogil=True)
def thin(points, radius, taken, taken_radius):
    """Keep points greedily so that each is `radius` (P,) away from those kept before and clear of `taken` (T, 2) discs."""
    keep = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        free = True
        for j in range(len(taken)):
            if (points[i, 0] - taken[j, 0]) ** 2 + (points[i, 1] - taken[j, 1]) ** 2 < (taken_radius[j] + 0.2) ** 2:
                free = False
                break
        for j in range(i):
            if keep[j] and free:
                reach = 0.5 * (radius[i] + radius[j])
                free = (points[i, 0] - points[j, 0]) ** 2 + (points[i, 1] - points[j, 1]) ** 2 >= reach * reach
        keep[i] = free
    return keep


def _choose(rng: np.random.Generator, shares: dict[str, float], count: int) -> np.ndarray:
    weights = np.array(list(shares.values()))
    return rng.choice(np.array(list(shares)), count, p=weights / weights.sum())


def place_groups(rng: np.random.Generator, anchors_m: np.ndarray, sociability: float = 0.5) -> Placement:
    """Put a group at each of the anchors (A, 2): people alone, circles that talk, rows that walk, picnics, dense clusters.

    `sociability` 0…1 is the share of anchors with more than one person. Some people stand too close: see `thin`.
    """
    count = len(anchors_m)
    arrangement = rng.choice(4, count, p=[0.42, 0.33, 0.06, 0.19])  # talk, walk, picnic, cluster
    size = np.where(rng.random(count) < sociability, 1 + rng.geometric(0.42, count), 1)
    size = np.where((arrangement == 3) & (size > 1), size * 2, size)
    owner = np.repeat(np.arange(count), size)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size)
    n, members, how = len(owner), size[owner], arrangement[owner]
    heading = rng.uniform(-np.pi, np.pi, count)[owner]
    angle = heading + 2 * np.pi * place / members + rng.normal(0, 0.25, n)
    circle_radius = 0.34 + 0.13 * members + rng.normal(0, 0.06, n)
    circle = np.stack([np.sin(angle), np.cos(angle)], 1) * circle_radius[:, None]
    side = (place - (members - 1) / 2) * 0.62 + rng.normal(0, 0.07, n)
    ahead = rng.normal(0, 0.22, n)
    row = np.stack([side * np.cos(heading) + ahead * np.sin(heading), -side * np.sin(heading) + ahead * np.cos(heading)], 1)
    cluster = rng.normal(size=(n, 2)) * 0.36 * np.sqrt(members)[:, None]
    offset = np.select([(how == 0)[:, None], (how == 1)[:, None], (how == 2)[:, None]], [circle, row, 1.3 * circle], cluster)
    yaw = np.select(
        [(how == 0) | (how == 2), how == 1],
        [angle + np.pi + rng.normal(0, 0.3, n), heading + rng.normal(0, 0.12, n)],
        heading + rng.normal(0, 0.9, n),
    )
    alone = members == 1
    offset[alone] = 0.0
    yaw[alone] = rng.uniform(-np.pi, np.pi, int(alone.sum()))
    kind = np.select(
        [alone, how == 0, how == 1, how == 2],
        [_choose(rng, _ALONE, n), _choose(rng, _TALKING, n), _choose(rng, _WALKING, n), _choose(rng, _ON_GROUND, n)],
        _choose(rng, _ALONE, n),
    )
    return Placement(anchors_m[owner] + offset, yaw, kind)


def sample_betas(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 10) shapes: adults as in the population, and `CHILD_SHARE` children of 0.85–1.5 m (the free body's last axis)."""
    betas = np.clip(rng.normal(size=(count, 10)), -2.6, 2.6)
    child = rng.random(count) < CHILD_SHARE
    betas[child] *= 0.6
    betas[child, YOUTH_AXIS] = rng.uniform(*CHILD_BETA, int(child.sum()))
    return betas


def _lean(rng: np.random.Generator, count: int) -> Rotation:
    """Nobody stands exactly upright."""
    return Rotation.from_rotvec(np.deg2rad(rng.normal(0, 2.0, (count, 3))) * [1, 0, 1])


def pose_crowd(rng: np.random.Generator, body: Body, placement: Placement, betas: np.ndarray | None = None) -> PosedCrowd:
    """Pose everybody and put the lowest vertex of each on the ground; shapes are random unless `betas` (N, 10) gives them."""
    n = len(placement.kind)
    pose = sample_poses(rng, placement.kind)
    turn = Rotation.from_rotvec(np.stack([np.zeros(n), placement.yaw_rad, np.zeros(n)], 1))
    pose[:, 0] = (turn * _lean(rng, n) * Rotation.from_rotvec(pose[:, 0])).as_rotvec().reshape(-1, 3)
    betas = sample_betas(rng, n) if betas is None else betas
    vertices, joints = body.pose(pose.astype(np.float32), betas)
    shift = np.zeros((n, 1, 3), np.float32)
    shift[:, 0, 0], shift[:, 0, 2] = placement.xz_m.T
    shift[:, 0, [0, 2]] -= joints[:, 0, [0, 2]]
    shift[:, 0, 1] = -vertices[:, :, 1].min(axis=1)
    return PosedCrowd(placement.kind, pose, betas, vertices + shift, joints + shift, placement.yaw_rad)


def sample_skeletons(rng: np.random.Generator, count: int, body: Body | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses and shapes of the crowd's people without places.

    Returns:
        pose_rad (count, 24, 3), the global orientation a lean of people who face +z; betas (count, 10); lowest (count,) y of
        the lowest vertex, to be subtracted to stand the body on y = 0.
    """
    body = body or load_body("free_low")
    shares = {kind: 0.55 * _ALONE.get(kind, 0) + 0.3 * _TALKING.get(kind, 0) + 0.15 * _WALKING.get(kind, 0) for kind in KINDS} | {
        "sit": 0.09
    }
    kinds = _choose(rng, shares, count)
    pose = sample_poses(rng, kinds)
    pose[:, 0] = (_lean(rng, count) * Rotation.from_rotvec(pose[:, 0])).as_rotvec().reshape(-1, 3)
    betas = sample_betas(rng, count)
    parts = np.array_split(np.arange(count), max(1, count // 2000))
    lowest = np.concatenate([body.pose(pose[rows].astype(np.float32), betas[rows])[0][..., 1].min(axis=1) for rows in parts])
    return pose, betas, lowest
