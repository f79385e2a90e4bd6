"""Rigged GLB and BVH opened by Blender itself, where its Python module is installed: bodies, skeletons, camera and photograph are ours."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import made_sequence as made
import numpy as np
import pytest

from crowd3d.bodies.joints import SMPL24_NAMES
from crowd3d.export import write_bvh, write_rigged_glb
from crowd3d.export.rig import Shot, performers
from crowd3d.render.colours import HUES

# A process of its own: Blender keeps state, and writes what it likes.
READER = Path(__file__).with_name("blender_reader.py")
TIMES_S = (0.5, 2.0)
NOT_THERE_S = 3.0

pytestmark = pytest.mark.skipif(find_spec("bpy") is None, reason="Blender's module is not installed (370 MB): pip install bpy")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What Blender finds in the files of a photograph and of a sequence."""
    folder = tmp_path_factory.mktemp("blender")
    pictures = [made.scene_at(picture) for picture in range(made.PICTURES)]
    shots = [Shot(number * made.STEP_S, *one) for number, one in enumerate(pictures)]
    people, (scene, ids) = performers(shots, made.body()), pictures[1]
    three = performers([Shot(0.0, scene, ids)], made.body())[:3]
    write_rigged_glb(folder / "photograph.glb", scene, three, made.body(), HUES[:3], np.full((40, 60, 3), 128, np.uint8))
    write_rigged_glb(folder / "sequence.glb", scene, people, made.body(), HUES[: len(people)])
    files = ["photograph.glb", "sequence.glb", *(path.name for path in write_bvh(folder, people))]
    times = map(str, (*TIMES_S, NOT_THERE_S))
    subprocess.run([sys.executable, READER, "seen.npz", *times, "--", *files], cwd=folder, check=True, timeout=300)
    with np.load(folder / "seen.npz") as arrays:
        return dict(arrays)


def joints_of(picture: int, id_: int) -> np.ndarray:
    """(24, 3) true joints in the order of their names."""
    scene, ids = made.scene_at(picture)
    joints = scene.ground.to_world(scene.people.joints_cam_m(made.body())[int(np.flatnonzero(ids == id_)[0]), :24])
    return joints[np.argsort(SMPL24_NAMES)]


def test_a_photograph(seen: dict[str, np.ndarray]) -> None:
    armatures = {name.split("/")[1] for name in seen if name.startswith("photograph.glb/") and name.endswith("/bones")}
    assert armatures == {"person_0", "person_1", "person_2"}
    for id_ in range(3):
        bones = seen[f"photograph.glb/person_{id_}/bones"]
        assert bones.tolist() == sorted(f"person_{id_}_{name}" for name in SMPL24_NAMES)
        np.testing.assert_allclose(seen[f"photograph.glb/person_{id_}_body/mesh/0"], made.mesh_of(1, id_), atol=1e-4)
        np.testing.assert_allclose(seen[f"photograph.glb/person_{id_}/joints/0"], joints_of(1, id_), atol=1e-4)
    size = np.array([made.CAMERA.width, made.CAMERA.height])
    wide, high = seen["photograph.glb/photograph_camera/view_rad"]
    np.testing.assert_allclose(2.0 * np.tan([wide / 2.0, high / 2.0]), size / (made.CAMERA.fx, made.CAMERA.fy), rtol=1e-5)
    np.testing.assert_allclose(seen["photograph.glb/photograph_camera/place"], [0.0, made.GROUND.offset_m, 0.0], atol=1e-5)
    assert seen["photograph.glb/photograph/images"].tolist() == [[60, 40]]
    corners = made.CAMERA.project(made.GROUND.from_world(seen["photograph.glb/photograph/mesh/0"]))
    np.testing.assert_allclose(corners, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size, atol=0.1)


@pytest.mark.parametrize("number", range(len(TIMES_S)))
def test_a_sequence_moves(seen: dict[str, np.ndarray], number: int) -> None:
    picture = round(TIMES_S[number] / made.STEP_S)
    for id_ in range(4):
        np.testing.assert_allclose(seen[f"sequence.glb/person_{id_}_body/mesh/{number}"], made.mesh_of(picture, id_), atol=1e-3)


def test_who_is_not_in_sight_is_nothing(seen: dict[str, np.ndarray]) -> None:
    sizes = [np.ptp(seen[f"sequence.glb/person_{id_}_body/mesh/{len(TIMES_S)}"], axis=0).max() for id_ in (0, 3)]
    assert sizes[0] > 1.0
    assert sizes[1] < 1e-4


@pytest.mark.parametrize("number", range(len(TIMES_S)))
def test_bvh_has_everybodys_joints(seen: dict[str, np.ndarray], number: int) -> None:
    for id_ in range(4):
        # Motion begins with the first picture in which somebody is in sight.
        begin = min(picture for picture in range(made.PICTURES) if (picture, id_) not in made.GONE)
        picture = begin + round(TIMES_S[number] / made.STEP_S)
        if (picture, id_) in made.GONE:
            continue
        np.testing.assert_allclose(seen[f"person_{id_}.bvh/person_{id_}/joints/{number}"], joints_of(picture, id_), atol=1e-3)
