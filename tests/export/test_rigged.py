"""Skeletons read back by small readers of their own: the deformed meshes and joints are those of the reconstruction."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import made_sequence as made
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies.joints import SMPL24_NAMES
from crowd3d.errors import NoPeopleFound
from crowd3d.export import write_bvh, write_rigged_glb
from crowd3d.export.rig import Performer, Shot, performers
from crowd3d.render.colours import HUES
from crowd3d.types import Scene

KINDS = {5126: "<f4", 5121: "u1", 5125: "<u4"}
SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """A file as the format's text describes it."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        size = struct.unpack("<I", data[12:16])[0]
        self.document = json.loads(data[20 : 20 + size])
        self.binary = data[28 + size :]

    def array(self, accessor: int) -> np.ndarray:
        one = self.document["accessors"][accessor]
        view = self.document["bufferViews"][one["bufferView"]]
        width = SIZES[one["type"]]
        flat = np.frombuffer(self.binary, KINDS[one["componentType"]], one["count"] * width, view["byteOffset"])
        return flat.reshape(one["count"], width)

    def worlds(self, changed: dict[tuple[int, str], np.ndarray]) -> dict[int, np.ndarray]:
        """Matrix of every node below the scene, with some properties changed."""
        found: dict[int, np.ndarray] = {}

        def visit(number: int, parent: np.ndarray) -> None:
            node = self.document["nodes"][number]
            here = np.eye(4)
            turn = changed.get((number, "rotation"), node.get("rotation", [0, 0, 0, 1]))
            scale = changed.get((number, "scale"), node.get("scale", [1, 1, 1]))
            here[:3, :3] = Rotation.from_quat(turn).as_matrix() * np.asarray(scale)
            here[:3, 3] = changed.get((number, "translation"), node.get("translation", [0, 0, 0]))
            found[number] = parent @ here
            for child in node.get("children", []):
                visit(child, found[number])

        for number in self.document["scenes"][0]["nodes"]:
            visit(number, np.eye(4))
        return found

    def skinned(self, name: str, changed: dict[tuple[int, str], np.ndarray] | None = None) -> np.ndarray:
        """(V, 3) mesh of a node, deformed vertex by vertex."""
        worlds = self.worlds(changed or {})
        node = next(node for node in self.document["nodes"] if node["name"] == name)
        skin = self.document["skins"][node["skin"]]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        matrices = [worlds[joint] @ bind for joint, bind in zip(skin["joints"], inverse, strict=True)]
        attributes = self.document["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        sets = range(sum(key.startswith("JOINTS") for key in attributes))
        joints = np.concatenate([self.array(attributes[f"JOINTS_{number}"]) for number in sets], 1)
        weights = np.concatenate([self.array(attributes[f"WEIGHTS_{number}"]) for number in sets], 1)
        np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-6)
        points = np.zeros((len(joints), 3))
        for row, point in enumerate(self.array(attributes["POSITION"])):
            for joint, weight in zip(joints[row], weights[row], strict=True):
                points[row] += weight * (matrices[joint] @ np.append(point, 1.0))[:3]
        return points

    def at(self, seconds: float) -> dict[tuple[int, str], np.ndarray]:
        """What the animation sets at a time that has a key in every sampler, or before or after all of them."""
        animation = self.document["animations"][0]
        changed = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self.array(sampler["input"])[:, 0], self.array(sampler["output"])
            row = max(int(np.searchsorted(times, seconds + 1e-6)) - 1, 0)
            changed[channel["target"]["node"], channel["target"]["path"]] = values[row]
        return changed


def shots() -> list[Shot]:
    scenes = [made.scene_at(picture) for picture in range(made.PICTURES)]
    return [Shot(number * made.STEP_S, scene, ids) for number, (scene, ids) in enumerate(scenes)]


def test_skinning_the_file_gives_the_bodies(tmp_path: Path) -> None:
    scene, ids = made.scene_at(1)
    people = performers([Shot(0.0, scene, ids)], made.body())
    photograph = np.full((40, 60, 3), 128, np.uint8)
    write_rigged_glb(tmp_path / "crowd.glb", scene, people, made.body(), HUES[: len(ids)], photograph)
    glb = Glb(tmp_path / "crowd.glb")
    for row in (0, len(ids) - 1):
        np.testing.assert_allclose(glb.skinned(f"person_{ids[row]}_body"), made.mesh_of(1, ids[row]), atol=1e-4)
    names = [node["name"] for node in glb.document["nodes"]]
    assert len(set(names)) == len(names) == 26 * len(ids) + 3
    assert {"ground", "photograph", "photograph_camera", "person_0", "person_0_body", "person_0_left_hip"} <= set(names)
    assert len(glb.document["skins"]) == len(ids)
    assert all(len(skin["joints"]) == 24 for skin in glb.document["skins"])
    # Each skeleton hangs on a node of its own; meshes with a skin are on the scene itself.
    for id_, skin in zip(ids, glb.document["skins"], strict=True):
        assert next(node for node in glb.document["nodes"] if node["name"] == f"person_{id_}")["children"] == skin["joints"][:1]
        assert {names.index(f"person_{id_}"), names.index(f"person_{id_}_body")} <= set(glb.document["scenes"][0]["nodes"])
    assert "animations" not in glb.document
    # The photograph's corners are seen in the picture's corners.
    mesh = next(mesh for mesh in glb.document["meshes"] if mesh["name"] == "photograph")
    corners = glb.array(mesh["primitives"][0]["attributes"]["POSITION"]).astype(float)
    size = (made.CAMERA.width, made.CAMERA.height)
    seen = made.CAMERA.project(made.GROUND.from_world(corners))
    np.testing.assert_allclose(seen, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size, atol=0.1)


