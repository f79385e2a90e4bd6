"""The overlay: bodies where the camera sees them, in the right order, without seams, and nothing else changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.imaging import GigapixelImage
from crowd3d.render import Style, person_colours, render_overlay, render_overview, render_zoom
from crowd3d.render import crowd as crowd_module
from crowd3d.render.crowd import _BLOCK_PEOPLE, _BLOCK_PX, _LEAST_BLOCK_PX, OPACITY, Crowd, _blocks, paint
from crowd3d.render.overlay import busiest_window

PLACES = np.array([[-3.0, 10.0], [-0.5, 12.0], [0.4, 16.0], [3.0, 11.0], [1.0, 20.0]])


@pytest.fixture
def photo(tmp_path: Path) -> GigapixelImage:
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(60, 200, (420, 640, 3)).astype(np.uint8), (0, 0), 4)
    cv2.imwrite(str(tmp_path / "square.png"), texture)
    return GigapixelImage(tmp_path / "square.png")


def painted(scene, body, level: int = 255, **options) -> np.ndarray:
    picture = np.full((scene.camera.height, scene.camera.width, 3), level, np.uint8)
    paint(picture, Crowd.of(scene, body), Style(**options))
    return picture.astype(int)


def test_opacity_inside_and_nothing_outside(make_scene, body) -> None:
    scene = make_scene(PLACES)
    transparency = (painted(scene, body, 255) - painted(scene, body, 0)) / 255.0
    joints_px = scene.camera.project(scene.people.joints_cam_m(body)[:, [3, 6, 9]]).reshape(-1, 2)
    inside = transparency[tuple(np.floor(joints_px).astype(int).T[::-1])]
    # Contact shadows can only darken what shines through.
    assert inside.max() <= 1 - OPACITY + 0.005
    boxes = Crowd.of(scene, body).bounds_px
    y, x = np.mgrid[:420, :640]
    margin = 0.4 * (boxes[:, 3] - boxes[:, 1])
    near = (x > (boxes[:, 0] - margin)[:, None, None]) & (x < (boxes[:, 2] + margin)[:, None, None])
    near &= (y > (boxes[:, 1] - margin)[:, None, None]) & (y < (boxes[:, 3] + margin)[:, None, None])
    assert (transparency[~near.any(axis=0)] == 1.0).all()


def test_who_is_in_the_air_casts_no_contact_shadow(make_scene, body) -> None:
    scene = make_scene(PLACES)
    people = scene.people
    high = np.array([0.0, 3.0, 0.0, 0.0, 0.0])
    raised = dataclasses.replace(people, translation_cam_m=people.translation_cam_m + high[:, None] * scene.ground.normal)
    sole = np.floor(people.hvip_px[1]).astype(int)
    on_ground, off = (
        painted(dataclasses.replace(scene, people=dataclasses.replace(raised, off_ground_m=told)), body)[sole[1], sole[0]]
        for told in (np.zeros(5), high)
    )
    assert (off == 255).all()
    assert (on_ground < 235).all()


def test_the_nearer_body_hides_the_farther_one(make_scene, body) -> None:
    scene = make_scene([[0.0, 12.0], [0.0, 13.5]])
    colours = person_colours(scene.people).astype(float)
    chest = scene.camera.project(scene.people.joints_cam_m(body)[0, 9])
    pixel = painted(scene, body, 0)[int(chest[1]), int(chest[0])]
    cosine = colours @ pixel / np.linalg.norm(colours, axis=1) / np.linalg.norm(pixel)
    assert cosine[0] > 0.995
    assert cosine[0] > cosine[1]


def test_blocks_leave_no_seam(make_scene, body, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(PLACES)
    whole = painted(scene, body, 180, with_hvip=True, with_grid=True)
    monkeypatch.setattr(crowd_module, "_BLOCK_PX", (130, 90))
    blocks = painted(scene, body, 180, with_hvip=True, with_grid=True)
    assert np.abs(whole - blocks).max() <= 2


def test_ground_under_people_is_darker(make_scene, body) -> None:
    scene = make_scene([[0.0, 12.0]])
    around = scene.ground.from_world(np.array([0.0, 0.0, -12.0]) + 0.32 * np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.3], [-1.0, 0.0, 0.3]]))
    pixels = np.floor(scene.camera.project(around)).astype(int)
    assert painted(scene, body)[pixels[:, 1], pixels[:, 0]].max() < 245


def test_hvip_and_grid_are_drawn_where_they_are(make_scene, body) -> None:
    scene = make_scene([[0.0, 12.0], [2.0, 14.0]])
    marks = painted(scene, body, 90, with_hvip=True)
    pixels = np.floor(scene.people.hvip_px).astype(int)
    assert marks[pixels[:, 1], pixels[:, 0]].min() > 200
    line = scene.camera.project(scene.ground.from_world(np.array([[-2.0, 0.0, -14.5], [4.0, 0.0, -10.3]])))
    lit = painted(scene, body, 90, with_grid=True)
    ys, xs = np.floor(line[:, 1]).astype(int), np.floor(line[:, 0]).astype(int)
    patches = [lit[y - 2 : y + 3, x - 2 : x + 3].max() for y, x in zip(ys, xs, strict=True)]
    assert min(patches) > 150


def test_a_part_at_another_scale_shows_the_same_bodies(make_scene, body) -> None:
    crowd = Crowd.of(make_scene(PLACES), body)
    part = crowd.seen_in(200, 100, (480, 360), 0.5)
    corner_px = crowd.camera.project(crowd.vertices_cam_m)
    np.testing.assert_allclose(part.camera.project(part.vertices_cam_m), (corner_px - [200, 100]) / 0.5, atol=1e-6)
    inside = corner_px.reshape(len(crowd), -1, 2)
    np.testing.assert_array_less(crowd.bounds_px[:, :2] - 1e-6, inside.min(axis=1))
    np.testing.assert_array_less(inside.max(axis=1), crowd.bounds_px[:, 2:] + 1e-6)


def test_files_have_their_sizes_and_keep_the_photograph(make_scene, body, photo: GigapixelImage, tmp_path: Path) -> None:
    scene = make_scene(PLACES)
    render_overlay(scene, body, photo, tmp_path / "full.jpg")
    render_overview(scene, body, photo, tmp_path / "small.jpg", width_px=320)
    render_zoom(scene, body, photo, tmp_path / "zoom.jpg", width_px=400)
    full, small, zoom = (cv2.imread(str(tmp_path / name)) for name in ("full.jpg", "small.jpg", "zoom.jpg"))
    assert full.shape == (420, 640, 3)
    assert small.shape == (210, 320, 3)
    assert zoom.shape[1] == 400
    original = photo.region(np.array([0, 0, 420, 640]))[..., ::-1].astype(int)
    assert np.abs(full.astype(int)[:60] - original[:60]).max() < 12
    assert (np.abs(full.astype(int) - original).max(axis=-1) > 40).mean() > 0.01
    assert (np.abs(small.astype(int) - cv2.resize(full, (320, 210), interpolation=cv2.INTER_AREA)).mean()) < 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.jpg", "small.jpg", "square.png", "zoom.jpg"]


def test_nobody_leaves_the_photograph_alone(make_scene, body, photo: GigapixelImage, tmp_path: Path) -> None:
    scene = make_scene(np.zeros((0, 2)))
    render_overlay(scene, body, photo, tmp_path / "full.jpg", Style(with_hvip=True, with_grid=True))
    render_zoom(scene, body, photo, tmp_path / "zoom.jpg", width_px=300)
    original = photo.region(np.array([0, 0, 420, 640]))[..., ::-1].astype(int)
    assert np.abs(cv2.imread(str(tmp_path / "full.jpg")).astype(int) - original).max() < 12


def test_the_zoom_shows_the_densest_group(make_scene, body) -> None:
    rng = np.random.default_rng(3)
    lonely = np.stack([np.linspace(-30, 30, 12), np.full(12, 45.0)], axis=-1)
    group = np.array([6.0, 30.0]) + rng.uniform(-1.2, 1.2, (9, 2))
    scene = make_scene(np.concatenate([lonely, group]))
    left, top, right, bottom = busiest_window(Crowd.of(scene, body), (640, 420), 120)
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 420
    heads = scene.camera.project(scene.people.joints_cam_m(body)[12:, 15])
    assert ((heads >= [left, top]) & (heads <= [right, bottom])).all(axis=1).sum() >= 8


def test_somebody_beside_the_camera_is_no_problem(make_scene, body) -> None:
    scene = make_scene([[0.0, 12.0], [0.2, 0.1], [0.0, -3.0]])
    assert np.isfinite(Crowd.of(scene, body).bounds_px).all()
    lone = dataclasses.replace(scene, people=scene.people[:1])
    # Neither the person below the camera nor the one behind it is in view.
    chest = np.floor(scene.camera.project(scene.people.joints_cam_m(body)[0, 9])).astype(int)
    assert np.abs(painted(scene, body)[chest[1], chest[0]] - painted(lone, body)[chest[1], chest[0]]).max() < 120


def test_a_crowd_is_where_its_people_are(make_scene, body) -> None:
    scene = make_scene(PLACES)
    crowd = Crowd.of(scene, body)
    assert crowd.vertices_cam_m.dtype == np.float32
    np.testing.assert_allclose(crowd.vertices_cam_m, scene.people.vertices_cam_m(body), atol=1e-5)


def test_blocks_tile_the_picture_and_hold_few_people(make_scene, body) -> None:
    """Everybody at one spot cannot be told apart by smaller blocks; they end at the least size."""
    crowd = Crowd.of(make_scene(PLACES), body)
    rng = np.random.default_rng(0)
    corner = np.concatenate([rng.uniform(0, [5900, 2900], (900, 2)), np.full((300, 2), 700.0)])
    crowd = dataclasses.replace(crowd, bounds_px=np.concatenate([corner, corner + 60], 1))
    blocks = _blocks(crowd, (0, 0, 6000, 3000))
    covered = np.zeros((3000, 6000), np.uint8)
    for left, top, right, bottom in blocks:
        covered[top:bottom, left:right] += 1
        assert right - left <= _BLOCK_PX[0]
        assert bottom - top <= _BLOCK_PX[1]
        box = crowd.bounds_px
        people = ((box[:, 0] < right) & (box[:, 2] > left) & (box[:, 1] < bottom) & (box[:, 3] > top)).sum()
        assert people <= _BLOCK_PEOPLE or max(right - left, bottom - top) <= _LEAST_BLOCK_PX
    assert (covered == 1).all()
    assert len(blocks) < 80


def test_smaller_blocks_draw_the_same_picture(make_scene, body, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(PLACES)
    photo = np.random.default_rng(0).integers(0, 255, (420, 640, 3)).astype(np.uint8)
    whole, parts = photo.copy(), photo.copy()
    paint(whole, Crowd.of(scene, body))
    monkeypatch.setattr("crowd3d.render.crowd._BLOCK_PEOPLE", 1)
    paint(parts, Crowd.of(scene, body))
    np.testing.assert_allclose(parts.astype(int), whole, atol=2)
