"""Poses, shapes, placement and cameras of the synthetic crowds."""

from __future__ import annotations

import numpy as np
import pytest

from crowd3d.bodies import Body, load_body
from crowd3d.geometry.published_cameras import PUBLISHED, published_camera
from crowd3d.synthetic import sample_skeletons
from crowd3d.synthetic.cameras import Viewpoint, sample_view
from crowd3d.synthetic.crop import STEEP_RAD, sample_window
from crowd3d.synthetic.people import Placement, place_groups, pose_crowd, sample_betas, thin
from crowd3d.synthetic.plaza import usable_ground
from crowd3d.synthetic.poses import KINDS, sample_poses


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


def test_poses_bend_the_right_way(body: Body) -> None:
    """Joints of T-pose people: y up, facing +z, left is +x."""
    rng = np.random.default_rng(1)

    def joints(kind: str) -> np.ndarray:
        poses = sample_poses(rng, np.full(60, kind))
        return body.pose(poses, np.zeros((60, 10)))[1]

    standing = joints("stand")
    assert (standing[:, [7, 8], 1] < standing[:, [1, 2], 1] - 0.6).all(), "ankles hang below hips"
    assert (standing[:, [20, 21], 1] < standing[:, [16, 17], 1] - 0.25).all(), "arms hang"
    sitting = joints("sit")
    assert (sitting[:, [4, 5], 2] > sitting[:, [1, 2], 2] + 0.25).all(), "thighs point forward"
    assert (np.abs(sitting[:, [7, 8], 2] - sitting[:, [4, 5], 2]) < 0.35).all(), "shins hang"
    phone = joints("phone")
    wrist_ahead = np.max(phone[:, [20, 21], 2] - phone[:, [16, 17], 2], axis=1)
    assert np.median(wrist_ahead) > 0.15, "the phone is held in front"
    raised = joints("raise")
    assert (np.max(raised[:, [20, 21], 1], axis=1) > raised[:, [16, 17], 1].min(axis=1) - 0.3).mean() > 0.9
    walking = joints("walk")
    apart = np.abs(walking[:, 7, 2] - walking[:, 8, 2])
    assert apart.max() > 0.4, "strides"
    knee_bend = (walking[:, [1, 2], 2] + walking[:, [7, 8], 2]) / 2 - walking[:, [4, 5], 2]
    assert (knee_bend < 0.03).all(), "knees bend forward, never backward"


