"""What cannot be meant is one line, before the first pixel is read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from crowd3d.cli import ground, inference, process, reconstruct
from crowd3d.cli.camera import add_camera_arguments, check_camera_arguments, known_of
from crowd3d.cli.run import run_cli
from crowd3d.errors import BadConfig
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import People, Scene

SIZE = (1600, 900)
BAD = [
    (["--fov_deg", "0"], "field of view"), (["--fov_deg", "-20"], "field of view"), (["--fov_deg", "nan"], "field of view"),
    (["--fov_deg", "180"], "180"), (["--fov_deg", "400"], "180"), (["--focal_px", "0"], "focal length"), (["--focal_px", "inf"], "focal"),
    (["--focal_px", "-5"], "focal length"), (["--exif_focal_px", "0"], "focal length"), (["--exif_focal_px", "nan"], "focal length"),
    (["--camera_height", "0"], "camera height"), (["--camera_height", "-9"], "camera height"),
    (["--camera_height", "nan"], "camera height"),
    (["--camera_height", "904"], "centimetres"), (["--stature", "0"], "stature"), (["--stature", "nan"], "stature"),
    (["--stature", "170"], "centimetres"), (["--scale_points", "1", "2", "3", "4", "0"], "distance"),
    (["--scale_points", "1", "2", "1", "2", "5"], "same pixel"), (["--scale_points", "1", "nan", "3", "4", "5"], "finite"),
    (["--camera_json", "absent.json"], "absent.json"), (["--opinion", "geocalib"], "pip install"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "word"), BAD)
@pytest.mark.parametrize("command", [process, inference, reconstruct, ground])
def test_one_line_before_the_first_pixel(command, given, word, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # neither photograph nor keypoints can be read: whoever looks at them first says something else
    absent = str(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes(b"no picture")
    first = {reconstruct: [absent], ground: [str(tmp_path / "none.npy"), "--size", "10", "10"]}.get(command, ["--scene_image_path", absent])
    assert run_cli(command.add_arguments, command.run, [*first, *given]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert word in lines[0]


def known(*arguments: str):
    parser = argparse.ArgumentParser()
    add_camera_arguments(parser)
    args = parser.parse_args(arguments)
    check_camera_arguments(args, "photo.jpg")
    return known_of(args, SIZE, "photo.jpg")


def test_exif_can_be_refused() -> None:
    assert known().use_exif
    assert not known("--no_exif").use_exif


def test_a_ground_in_a_file_with_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    values = {"fx": 1400, "fy": 1400, "cx": 800, "cy": 450}
    path.write_text(json.dumps({**values, "height_m": 904, "tilt_deg": 28.5}))
    with pytest.raises(BadConfig, match=r"give 9\.04"):
        known("--camera_json", str(path))
    assert known("--camera_json", str(path), "--camera_height", "9").world[1].offset_m == 9.0
    path.write_text(json.dumps({**values, "height_m": 9, "tilt_deg": 28.5}))
    exact = known("--camera_json", str(path), "--stature", "1.2")
    assert exact.world[1].offset_m == 9.0
    assert exact.stature.mean_m == 1.2
    path.write_text(json.dumps({**values, "tilt_deg": 28.5, "roll_deg": 2}))
    direction = known("--camera_json", str(path))
    assert direction.world is None
    assert np.rad2deg([direction.knowns.tilt_rad, direction.knowns.roll_rad]) == pytest.approx([28.5, 2.0])
    assert known("--camera_json", str(path), "--camera_height", "9").world[1].tilt_rad == pytest.approx(np.deg2rad(28.5))
    path.write_text(json.dumps({**values, "height_m": 5}))
    assert known("--camera_json", str(path)).height_m == 5.0
    assert known("--camera_json", str(path), "--camera_height", "6").height_m == 6.0


def test_a_scene_is_a_camera_file_that_knows_its_doubt(tmp_path: Path) -> None:
    nobody = People(*(np.zeros((0, *s)) for s in ((24, 3), (10,), (3,), (2,), (3,))), np.zeros(0), np.zeros((0, 17, 3)))
    camera, plane = Camera.from_focal(1400.0, SIZE), GroundPlane.from_angles(0.4, 0.0, 5.0)
    covariance = np.diag([0.02, 0.01, 0.01, 0.06]) ** 2
    Scene(camera, plane, nobody, "free", "photo.jpg", covariance).save(tmp_path)
    path = str(tmp_path / "scene.json")
    again = known("--camera_json", path)
    assert again.world[0] == camera
    np.testing.assert_allclose(again.world[1].coefficients, plane.coefficients)
    np.testing.assert_array_equal(again.world_covariance, covariance)
    # its height was an estimate: another stature makes another one of it, a measured height replaces it
    assert known("--camera_json", path, "--stature", "1.2").world is None
    assert known("--camera_json", path, "--stature", "1.2", "--camera_height", "4").world[1].offset_m == 4.0
