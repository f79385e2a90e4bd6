"""The release's files, position uncertainty, and the command."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.cli import ground as verb
from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import (
    POPULATION_SIGMA,
    StaturePrior,
    estimate_ground,
    ground_position_covariance,
    read_release_ground,
    trans_ground,
    write_release_ground,
)
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.scene.camera_files import read_camera_file

SIZE = (19200, 6480)
CAMERA = Camera.from_fov(50.0, SIZE)
GROUND = GroundPlane.from_angles(0.25, 0.02, 12.0)


def test_trans_ground_on_a_published_plane() -> None:
    """playground1_00 of the release: 15.934 m before, 16.034 m after."""
    raw = np.array([-0.0245936, -0.9854221, -0.1683400, 15.9340339])
    np.testing.assert_allclose(trans_ground(raw), [-0.0245936, -0.9854221, -0.1683400, 16.0340339], atol=1e-6)
    np.testing.assert_allclose(trans_ground(-2.0 * raw), 2.0 * trans_ground(raw), atol=1e-6)
    assert raw[3] == 15.9340339


def test_release_files(tmp_path: Path) -> None:
    write_release_ground(tmp_path / "mid", tmp_path / "ground", CAMERA, GROUND)
    mid, soles = np.load(tmp_path / "mid" / "ground.npy"), np.load(tmp_path / "ground" / "ground.npy")
    assert mid.dtype == soles.dtype == np.load(tmp_path / "mid" / "cam_para.npy").dtype == np.float32
    shape = np.load(tmp_path / "ground" / "scene_shape.npy")
    assert shape.dtype == np.int64
    assert shape.tolist() == list(SIZE)
    np.testing.assert_allclose(trans_ground(mid), soles, atol=1e-5)
    camera, ground = read_release_ground(tmp_path / "ground")
    assert camera.fx == pytest.approx(CAMERA.fx, rel=1e-6)
    np.testing.assert_allclose(ground.coefficients, GROUND.coefficients, rtol=1e-6)


def test_unreadable_release_files(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match=r"ground\.npy"):
        read_release_ground(tmp_path)
    write_release_ground(tmp_path / "mid", tmp_path / "ground", CAMERA, GROUND)
    np.save(tmp_path / "mid" / "cam_para.npy", np.eye(4))
    with pytest.raises(MissingAsset, match="shape"):
        read_release_ground(tmp_path / "mid")


def test_position_covariance_matches_sampling() -> None:
    rng = np.random.default_rng(0)
    root = np.diag([0.02, 0.004, 0.002, 0.02]) @ np.array([[1, 0, 0, 0], [-0.8, 0.6, 0, 0], [0.1, 0, 1, 0], [-0.5, 0, 0, 0.8]])
    pixels = np.array([[3000.0, 5000.0], [9600.0, 3000.0], [15000.0, 6000.0]])
    sigma = np.array([5.0, 20.0, 0.0])
    samples = []
    for draw in rng.normal(size=(3000, 4)) @ root.T:
        camera = Camera.from_focal(CAMERA.fx * np.exp(draw[0]), SIZE)
        ground = GroundPlane.from_angles(0.25 + draw[1], 0.02 + draw[2], 12.0 * np.exp(draw[3]))
        noisy = pixels + sigma[:, None] * rng.normal(size=pixels.shape)
        samples.append(ground.to_world(ground.intersect(camera, noisy))[:, [0, 2]])
    sampled = np.array([np.cov(person.T) for person in np.swapaxes(samples, 0, 1)])
    expected = ground_position_covariance(CAMERA, GROUND, root @ root.T, pixels, sigma)
    for one, other in zip(sampled, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=0.12 * np.trace(other))


def test_position_above_the_horizon_is_nan() -> None:
    sky = np.array([[9600.0, -4000.0]])
    assert np.isnan(ground_position_covariance(CAMERA, GROUND, np.eye(4) * 1e-6, sky, np.ones(1))).all()


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(arguments)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keypoints = simulate_crowd(CAMERA, GROUND, 100, np.random.default_rng(1)).keypoints
    np.save(tmp_path / "people.npy", keypoints)
    args = (str(tmp_path / "people.npy"), "--size", "19200", "6480", "--output", str(tmp_path / "out"))
    assert verb.run(parse(*args)) == 0
    report = json.loads((tmp_path / "out" / "ground.json").read_text())
    expected = estimate_ground(keypoints, SIZE, stature=StaturePrior(mean_sigma=POPULATION_SIGMA))
    assert report["fov_x_deg"] == pytest.approx(expected.camera.fov_x_deg)
    out = capsys.readouterr().out
    assert f"{expected.ground.offset_m:.2f}" in out
    assert "mean stature of 1.70 m" in out
    assert f"warning: {report['assumption']}" in out
    low, high = report["height_range_m"]
    assert low < 0.75 * report["height_m"] < report["height_m"] < high < 1.2 * report["height_m"]
    assert f"({low:.1f} to {high:.1f} m" in out
    assert len(report["levels"]) == 1
    assert report["sigma"]["height_m"] > 0.03 * report["height_m"]
    assert read_release_ground(tmp_path / "out" / "ground")[1].offset_m == pytest.approx(expected.ground.offset_m, rel=1e-6)


def test_command_with_knowns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "people.npy", simulate_crowd(CAMERA, GROUND, 60, np.random.default_rng(1)).keypoints)
    (tmp_path / "camera.json").write_text(json.dumps({"fx": CAMERA.fx, "fy": CAMERA.fy, "cx": 9600, "cy": 3240}))
    base = (str(tmp_path / "people.npy"), "--size", "19200", "6480")
    for extra in (("--fov_deg", "50"), ("--focal_px", str(CAMERA.fx)), ("--camera_json", str(tmp_path / "camera.json"))):
        verb.run(parse(*base, *extra))
        assert "view 50.00 ± 0.00" in capsys.readouterr().out
    verb.run(parse(*base, "--camera_height", "12"))
    assert "height 12.00 ± 0.00 m" in capsys.readouterr().out


def test_command_finds_another_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """150 people 12 m below the camera, 60 people 8 m below it; found by itself, and told by a mask on the image's rows."""
    rng = np.random.default_rng(2)
    crowds = [simulate_crowd(CAMERA, GroundPlane.from_angles(0.25, 0.02, height), n, rng) for height, n in ((12.0, 150), (8.0, 60))]
    np.save(tmp_path / "people.npy", np.concatenate([crowd.keypoints for crowd in crowds]))
    base = (str(tmp_path / "people.npy"), "--size", "19200", "6480", "--output", str(tmp_path))
    verb.run(parse(*base))
    told = capsys.readouterr().out.split("on another level, ")[1]
    assert 3.4 < float(told.split()[0]) < 4.6
    assert "m higher" in told
    level = np.array(json.loads((tmp_path / "ground.json").read_text())["level"])
    assert (level[:150] == 0).mean() > 0.9
    assert (level[150:] == 1).mean() > 0.9
    verb.run(parse(*base, "--levels", "1"))
    level = np.array(json.loads((tmp_path / "ground.json").read_text())["level"])
    assert (level[150:] == -1).mean() > 0.8


