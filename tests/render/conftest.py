"""A small scene with everybody exactly where we want them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene

MakeScene = Callable[..., Scene]


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="session")
def make_scene(body: Body) -> MakeScene:
    """(right, forward) metres (N, 2), yaw (N,) → Scene with everybody's soles on the ground; yaw 0 faces the camera."""

    def make(places: np.ndarray, yaw: np.ndarray | None = None, camera: Camera | None = None, image: str = "square.jpg") -> Scene:
        places = np.asarray(places, np.float64).reshape(-1, 2)
        count = len(places)
        camera = camera or Camera.from_fov(55.0, (640, 420))
        ground = GroundPlane.from_angles(np.deg2rad(18.0), np.deg2rad(1.5), 6.0)
        yaw = np.zeros(count) if yaw is None else np.asarray(yaw)
        upright = Rotation.from_matrix(ground.rotation_cam_world)
        pose = np.zeros((count, 24, 3), np.float32)
        if count:
            pose[:, 0] = (upright * Rotation.from_rotvec(yaw[:, None] * [0.0, 1.0, 0.0])).as_rotvec()
        betas = np.zeros((count, 10), np.float32)
        sole = body.pose(np.zeros((1, 24, 3)), np.zeros((1, 10)))[0][0, :, 1].min()
        foot = np.stack([places[:, 0], np.zeros(count), -places[:, 1]], axis=-1)
        hvip = ground.from_world(foot)
        people = People(
            pose_rad=pose,
            betas=betas,
            translation_cam_m=ground.from_world(foot - [0.0, sole, 0.0]),
            hvip_px=camera.project(hvip),
            hvip_cam_m=hvip,
            score=np.ones(count),
            keypoints_px=np.zeros((count, 17, 3)),
        )
        return Scene(camera, ground, people, "free", image)

    return make
