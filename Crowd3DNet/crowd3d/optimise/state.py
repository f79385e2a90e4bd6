"""The unknowns: camera and ground in four numbers, everybody in one row of numbers each, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

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
    """

    hvip_px: Tensor
    size_px: Tensor
    root: Tensor
    pose_rad: Tensor

    def __len__(self) -> int:
        return len(self.hvip_px)

    def __getitem__(self, rows: slice) -> Start:
        return Start(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Viewed:
    """Where image points lie on the ground, and how the camera sees the world.

    The world is the upright frame of `GroundPlane.to_world`: origin under the camera, y up.

    Attributes:
        rotation: (3, 3) world → camera.
        height: () metres of the camera over the ground.
        focal: (2,) pixels.
        foot: (n, 3) world, on the ground.
        foot_place: (n, 3, 2) change of it per pixel.
        foot_shared: (n, 3, 4) change of it per shared unknown.
        valid: (n,) bool, below the horizon.
    """

    rotation: Tensor
    height: Tensor
    focal: Tensor
    foot: Tensor
    foot_place: Tensor
    foot_shared: Tensor
    valid: Tensor


def world_rotation(tilt: Tensor, roll: Tensor) -> Tensor:
    """(3, 3), equal to `GroundPlane.rotation_cam_world`."""
    ct, st, cr, sr = tilt.cos(), tilt.sin(), roll.cos(), roll.sin()
    rows = [torch.stack([cr, sr * ct, -sr * st]), torch.stack([sr, -cr * ct, cr * st]), torch.stack([torch.zeros_like(ct), -st, -ct])]
    return torch.stack(rows)


def view(shared: Tensor, lens: Lens, hvip_px: Tensor) -> Viewed:
    """Put pixels (n, 2) on the ground of the shared unknowns (4,)."""
    focal = shared[0].exp() * torch.tensor([1.0, lens.aspect]).to(shared)
    rotation, height = world_rotation(shared[1], shared[2]), shared[3].exp()
    xy = (hvip_px - torch.tensor([lens.cx, lens.cy]).to(shared)) / focal
    ray = torch.cat([xy, torch.ones_like(xy[:, :1])], 1)
    world = ray @ rotation
    valid = world[:, 1] < -HORIZON
    fall = torch.where(valid, -world[:, 1], torch.ones_like(world[:, 1]))
    zero = torch.zeros_like(fall)
    # rows: change of the ray in the world per focal length, tilt, roll, and per pixel in u and v
    per_focal = -torch.cat([xy, zero[:, None]], 1) @ rotation
    per_tilt = torch.stack([zero, world[:, 2], -world[:, 1]], 1)
    per_roll = torch.stack([ray[:, 1], -ray[:, 0], zero], 1) @ rotation
    per_pixel = (rotation[:2] / focal[:, None]).expand(len(ray), 2, 3)
    change = torch.cat([torch.stack([per_focal, per_tilt, per_roll], 1), per_pixel], 1)
    scale = height / fall
    foot = world * scale[:, None]
    moved = change * scale[:, None, None] + foot[:, None] * (change[..., 1:2] / fall[:, None, None])
    flat = torch.tensor([1.0, 0.0, 1.0]).to(shared)
    moved, foot = moved * flat, foot * flat
    foot_shared = torch.cat([moved[:, :3], foot[:, None]], 1).transpose(1, 2)
    return Viewed(rotation, height, focal, foot, moved[:, 3:].transpose(1, 2), foot_shared, valid)


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
    points: Tensor
    lowest: Tensor
    up: Tensor
    points_person: Tensor
    lowest_person: Tensor
    up_person: Tensor

    @property
    def torso(self) -> Tensor:
        """(n, 3) torso centres."""
        return self.points[:, TORSO17].mean(1)

    @property
    def cam(self) -> Tensor:
        """(n, 17, 3) keypoints in the camera frame."""
        return self._above_ground() @ self.view.rotation.T

    def cam_changes(self) -> tuple[Tensor, Tensor]:
        """Changes of `cam` (n, 17, 3, P) and (n, 17, 3, 4) per unknown of the person and per shared unknown."""
        rotation = self.view.rotation
        x, y, z = self._above_ground().unbind(-1)
        zero = torch.zeros_like(x)
        per_height = torch.tensor([0.0, -1.0, 0.0]).to(x) * self.view.height
        direct = torch.stack([torch.stack([zero, zero, zero], -1), torch.stack([zero, -z, y], -1)], -1)
        in_world = self.view.foot_shared[:, None].expand(*x.shape, 3, SHARED).clone()
        in_world[..., :2] += direct
        in_world[..., 3] += per_height
        shared = rotation @ in_world
        cam = self.cam
        shared[..., 2] += torch.stack([-cam[..., 1], cam[..., 0], zero], -1)
        return rotation @ self.points_person, shared

    def _above_ground(self) -> Tensor:
        return self.points - torch.tensor([0.0, 1.0, 0.0]).to(self.points) * self.view.height


def pose_of(start: Start, basis: Tensor, x: Tensor) -> Tensor:
    """(n, 24, 3) axis-angles of n people with unknowns `x` (n, P); that of the pelvis is its turn away from the start."""
    pose = start.pose_rad + x[:, POSE:-BETAS] @ basis.T
    return torch.cat([x[:, None, TURN], pose.view(-1, 23, 3)], 1)


def bones_of(skeleton: Skeleton, start: Start, basis: Tensor, x: Tensor) -> Bones:
    """Bones of n people with unknowns `x` (n, P), pelvis at the origin, upright world."""
    return articulate(skeleton, pose_of(start, basis, x), start.root, x[:, -BETAS:])


def pose_people(skeleton: Skeleton, start: Start, basis: Tensor, lens: Lens, x: Tensor, shared: Tensor, changes: bool) -> Posed:
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
    lowest, touching = surface.min(1)
    points = locate(bones, skeleton.landmarks, betas) if not changes else torch.empty(0)
    points_person = lowest_person = up_person = torch.empty(0)
    if changes:
        chosen = Points(*(field[touching][:, None] for field in skeleton.touching))
        both = Points(*(torch.cat([a.expand(len(x), *a.shape), b], 1) for a, b in zip(skeleton.landmarks, chosen, strict=True)))
        spins = spin(pose_of(start, basis, x), bones.rotation)
        points, turned, per_beta = differentiate(bones, spins, skeleton.joint_shape - skeleton.joint_shape[:1], both, betas)
        person = torch.zeros(*points.shape, x.shape[1], dtype=x.dtype, device=x.device)
        person[..., TURN] = turned[..., 0, :]
        person[..., POSE:-BETAS] = turned[..., 1:, :].flatten(-2) @ basis
        person[..., -BETAS:] = per_beta
        person -= person[:, TORSO17].mean(1, keepdim=True)
        person[:, :, 1, RISE] += 1.0
        lowest_person = person[:, LANDMARKS, 1]
        person[..., PLACE] += (seen.foot_place * start.size_px[:, None, None])[:, None]
        points, points_person = points[:, :LANDMARKS], person[:, :LANDMARKS]
        up_person = torch.zeros(len(x), 3, x.shape[1], dtype=x.dtype, device=x.device)
        up_person[..., TURN] = torch.linalg.cross(spins[:, 0], bones.rotation[:, 0, :, 1:2].expand(-1, 3, 3), dim=1)
    torso = points[:, TORSO17].mean(1)
    rise = torch.tensor([0.0, 1.0, 0.0]).to(x) * x[:, RISE, None]
    return Posed(
        view=seen,
        points=points + (seen.foot + rise - torso)[:, None],
        lowest=lowest + x[:, RISE] - torso[:, 1],
        up=bones.rotation[:, 0, :, 1],
        points_person=points_person,
        lowest_person=lowest_person,
        up_person=up_person,
    )

