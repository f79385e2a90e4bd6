"""Poles and door frames tell what few people tell badly; segments of any other direction tell nothing."""

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import estimate_ground
from crowd3d.ground.simulate import CONDITIONS, simulate_crowd, truth_vector
from crowd3d.ground.uprights import Uprights

SIZE = (1280, 720)


def poles(camera: Camera, ground: GroundPlane, rng: np.random.Generator, count: int) -> np.ndarray:
    """(L, 4) parts of upright edges all over the picture, 0.5 px noise."""
    foot = np.stack([rng.uniform(-30, 30, count), rng.uniform(0, 3, count), -rng.uniform(12, 60, count)], 1)
    ends = np.stack([foot, foot + np.stack([np.zeros(count), rng.uniform(1, 4, count), np.zeros(count)], 1)], 1)
    lines = camera.project(ground.from_world(ends)).reshape(-1, 4)
    seen = ((lines > 0) & (lines < np.tile(SIZE, 2))).all(1) & (np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]) > 36)
    return lines[seen] + rng.normal(0, 0.5, lines[seen].shape)


def strangers(rng: np.random.Generator, count: int) -> np.ndarray:
    """(L, 4) segments of all directions."""
    middle, turn = rng.uniform(0, 1, (count, 2)) * SIZE, rng.uniform(0, np.pi, count)
    half = np.stack([np.cos(turn), np.sin(turn)], 1) * rng.uniform(20, 80, count)[:, None]
    return np.concatenate([middle - half, middle + half], 1)


def scene(seed: int) -> tuple[Camera, GroundPlane, np.random.Generator]:
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(rng.uniform(35, 65), SIZE)
    return camera, GroundPlane.from_angles(np.deg2rad(rng.uniform(12, 25)), np.deg2rad(rng.normal(0, 2)), rng.uniform(5, 9)), rng


def test_poles_sharpen_the_camera_of_few_people() -> None:
    errors, pulls = [], []
    for seed in range(10):
        camera, ground, rng = scene(seed)
        crowd = simulate_crowd(camera, ground, 6, rng, condition=CONDITIONS["C"])
        lines = np.concatenate([poles(camera, ground, rng, 150), strangers(rng, 40)])
        estimates = [estimate_ground(crowd.keypoints, SIZE), estimate_ground(crowd.keypoints, SIZE, lines=lines)]
        truth = truth_vector(camera, ground)
        errors.append([(truth_vector(estimate.camera, estimate.ground) - truth)[0] for estimate in estimates])
        pulls.append((truth_vector(estimates[1].camera, estimates[1].ground) - truth)[:3] / np.sqrt(np.diag(estimates[1].covariance))[:3])
    without, with_poles = np.sqrt((np.array(errors) ** 2).mean(0))
    assert with_poles < 0.7 * without
    assert np.sqrt((np.array(pulls) ** 2).mean()) < 1.6


def test_the_density_is_highest_at_the_camera_that_saw_the_poles() -> None:
    camera, ground, rng = scene(0)
    lines = poles(camera, ground, rng, 400) - np.tile([camera.cx, camera.cy], 2)
    evidence = Uprights.of(lines.reshape(-1, 2, 2), 0.7)
    truth = np.array([np.log(camera.fx), ground.tilt_rad, ground.roll_rad, 0.0, 0.0, 0.0])
    off = truth + np.array([[0.0] * 6, [0.3, 0, 0, 0, 0, 0], [-0.3, 0, 0, 0, 0, 0], [0, 0.05, 0, 0, 0, 0], [0, 0, 0.05, 0, 0, 0]])
    density = evidence.log_density(off)
    assert (density[1:] < density[0] - 5.0).all()


def test_a_segment_that_nothing_explains_costs_hardly_anything() -> None:
    """Whatever the camera, a stranger's log density is that of any direction, less what the share of uprights costs."""
    camera, _, rng = scene(1)
    ends = strangers(rng, 1).reshape(-1, 2, 2) - [camera.cx, camera.cy]
    cameras = np.array([np.log(camera.fx), 0, 0, 0, 0, 0]) + rng.normal(0, 0.2, (200, 6))
    density = Uprights.of(ends, 0.7).log_density(cameras)
    assert density.min() > np.log(0.25)
    assert np.isfinite(density).all()
