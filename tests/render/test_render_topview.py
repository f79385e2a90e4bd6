"""The map: positions to scale, directions, camera figures."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.errors import BadOutput
from crowd3d.geometry import Camera
from crowd3d.render.colours import person_colours
from crowd3d.render.drawing import grid_step
from crowd3d.render.topview import _GONE, Trail, _choose_frame, camera_figures, facing, spread_out, top_view

PLACES = np.array([[-6.0, 9.0], [-1.0, 24.0], [4.0, 15.0], [7.0, 31.0], [-7.0, 33.0]])


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)


def test_markers_are_a_similar_picture_of_the_ground(make_scene, body, tmp_path: Path) -> None:
    scene = make_scene(PLACES)
    top_view(scene, body, tmp_path / "top.png")
    image = read(tmp_path / "top.png")[150:-150]
    colours = person_colours(scene.people)
    assert len(np.unique(colours, axis=0)) == len(colours)
    centres = np.array([np.argwhere((image == colour).all(axis=-1)).mean(axis=0)[::-1] for colour in colours])
    # x_px = a + s·right, y_px = b − s·forward with one scale s.
    design = np.block([[PLACES[:, :1], np.ones((5, 1)), np.zeros((5, 1))], [-PLACES[:, 1:], np.zeros((5, 1)), np.ones((5, 1))]])
    solution, *_ = np.linalg.lstsq(design, centres.T.reshape(-1), rcond=None)
    assert np.abs(design @ solution - centres.T.reshape(-1)).max() < 0.7
    assert solution[0] > 20


def test_ground_in_view_is_lighter(make_scene, body, tmp_path: Path) -> None:
    scene = make_scene(PLACES)
    top_view(scene, body, tmp_path / "top.png")
    image = read(tmp_path / "top.png")
    frame = _choose_frame(PLACES)
    middle = scene.ground.to_world(scene.ground.intersect(scene.camera, np.array([320.0, 300.0])))
    seen, behind = np.rint(frame.to_px(np.array([[middle[0] + 0.3, -middle[2] + 0.3], [0.4, frame.low[1] + 0.4]]))).astype(int)
    assert image[seen[1], seen[0]].min() > 245
    assert image[behind[1], behind[0]].max() < 240


def test_facing_follows_the_turn_about_the_vertical(make_scene, body) -> None:
    yaw = np.linspace(-3.0, 3.0, 13)
    scene = make_scene(np.stack([np.linspace(-5, 5, 13), np.full(13, 20.0)], axis=-1), yaw)
    expected = np.stack([np.sin(yaw), -np.cos(yaw)], axis=-1)
    assert np.abs(facing(scene, body) - expected).max() < 0.03


def test_one_person_far_away_does_not_shrink_the_map() -> None:
    crowd = np.random.default_rng(0).uniform([-10, 20], [10, 50], (100, 2))
    assert _choose_frame(np.concatenate([crowd, [[300.0, 4000.0]]])).size_m.max() < 120


@pytest.mark.parametrize(("extent", "lines", "step"), [(9.0, 10, 1), (11.0, 10, 2), (140.0, 16, 10), (200.0, 16, 20)])
def test_grid_step(extent: float, lines: int, step: int) -> None:
    assert grid_step(extent, lines) == step


def test_standard_deviations_agree_with_finite_differences(make_scene) -> None:
    scene = make_scene(PLACES, camera=Camera.from_fov(62.0, (6000, 4000)))
    sigma = np.array([0.03, 0.02, 0.01, 0.05])
    text = camera_figures(dataclasses.replace(scene, ground_covariance=np.diag(sigma**2)))
    shown = np.array([float(value) for value in re.findall(r"± ([\d.]+)", text)])
    wider = Camera.from_focal(scene.camera.fx * np.exp(-sigma[0]), (6000, 4000)).fov_x_deg - 62.0
    higher = scene.ground.offset_m * np.expm1(sigma[3])
    assert np.abs(shown - [wider, np.rad2deg(sigma[1]), np.rad2deg(sigma[2]), higher]).max() < 0.11
    assert "±" not in camera_figures(scene)


def test_all_layers_and_unplaced_people(make_scene, body, tmp_path: Path) -> None:
    scene = make_scene(np.concatenate([PLACES, [[np.nan, np.nan]]]))
    plain, full = tmp_path / "plain.png", tmp_path / "full.png"
    top_view(scene, body, plain)
    top_view(scene, body, full, truth=make_scene(PLACES + 0.5), position_covariance=np.tile(np.diag([0.1, 0.6]), (6, 1, 1)))
    assert (read(plain) != read(full)).any(axis=-1).mean() > 0.002


def test_regions_are_shown_of_people_all_over_the_map() -> None:
    points = np.random.default_rng(2).normal(size=(300, 2)) * [5.0, 20.0] + [0.0, 60.0]
    chosen = spread_out(points, 12)
    apart = np.linalg.norm(points[:, None] - points[chosen], axis=2)
    among = apart[chosen] + np.where(np.eye(12) > 0, np.inf, 0.0)
    assert len(set(chosen)) == 12
    assert apart.min(axis=1).max() <= among.min(), "nobody is farther from all who were chosen than these are from each other"
    assert sorted(spread_out(points[:5], 12)) == [0, 1, 2, 3, 4]
    assert len(spread_out(points[:0], 12)) == 0


def test_nobody(make_scene, body, tmp_path: Path) -> None:
    top_view(make_scene(np.zeros((0, 2))), body, tmp_path / "top.png")
    assert read(tmp_path / "top.png").shape[0] > 600


def test_unwritable_output_is_one_clear_error(make_scene, body, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadOutput, match="cannot write"):
        top_view(make_scene(PLACES), body, tmp_path / "file" / "top.png")


def test_paths_have_the_colours_of_those_who_walked_them(make_scene, body, tmp_path: Path) -> None:
    scene = make_scene(PLACES)
    came = np.array([[0.0, -6.0], [np.nan, np.nan], [0.0, -3.0], [0.0, 0.0]]) + PLACES[1]
    gone = np.array([[-3.0, 14.0], [0.0, 14.0]])
    plain, full = tmp_path / "plain.png", tmp_path / "full.png"
    top_view(scene, body, plain)
    top_view(scene, body, full, trails=[Trail(gone, -1), Trail(came, 1)])
    before, after = (read(path)[150:-150, 120:-46] for path in (plain, full))
    colour = person_colours(scene.people)[1]
    more = (after == colour).all(-1).sum() - (before == colour).all(-1).sum()
    scale = _choose_frame(PLACES).scale
    assert more > 0.8 * 4.0 * scale * 3, "four metres or more of a line that is about four pixels wide"
    assert ((after == _GONE).all(-1).sum() - (before == _GONE).all(-1).sum()) > 0.8 * 3.0 * scale * 3
