"""The unknowns: camera and ground in four numbers, everybody in one row of numbers each, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from crowd3d.bodies.joints import TORSO17
from crowd3d.bodies.skinning import Bones, Points, differentiate, heights, locate, spin
from crowd3d.optimise.skeleton import LANDMARKS, Skeleton, articulate

SHARED = 4
"""log focal length, tilt, roll, log height."""
PLACE, RISE, TURN, POSE = slice(0, 2), 2, slice(3, 6), 6
BETAS = 10
HORIZON = 1e-4


@dataclass(frozen=True)
class Lens:
    """What of the camera does not change.

    Attributes:
        aspect: fy / fx.
        cx, cy: principal point, pixels.
    """

    aspect: float
    cx: float
    cy: float


@dataclass(frozen=True)
class Start:
    """N people as they were given; their unknowns are relative to this.

    A row of unknowns is: place of the HVIP in the image (2, in `size_px`), height of the torso centre over the ground (metres),
    turn of the pelvis (3, axis-angle in the upright world), pose (K coordinates of `basis`), betas (10).

    Attributes:
        hvip_px: (N, 2) HVIP.
        size_px: (N,) stature in pixels.
        root: (N, 3, 3) rotation of the pelvis in the upright world.
        pose_rad: (N, 69) axis-angles of the other joints.
        off_ground_m: (N,) height of the lowest point over the ground, 0 for most.
    """

    hvip_px: np.ndarray
    size_px: np.ndarray
    root: np.ndarray
    pose_rad: np.ndarray
    off_ground_m: np.ndarray

    def __len__(self) -> int:
        return len(self.hvip_px)

    def __getitem__(self, rows: slice | np.ndarray) -> Start:
        return Start(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Viewed:
    """Where image points lie on the ground, and how the camera sees the world.

    The world is the upright frame of `GroundPlane.to_world`: origin under the camera, y up.

    Attributes:
        rotation: (3, 3) world → camera.
        height: metres of the camera over the ground.
        focal: (2,) pixels.
        foot: (n, 3) world, on the ground.
        foot_place: (n, 3, 2) change of it per pixel.
        foot_shared: (n, 3, 4) change of it per shared unknown.
        valid: (n,) bool, below the horizon.
    """

    rotation: np.ndarray
    height: float
    focal: np.ndarray
    foot: np.ndarray
    foot_place: np.ndarray
    foot_shared: np.ndarray
    valid: np.ndarray


def world_rotation(tilt: float, roll: float) -> np.ndarray:
    """(3, 3), equal to `GroundPlane.rotation_cam_world`."""
    ct, st, cr, sr = np.cos(tilt), np.sin(tilt), np.cos(roll), np.sin(roll)
    return np.array([[cr, sr * ct, -sr * st], [sr, -cr * ct, cr * st], [0.0, -st, -ct]])


def view(shared: np.ndarray, lens: Lens, hvip_px: np.ndarray) -> Viewed:
    """Put pixels (n, 2) on the ground of the shared unknowns (4,)."""
    focal = np.exp(shared[0]) * np.array([1.0, lens.aspect])
    rotation, height = world_rotation(shared[1], shared[2]), float(np.exp(shared[3]))
    xy = (hvip_px - [lens.cx, lens.cy]) / focal
    ray = np.concatenate([xy, np.ones_like(xy[:, :1])], 1)
    world = ray @ rotation
    valid = world[:, 1] < -HORIZON
    fall = np.where(valid, -world[:, 1], 1.0)
    zero = np.zeros_like(fall)
    # rows: change of the ray in the world per focal length, tilt, roll, and per pixel in u and v
    per_focal = -np.concatenate([xy, zero[:, None]], 1) @ rotation
    per_tilt = np.stack([zero, world[:, 2], -world[:, 1]], 1)
    per_roll = np.stack([ray[:, 1], -ray[:, 0], zero], 1) @ rotation
    per_pixel = np.broadcast_to(rotation[:2] / focal[:, None], (len(ray), 2, 3))
    change = np.concatenate([np.stack([per_focal, per_tilt, per_roll], 1), per_pixel], 1)
    scale = height / fall
    foot = world * scale[:, None]
    moved = change * scale[:, None, None] + foot[:, None] * (change[..., 1:2] / fall[:, None, None])
    flat = np.array([1.0, 0.0, 1.0])
    moved, foot = moved * flat, foot * flat
    foot_shared = np.concatenate([moved[:, :3], foot[:, None]], 1).swapaxes(1, 2)
    return Viewed(rotation, height, focal, foot, moved[:, 3:].swapaxes(1, 2), foot_shared, valid)


@dataclass(frozen=True)
class Posed:
    """n people in the world, with derivatives if they were asked for (else None).

    Attributes:
        view: camera and feet.
        points: (n, 17, 3) keypoints of the bodies.
        lowest: (n,) height of the lowest point of the surface.
        up: (n, 3) up vector of the pelvis.
        points_person: (n, 17, 3, P) per unknown of the person.
        lowest_person: (n, P).
        up_person: (n, 3, P).
    """

    view: Viewed
    points: np.ndarray
    lowest: np.ndarray
    up: np.ndarray
    points_person: np.ndarray
    lowest_person: np.ndarray
    up_person: np.ndarray

    @property
    def torso(self) -> np.ndarray:
        """(n, 3) torso centres."""
        return self.points[:, TORSO17].mean(1)

    @property
    def cam(self) -> np.ndarray:
        """(n, 17, 3) keypoints in the camera frame."""
        return self._above_ground() @ self.view.rotation.T

    def cam_changes(self) -> tuple[np.ndarray, np.ndarray]:
        """Changes of `cam` (n, 17, 3, P) and (n, 17, 3, 4) per unknown of the person and per shared unknown."""
        rotation = self.view.rotation
        x, y, z = np.moveaxis(self._above_ground(), -1, 0)
        in_world = np.repeat(self.view.foot_shared[:, None], x.shape[1], 1)
        in_world[..., 1, 1] -= z
        in_world[..., 2, 1] += y
        in_world[..., 1, 3] -= self.view.height
        shared = rotation @ in_world
        cam = self.cam
        shared[..., 0, 2] -= cam[..., 1]
        shared[..., 1, 2] += cam[..., 0]
        return rotation @ self.points_person, shared

    def _above_ground(self) -> np.ndarray:
        return self.points - np.array([0.0, self.view.height, 0.0])


def pose_of(start: Start, basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n, 24, 3) axis-angles of n people with unknowns `x` (n, P); that of the pelvis is its turn away from the start."""
    pose = start.pose_rad + x[:, POSE:-BETAS] @ basis.T
    return np.concatenate([x[:, None, TURN], pose.reshape(-1, 23, 3)], 1)


