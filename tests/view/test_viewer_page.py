"""The page: complete in itself, and its numbers are those of the scene."""

from __future__ import annotations

import argparse
import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_sequence import GONE, PICTURES, places, write_sequence
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body, load_body
from crowd3d.cli import view as command
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene
from crowd3d.view import Layers, Moment, Way, write_viewer
from crowd3d.view.pack import STEP_M, far_faces


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


def moment(scene: Scene, ids: np.ndarray | None = None, **more) -> Moment:
    count = len(scene.people)
    return Moment(scene, np.arange(count) if ids is None else ids, np.arange(3 * count, dtype=np.uint8).reshape(count, 3), **more)


def parse(path: Path) -> tuple[str, dict, bytes, bytes]:
    page = path.read_text(encoding="utf-8")
    info = re.search(r'<script type="application/json" id="info">(.*?)</script>', page, re.S)
    blobs = re.findall(r'<script type="text/plain" id="(?:body|crowd)">(.*?)</script>', page, re.S)
    assert info is not None
    assert len(blobs) == 2
    return page, json.loads(info[1]), *(base64.b64decode(blob, validate=True) for blob in blobs)


def write(path: Path, body: Body, *timeline: Moment, layers: Layers | None = None, before: Moment | None = None) -> dict:
    write_viewer(path, "a title", timeline, body, layers or Layers(), before)
    return parse(path)[1]


def test_the_page_holds_everybody_to_half_a_millimetre(body: Body, tmp_path: Path) -> None:
    """Read as the page reads it, one bone after the other, and set beside the bodies of the scenes."""
    scenes = [make_scene(3), make_scene(4, tilt_deg=30.0)]
    info = write(tmp_path / "viewer.html", body, *map(moment, scenes))
    _, _, shape, crowd = parse(tmp_path / "viewer.html")
    v, f, far = (info["body"][name] for name in ("vertices", "faces", "farFaces"))
    sizes = [(v * 3, "<f4"), (v * 30, "<f4"), (3 * f, "<u4"), (3 * far, "<u4"), (8 * v, "<u2"), (8 * v, "u1"), (4 * v, "i1")]
    template, shapes, faces, _, weights, bones, normals = split(shape, sizes)
    origin, betas, turns, shifts = split(crowd, [(7 * 3, "<f4"), (7 * 10, "<f4"), (7 * 96, "<i2"), (7 * 72, "<i2")])
    for person in range(7):
        points = template.reshape(v, 3) + np.einsum("vbk,b->vk", shapes.reshape(v, 10, 3), betas.reshape(7, 10)[person])
        moved = np.zeros((v, 3))
        for influence in range(8):
            bone = bones.reshape(v, 8)[:, influence]
            turned = Rotation.from_quat(turns.reshape(7, 24, 4)[person])[bone].apply(points)
            shifted = turned + origin.reshape(7, 3)[person] + shifts.reshape(7, 24, 3)[person, bone] * STEP_M
            moved += weights.reshape(v, 8)[:, influence, None] / 65535.0 * shifted
        scene, row = (scenes[0], person) if person < 3 else (scenes[1], person - 3)
        true = scene.ground.to_world(scene.people.vertices_cam_m(body))[row]
        assert np.abs(moved - true).max() < 5e-4
    np.testing.assert_array_equal(faces.reshape(-1, 3), body.faces)
    top = template.reshape(v, 3)[:, 1].argmax()
    assert normals.reshape(v, 4)[top, 1] > 100


def split(blob: bytes, sizes: list[tuple[int, str]]) -> list[np.ndarray]:
    parts, at = [], 0
    for count, kind in sizes:
        parts.append(np.frombuffer(blob, kind, count, at))
        at += parts[-1].nbytes
    assert at == len(blob)
    return parts


def test_the_coarse_body_has_the_shape_of_the_fine_one_with_a_fifth_of_its_triangles(body: Body) -> None:
    coarse = far_faces(body)
    assert len(coarse) < len(body.faces) / 4.9
    fine, few = (area_and_volume(body.template[faces]) for faces in (body.faces, coarse))
    np.testing.assert_allclose(few[0], fine[0], rtol=0.08)
    np.testing.assert_allclose(np.ptp(body.template[coarse].reshape(-1, 3), axis=0), np.ptp(body.template, axis=0), atol=0.08)
    assert few[1] > 0.85 * fine[1]


def area_and_volume(triangles: np.ndarray) -> tuple[float, float]:
    """Whole area, and the volume inside, which is positive only where triangles are seen from outside."""
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    return float(np.linalg.norm(across, axis=1).sum() / 2), float(np.einsum("fk,fk->", triangles[:, 0], across) / 6)


