"""From observations to bodies that stand on the ground: the lifter gives pose and shape, geometry gives the place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54, TORSO54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.rotations import matrix_to_axis_angle
from crowd3d.geometry.viewing import ViewingFrames
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.lifter_values import LifterInput, LifterOutput
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.scene.measuring import FARTHEST, measure
from crowd3d.types import People

if TYPE_CHECKING:
    from crowd3d.model.lifter import PlainLifter

Lift = Callable[[LifterInput], LifterOutput]
"""A trained lifter on arrays."""
PASSES = 2
"""The second look uses the distance that the first one found."""
LARGEST_MISS = 0.15
"""A body that misses half of its known keypoints by more than this share of the person's size has landed somewhere else."""
SURELY_THERE = 0.8
"""Somebody seen with this probability stays, however badly the body fits."""
MEASURED_SHAPES = tuple((2, *shape) for shape in ((17, 2), (17,), (17, 2), (17,), (17, 2), (17,), (), (), (2,)))
"""Of two people's `LifterInput`."""


def _read(path: Path) -> PlainLifter:
    from crowd3d.model.lifter import PlainLifter, read_lifter

    return PlainLifter(read_lifter(path))


def load_lifter(path: Path, engines: Engines = AUTO) -> Lift:
    """A trained lifter, ready to run.

    Raises:
        MissingAsset: the file is absent, damaged or does not hold a lifter.
    """
    engine = engines.load(_read, path, [np.zeros(shape, np.float32) for shape in MEASURED_SHAPES])
    return lambda measured: LifterOutput(*engine(*measured))


def reconstruct_people(
    lifter: Lift, body: Body, camera: Camera, ground: GroundPlane, observed: Observations, hvip_px: np.ndarray
) -> tuple[People, np.ndarray]:
    """Bodies of everybody whom the lens can show.

    Args:
        lifter: trained for `body`.
        body: the body model of the result; a low level of detail is enough.
        camera, ground: of the scene.
        observed: N people.
        hvip_px: (N, 2) first guess of their HVIPs, NaN where unknown.

    Returns:
        M ≤ N people, and the rows (M,) that they have in `observed`.
    """
    rows = np.arange(len(observed))
    below = hvip_px
    for _ in range(PASSES):
        measured, frames, kept = measure(camera, ground, observed[rows], below)
        rows = rows[kept]
        if len(rows) == 0:
            return People.nobody(), rows
        found = lifter(measured)
        below = frames.from_tangent(camera, found.hvip_tangent_m[:, None].astype(np.float64))[:, 0]
        foot = _on_ground(camera, ground, below, frames)
        below = camera.project(foot)
    return stand_on(body, ground, *bodies_of(found, frames), foot, camera, observed[rows]), rows


def _on_ground(camera: Camera, ground: GroundPlane, hvip_px: np.ndarray, frames: ViewingFrames) -> np.ndarray:
    """(N, 3) where HVIPs (N, 2) are on the ground; at and above the horizon, or nearly, under the assumed torso centres instead."""
    foot = ground.intersect(camera, hvip_px)
    torso = frames.axes_cam_view[:, :, 2] * frames.distance_m[:, None]
    credible = np.linalg.norm(foot, axis=1) < FARTHEST * frames.distance_m
    return np.where(credible[:, None], foot, ground.foot(torso))


def look_alike(people: People, body: Body, camera: Camera, observed: Observations) -> np.ndarray:
    """(N,) bool: bodies that look like what was seen, or of people who are surely there.

    Args:
        people: N bodies.
        body: theirs.
        camera: of the scene.
        observed: the measurements of the same N.
    """
    return ~(miss(people, body, camera, observed) > LARGEST_MISS) | (observed.score > SURELY_THERE)


def miss(people: People, body: Body, camera: Camera, observed: Observations) -> np.ndarray:
    """(N,) median distance between the bodies' keypoints and the known ones, as a share of the people's sizes."""
    joints = camera.project(people.joints_cam_m(body.restrict())[:, COCO17_FROM_SMPL54])
    distance = np.linalg.norm(joints - observed.xy_px, axis=2) / person_size_px(observed.xy_px)[:, None]
    return np.ma.median(np.ma.masked_array(distance, ~(observed.visible > 0)), axis=1).filled(0.0)


def bodies_of(found: LifterOutput, frames: ViewingFrames) -> tuple[np.ndarray, np.ndarray]:
    """(N, 24, 3) axis-angle in the camera frame and (N, 10) betas."""
    rotations = found.rotations.astype(np.float64)
    root = frames.axes_cam_upright[:, None] @ rotations[:, :1]
    return matrix_to_axis_angle(np.concatenate([root, rotations[:, 1:]], 1)).astype(np.float32), found.betas


def stand_on(
    body: Body, ground: GroundPlane, pose_rad: np.ndarray, betas: np.ndarray, foot_cam_m: np.ndarray, camera: Camera, observed: Observations
) -> People:
    """Put posed bodies on the ground: the torso centre over `foot_cam_m` (N, 3), the lowest vertex at height 0."""
    vertices, joints = body.pose(pose_rad, betas)
    torso = joints[:, TORSO54].mean(1).astype(np.float64)
    lowest = (vertices.astype(np.float64) @ ground.normal).min(1)
    height = torso @ ground.normal - lowest
    translation = foot_cam_m + height[:, None] * ground.normal - torso
    return People(
        pose_rad=pose_rad.astype(np.float32),
        betas=betas.astype(np.float32),
        translation_cam_m=translation,
        hvip_px=camera.project(foot_cam_m),
        hvip_cam_m=foot_cam_m,
        score=observed.score.astype(np.float64),
        keypoints_px=observed.keypoints.array,
    )