def test_mask_tells_levels(tmp_path: Path) -> None:
    mask = np.zeros((65, 192), np.uint8)
    mask[:, 96:] = 9
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    keypoints = np.full((4, 17, 3), 0.8)
    keypoints[..., :2] = np.array([[100.0, 100.0], [9700.0, 3000.0], [25000.0, 100.0], [19100.0, 6400.0]])[:, None]
    assert verb.level_labels(tmp_path / "mask.png", keypoints, SIZE).tolist() == [-1, 9, -1, 9]
    with pytest.raises(MissingAsset, match="mask"):
        verb.level_labels(tmp_path / "absent.png", keypoints, SIZE)


def test_camera_files(tmp_path: Path) -> None:
    """scene.json's and K's form, another size, with and without the ground; nonsense is refused."""
    path = tmp_path / "camera.json"
    scene = {"camera": vars(CAMERA), "ground": GROUND.coefficients.tolist()}
    half = {"K": [[CAMERA.fx / 2, 0, 4800], [0, CAMERA.fy / 2, 1620], [0, 0, 1]], "width": 9600, "height": 3240}
    angles = {**vars(CAMERA), "height_m": 12.0, "tilt_deg": np.rad2deg(0.25), "roll_deg": np.rad2deg(0.02)}
    for values, ground in ((scene, True), (half, False), (angles, True), (vars(CAMERA), False)):
        path.write_text(json.dumps(values))
        file = read_camera_file(path)
        plane = file.ground
        np.testing.assert_allclose(file.for_image(SIZE).K, CAMERA.K)
        assert (file.height_m, file.ground_covariance) == (None, None)
        assert (plane is not None) == ground
        if plane is not None:
            np.testing.assert_allclose(plane.coefficients, GROUND.coefficients, atol=1e-12)
    path.write_text(json.dumps({**vars(CAMERA), "ground": None, "height_m": 5}))
    assert (read_camera_file(path).ground, read_camera_file(path).height_m) == (None, 5.0)
    square = {**vars(CAMERA), "height": CAMERA.width}
    for bad in ({**scene, "ground": [1, 2]}, square, {**vars(CAMERA), "fx": -1}, {**vars(CAMERA), "tilt_deg": "3°"}, [1]):
        path.write_text(json.dumps(bad))
        with pytest.raises(MissingAsset, match="cannot read camera"):
            read_camera_file(path).for_image(SIZE)


def test_command_reports_bad_files(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((4, 51)))
    with pytest.raises(MissingAsset, match="shape"):
        verb.run(parse(str(tmp_path / "flat.npy"), "--size", "100", "100"))
    with pytest.raises(MissingAsset, match="cannot read keypoints"):
        verb.run(parse(str(tmp_path / "absent.npy"), "--size", "100", "100"))
    np.save(tmp_path / "people.npy", np.zeros((4, 17, 3)))
    (tmp_path / "camera.json").write_text("{}")
    with pytest.raises(MissingAsset, match="cannot read camera"):
        verb.run(parse(str(tmp_path / "people.npy"), "--size", "100", "100", "--camera_json", str(tmp_path / "camera.json")))