def test_animation_moves_everybody_and_hides_who_is_not_there(tmp_path: Path) -> None:
    everybody = shots()
    people = performers(everybody, made.body())
    write_rigged_glb(tmp_path / "crowd.glb", everybody[0].scene, people, made.body(), HUES[:4])
    glb = Glb(tmp_path / "crowd.glb")
    for picture in (1, 4):
        # Shapes are the same in all pictures here, as the mean over them is what the file has.
        got = glb.skinned("person_1_body", glb.at(picture * made.STEP_S))
        np.testing.assert_allclose(got, made.mesh_of(picture, 1), atol=1e-4)
    assert np.ptp(glb.skinned("person_1_body", glb.at(0.0)), axis=0).max() < 1e-6
    assert np.ptp(glb.skinned("person_3_body", glb.at(3.0)), axis=0).max() < 1e-6
    assert np.ptp(glb.skinned("person_3_body", glb.at(1.0)), axis=0).max() > 1.0


def read_bvh(path: Path) -> tuple[dict[str, tuple[str | None, np.ndarray, list[str]]], np.ndarray, float]:
    """Joints (parent, offset, channels) in order, motion, seconds per frame."""
    lines = [line.split() for line in path.read_text().splitlines()]
    joints: dict[str, tuple[str | None, np.ndarray, list[str]]] = {}
    stack: list[str] = []
    name = ""
    for number, words in enumerate(lines):
        if words[0] in ("ROOT", "JOINT"):
            name = words[1]
        elif words[0] == "End":
            name = "End"
        elif words[0] == "{":
            stack.append(name)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET" and stack[-1] != "End":
            joints[stack[-1]] = (stack[-2] if len(stack) > 1 else None, np.array(words[1:], float), [])
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words) - 2
            joints[stack[-1]][2].extend(words[2:])
        elif words[0] == "Frames:":
            motion = np.array(lines[number + 2 :], float)
            assert len(motion) == int(words[1])
            return joints, motion, float(lines[number + 1][2])
    raise AssertionError("no motion")


def bvh_joints(path: Path, frame: int) -> dict[str, np.ndarray]:
    """Places of the joints in metres, by the text of the format: each joint's rotations in the order of its channels."""
    joints, motion, _ = read_bvh(path)
    values = iter(motion[frame])
    worlds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (parent, offset, channels) in joints.items():
        turn, place = np.eye(3), offset.copy()
        for channel in channels:
            value = next(values)
            if channel.endswith("position"):
                place["XYZ".index(channel[0])] += value
            else:
                turn = turn @ Rotation.from_euler(channel[0].lower(), value, degrees=True).as_matrix()
        above_turn, above_place = worlds[parent] if parent else (np.eye(3), np.zeros(3))
        worlds[name] = above_turn @ turn, above_place + above_turn @ place
    return {name: place / 100.0 for name, (_, place) in worlds.items()}


def test_bvh_read_back_has_the_joints_of_the_bodies(tmp_path: Path) -> None:
    people = performers(shots(), made.body())
    written = write_bvh(tmp_path, people, rate_hz=4.0)
    assert [path.name for path in written] == [f"person_{number}.bvh" for number in range(4)]
    _, motion, step = read_bvh(written[0])
    assert len(motion) == 2 * (made.PICTURES - 1) + 1
    assert step == pytest.approx(0.25)
    for picture in (0, 3):
        scene, ids = made.scene_at(picture)
        truth = scene.ground.to_world(scene.people.joints_cam_m(made.body())[int(np.flatnonzero(ids == 0)[0]), :24])
        found = bvh_joints(written[0], 2 * picture)
        np.testing.assert_allclose([found[name] for name in SMPL24_NAMES], truth, atol=1e-3)


def test_between_pictures_joints_turn_the_shorter_way() -> None:
    person: Performer = performers(shots(), made.body())[0]
    middle = person.at(person.times_s[:-1] + 0.25)
    for joint in (0, 16):
        ends, half = person.rotations[joint], middle.rotations[joint]
        whole = (ends[:-1].inv() * ends[1:]).magnitude()
        np.testing.assert_allclose((ends[:-1].inv() * half).magnitude(), whole / 2, atol=1e-9)


def test_nobody_is_an_error() -> None:
    scene, ids = made.scene_at(0)
    nobody = Scene(scene.camera, scene.ground, scene.people[:0], scene.body, scene.image)
    with pytest.raises(NoPeopleFound):
        performers([Shot(0.0, nobody, ids[:0])], made.body())
