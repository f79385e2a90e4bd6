"""People who are not on the plane: bodies of known size are placed exactly, and nobody else is moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, Body, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from crowd3d.geometry.viewing import ViewingFrames
from crowd3d.ground import HVIP_SIGMA_M
from crowd3d.model.lifter_values import LifterInput, LifterOutput
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.scene.lifting import position_covariance
from crowd3d.scene.measuring import SIZE_LOG_SIGMA
from crowd3d.scene.off_ground import MOST_RISE_M, with_people_off_ground
from crowd3d.scene.placing import Lift, stand_on
from crowd3d.synthetic.poses import sample_poses
from crowd3d.types import Keypoints, People, Scene

CAMERA = Camera.from_fov(60.0, (3000, 2000))
GROUND = GroundPlane.from_angles(np.deg2rad(12), np.deg2rad(3), 5.0)
COUNT = 12


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module")
def standing(body: Body) -> People:
    """Walkers 8 to 25 m away, on the ground."""
    rng = np.random.default_rng(5)
    pose = sample_poses(rng, np.full(COUNT, "walk"))
    yaw = rng.uniform(-np.pi, np.pi, (COUNT, 1)) * [0, 1, 0]
    pose[:, 0] = matrix_to_axis_angle(GROUND.rotation_cam_world @ axis_angle_to_matrix(yaw) @ axis_angle_to_matrix(pose[:, 0]))
    spots = np.stack([np.tile([-3.0, 0.0, 3.0], 4), np.zeros(COUNT), -np.repeat([8.0, 12.0, 17.0, 25.0], 3)], 1)
    unseen = observed(np.zeros((COUNT, 17, 3)))
    return stand_on(body, GROUND, pose, rng.normal(0, 1, (COUNT, 10)), GROUND.from_world(spots), CAMERA, unseen)


def observed(joints: np.ndarray, score: float = 0.9) -> Observations:
    keypoints = np.concatenate([CAMERA.project(joints), np.ones((len(joints), 17, 1))], 2)
    seen = Observations.from_keypoints(Keypoints.from_array(np.nan_to_num(keypoints)), plain("test"))
    return replace(seen, score=np.full(len(joints), score))


def raised(people: People, height_m: np.ndarray) -> People:
    return replace(people, translation_cam_m=people.translation_cam_m + height_m[:, None] * GROUND.normal)


def knowing(truth: People, seen: Observations, ground: GroundPlane = GROUND) -> Lift:
    """A lifter that is right about pose and shape of those among `seen` whom it is asked about."""

    def lift(measured: LifterInput) -> LifterOutput:
        # whoever they are, they are seen on these rays
        rays = CAMERA.rays(seen.torso_px)
        frames = ViewingFrames.look_at(rays, ground)
        elevation = np.asarray(measured.elevation_rad)
        rows = np.abs(frames.elevation_rad[None] - elevation[:, None]).argmin(1)
        rotations = axis_angle_to_matrix(truth.pose_rad[rows].astype(np.float64))
        rotations[:, 0] = frames.axes_cam_upright[rows].swapaxes(1, 2) @ rotations[:, 0]
        return LifterOutput(rotations, truth.betas[rows], np.zeros((len(rows), 2)), np.zeros((len(rows), 2)))

    return lift


def found(body: Body, standing: People, truth: People, seen: Observations) -> People:
    return with_people_off_ground(standing, knowing(truth, seen), body, CAMERA, GROUND, seen)


def test_jumpers_are_where_they_are_and_the_others_stay(body: Body, standing: People) -> None:
    high = np.where(np.arange(COUNT) % 4 == 1, np.linspace(0.9, 2.5, COUNT), 0.0)
    truth = raised(standing, high)
    joints = truth.joints_cam_m(body)
    people = found(body, standing, truth, observed(joints[:, COCO17_FROM_SMPL54]))
    jumps = high > 0
    np.testing.assert_array_equal(people.off_ground_m > 0, jumps)
    np.testing.assert_allclose(people.off_ground_m, high, atol=0.05)
    np.testing.assert_allclose(people.translation_cam_m[jumps], truth.translation_cam_m[jumps], atol=0.06)
    np.testing.assert_allclose(people.hvip_cam_m[jumps], GROUND.foot(joints[jumps][:, TORSO54].mean(1)), atol=0.06)
    np.testing.assert_allclose(people.hvip_px, CAMERA.project(people.hvip_cam_m), atol=1e-6)
    for name in People.row_fields():
        np.testing.assert_array_equal(getattr(people, name)[~jumps], getattr(standing, name)[~jumps])


def test_above_the_camera_too(body: Body, standing: People) -> None:
    """A balcony eight metres up, seen from five: no ray to it comes down to the ground."""
    high = np.full(COUNT, 8.0)
    truth = raised(standing, high)
    people = found(body, standing, truth, observed(truth.joints_cam_m(body)[:, COCO17_FROM_SMPL54]))
    np.testing.assert_allclose(people.off_ground_m, high, atol=0.06)


def test_hvips_behind_the_camera_are_nobodys(body: Body, standing: People) -> None:
    """A camera that looks up steeply: straight under some of those above it is nothing that it could see."""
    ground = GroundPlane.from_angles(np.deg2rad(-65), 0.0, 2.0)
    turn = ground.rotation_cam_world @ GROUND.rotation_cam_world.T
    root = matrix_to_axis_angle(turn @ axis_angle_to_matrix(standing.pose_rad[:, 0].astype(np.float64)))
    spots = np.stack([np.tile([-1.0, 0.0, 1.0], 4), np.tile([9.0, 12.0, 16.0], 4), -np.repeat([2.0, 2.5, 6.0, 7.0], 3)], 1)
    pose = np.concatenate([root[:, None], standing.pose_rad[:, 1:]], 1).astype(np.float32)
    above = replace(standing, pose_rad=pose, translation_cam_m=ground.from_world(spots))
    seen = observed(above.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    below = replace(above, translation_cam_m=above.translation_cam_m - 5.0 * ground.normal)
    people = with_people_off_ground(below, knowing(above, seen, ground), body, CAMERA, ground, seen)
    assert np.isfinite(people.hvip_px[people.off_ground_m > 0]).all()
    behind = ground.foot(above.translation_cam_m)[:, 2] < 0
    assert behind.sum() == 6
    assert not people.off_ground_m[behind].any()
    assert people.off_ground_m[~behind].all()


def test_posters_stay_out_and_so_do_people_under_the_ground(body: Body, standing: People) -> None:
    for height_m, score, leaves in ((MOST_RISE_M + 1.0, 0.75, False), (MOST_RISE_M - 1.0, 0.75, True), (-1.5, 0.95, False)):
        truth = raised(standing, np.full(COUNT, height_m))
        people = found(body, standing, truth, observed(truth.joints_cam_m(body)[:, COCO17_FROM_SMPL54], score))
        assert (people.off_ground_m > 0).all() == leaves
        assert (people.off_ground_m > 0).any() == leaves


def test_what_tells_nothing_moves_nobody(body: Body, standing: People) -> None:
    """Keypoints that coincide, and bodies of other poses than were seen."""
    truth = raised(standing, np.full(COUNT, 2.0))
    joints = truth.joints_cam_m(body)[:, COCO17_FROM_SMPL54]
    seen = observed(joints)
    heap = replace(seen, xy_px=np.repeat(seen.xy_px[:, :1], 17, 1))
    assert not found(body, standing, truth, heap).off_ground_m.any()
    root = axis_angle_to_matrix(truth.pose_rad[:, 0]) @ axis_angle_to_matrix(np.array([0.0, 0.0, np.pi / 2]))
    lying = replace(truth, pose_rad=np.concatenate([matrix_to_axis_angle(root)[:, None], truth.pose_rad[:, 1:]], 1))
    assert not found(body, standing, lying, seen).off_ground_m.any()


def test_their_places_are_as_sure_as_sizes_tell(body: Body, standing: People) -> None:
    people = replace(standing, off_ground_m=np.where(np.arange(COUNT) == 4, 1.0, 0.0))
    scene = Scene(CAMERA, GROUND, people, "free", "a.jpg", np.diag([0.1, 0.01, 0.01, 0.05]) ** 2)
    covariance = position_covariance(scene)
    on_ground = position_covariance(replace(scene, people=standing))
    assert covariance is not None
    assert on_ground is not None
    np.testing.assert_array_equal(np.delete(covariance, 4, 0), np.delete(on_ground, 4, 0))
    place = GROUND.to_world(people.hvip_cam_m[4])[[0, 2]] * [1, -1]
    value, vector = np.linalg.eigh(covariance[4])
    assert np.sqrt(value[1]) == pytest.approx(np.hypot(np.linalg.norm(place) * np.hypot(SIZE_LOG_SIGMA, 0.1), HVIP_SIGMA_M))
    assert np.sqrt(value[0]) == pytest.approx(HVIP_SIGMA_M)
    assert abs(vector[:, 1] @ place) == pytest.approx(np.linalg.norm(place))
