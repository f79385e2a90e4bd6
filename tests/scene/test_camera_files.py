"""Camera files of other programs, and what is wrong with bad ones in one line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, Fisheye, GroundPlane, RadialTangential
from crowd3d.scene.camera_files import read_camera_file

SIZE = (1600, 900)
K = [[900.0, 0, 810.0], [0, 905.0, 440.0], [0, 0, 1]]
LENS = RadialTangential(k1=-0.2, k2=0.05, p1=0.001, p2=-0.002, k3=0.003)
CAMERA = Camera(900.0, 905.0, 810.0, 440.0, *SIZE, LENS)
LISTED = [LENS.k1, LENS.k2, LENS.p1, LENS.p2, LENS.k3]


def written(path: Path, content) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["json", "yml"])
def test_opencv_file_storage(tmp_path, suffix):
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", SIZE[0])
    storage.write("image_height", SIZE[1])
    storage.write("camera_matrix", np.array(K))
    storage.write("distortion_coefficients", np.array(LISTED))
    storage.release()
    found = read_camera_file(path)
    assert found.camera == CAMERA
    assert found.ground is None
    half = found.for_image((800, 450))
    pixel = np.array([[30.0, 400.0]])
    np.testing.assert_allclose(half.rays(pixel / 2), CAMERA.rays(pixel), atol=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        {"camera_matrix": K, "dist_coeff": [LISTED], "image_width": 1600, "image_height": 900},
        {"cameraMatrix": K, "distCoeffs": LISTED, "imageSize": [1600, 900]},
        {"K": np.ravel(K).tolist(), "D": LISTED, "R": np.eye(3).ravel().tolist(), "P": [0.0] * 12, "width": 1600, "height": 900,
         "distortion_model": "plumb_bob"},
        {"fl_x": 900, "fl_y": 905, "cx": 810, "cy": 440, "w": 1600, "h": 900, "k1": -0.2, "k2": 0.05, "k3": 0.003, "k4": 0, "p1": 0.001,
         "p2": -0.002, "camera_model": "OPENCV", "frames": [{"file_path": "images/a.jpg", "transform_matrix": np.eye(4).tolist()}]},
        {"fx": 900, "fy": 905, "cx": 810, "cy": 440, "width": 1600, "height": 900, "distortion": asdict(LENS)},
        {"fx": 900, "fy": 905, "cx": 810, "cy": 440, "width": 1600, "height": 900, "k1": -0.2, "k2": 0.05,
         "k3": 0.003, "p1": 0.001, "p2": -0.002},
        {"camera": asdict(CAMERA), "ground": None},
    ],
)  # fmt: skip
def test_json_of_everybody(tmp_path, values):
    assert read_camera_file(written(tmp_path / "c.json", values)).camera == CAMERA


def test_ros_yaml(tmp_path):
    text = f"""image_width: 1600
image_height: 900
camera_name: left
camera_matrix:
  rows: 3
  cols: 3
  data: {np.ravel(K).tolist()}
