"""Measuring and placing people on exact synthetic geometry."""

from dataclasses import replace

import numpy as np
import pytest

from crowd3d.bodies import COCO17_FLIP, COCO17_FROM_SMPL54, TORSO54, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from crowd3d.geometry.viewing import ViewingFrames
from crowd3d.model.lifter_values import LifterOutput
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.source import plain
from crowd3d.scene.measuring import STANDING_TORSO_M, first_torso, guess_hvip, measure
from crowd3d.scene.placing import look_alike, reconstruct_people, stand_on
from crowd3d.synthetic.poses import sample_poses
from crowd3d.types import Keypoints

CAMERA = Camera(4000.0, 4000.0, 3000.0, 1000.0, 6000, 2000)
GROUND = GroundPlane.from_angles(np.deg2rad(15), np.deg2rad(-2), 7.0)
COUNT = 24


@pytest.fixture(scope="module")
def crowd():
    """Upright people of the free body at random places: body, pose, betas, feet, joints in the camera frame."""
    rng = np.random.default_rng(4)
    body = load_body("free_low")
    pose = sample_poses(rng, np.full(COUNT, "walk"))
    yaw = rng.uniform(-np.pi, np.pi, COUNT)
    upright = GROUND.rotation_cam_world
    turn = axis_angle_to_matrix(np.stack([0 * yaw, yaw, 0 * yaw], 1))
    pose[:, 0] = matrix_to_axis_angle(upright @ turn @ axis_angle_to_matrix(pose[:, 0]))
    betas = rng.normal(0, 1, (COUNT, 10))
    u, v = np.meshgrid(np.linspace(500, 5500, 6), [650, 950, 1350, 1900])
    feet = GROUND.intersect(CAMERA, np.stack([u.ravel(), v.ravel()], 1))
    seen = Observations.from_keypoints(Keypoints.from_array(np.ones((COUNT, 17, 3))), plain("test"))
    people = stand_on(body, GROUND, pose, betas, feet, CAMERA, seen)
    joints = body.pose(pose, betas)[1] + people.translation_cam_m[:, None]
    return body, people, feet, joints


def observe(joints) -> Observations:
    keypoints = np.concatenate([CAMERA.project(joints[:, COCO17_FROM_SMPL54]), np.ones((COUNT, 17, 1))], 2)
    return Observations.from_keypoints(Keypoints.from_array(keypoints), plain("test"))


def test_people_stand_on_the_ground_over_their_hvip(crowd):
    body, people, feet, joints = crowd
    height = GROUND.signed_distance(people.vertices_cam_m(body))
    np.testing.assert_allclose(height.min(1), 0, atol=2e-3)
    np.testing.assert_allclose(GROUND.foot(joints[:, TORSO54].mean(1)), feet, atol=2e-3)
    np.testing.assert_allclose(people.hvip_px, CAMERA.project(feet), atol=1e-6)


def test_first_torso_is_exact_with_the_true_hvip(crowd):
    _, people, _, joints = crowd
    torso = joints[:, TORSO54].mean(1)
    found = first_torso(CAMERA, GROUND, CAMERA.project(torso), people.hvip_px, sizes(joints))
    np.testing.assert_allclose(found, torso, atol=5e-3)


def sizes(joints: np.ndarray) -> np.ndarray:
    return person_size_px(observe(joints).xy_px)


def test_without_hvip_standing_people_are_nearly_right(crowd):
    joints = crowd[3]
    torso = joints[:, TORSO54].mean(1)
    found = first_torso(CAMERA, GROUND, CAMERA.project(torso), np.full((COUNT, 2), np.nan), sizes(joints))
    relative = np.linalg.norm(found - torso, axis=1) / np.linalg.norm(torso, axis=1)
    assert np.median(relative) < 0.05


@pytest.mark.parametrize("height_m", [0.9, 1.13, 1.5])
def test_at_eye_level_sizes_tell_the_distance(height_m: float):
    """A level camera as high as torsos are: their rays are level, too."""
    camera, ground = Camera.from_fov(60.0, (1200, 900)), GroundPlane.from_angles(0.0, 0.0, height_m)
    foot = np.stack([np.linspace(-2, 2, 5), np.full(5, height_m), np.linspace(3, 20, 5)], 1)
    torso = foot + STANDING_TORSO_M * ground.normal
    size = camera.fx * 1.7 / torso[:, 2]
    found = first_torso(camera, ground, camera.project(torso), np.full((5, 2), np.nan), size)
    np.testing.assert_allclose(found, torso, rtol=0.02, atol=0.05)
    sky = np.full((5, 2), [600.0, 100.0])
    np.testing.assert_allclose(first_torso(camera, ground, sky, sky, size)[:, 2], torso[:, 2], rtol=0.35)


