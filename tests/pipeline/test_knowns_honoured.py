"""Height, distance, stature and camera are honoured in whole runs, alone and together, photograph and sequence, after optimising too."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crowd3d.cli import reconstruct
from crowd3d.cli.run import run_cli
from crowd3d.files import write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import StaturePrior
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.types import Scene

SIZE = (1600, 900)
CAMERA, GROUND = Camera.from_focal(1450.0, SIZE), GroundPlane.from_angles(np.deg2rad(20.0), 0.02, 6.0)
STATURE_M = 1.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blank photograph, a folder of two, and the keypoints of people of 1.3 m, seen from 6 m."""
    root = tmp_path_factory.mktemp("crowd")
    crowd = simulate_crowd(CAMERA, GROUND, 50, np.random.default_rng(7), stature=StaturePrior(mean_m=STATURE_M, sd_m=0.05, child_share=0.0))
    write_npy(root / "keypoints.npy", crowd.keypoints)
    people = [{"category_id": 1, "score": 0.9, "keypoints": person.ravel().tolist()} for person in crowd.keypoints]
    (root / "keypoints.json").write_text(json.dumps([{**person, "image_id": f"{name}.png"} for name in ("a", "b") for person in people]))
    blank = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    (root / "pictures").mkdir()
    for path in (root / "photo.png", root / "pictures" / "a.png", root / "pictures" / "b.png"):
        cv2.imwrite(str(path), blank)
    (root / "camera.json").write_text(json.dumps({"camera": asdict(CAMERA), "ground": (2.0 * GROUND.coefficients).tolist()}))
    (root / "lens.json").write_text(json.dumps(asdict(CAMERA)))
    return root


def run(root: Path, work: Path, *given: str, sequence: bool = False) -> Scene:
    source = root / ("pictures" if sequence else "photo.png")
    keypoints = root / ("keypoints.json" if sequence else "keypoints.npy")
    arguments = [str(source), "--pose_backend", "file", "--keypoints", str(keypoints), "--save_mid_folder", str(work / "mid")]
    arguments += ["--save_res_folder", str(work / "res"), "--part_params", "100", "300", "50", "900", "--optimise", "none", *given]
    assert run_cli(reconstruct.add_arguments, reconstruct.run, arguments) == 0
    return Scene.load(work / "res" / "pictures" / "frames" / "b" if sequence else work / "res" / "photo")


def distances_m(scene: Scene) -> dict[bytes, float]:
    """How far everybody stands from the camera, by their keypoints."""
    return dict(
        zip((keypoints.tobytes() for keypoints in scene.people.keypoints_px), np.linalg.norm(scene.people.hvip_cam_m, axis=1), strict=True)
    )


@pytest.mark.parametrize("sequence", [False, True])
def test_together(folder: Path, tmp_path: Path, sequence: bool) -> None:
    lens, world = ["--camera_json", str(folder / "lens.json")], ["--camera_json", str(folder / "camera.json")]
    plain = run(folder, tmp_path, *lens, sequence=sequence)
    assert plain.camera == CAMERA
    assert plain.ground.offset_m > 1.1 * GROUND.offset_m
    assert any("1.70" in remark for remark in plain.remarks)
    told = run(folder, tmp_path, *lens, "--stature", str(STATURE_M), sequence=sequence)
    assert told.ground.offset_m == pytest.approx(6.0, rel=0.12)
    given = run(folder, tmp_path, *world, sequence=sequence)
    assert (given.camera, given.ground_covariance) == (CAMERA, None)
    np.testing.assert_allclose(given.ground.coefficients, GROUND.coefficients, atol=1e-6)
    scaled = run(folder, tmp_path, *world, "--camera_height", "7.5", sequence=sequence)
    assert scaled.ground.offset_m == pytest.approx(7.5)
    np.testing.assert_allclose(scaled.ground.normal, GROUND.normal, atol=1e-6)
    away, nearer = distances_m(scaled), distances_m(given)
    both = away.keys() & nearer.keys()
    assert len(both) > 40
    np.testing.assert_allclose([away[who] / nearer[who] for who in both], 7.5 / 6.0, rtol=0.1)
    assert np.mean([away[who] / nearer[who] for who in both]) == pytest.approx(7.5 / 6.0, rel=0.01)
    wide = run(folder, tmp_path, "--fov_deg", "50", "--camera_height", "5", sequence=sequence)
    assert wide.camera.fov_x_deg == pytest.approx(50.0)
    assert wide.ground.offset_m == pytest.approx(5.0)
    ends = CAMERA.project(GROUND.from_world(np.array([[-2.0, 0.0, -14.0], [3.0, 0.0, -15.0]])))
    points = [*map(str, ends.ravel()), str(float(np.hypot(5.0, 1.0)))]
    measured = run(folder, tmp_path, *lens, "--scale_points", *points, sequence=sequence)
    assert measured.ground.offset_m == pytest.approx(6.0, rel=0.03)


def test_optimising_all_keeps_the_scale_that_the_stature_gives(folder: Path, tmp_path: Path) -> None:
    found = run(folder, tmp_path, "--fov_deg", str(CAMERA.fov_x_deg), "--stature", str(STATURE_M), "--optimise", "all")
    assert found.ground.offset_m == pytest.approx(6.0, rel=0.12)


def test_a_second_opinion_is_asked_and_counts(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []

    class StandIn:
        def to(self, device: str) -> StandIn:
            return self

        def calibrate(self, img: torch.Tensor) -> dict:
            pictures.append(tuple(img.shape))
            focal = torch.tensor([[0.5 * img.shape[2]] * 2])  # half of the people's
            spread = {"focal": float(0.01 * focal[0, 0]), "roll": 0.01, "pitch": 0.01}
            vector = torch.tensor([GROUND.normal.tolist()])
            answers = {f"{key}_uncertainty": torch.tensor([value]) for key, value in spread.items()}
            return {"camera": types.SimpleNamespace(f=focal), "gravity": types.SimpleNamespace(vec3d=vector), **answers}

    package = types.ModuleType("geocalib")
    package.GeoCalib = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "geocalib", package)
    alone = run(folder, tmp_path)
    told = run(folder, tmp_path, "--opinion", "geocalib")
    assert pictures == [(3, 720, 1280)]
    assert told.camera.fx < 0.99 * alone.camera.fx
    exact = run(folder, tmp_path, "--opinion", "geocalib", "--camera_json", str(folder / "camera.json"))
    assert (exact.camera, len(pictures)) == (CAMERA, 1)
