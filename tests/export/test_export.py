"""Files read back by another library, or parsed by hand; geometry checked in the frame that each format promises."""

from __future__ import annotations

import argparse
import csv
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from crowd3d.bodies import load_body
from crowd3d.bodies.body import Body
from crowd3d.cli import export as command
from crowd3d.errors import NoPeopleFound
from crowd3d.export import write_glb, write_people_csv, write_ply, write_release_objs
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene

YAW_DEG = np.array([0.0, 90.0, -135.0])
SPOTS = np.array([[-4.0, -30.5], [1.0, -25.0], [6.5, -44.0]])
COLOURS = np.array([[230, 159, 0], [86, 180, 233], [0, 158, 115]], np.uint8)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module")
def scene(body: Body) -> Scene:
    """Three people in T-pose on the ground, facing the viewer, to the right, and away to the left."""
    camera, ground = Camera.from_fov(40.0, (4096, 1400)), GroundPlane.from_angles(0.3, -0.03, 9.0)
    turn = Rotation.from_rotvec(np.deg2rad(YAW_DEG)[:, None] * (0, 1, 0)).as_matrix()
    pose, betas = np.zeros((3, 24, 3)), np.zeros((3, 10))
    betas[:, 0] = (-1, 0, 1)
    pose[:, 0] = Rotation.from_matrix(ground.rotation_cam_world @ turn).as_rotvec()
    vertices, _ = body.pose(pose, betas)
    spots = ground.from_world(np.insert(SPOTS, 1, 0.0, axis=1))
    translation = spots - (vertices @ ground.normal).min(1)[:, None] * ground.normal
    people = People(
        pose_rad=pose.astype(np.float32),
        betas=betas.astype(np.float32),
        translation_cam_m=translation - (spots @ ground.normal + ground.offset_m)[:, None] * ground.normal,
        hvip_px=camera.project(spots),
        hvip_cam_m=spots,
        score=np.array([0.9, 0.8, 0.7]),
        keypoints_px=np.zeros((3, 17, 3)),
    )
    # The lowest vertex lies at height 0: the plane's offset is part of `spots`, so what `vertices` lacks is only their own.
    return Scene(camera, ground, people, "free_low", "crowd.v1.jpg")


def world_vertices(scene: Scene, body: Body) -> np.ndarray:
    return scene.ground.to_world(scene.people.vertices_cam_m(body))


