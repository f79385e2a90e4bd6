"""A small crowd with exact measurements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, Body, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.optimise.pose_prior import load_pose_prior
from crowd3d.pose.embedded import embedded_source
from crowd3d.pose.observations import Observations
from crowd3d.types import People, Scene


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body("free_low")


def stand(body: Body, count: int, seed: int) -> Scene:
    """People in poses of the prior, 20 to 60 m away, lowest vertex on the ground."""
    rng = np.random.default_rng(seed)
    camera, ground = Camera.from_fov(40.0, (8000, 3000)), GroundPlane.from_angles(0.25, 0.02, 10.0)
    prior = load_pose_prior()
    pose = np.zeros((count, 24, 3))
    pose[:, 1:] = (prior.mean_rad + 0.4 * rng.normal(size=(count, prior.basis_rad.shape[1])) @ prior.basis_rad.T).reshape(count, 23, 3)
    turn = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (count, 1)) * [0, 1, 0]) * Rotation.from_rotvec(rng.normal(0, 0.03, (count, 3)))
    pose[:, 0] = (Rotation.from_matrix(ground.rotation_cam_world) * turn).as_rotvec()
    betas = 0.7 * rng.normal(size=(count, 10))
    cells = np.array([(x, z) for z in range(-60, -20, 4) for x in range(-6, 7, 3)], np.float64)
    spot = ground.from_world(np.insert(rng.permutation(cells)[:count] + rng.uniform(-0.4, 0.4, (count, 2)), 1, 0.0, axis=1))
    people = People(
        pose_rad=pose,
        betas=betas,
        translation_cam_m=spot,
        hvip_px=camera.project(spot),
        hvip_cam_m=spot,
        score=np.ones(count),
        keypoints_px=np.zeros((count, 17, 3)),
    )
    scene = Scene(camera, ground, people, "free_low", "crowd.jpg", np.diag([0.05, 0.03, 0.02, 0.1]) ** 2)
    return settle(body, scene, pose, betas, upright=False)


def settle(body: Body, scene: Scene, pose: np.ndarray, betas: np.ndarray, *, upright: bool) -> Scene:
    """Bodies with their torsos over the scene's HVIPs and their lowest vertices on the ground; without any lean if `upright`."""
    pose, ground = np.array(pose), scene.ground
    if upright:
        yaw = np.linspace(-3, 3, len(pose))[:, None] * [0, 1, 0]
        pose[:, 0] = (Rotation.from_matrix(ground.rotation_cam_world) * Rotation.from_rotvec(yaw)).as_rotvec()
    vertices, joints = body.pose(pose, betas)
    torso = joints[:, list(TORSO54)].mean(1)
    height = torso @ ground.normal - (vertices @ ground.normal).min(1)
    translation = scene.people.hvip_cam_m + height[:, None] * ground.normal - torso
    return replace(scene, people=replace(scene.people, pose_rad=pose, betas=betas, translation_cam_m=translation))


def measure(scene: Scene, body: Body, sigma: float = 0.01) -> Observations:
    """What an exact 2D stage sees of a scene, believed to `sigma` statures."""
    people = scene.people
    joints = people.joints_cam_m(body)
    points, torso = joints[:, COCO17_FROM_SMPL54], joints[:, list(TORSO54)].mean(1, keepdims=True)
    ray = torso / np.linalg.norm(torso, axis=2, keepdims=True)
    count = len(people)
    size = scene.camera.fx * 1.7 / people.hvip_cam_m[:, 2]
    xy_px = scene.camera.project(points)
    return Observations(
        xy_px=xy_px,
        sigma_px=np.repeat(sigma * size[:, None], 17, 1),
        other_px=xy_px,
        other_share=np.zeros((count, 17)),
        visible=np.ones((count, 17)),
        depth_m=((points - torso) * ray).sum(2),
        depth_sigma_m=np.full((count, 17), 2 * sigma),
        hvip_px=people.hvip_px,
        score=np.ones(count),
        source=embedded_source(),
    )


@pytest.fixture
def crowd(body: Body) -> Scene:
    return stand(body, 24, 1)


@pytest.fixture
def seen(crowd: Scene, body: Body) -> Observations:
    return measure(crowd, body)


@pytest.fixture
def noisy(seen: Observations) -> Observations:
    """Errors of 3 % of stature, and little depth."""
    rng = np.random.default_rng(2)
    sigma = 3.0 * seen.sigma_px
    depth = np.where(rng.random(seen.depth_m.shape) < 0.5, np.nan, seen.depth_m + 0.1 * rng.normal(size=seen.depth_m.shape))
    xy = seen.xy_px + sigma[..., None] * rng.normal(size=seen.xy_px.shape)
    return replace(seen, xy_px=xy, sigma_px=sigma, depth_m=depth, depth_sigma_m=np.full_like(depth, 0.1))