def test_five_hundred_people_take_less_than_a_megabyte(body: Body, tmp_path: Path) -> None:
    write(tmp_path / "viewer.html", body, moment(make_scene(500)))
    assert (tmp_path / "viewer.html").stat().st_size < 1e6


def test_figures_are_those_of_the_scene(body: Body, tmp_path: Path) -> None:
    scene = make_scene(5)
    covariance = np.array([np.diag([0.04, 0.25])] * 4 + [np.full((2, 2), np.nan)])
    info = write(tmp_path / "viewer.html", body, moment(scene, covariance=covariance))
    shown = info["timeline"][0]
    feet = scene.ground.to_world(scene.people.hvip_cam_m)
    np.testing.assert_allclose([shown["x"], shown["y"], shown["z"]], feet.T, atol=6e-4)
    np.testing.assert_allclose(shown["stature"], body.stature_m(scene.people.betas), atol=6e-4)
    assert shown["sigma"] == [[0.2, 0.5]] * 4 + [None]
    axes = np.array(shown["spread"][0]).reshape(2, 2)
    np.testing.assert_allclose(axes @ axes.T, 5.991 * np.diag([0.04, 0.25]), atol=2e-3)
    # The optical axis, seen from the page's upright world: back from the scene, i.e. up by the tilt.
    camera = info["cameras"][shown["camera"]]
    assert camera["back"][1] == pytest.approx(np.sin(np.deg2rad(15.0)))
    assert 2 * np.rad2deg(np.arctan(camera["tanX"])) == pytest.approx(50.0)
    assert np.abs(np.array(camera["corners"])[2:, 1]).max() < 1e-6


def test_the_page_asks_nothing_of_the_net(body: Body, tmp_path: Path) -> None:
    write(tmp_path / "viewer.html", body, moment(make_scene(1)))
    page = parse(tmp_path / "viewer.html")[0]
    assert not re.search(r"https?:|//[a-z]+\.|\b(src|href)\s*=|\bfetch\(|XMLHttpRequest|\bimport\b|@import|url\(|WebSocket", page)


def test_a_name_cannot_break_out_of_the_page(body: Body, tmp_path: Path) -> None:
    name = "a</script><script>alert(1)</script>__BODY__ü.jpg"
    info = write(tmp_path / "viewer.html", body, moment(make_scene(2, name)))
    assert info["timeline"][0]["label"] == name
    assert parse(tmp_path / "viewer.html")[0].count("<script") == 4


@pytest.mark.parametrize("tilt_deg", [2.0, 80.0])
@pytest.mark.parametrize("count", [0, 1])
def test_empty_scenes_and_steep_or_level_cameras(body: Body, tmp_path: Path, count: int, tilt_deg: float) -> None:
    info = write(tmp_path / "viewer.html", body, moment(make_scene(count, tilt_deg=tilt_deg)))
    assert len(info["timeline"][0]["id"]) == count
    assert np.isfinite(np.array(info["cameras"][0]["corners"])).all()


def test_somebody_without_a_foot_point_stands_below_the_body(body: Body, tmp_path: Path) -> None:
    scene = make_scene(2)
    scene.people.hvip_cam_m[1] = np.nan
    shown = write(tmp_path / "viewer.html", body, moment(scene))["timeline"][0]
    x, _, z = scene.ground.to_world(scene.people.translation_cam_m)[1]
    assert [shown["x"][1], shown["y"][1], shown["z"][1]] == pytest.approx([x, 0.0, z], abs=6e-4)