distortion_model: equidistant
distortion_coefficients: {{rows: 1, cols: 4, data: [0.01, -0.002, 0.0003, 0.0]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]}}
"""
    assert read_camera_file(written(tmp_path / "c.yaml", text)).camera == replace(CAMERA, distortion=Fisheye(0.01, -0.002, 0.0003))


def test_colmap(tmp_path):
    header = "# Camera list with one line of data per camera:\n"
    two = header + "1 OPENCV 1600 900 900 905 810 440 -0.2 0.05 0.001 -0.002\n2 SIMPLE_RADIAL 1600 900 700 800 450 0.01\n"
    path = written(tmp_path / "cameras.txt", two)
    with pytest.raises(MissingAsset, match="2 cameras"):
        read_camera_file(path, "b.jpg")
    written(tmp_path / "images.txt", "# comment\n1 1 0 0 0 0 0 0 1 a.jpg\n10 20 -1\n2 1 0 0 0 0 0 0 2 sub/b.jpg\n\n")
    assert read_camera_file(path, "b.jpg").camera == Camera(700, 700, 800, 450, 1600, 900, RadialTangential(k1=0.01))
    assert read_camera_file(path, "a.png").camera == replace(CAMERA, distortion=replace(LENS, k3=0.0))
    with pytest.raises(MissingAsset, match="FOV"):
        read_camera_file(written(path, "1 FOV 1600 900 900 905 810 440 0.9\n"))


def test_nerfstudio_frames_of_their_own(tmp_path):
    focals = {"a": 700, "b": 900}
    frames = [{"file_path": f"./images/{name}.png", "fl_x": focal, "cx": 800, "cy": 450} for name, focal in focals.items()]
    path = written(tmp_path / "transforms.json", {"w": 1600, "h": 900, "frames": frames})
    assert read_camera_file(path, "b.jpg").camera.fx == 900
    with pytest.raises(MissingAsset, match=r"none is called c\.jpg"):
        read_camera_file(path, "c.jpg")
    angle = written(tmp_path / "blender.json", {"camera_angle_x": np.pi / 2, "w": 1600, "h": 900, "frames": []})
    assert read_camera_file(angle).camera.fx == pytest.approx(800)


def test_pose_gives_the_ground(tmp_path):
    rng = np.random.default_rng(0)
    ground = GroundPlane.from_angles(0.4, 0.05, 6.5)
    # a world with z up, or with z down as OpenCV's boards have it, turned and moved anyhow on the plane
    for up in (1.0, -1.0):
        right = np.cross(ground.normal, rng.normal(size=3))
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(up * ground.normal, right), up * ground.normal], 1)
        origin = -ground.offset_m * ground.normal + 7.0 * right
        values = {"camera_matrix": K, "rvec": cv2.Rodrigues(axes)[0].ravel().tolist(), "tvec": origin.tolist()}
        found = read_camera_file(written(tmp_path / "c.json", values)).ground
        assert found is not None
        np.testing.assert_allclose(found.coefficients, ground.coefficients, atol=1e-9)
        both = {"camera_matrix": K, "R": axes.tolist(), "t": origin.tolist()}
        np.testing.assert_allclose(read_camera_file(written(tmp_path / "c.json", both)).ground.coefficients, ground.coefficients, atol=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fx": 900, "cx": 810}, "no cy"),
        ({"fx": -900, "fy": 900, "cx": 810, "cy": 440}, "positive"),
        ({"fx": float("nan"), "fy": 900, "cx": 810, "cy": 440}, "finite"),
        ({"camera_matrix": [[900, 0], [0, 900]]}, "4 numbers|no fx|positive|belong"),
        ({"camera_matrix": K, "dist_coeffs": [0.1, 0, 0, 0, 0, 0, 0, 0, 0.2, 0, 0, 0]}, "undistort"),
        ({"camera_matrix": K, "distortion_model": "thin_prism"}, "thin_prism"),
        ({"camera_matrix": K, "rvec": [0, 0, 0]}, "both a rotation"),
        ({"camera_matrix": K, "R": (2 * np.eye(3)).tolist(), "t": [0, 0, 1]}, "no rotation matrix"),
        ({"camera_matrix": "a"}, "not made of numbers"),
        ([1, 2], "no named values"),
        ("{broken", "no valid JSON"),
        ("a: [1\n", "neither JSON"),
        ("", "no named values"),
    ],
)
def test_bad_files_are_one_line(tmp_path, content, message):
    path = written(tmp_path / "bad.json", content)
    with pytest.raises(MissingAsset, match=message) as caught:
        read_camera_file(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_of_another_photograph(tmp_path):
    found = read_camera_file(written(tmp_path / "c.json", {"camera_matrix": K, "image_width": 1600, "image_height": 900}))
    with pytest.raises(MissingAsset, match="1600 × 900"):
        found.for_image((1600, 1200))
    unsized = read_camera_file(written(tmp_path / "c.json", {"camera_matrix": K}))
    with pytest.raises(MissingAsset, match="principal point"):
        unsized.for_image((700, 400))
    folded = read_camera_file(written(tmp_path / "c.json", {"camera_matrix": K, "dist_coeffs": [-0.6, 0, 0, 0]}))
    with pytest.raises(MissingAsset, match="folds"):
        folded.for_image(SIZE)
    millimetres = read_camera_file(written(tmp_path / "c.json", {"fx": 35, "cx": 800, "cy": 450}))
    with pytest.raises(MissingAsset, match="millimetres"):
        millimetres.for_image(SIZE)
    with pytest.raises(MissingAsset, match="No such file"):
        read_camera_file(tmp_path / "none.json")
