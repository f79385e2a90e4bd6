"""A made-up crowd with consistent bodies, camera and ground."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies import load_body
from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import TORSO54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body("free_low")


def stand(body: Body, camera: Camera, ground: GroundPlane, xz: np.ndarray, seed: int) -> Scene:
    """People upright on the ground at (N, 2) world positions, poses and shapes by `seed`."""
    rng = np.random.default_rng(seed)
    count = len(xz)
    pose, betas = rng.normal(0, 0.1, (count, 24, 3)), rng.normal(0, 1, (count, 10))
    yaw = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (count, 1)) * (0, 1, 0)).as_matrix()
    pose[:, 0] = Rotation.from_matrix(ground.rotation_cam_world @ yaw).as_rotvec()
    vertices, joints = body.pose(pose, betas)
    lowest = (vertices @ ground.normal).min(1)
    torso = joints[:, list(TORSO54)].mean(1)
    spot = ground.from_world(np.insert(xz, 1, 0.0, axis=1))
    across = torso - (torso @ ground.normal)[:, None] * ground.normal
    translation = spot - across - lowest[:, None] * ground.normal
    # `spot` lies on the plane, so the lowest vertex ends up on it and the torso straight above `spot`.
    hvip = ground.foot(torso + translation)
    people = People(
        pose_rad=pose.astype(np.float32),
        betas=betas.astype(np.float32),
        translation_cam_m=translation,
        hvip_px=camera.project(hvip),
        hvip_cam_m=hvip,
        score=np.ones(count),
        keypoints_px=np.zeros((count, 17, 3)),
    )
    return Scene(camera, ground, people, "free_low", "crowd.jpg")


@pytest.fixture
def crowd(body: Body) -> Scene:
    """Thirty people 20 to 60 m away."""
    rng = np.random.default_rng(5)
    camera = Camera.from_fov(40.0, (4096, 1400))
    cells = np.array([(x, z) for x in range(-6, 7, 2) for z in range(-60, -20, 5)], np.float64)
    xz = rng.permutation(cells)[:30] + rng.uniform(-0.5, 0.5, (30, 2))
    return stand(body, camera, GroundPlane.from_angles(0.25, 0.02, 10.0), xz, 1)


@pytest.fixture
def change() -> Callable[..., Scene]:
    """(scene, rows or None, **fields of People) → another scene."""

    def change_people(scene: Scene, rows: np.ndarray | None = None, **fields: np.ndarray) -> Scene:
        people = dataclasses.replace(scene.people, **fields)
        return dataclasses.replace(scene, people=people if rows is None else people[rows])

    return change_people
