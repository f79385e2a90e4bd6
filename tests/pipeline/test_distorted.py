"""A photograph through a distorting lens, with its camera file: everybody stands where the undistorted photograph puts them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.cli import reconstruct
from crowd3d.cli.run import run_cli
from crowd3d.files import write_npy
from crowd3d.geometry import Camera, Fisheye, GroundPlane, RadialTangential
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.types import Scene

SIZE = (1600, 900)
PLAIN, GROUND = Camera(1450.0, 1450.0, 820.0, 440.0, *SIZE), GroundPlane.from_angles(np.deg2rad(20.0), 0.02, 6.0)
LENSES = {"plain": None, "radial": RadialTangential(k1=-0.3), "fisheye": Fisheye(k1=-0.01)}


@pytest.mark.parametrize("optimise", ["none", "all"])
def test_positions_are_those_of_the_undistorted_photograph(tmp_path: Path, optimise: str) -> None:
    crowd = simulate_crowd(PLAIN, GROUND, 60, np.random.default_rng(5)).keypoints
    inside = ((crowd[..., :2] > 20) & (crowd[..., :2] < np.array(SIZE) - 20)).all((1, 2))
    crowd = crowd[inside]
    places = {}
    for name, lens in LENSES.items():
        camera = replace(PLAIN, distortion=lens)
        seen = np.concatenate([camera.from_ideal_px(crowd[..., :2]), crowd[..., 2:]], -1)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
        write_npy(tmp_path / f"{name}.npy", seen)
        (tmp_path / f"{name}.json").write_text(json.dumps(asdict(camera)))
        given = ["--pose_backend", "file", "--keypoints", str(tmp_path / f"{name}.npy"), "--camera_json", str(tmp_path / f"{name}.json")]
        given += ["--save_mid_folder", str(tmp_path / "mid" / name), "--save_res_folder", str(tmp_path / "res"), "--optimise", optimise]
        assert run_cli(reconstruct.add_arguments, reconstruct.run, [str(tmp_path / f"{name}.png"), *given]) == 0
        scene = Scene.load(tmp_path / "res" / name)
        assert scene.camera == camera
        assert len(scene.people) > 0.9 * len(crowd)
        np.testing.assert_allclose(camera.project(scene.people.hvip_cam_m), scene.people.hvip_px, atol=0.01)
        rows = [int(np.argmin(np.abs(seen[..., :2] - person[..., :2]).sum((1, 2)))) for person in scene.people.keypoints_px]
        places[name] = dict(zip(rows, scene.people.hvip_cam_m, strict=True))
        assert (tmp_path / "res" / name / "overlay.jpg").is_file()
    for name in ("radial", "fisheye"):
        both = sorted(set(places["plain"]) & set(places[name]))
        assert len(both) > 0.9 * len(crowd)
        plain, bent = (np.array([places[which][row] for row in both]) for which in ("plain", name))
        off = np.linalg.norm(bent - plain, axis=1) / np.linalg.norm(plain, axis=1)
        assert np.median(off) < 0.005
        assert off.max() < 0.02
