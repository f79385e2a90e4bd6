"""People as skeletons that move: what rigged formats need of a scene or of a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from crowd3d.bodies import Body
from crowd3d.bodies.joints import SMPL_PARENTS
from crowd3d.errors import NoPeopleFound
from crowd3d.export.mesh import GROUND_MARGIN_M
from crowd3d.types import People, Scene


class Shot(NamedTuple):
    """One picture of a sequence: when it was taken, its scene, and the (N,) ids of its people that stay."""

    time_s: float
    scene: Scene
    ids: np.ndarray


@dataclass(frozen=True)
class Performer:
    """Somebody's skeleton in the upright world: y up, z towards the viewer, metres.

    Attributes:
        id: the same in all pictures.
        betas: (10,) shape, the mean over the pictures.
        times_s: (T,) rising.
        rotations: (T, 24) rotations relative to the parent; the first, of the pelvis, in the world.
        pelvis_m: (T, 3) place of the pelvis joint.
        pose_rad: (T, 24, 3) axis-angle as reconstructed.
        rest_joints_m: (24, 3) joints of the rest pose, in the body's frame.
    """

    id: int
    betas: np.ndarray
    times_s: np.ndarray
    rotations: list[Rotation]
    pelvis_m: np.ndarray
    pose_rad: np.ndarray
    rest_joints_m: np.ndarray

    @property
    def name(self) -> str:
        """Of nodes and files."""
        return f"person_{self.id}"

    def quaternions(self, joint: int) -> np.ndarray:
        """(T, 4) x, y, z, w of a joint's rotations; each turns the shorter of the two ways from the one before."""
        turn = self.rotations[joint].as_quat()
        sign = np.cumprod(np.append(1.0, np.where((turn[1:] * turn[:-1]).sum(1) < 0, -1.0, 1.0)))
        return turn * sign[:, None]

    @property
    def bones_m(self) -> np.ndarray:
        """(24, 3) rest joints against their parents; that of the pelvis in the body's frame."""
        bones = self.rest_joints_m.copy()
        bones[1:] -= self.rest_joints_m[SMPL_PARENTS[1:]]
        return bones

    def at(self, times_s: np.ndarray) -> Performer:
        """The same at other times inside of `times_s`: places linearly, rotations on great circles."""
        if len(self.times_s) == 1:
            turned = [Rotation.concatenate([one] * len(times_s)) for one in self.rotations]
            place, pose = (np.repeat(values, len(times_s), 0) for values in (self.pelvis_m, self.pose_rad))
            return Performer(self.id, self.betas, times_s, turned, place, pose, self.rest_joints_m)
        clipped = np.clip(times_s, self.times_s[0], self.times_s[-1])
        turned = [Slerp(self.times_s, one)(clipped) for one in self.rotations]
        place = np.stack([np.interp(clipped, self.times_s, axis) for axis in self.pelvis_m.T], -1)
        nearest = np.abs(clipped[:, None] - self.times_s).argmin(1)
        return Performer(self.id, self.betas, times_s, turned, place, self.pose_rad[nearest], self.rest_joints_m)


def performers(shots: Iterable[Shot], body: Body) -> list[Performer]:
    """Everybody in one or many pictures, sorted by id.

    Raises:
        NoPeopleFound: nobody is in any of them.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for shot in shots:
        people, ground = shot.scene.people, shot.scene.ground
        rest = rest_joints(people, body)
        root = Rotation.from_matrix(ground.rotation_cam_world.T) * Rotation.from_rotvec(people.pose_rad[:, 0]) if len(people) else None
        turned = people.pose_rad.astype(np.float64).copy()
        if root is not None:
            turned[:, 0] = root.as_rotvec()
        pelvis = ground.to_world(rest[:, 0] + people.translation_cam_m)
        parts.append((shot.ids, np.full(len(people), shot.time_s), people.betas, people.pose_rad, turned, pelvis))
    ids, times, betas, pose, turned, pelvis = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(ids) == 0:
        raise NoPeopleFound("nobody to export: reconstruct a photograph with people first")
    found = []
    for id_ in np.unique(ids):
        rows = np.flatnonzero(ids == id_)
        rows = rows[np.argsort(times[rows], kind="stable")]
        rows = rows[np.append(True, np.diff(times[rows]) > 0)]
        shape = betas[rows].mean(0)
        rotations = [Rotation.from_rotvec(turned[rows, joint]) for joint in range(24)]
        rest = body.joint_template + body.joint_shapedirs @ shape
        found.append(Performer(int(id_), shape, times[rows], rotations, pelvis[rows], pose[rows], rest))
    return found


def rest_joints(people: People, body: Body) -> np.ndarray:
    """(N, 24, 3) joints of everybody's rest pose, in the body's frame, metres."""
    return body.joint_template + np.einsum("jck,nk->njc", body.joint_shapedirs, people.betas.astype(np.float64))


def rest_vertices(performer: Performer, body: Body) -> np.ndarray:
    """(V, 3) mesh that the skeleton deforms: the shaped template, for bodies with pose-dependent shape with that of the first picture."""
    shaped = body.template + body.shapedirs @ performer.betas
    if body.posedirs is None:
        return shaped
    turned = Rotation.from_rotvec(performer.pose_rad[0, 1:]).as_matrix()
    return shaped + body.posedirs @ (turned - np.eye(3)).ravel()


def influences(body: Body, per_set: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Joints and weights of every vertex, strongest first, filled up with nothing to a multiple of `per_set`.

    Returns:
        (V, K) uint8 joints, (V, K) float32 weights that sum to one.
    """
    most = int((body.weights > 0).sum(1).max())
    order = np.argsort(-body.weights, axis=1, kind="stable")[:, : most + -most % per_set]
    weights = np.take_along_axis(body.weights, order, 1)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return np.where(weights > 0, order, 0).astype(np.uint8), weights


def ground_under(people: Sequence[Performer]) -> np.ndarray:
    """(4, 3) corners of a rectangle of the ground under all ways, counter-clockwise seen from above."""
    pelvis = np.concatenate([person.pelvis_m for person in people])
    (left, _, far), (right, _, near) = pelvis.min(0) - GROUND_MARGIN_M, pelvis.max(0) + GROUND_MARGIN_M
    return np.array([[left, 0, near], [right, 0, near], [right, 0, far], [left, 0, far]], np.float32)