def run_command(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_command_writes_the_page_beside_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_scene(3).save(tmp_path)
    assert run_command(tmp_path) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "viewer.html"
    info = parse(tmp_path / "viewer.html")[1]
    assert (info["title"], info["before"], len(info["timeline"][0]["id"])) == ("3 people of square.jpg", None, 3)


def test_the_state_before_has_the_same_people_in_the_same_colours(tmp_path: Path) -> None:
    """Two of the three changed places, and one is only there before."""
    after, before = make_scene(2), make_scene(3, tilt_deg=14.0)
    before.people.keypoints_px[:] = np.arange(1.0, 4.0)[:, None, None]
    after.people.keypoints_px[:] = before.people.keypoints_px[[1, 0]]
    after.save(tmp_path)
    before.save(tmp_path / "lifted")
    assert run_command(tmp_path) == 0
    info = parse(tmp_path / "viewer.html")[1]
    now, earlier = info["timeline"][0], info["before"]
    assert earlier["id"][:2] == [1, 0]
    assert earlier["id"][2] not in now["id"]
    assert earlier["colour"][:6] == [*now["colour"][3:], *now["colour"][:3]]
    assert now["camera"] != earlier["camera"]


def test_an_optimisation_that_changed_nobody_has_no_before(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "lifted"):
        make_scene(2).save(folder)
    assert run_command(tmp_path) == 0
    assert parse(tmp_path / "viewer.html")[1]["before"] is None


def test_a_sequence_keeps_ids_colours_and_ways(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "plaza")
    assert run_command(folder) == 0
    info = parse(folder / "viewer.html")[1]
    assert info["title"] == "4 people in 7 pictures of plaza"
    assert [shown["time"] for shown in info["timeline"]] == [0.5 * picture for picture in range(PICTURES)]
    colours: dict[int, list[int]] = {}
    for picture, shown in enumerate(info["timeline"]):
        assert shown["id"] == [person for person in range(4) if (picture, person) not in GONE]
        np.testing.assert_allclose(np.stack([shown["x"], shown["z"]], -1), places(picture)[shown["id"]] * [1, -1], atol=6e-4)
        for row, person in enumerate(shown["id"]):
            assert colours.setdefault(person, shown["colour"][3 * row : 3 * row + 3]) == shown["colour"][3 * row : 3 * row + 3]
    assert len({tuple(colour) for colour in colours.values()}) == 4
    assert [len(way["x"]) for way in info["paths"]] == [7, 6, 7, 5]
    assert [way["colour"] for way in info["paths"]] == [colours[person] for person in range(4)]
    np.testing.assert_allclose([info["paths"][1]["x"][0], info["paths"][1]["z"][0]], places(1)[1] * [1, -1], atol=6e-4)


def test_a_measured_sequence_has_densities_of_every_picture_and_figures_of_everybody(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "plaza")
    assert run_command(folder, "--measure") == 0
    info = parse(folder / "viewer.html")[1]
    low, size = np.array(info["density"]["low"]), np.array(info["density"]["size"])
    data = [np.frombuffer(base64.b64decode(image.split(",")[1]), np.uint8) for image in info["density"]["images"]]
    pictures = [cv2.imdecode(one, cv2.IMREAD_UNCHANGED) for one in data]
    assert len(pictures) == PICTURES
    for number, picture in enumerate(pictures):
        # Darker than the lightest level only where somebody is near: one person makes 0.16 per m² at the most, two make level B.
        rows, columns = np.nonzero((picture[..., 3] > 0) & (picture[..., 2] < 240))
        spots = low + size * np.stack([columns + 0.5, rows + 0.5], -1) / picture.shape[1::-1]
        moment = info["timeline"][number]
        feet = np.stack([moment["x"], moment["z"]], -1)
        assert (np.linalg.norm(spots[:, None] - feet, axis=-1).min(1) < 2.0).all() if len(spots) else True
    assert len(info["curve"]["value"]) == PICTURES
    for value, lowest, highest in zip(*(info["curve"][name] for name in ("value", "low", "high")), strict=True):
        assert 1.0 / (np.pi * 9.0) * 0.9 < lowest <= value <= highest < 1.0
    names = {name for one in info["timeline"][3]["more"] for name, _ in one}
    assert names == {"density", "speed", "group"}


def test_layers_are_where_the_scene_says(body: Body, tmp_path: Path) -> None:
    scene = make_scene(3, tilt_deg=12.0)
    photograph = np.full((30, 80, 3), (200, 10, 20), np.uint8)
    way = Way(np.array([0.0, 1.0]), np.array([[1.0, -2.0], [1.5, -2.0]]), np.array([1, 2, 3], np.uint8))
    layers = Layers(photograph, [np.zeros((4, 5, 4), np.uint8)], (-9.0, -60.0, 18.0, 40.0), [("#fff", "A")], [way])
    info = write(tmp_path / "viewer.html", body, moment(scene, figures=[[("density", "1 /m²")]] * 3), layers=layers)
    assert info["density"]["low"] == [-9.0, -60.0]
    assert info["density"]["size"] == [18.0, 40.0]
    assert info["timeline"][0]["more"][0] == [["density", "1 /m²"]]
    assert info["paths"] == [{"time": [0.0, 1.0], "x": [1.0, 1.5], "z": [-2.0, -2.0], "colour": [1, 2, 3]}]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(info["photo"].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(0), (20, 10, 200), atol=3)
    # The page multiplies points of the upright world by this matrix: shares of the photograph's width and height, times depth.
    matrix = np.array(info["cameras"][0]["matrix"]).reshape(4, 4).T
    points = scene.people.hvip_cam_m + 0.3
    u, v, _, depth = matrix @ np.append(scene.ground.to_world(points), np.ones((3, 1)), axis=1).T
    np.testing.assert_allclose(np.stack([u, v] / depth, 1) * (4000, 1500), scene.camera.project(points), atol=1e-6)
    np.testing.assert_allclose(depth, points[:, 2])
