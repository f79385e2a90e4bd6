"""Viewing frames against plain projection."""

import numpy as np
import pytest

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.viewing import ViewingFrames

CAMERA = Camera(2000.0, 2000.0, 1500.0, 700.0, 3000, 1400)
GROUND = GroundPlane.from_angles(np.deg2rad(20), np.deg2rad(3), 6.0)


@pytest.fixture
def torso() -> np.ndarray:
    rng = np.random.default_rng(0)
    feet = GROUND.intersect(CAMERA, rng.uniform([0, 500], [3000, 1400], (50, 2)))
    return feet + rng.uniform(0.5, 1.3, (50, 1)) * GROUND.normal


def test_right_is_horizontal_and_the_frames_share_it(torso):
    frames = ViewingFrames.look_at(torso, GROUND)
    right = frames.axes_cam_view[:, :, 0]
    np.testing.assert_allclose(right @ GROUND.normal, 0, atol=1e-12)
    np.testing.assert_allclose(right, frames.axes_cam_upright[:, :, 0])
    assert (right[:, 0] > 0).all(), "right in the frame is right in the image"
    np.testing.assert_allclose(np.linalg.det(frames.axes_cam_upright), 1.0)
    np.testing.assert_allclose(frames.distance_m, np.linalg.norm(torso, axis=1))


def test_a_point_beside_the_torso_has_its_metres(torso):
    frames = ViewingFrames.look_at(torso, GROUND)
    beside = torso + 0.3 * frames.axes_cam_view[:, :, 0] - 0.7 * frames.axes_cam_view[:, :, 1]
    tangent = frames.to_tangent(CAMERA, CAMERA.project(np.stack([torso, beside], 1)))
    np.testing.assert_allclose(tangent[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(tangent[:, 1], np.broadcast_to([0.3, -0.7], (50, 2)), atol=1e-9)


def test_tangent_round_trip(torso):
    frames = ViewingFrames.look_at(torso, GROUND)
    pixels = CAMERA.project(torso)[:, None] + np.random.default_rng(1).normal(0, 40, (50, 17, 2))
    np.testing.assert_allclose(frames.from_tangent(CAMERA, frames.to_tangent(CAMERA, pixels)), pixels, atol=1e-6)


def test_elevation_is_the_angle_below_the_horizon():
    straight_ahead = np.array([[0.0, 0.0, 10.0]])
    frames = ViewingFrames.look_at(straight_ahead, GROUND)
    assert np.rad2deg(frames.elevation_rad[0]) == pytest.approx(20.0)