@pytest.mark.parametrize("kind", KINDS)
def test_feet_are_on_the_ground(body: Body, kind: str) -> None:
    rng = np.random.default_rng(2)
    placement = Placement(rng.uniform(-9, 9, (20, 2)), rng.uniform(-3, 3, 20), np.full(20, kind))
    crowd = pose_crowd(rng, body, placement)
    np.testing.assert_allclose(crowd.vertices_m[..., 1].min(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(crowd.joints_m[:, 0][:, [0, 2]], placement.xz_m, atol=1e-5)


def test_yaw_turns_people(body: Body) -> None:
    yaw = np.array([0.0, np.pi / 2, np.pi, -np.pi / 2])
    crowd = pose_crowd(np.random.default_rng(3), body, Placement(np.zeros((4, 2)), yaw, np.full(4, "stand")))
    across = crowd.joints_m[:, 16] - crowd.joints_m[:, 17]
    facing = np.cross(across, [0, 1, 0])
    expected = np.stack([np.sin(yaw), np.zeros(4), np.cos(yaw)], axis=1)
    cosine = (facing * expected).sum(axis=1) / np.linalg.norm(facing, axis=1)
    assert (cosine > 0.93).all()


def test_pairs_talk_face_to_face() -> None:
    groups = place_groups(np.random.default_rng(4), np.arange(2000)[:, None] * [50.0, 0], 1.0)
    owner = np.rint(groups.xz_m[:, 0] / 50).astype(int)
    pairs = np.nonzero(np.bincount(owner) == 2)[0]
    rows = np.array([np.nonzero(owner == p)[0] for p in pairs])
    talking = np.isin(groups.kind[rows], ["talk", "crossed", "hips"]).all(axis=1)
    assert talking.sum() > 10
    first, second = rows[talking].T
    towards = groups.xz_m[second] - groups.xz_m[first]
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    facing = np.stack([np.sin(groups.yaw_rad), np.cos(groups.yaw_rad)], axis=1)
    assert np.median((facing[first] * towards).sum(axis=1)) > 0.8
    assert np.median((facing[second] * towards).sum(axis=1)) < -0.8


def test_thinning_keeps_distances() -> None:
    rng = np.random.default_rng(5)
    points, discs = rng.uniform(0, 6, (400, 2)), rng.uniform(0, 6, (3, 2))
    keep = thin(points, np.full(400, 0.5), discs, np.full(3, 0.7))
    kept = points[keep]
    distance = np.linalg.norm(kept[:, None] - kept[None], axis=2) + 9 * np.eye(len(kept))
    assert distance.min() >= 0.5
    assert np.linalg.norm(kept[:, None] - discs[None], axis=2).min() >= 0.9
    blocked = np.linalg.norm(points[~keep][:, None] - kept[None], axis=2).min(axis=1) < 0.5
    near_disc = np.linalg.norm(points[~keep][:, None] - discs[None], axis=2).min(axis=1) < 0.9
    assert (blocked | near_disc).all(), "nobody is dropped without a reason"


def test_children_and_adults(body: Body) -> None:
    betas = sample_betas(np.random.default_rng(6), 3000)
    vertices = body.pose(np.zeros((3000, 24, 3)), betas)[0]
    stature = np.ptp(vertices[..., 1], axis=1)
    child = stature < 1.45
    assert 0.04 < child.mean() < 0.12
    assert stature[child].min() > 0.8
    assert abs(stature[~child].mean() - 1.69) < 0.03
    assert 0.07 < stature[~child].std() < 0.11


def test_skeletons_stand_on_their_lowest_vertex(body: Body) -> None:
    pose, betas, lowest = sample_skeletons(np.random.default_rng(7), 200, body)
    assert pose.shape == (200, 24, 3)
    np.testing.assert_allclose(body.pose(pose, betas)[0][..., 1].min(axis=1), lowest, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fov", "tilt", "height"), [("playground1_00", 36.40, 9.69, 16.03), ("stadiumEntrance_01", 44.77, 13.18, 13.40)]
)
def test_published_cameras(name: str, fov: float, tilt: float, height: float) -> None:
    for size in ((PUBLISHED[name][2], PUBLISHED[name][3]), (4096, 1400)):
        view = Viewpoint(*published_camera(name, size))
        assert view.camera.fov_x_deg == pytest.approx(fov, abs=0.01)
        assert np.rad2deg(view.ground.tilt_rad) == pytest.approx(tilt, abs=0.01)
        assert view.ground.offset_m == pytest.approx(height, abs=0.01)


def test_sampled_cameras_see_ground() -> None:
    rng = np.random.default_rng(8)
    views = [sample_view(rng, (4096, 1400)) for _ in range(60)]
    assert np.ptp([v.camera.fov_x_deg for v in views]) > 50
    assert np.ptp([v.ground.tilt_rad for v in views]) > 0.4
    for view in views:
        assert 20 <= view.camera.fov_x_deg <= 100
        assert 2.5 <= view.ground.offset_m <= 30
        assert view.person_px(np.array([2048.0, 1399.0])) < 0.9 * 1400


def test_usable_area_is_the_area_on_the_ground() -> None:
    view = Viewpoint(*published_camera("playground1_01", (4096, 1400)))
    _, area = usable_ground(view)
    corners = view.ground.to_world(view.ground.intersect(view.camera, np.array([[0, 0], [4096, 0], [4096, 1400], [0, 1400.0]])))
    x, z = corners[:, 0], corners[:, 2]
    assert area.sum() == pytest.approx(0.5 * abs(x @ np.roll(z, 1) - z @ np.roll(x, 1)), rel=0.01)


def test_elevation_is_the_slope_of_the_sight_line() -> None:
    view = sample_view(np.random.default_rng(1), (4096, 1400))
    pixel = np.array([[300.0, 1200.0], [2000.0, 900.0]])
    below = view.ground.intersect(view.camera, pixel)
    across = np.linalg.norm(below - view.ground.foot(np.zeros(3)), axis=1)
    np.testing.assert_allclose(np.tan(view.elevation_rad(pixel)), view.ground.offset_m / across, rtol=1e-9)


def test_many_training_windows_are_steep() -> None:
    """Without `STEEP_SHARE` about a third would be, with nothing else more than three quarters."""
    rng = np.random.default_rng(0)
    middle = np.array([128.0, 128.0])
    elevation = np.array([sample_window(rng, 256, (40, 160))[0].elevation_rad(middle) for _ in range(200)])
    assert 0.43 < (elevation > STEEP_RAD).mean() < 0.6


def test_some_training_windows_are_seen_from_among_the_people_and_none_by_a_published_camera() -> None:
    rng = np.random.default_rng(1)
    planes = np.array([sample_window(rng, 256, (40, 160))[0].ground.coefficients for _ in range(200)])
    assert 0.08 < (planes[:, 3] < 2.5).mean() < 0.3
    published = np.array([plane for plane, *_ in PUBLISHED.values()])
    assert np.abs(planes[:, None] - published).max(2).min() > 1e-3