def bones_of(skeleton: Skeleton, start: Start, basis: np.ndarray, x: np.ndarray) -> Bones:
    """Bones of n people with unknowns `x` (n, P), pelvis at the origin, upright world."""
    return articulate(skeleton, pose_of(start, basis, x), start.root, x[:, -BETAS:])


def pose_people(skeleton: Skeleton, start: Start, basis: np.ndarray, lens: Lens, x: np.ndarray, shared: np.ndarray, changes: bool) -> Posed:
    """Everything that the terms look at.

    Args:
        skeleton, start, lens: what is constant.
        basis: (69, K) pose per coordinate.
        x: (n, P) unknowns of the people.
        shared: (4,) shared unknowns.
        changes: whether to differentiate.
    """
    seen = view(shared, lens, start.hvip_px + x[:, PLACE] * start.size_px[:, None])
    bones, betas = bones_of(skeleton, start, basis, x), x[:, -BETAS:]
    surface = heights(bones, skeleton.touching, betas)
    touching = surface.argmin(1)
    lowest = surface[np.arange(len(x)), touching]
    points = locate(bones, skeleton.landmarks, betas) if not changes else np.empty(0)
    points_person = lowest_person = up_person = np.empty(0)
    if changes:
        chosen = Points(*(field[touching][:, None] for field in skeleton.touching))
        both = Points(
            *(np.concatenate([np.broadcast_to(a, (len(x), *a.shape)), b], 1) for a, b in zip(skeleton.landmarks, chosen, strict=True))
        )
        spins = spin(pose_of(start, basis, x), bones.rotation)
        points, turned, per_beta = differentiate(bones, spins, skeleton.joint_shape - skeleton.joint_shape[:1], both, betas)
        person = np.zeros((*points.shape, x.shape[1]))
        person[..., TURN] = turned[..., 0, :]
        person[..., POSE:-BETAS] = turned[..., 1:, :].reshape(*points.shape, -1) @ basis
        person[..., -BETAS:] = per_beta
        person -= person[:, TORSO17].mean(1, keepdims=True)
        person[:, :, 1, RISE] += 1.0
        lowest_person = person[:, LANDMARKS, 1].copy()
        person[..., PLACE] += (seen.foot_place * start.size_px[:, None, None])[:, None]
        points, points_person = points[:, :LANDMARKS], person[:, :LANDMARKS]
        up_person = np.zeros((len(x), 3, x.shape[1]))
        up_person[..., TURN] = np.cross(spins[:, 0], bones.rotation[:, 0, :, 1:2], axis=1)
    torso = points[:, TORSO17].mean(1)
    rise = np.array([0.0, 1.0, 0.0]) * x[:, RISE, None]
    return Posed(
        view=seen,
        points=points + (seen.foot + rise - torso)[:, None],
        lowest=lowest + x[:, RISE] - torso[:, 1],
        up=bones.rotation[:, 0, :, 1],
        points_person=points_person,
        lowest_person=lowest_person,
        up_person=up_person,
    )

