"""Scenes on disk: the lens comes back, and scenes of version 1, which had none, are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, Fisheye, GroundPlane, RadialTangential
from crowd3d.scene import write_predict_json
from crowd3d.types import ADDED, SCHEMA_VERSION, People, Scene

NOBODY = People(*(np.zeros((0, *s)) for s in ((24, 3), (10,), (3,), (2,), (3,))), np.zeros(0), np.zeros((0, 17, 3)))

SOMEBODY = People(*(np.zeros((2, *np.shape(value)[1:]), value.dtype) for value in vars(People.nobody()).values()))


@pytest.mark.parametrize("lens", [None, RadialTangential(k1=-0.3, p2=1e-3), Fisheye(k1=0.01)])
def test_the_lens_comes_back(tmp_path: Path, lens) -> None:
    scene = Scene(Camera(900.0, 905.0, 810.0, 440.0, 1600, 900, lens), GroundPlane.from_angles(0.3, 0.0, 5.0), NOBODY, "free", "a.jpg")
    scene.save(tmp_path)
    assert Scene.load(tmp_path).camera == scene.camera
    write_predict_json(tmp_path / "predict.json", [scene])
    extra = json.loads((tmp_path / "predict_extra.json").read_text())["a.jpg"]
    assert ("distortion" in extra) == (lens is not None)


@pytest.mark.parametrize("name", ["", "scene.npz", "scene.json"])
def test_a_result_is_named_by_its_folder_or_its_files(name: str, tmp_path: Path) -> None:
    Scene(Camera.from_fov(50.0, (100, 80)), GroundPlane.from_angles(0.3, 0.0, 5.0), NOBODY, "free", "a.jpg").save(tmp_path)
    assert Scene.load(tmp_path / name).image == "a.jpg"


def test_other_versions(tmp_path: Path) -> None:
    Scene(Camera.from_fov(50.0, (100, 80)), GroundPlane.from_angles(0.3, 0.0, 5.0), SOMEBODY, "free", "a.jpg").save(tmp_path)
    path = tmp_path / "scene.json"
    info = json.loads(path.read_text())
    del info["camera"]["distortion"]
    with np.load(tmp_path / "scene.npz") as arrays:
        np.savez(tmp_path / "scene.npz", **{name: array for name, array in arrays.items() if name not in ADDED})
    info["arrays"] = None
    path.write_text(json.dumps({**info, "schema_version": 1}))
    before = Scene.load(tmp_path)
    assert before.camera.distortion is None
    assert (before.people.plane_probability == 1).all()
    assert (before.people.off_ground_m == 0).all()
    path.write_text(json.dumps({**info, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(MissingAsset, match="schema"):
        Scene.load(tmp_path)


def test_arrays_of_another_run_are_refused(tmp_path: Path) -> None:
    scene = Scene(Camera.from_fov(50.0, (100, 80)), GroundPlane.from_angles(0.3, 0.0, 5.0), NOBODY, "free", "a.jpg")
    scene.save(tmp_path)
    one = People(*(np.ones((1, *np.shape(value)[1:]), value.dtype) for value in vars(People.nobody()).values()))
    Scene(scene.camera, scene.ground, one, "free", "a.jpg").save(tmp_path / "other")
    (tmp_path / "other" / "scene.npz").replace(tmp_path / "scene.npz")
    with pytest.raises(MissingAsset, match=r"scene\.json belongs to another scene\.npz"):
        Scene.load(tmp_path)


def test_a_scene_that_was_read_writes_the_same_bytes(tmp_path: Path) -> None:
    """Normals of length 1 but for rounding, as estimates have them, are not made unit once more."""
    rng = np.random.default_rng(3)
    for number in range(50):
        ground = GroundPlane.from_angles(*rng.uniform(-0.5, 1.5, 2), rng.uniform(2, 40))
        Scene(Camera.from_fov(50.0, (100, 80)), ground, NOBODY, "free", "a.jpg").save(tmp_path / "first")
        again = Scene.load(tmp_path / "first")
        again.save(tmp_path / "second")
        assert np.array_equal(again.ground.coefficients, ground.coefficients), number
        assert (tmp_path / "first" / "scene.json").read_bytes() == (tmp_path / "second" / "scene.json").read_bytes()
