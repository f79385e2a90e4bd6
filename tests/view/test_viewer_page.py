"""The page: complete in itself, and its numbers are those of the scene."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.bodies import Body, load_body
from crowd3d.cli import view as command
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene
from crowd3d.view import Layers, write_viewer
from crowd3d.view.viewer import STEP_M


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


def make_scene(count: int, image: str = "square.jpg", tilt_deg: float = 15.0) -> Scene:
    rng = np.random.default_rng(4)
    camera, ground = Camera.from_fov(50.0, (4000, 1500)), GroundPlane.from_angles(np.deg2rad(tilt_deg), 0.02, 9.0)
    foot = ground.from_world(np.stack([rng.uniform(-9, 9, count), np.zeros(count), rng.uniform(-60, -20, count)], axis=-1))
    people = People(
        pose_rad=rng.normal(0.0, 0.3, (count, 24, 3)).astype(np.float32),
        betas=rng.normal(size=(count, 10)).astype(np.float32),
        translation_cam_m=foot + 0.9 * ground.normal,
        hvip_px=camera.project(foot),
        hvip_cam_m=foot,
        score=rng.uniform(0.3, 1.0, count),
        keypoints_px=np.zeros((count, 17, 3)),
    )
    return Scene(camera, ground, people, "free", image)


def parse(path: Path) -> tuple[str, dict, bytes]:
    page = path.read_text(encoding="utf-8")
    info = re.search(r'<script type="application/json" id="info">(.*?)</script>', page, re.S)
    mesh = re.search(r'<script type="text/plain" id="mesh">(.*?)</script>', page, re.S)
    assert info is not None
    assert mesh is not None
    return page, json.loads(info[1]), base64.b64decode(mesh[1], validate=True)


def test_the_page_holds_the_meshes_to_a_tenth_of_a_millimetre(body: Body, tmp_path: Path) -> None:
    scene, colours = make_scene(7), np.arange(21, dtype=np.uint8).reshape(7, 3)
    write_viewer(scene, body, colours, tmp_path / "viewer.html")
    _, info, blob = parse(tmp_path / "viewer.html")
    count, vertices, faces = len(info["people"]), info["vertices"], info["faces"]
    assert (count, faces) == (7, len(body.faces))
    centre = np.frombuffer(blob, "<f4", 3 * count).reshape(count, 1, 3)
    index = np.frombuffer(blob, "<u4", 3 * faces, 12 * count).reshape(-1, 3)
    rgba = np.frombuffer(blob, np.uint8, 4 * count, 12 * (count + faces)).reshape(-1, 4)
    offset = np.frombuffer(blob, "<i2", offset=12 * (count + faces) + 4 * count).reshape(count, vertices, 3)
    world = scene.ground.to_world(scene.people.vertices_cam_m(body))
    assert np.abs(centre + offset * info["step"] - world).max() < 0.51 * STEP_M + 1e-5
    np.testing.assert_array_equal(index, body.faces)
    np.testing.assert_array_equal(rgba[:, :3], colours)


def test_figures_are_those_of_the_scene(body: Body, tmp_path: Path) -> None:
    scene = make_scene(5)
    write_viewer(scene, body, np.zeros((5, 3), np.uint8), tmp_path / "viewer.html")
    _, info, _ = parse(tmp_path / "viewer.html")
    feet = scene.ground.to_world(scene.people.hvip_cam_m)
    np.testing.assert_allclose([[p["x"], p["z"]] for p in info["people"]], feet[:, [0, 2]], atol=6e-4)
    np.testing.assert_allclose([p["stature"] for p in info["people"]], body.stature_m(scene.people.betas), atol=6e-4)
    # The optical axis, seen from the page's upright world: back from the scene, i.e. up by the tilt.
    assert info["camera"]["back"][1] == pytest.approx(np.sin(np.deg2rad(15.0)))
    assert 2 * np.rad2deg(np.arctan(info["camera"]["tanX"])) == pytest.approx(50.0)
    assert np.abs(np.array(info["camera"]["corners"])[2:, 1]).max() < 1e-6


def test_the_page_asks_nothing_of_the_net(body: Body, tmp_path: Path) -> None:
    write_viewer(make_scene(1), body, np.zeros((1, 3), np.uint8), tmp_path / "viewer.html")
    page, _, _ = parse(tmp_path / "viewer.html")
    assert not re.search(r"https?:|//[a-z]+\.|\b(src|href)\s*=|\bfetch\(|XMLHttpRequest|\bimport\b|@import|url\(|WebSocket", page)


def test_a_name_cannot_break_out_of_the_page(body: Body, tmp_path: Path) -> None:
    name = "a</script><script>alert(1)</script>__MESH__ü.jpg"
    write_viewer(make_scene(2, name), body, np.zeros((2, 3), np.uint8), tmp_path / "viewer.html")
    page, info, _ = parse(tmp_path / "viewer.html")
    assert info["title"] == f"2 people of {name}"
    assert page.count("<script") == 3


@pytest.mark.parametrize("tilt_deg", [2.0, 80.0])
@pytest.mark.parametrize("count", [0, 1])
def test_empty_scenes_and_steep_or_level_cameras(body: Body, tmp_path: Path, count: int, tilt_deg: float) -> None:
    write_viewer(make_scene(count, tilt_deg=tilt_deg), body, np.zeros((count, 3), np.uint8), tmp_path / "viewer.html")
    _, info, _ = parse(tmp_path / "viewer.html")
    assert len(info["people"]) == count
    assert np.isfinite(np.array(info["camera"]["corners"])).all()


def test_command_writes_the_page_beside_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    make_scene(3).save(tmp_path)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(tmp_path)])) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "viewer.html"
    assert len(parse(tmp_path / "viewer.html")[1]["people"]) == 3


def test_layers_are_where_the_scene_says(body: Body, tmp_path: Path) -> None:
    scene = make_scene(3, tilt_deg=12.0)
    photograph = np.full((30, 80, 3), (200, 10, 20), np.uint8)
    density = np.zeros((4, 5, 4), np.uint8)
    covariance = np.array([np.diag([0.04, 0.25])] * 3)
    layers = Layers(photograph, density, (-9.0, -60.0, 18.0, 40.0), [("#fff", "A")], covariance, [[("density", "1 /m²")]] * 3)
    write_viewer(scene, body, np.zeros((3, 3), np.uint8), tmp_path / "viewer.html", layers)
    _, info, _ = parse(tmp_path / "viewer.html")
    assert info["density"]["low"] == [-9.0, -60.0]
    assert info["density"]["size"] == [18.0, 40.0]
    assert info["people"][0]["more"] == [["density", "1 /m²"]]
    axes = np.array(info["people"][0]["spread"]).reshape(2, 2)
    np.testing.assert_allclose(axes @ axes.T, 5.991 * covariance[0], atol=2e-3)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(info["photo"].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(0), (20, 10, 200), atol=3)
    # The page multiplies points of the upright world by this matrix: shares of the photograph's width and height, times depth.
    matrix = np.array(info["camera"]["matrix"]).reshape(4, 4).T
    points = scene.people.hvip_cam_m + 0.3
    u, v, _, depth = matrix @ np.append(scene.ground.to_world(points), np.ones((3, 1)), axis=1).T
    np.testing.assert_allclose(np.stack([u, v] / depth, 1) * (4000, 1500), scene.camera.project(points), atol=1e-6)
    np.testing.assert_allclose(depth, points[:, 2])