def test_glb_is_read_by_another_library(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_glb(tmp_path / "crowd.glb", scene, body, COLOURS)
    loaded = trimesh.load(tmp_path / "crowd.glb", process=False)
    people, ground = loaded.geometry["people"], loaded.geometry["ground"]
    expected = world_vertices(scene, body)
    np.testing.assert_allclose(people.vertices, expected.reshape(-1, 3), atol=1e-5)
    assert len(people.faces) == 3 * len(body.faces)
    assert people.faces.max() == len(people.vertices) - 1
    size = expected.shape[1]
    colours = np.asarray(people.visual.vertex_attributes["color"])
    for row in range(3):
        linear = 255 * (COLOURS[row] / 255) ** 2.2
        np.testing.assert_allclose(colours[row * size : (row + 1) * size, :3], np.tile(linear, (size, 1)), atol=0.51)
    assert ground.vertices[:, 1] == pytest.approx(0.0)
    assert (ground.face_normals[:, 1] > 0.99).all()


def read_glb(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON"
    rest = data[20 + size :]
    assert struct.unpack("<I4s", rest[:8]) == (len(rest) - 8, b"BIN\0")
    return json.loads(data[20 : 20 + size]), rest[8:]


def test_glb_is_aligned_and_its_camera_sees_what_the_photograph_saw(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_glb(tmp_path / "crowd.glb", scene, body, COLOURS)
    document, binary = read_glb(tmp_path / "crowd.glb")
    assert document["buffers"][0]["byteLength"] == len(binary)
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    view = document["bufferViews"][accessor["bufferView"]]
    normals = np.frombuffer(binary, "<f4", accessor["count"] * 3, view["byteOffset"]).reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    reference = trimesh.Trimesh(scene.people.vertices_cam_m(body)[1], body.faces, process=False)
    outward = (reference.vertex_normals @ scene.ground.rotation_cam_world * normals.reshape(3, -1, 3)[1]).sum(1)
    assert np.median(outward) > 0.98

    node = next(node for node in document["nodes"] if "camera" in node)
    pose = np.array(node["matrix"]).reshape(4, 4).T
    lens = document["cameras"][0]["perspective"]
    point = np.linalg.inv(pose) @ np.append(world_vertices(scene, body)[2, 100], 1.0)
    y = point[1] / -point[2] / np.tan(lens["yfov"] / 2)
    x = point[0] / -point[2] / np.tan(lens["yfov"] / 2) / lens["aspectRatio"]
    pixel = ((x + 1) / 2 * 4096, (1 - y) / 2 * 1400)
    assert pixel == pytest.approx(scene.camera.project(scene.people.vertices_cam_m(body)[2, 100]), abs=1e-3)


def test_bodies_in_the_glb_stand_on_the_ground(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_glb(tmp_path / "crowd.glb", scene, body, COLOURS)
    vertices = trimesh.load(tmp_path / "crowd.glb", process=False).geometry["people"].vertices.reshape(3, -1, 3)
    np.testing.assert_allclose(vertices[..., 1].min(1), 0.0, atol=1e-5)
    np.testing.assert_allclose(vertices.mean(1)[:, [0, 2]], SPOTS, atol=0.2)


def test_ply_is_read_by_another_library(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_ply(tmp_path / "crowd.ply", scene, body, COLOURS)
    loaded = trimesh.load(tmp_path / "crowd.ply", process=False)
    expected = world_vertices(scene, body)
    np.testing.assert_allclose(loaded.vertices, expected.reshape(-1, 3), atol=1e-5)
    np.testing.assert_array_equal(loaded.faces[len(body.faces) :][: len(body.faces)], np.asarray(body.faces) + expected.shape[1])
    np.testing.assert_array_equal(loaded.visual.vertex_colors[:: expected.shape[1], :3], COLOURS)


def obj_rows(path: Path, kind: str) -> list[list[str]]:
    return [line.split()[1:] for line in path.read_text().splitlines() if line.startswith(kind + " ")]


def test_release_objs_have_its_names_numbers_and_frame(scene: Scene, body: Body, tmp_path: Path) -> None:
    tiles = ["a_0_0_0_0_9_9", "a_0_1_0_9_9_18", "a_0_0_0_0_9_9"]
    write_release_objs(tmp_path, "crowd.v1", scene, body, "all", tiles)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.obj"))
    patches = ["a_0_0_0_0_9_9/0", "a_0_0_0_0_9_9/1", "a_0_0_0_0_9_9/patch_ground", "a_0_1_0_9_9_18/0", "a_0_1_0_9_9_18/patch_ground"]
    assert written == ["crowd.v1.obj", *(f"everyone_by_pathch/{patch}.obj" for patch in patches), "ground.obj", "small_check.obj"]

    vertices = obj_rows(tmp_path / "crowd.v1.obj", "v")
    assert all(len(number.split(".")[1]) == 7 for number in vertices[5])
    expected = scene.people.vertices_cam_m(body)
    np.testing.assert_allclose(np.array(vertices, float), expected.reshape(-1, 3), atol=6e-8)
    faces = np.array(obj_rows(tmp_path / "crowd.v1.obj", "f"), int)
    assert (faces.min(), faces.max()) == (1, len(vertices))
    second = obj_rows(tmp_path / "everyone_by_pathch/a_0_0_0_0_9_9/1.obj", "v")
    assert all(len(number.split(".")[1]) == 6 for number in second[0])
    np.testing.assert_allclose(np.array(second, float), expected[2], atol=6e-7)


def test_release_ground_is_the_integer_box_on_the_plane(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_release_objs(tmp_path, "crowd", scene, body, "multi")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crowd.obj", "ground.obj", "small_check.obj"]
    corners = np.array(obj_rows(tmp_path / "ground.obj", "v"), float)
    assert len(obj_rows(tmp_path / "ground.obj", "f")) == 2
    np.testing.assert_allclose(scene.ground.signed_distance(corners), 0.0, atol=1e-5)
    feet = scene.people.hvip_cam_m
    for axis in (0, 2):
        assert corners[:, axis].min() == int(feet[:, axis].min() - 2)
        assert corners[:, axis].max() == int(feet[:, axis].max() + 2)


def test_single_mode_writes_no_joint_file(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_release_objs(tmp_path, "crowd", scene, body, "single")
    assert not (tmp_path / "crowd.obj").exists()
    assert (tmp_path / "everyone_by_pathch" / "crowd" / "2.obj").exists()


def test_table_of_people(scene: Scene, body: Body, tmp_path: Path) -> None:
    write_people_csv(tmp_path / "people.csv", scene, body)
    with (tmp_path / "people.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    np.testing.assert_allclose([[float(row["x_m"]), float(row["z_m"])] for row in rows], SPOTS, atol=6e-4)
    np.testing.assert_allclose([float(row["facing_deg"]) for row in rows], YAW_DEG, atol=0.06)
    vertices = world_vertices(scene, body)
    np.testing.assert_allclose([float(row["stature_m"]) for row in rows], np.ptp(vertices[..., 1], axis=1), atol=6e-4)
    assert {row["off_ground_m"] for row in rows} == {"0.000"}
    jumping = replace(scene, people=replace(scene.people, off_ground_m=np.array([0.0, 0.8, 0.0])))
    write_people_csv(tmp_path / "people.csv", jumping, body)
    assert [line.rsplit(",", 1)[1] for line in (tmp_path / "people.csv").read_text().split()] == ["off_ground_m", "0.000", "0.800", "0.000"]


def test_nobody_is_an_error_for_meshes_and_an_empty_table(scene: Scene, body: Body, tmp_path: Path) -> None:
    nobody = Scene(scene.camera, scene.ground, scene.people[:0], scene.body, scene.image)
    for write in (write_glb, write_ply):
        with pytest.raises(NoPeopleFound, match="crowd"):
            write(tmp_path / "crowd", nobody, body, COLOURS[:0])
    with pytest.raises(NoPeopleFound, match="crowd"):
        write_release_objs(tmp_path, "crowd", nobody, body)
    write_people_csv(tmp_path / "people.csv", nobody, body)
    assert len((tmp_path / "people.csv").read_text().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["people.csv"]


def test_command_writes_every_format_that_needs_no_extra(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene.save(tmp_path)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with_extra = {"rrd", "usda", "usdc", "smpl", "mcs"}
    formats = (*command.OF_A_SCENE, *(kind for kind in command.OF_BOTH if kind not in with_extra))
    assert command.run(parser.parse_args([str(tmp_path), "--format", *formats])) == 0
    for line in capsys.readouterr().out.splitlines():
        assert Path(line).exists()
    assert (tmp_path / "extract_mesh" / "crowd.v1.obj").exists()
    assert (tmp_path / "predict.json").exists()