def test_measured_keypoints_are_metric(crowd):
    """Height of the nose over the ankles on the tangent plane, seen from a distance, is that of the body times the cosine."""
    _, people, _, joints = crowd
    measured, frames, rows = measure(CAMERA, GROUND, observe(joints), people.hvip_px)
    np.testing.assert_array_equal(rows, np.arange(COUNT))
    coco = joints[:, COCO17_FROM_SMPL54]
    along = np.einsum("nkc,nc->nk", coco, frames.axes_cam_view[:, :, 2])
    true = np.einsum("nkc,nca->nka", coco, frames.axes_cam_view[:, :, :2]) * (frames.distance_m[:, None] / along)[..., None]
    np.testing.assert_allclose(measured.tangent_m, true, atol=1e-3)
    assert (measured.log_sigma[..., 1] == 0).all(), "depth is unknown to this backend"
    assert not measured.other_m.any(), "so are second places"
    exchanged = observe(joints).xy_px[:, COCO17_FLIP]
    twofold = replace(observe(joints), other_px=exchanged, other_share=np.full((COUNT, 17), 0.2))
    measured = measure(CAMERA, GROUND, twofold, people.hvip_px)[0]
    np.testing.assert_allclose(measured.tangent_m + measured.other_m, measured.tangent_m[:, COCO17_FLIP], atol=1e-5)
    assert (measured.other_share == np.float32(0.2)).all()


def test_hvip_guess_prefers_the_backend_then_ankles(crowd):
    _, people, _, joints = crowd
    observed = observe(joints)
    ankles = observed.xy_px[:, [15, 16]].mean(1)
    np.testing.assert_allclose(guess_hvip(observed), ankles)
    blind = Observations(**{**vars(observed), "sigma_px": observed.sigma_px * 1e3})
    assert np.isnan(guess_hvip(blind)).all()
    told = Observations(**{**vars(observed), "hvip_px": people.hvip_px + 1})
    np.testing.assert_allclose(guess_hvip(told), people.hvip_px + 1)


def perfect_lifter(crowd, feet):
    """A function in place of a lifter, right about everything but the feet, which it takes as given."""
    _, people, _, joints = crowd

    def perfect(measured):
        frames = ViewingFrames.look_at(first_torso(CAMERA, GROUND, observe(joints).torso_px, people.hvip_px, sizes(joints)), GROUND)
        rotations = axis_angle_to_matrix(people.pose_rad.astype(np.float64))
        rotations[:, 0] = frames.axes_cam_upright.swapaxes(1, 2) @ rotations[:, 0]
        hvip = frames.to_tangent(CAMERA, CAMERA.project(feet)[:, None])[:, 0]
        return LifterOutput(rotations, people.betas, hvip, np.zeros((COUNT, 2)))

    return perfect


def test_a_perfect_lifter_gives_back_the_crowd(crowd):
    body, people, feet, joints = crowd
    found, rows = reconstruct_people(perfect_lifter(crowd, feet), body, CAMERA, GROUND, observe(joints), people.hvip_px)
    np.testing.assert_array_equal(rows, np.arange(COUNT))
    np.testing.assert_allclose(found.hvip_cam_m, feet, atol=0.05)
    error = np.linalg.norm(found.joints_cam_m(body) - joints, axis=2)
    assert np.median(error) < 0.02


def test_bodies_that_land_elsewhere_are_left_out(crowd):
    body, people, feet, joints = crowd
    moved = feet.copy()
    moved[[3, 7]] += GROUND.rotation_cam_world[:, 0] * 0.8
    observed = observe(joints)
    unknown = observed.visible.copy()
    unknown[7] = 0.0
    observed = replace(observed, visible=unknown)
    found, rows = reconstruct_people(perfect_lifter(crowd, moved), body, CAMERA, GROUND, observed, people.hvip_px)
    np.testing.assert_array_equal(rows, np.arange(COUNT))
    unsure = replace(observed, score=np.full(COUNT, 0.6))
    # of the seventh no keypoint is known, so nothing speaks against them
    np.testing.assert_array_equal(np.flatnonzero(~look_alike(found, body, CAMERA, unsure)), [3])
    assert look_alike(found, body, CAMERA, replace(observed, score=np.full(COUNT, 0.95))).all(), "surely there"
