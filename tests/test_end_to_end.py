"""The two scripts as a user runs them, on a small synthetic crowd whose truth is known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_up_release import calm_entries

from crowd3d.bodies import load_body
from crowd3d.cli.main import main
from crowd3d.evaluation import evaluate, load_truth
from crowd3d.evaluation.truth import Truth
from crowd3d.imaging import parse_tile_name
from crowd3d.model import Crowd3DNet, load_weights, save_weights
from crowd3d.pipeline.photo_models import photo_models
from crowd3d.pose.alphapose_json import read_alphapose
from crowd3d.pose.observations import Observations
from crowd3d.scene import read_all_result, validate_predict_json
from crowd3d.settings import load_settings
from crowd3d.types import Scene, TileLayout

ROOT = Path(__file__).resolve().parents[1]
NAME = "crowd no. 1"
NO_NETWORKS = tempfile.TemporaryDirectory(prefix="crowd3d-tests-")
"""Nothing was fetched into this folder; compiled networks are kept in it."""


def script(name: str, *arguments: object, cwd: Path = ROOT, fetched: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a script of single_image/ and return what it said; it sees no `fetched` networks unless it is to use them."""
    command = [sys.executable, str(ROOT / "single_image" / f"{name}.py"), *map(str, arguments)]
    environment = dict(os.environ) if fetched else {**os.environ, "CROWD3D_MODELS": NO_NETWORKS.name}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scene, and both scripts run on it from elsewhere."""
    folder = tmp_path_factory.mktemp("a path with spaces.and dots")
    scene = ["--output", str(folder), "--people", "40", "--size", "4096x1400", "--camera", "playground1_00", "--seed", "3"]
    subprocess.run([sys.executable, "-m", "crowd3d.cli.main", "synthesize", *scene], check=True, capture_output=True)
    image = (folder / "image.jpg").rename(folder / f"{NAME}.jpg")
    for name in ("process", "inference"):
        done = script(name, *_arguments(folder, image, name), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def _arguments(folder: Path, image: Path, name: str) -> list[object]:
    common = ["--scene_image_path", image, "--save_mid_folder", folder / "mid"]
    return common if name == "process" else [*common, "--save_res_folder", folder / "out", "--save_mesh", "--save_mesh_mode", "multi"]


def test_the_files_of_the_release(folder):
    mid = folder / "mid"
    boxes, row_col = np.load(mid / "position.npy"), np.load(mid / "row_col.npy")
    assert boxes.dtype == row_col.dtype == np.int64
    names = [parse_tile_name(path.name) for path in (mid / "part_images_scale").iterdir()]
    assert {tuple(name[3:]) for name in names} == set(map(tuple, boxes.tolist()))
    assert {name.name for name in names} == {NAME}
    keypoints = np.load(mid / "joints_2d_alphapose_merge.npy")
    standing = np.load(mid / "joints_2d_alphapose_merge_filter.npy")
    assert keypoints.shape[1:] == standing.shape[1:] == (17, 3)
    assert 0 < len(standing) <= len(keypoints)
    sightings, _ = read_alphapose(mid / "alphapose-results-scale.json", TileLayout(boxes, row_col, (4096, 1400)), least_score=0.0)
    nearest = np.abs(sightings[:, None, :, :2] - keypoints[None, :, :, :2]).max((2, 3)).min(1)
    assert nearest.max() < 0.01, "tile pixels lead back to the scene's keypoints"
    occupied = json.loads((mid / "have_people_image_name.json").read_text())
    assert set(occupied) <= {path.name for path in (mid / "part_images_scale").iterdir()}
    raw, lowered = (np.load(mid / "ground_mid" / part / "ground.npy") for part in ("mid", "ground"))
    assert raw.dtype == np.float32
    np.testing.assert_allclose(lowered[:3], raw[:3])
    assert lowered[3] - raw[3] == pytest.approx(0.1, abs=1e-5)
    assert np.load(mid / "ground_mid" / "ground" / "scene_shape.npy").tolist() == [4096, 1400]


def test_results_agree_with_each_other(folder):
    results = folder / "out" / NAME
    scene = Scene.load(results)
    predict = validate_predict_json(results / "predict.json")
    frame = json.loads((results / "predict.json").read_text())[f"{NAME}.jpg"]
    assert predict is None or predict
    assert any("mean stature" in remark for remark in scene.remarks), "what the scale rests on"
    assert len(frame["person_list"]) == len(scene.people)
    np.testing.assert_allclose([p["trans_cam"] for p in frame["person_list"]], scene.people.translation_cam_m, atol=1e-5)
    np.testing.assert_allclose(frame["Intrinsic_matrix"], scene.camera.K, rtol=1e-6)
    assert not (results / "all_result.pkl").exists(), "without --weights no Crowd3DNet runs"
    lowest = scene.ground.signed_distance(scene.people.vertices_cam_m(load_body(scene.body))).min(1)
    np.testing.assert_allclose(lowest, scene.people.off_ground_m, atol=0.03)
    assert (scene.people.off_ground_m == 0).sum() >= len(scene.people) - 1, "everybody but a statue stands on the ground"
    overlay = cv2.imread(str(results / "overlay.jpg"))
    assert overlay.shape == (1400, 4096, 3)
    for name in ("overview.jpg", "topview.png", "crowd.glb", "people.csv", "extract_mesh/ground.obj", f"extract_mesh/{NAME}.obj"):
        assert (results / name).stat().st_size > 100, name


def figures_of(scene: Scene, truth: Truth) -> dict[str, float]:
    bodies = {"body_pred": load_body(scene.body), "body_true": load_body(truth.scene.body)}
    return evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, **bodies)


def test_accuracy(folder):
    """A small crowd is hard for the ground; the bounds are loose, the benchmark reports the figures."""
    truth = load_truth(folder / "truth.npz")
    scene = Scene.load(folder / "out" / NAME)
    figures = figures_of(scene, truth)
    assert figures["recall"] >= 0.75
    assert figures["precision"] >= 0.7
    assert figures["normal_error_deg"] < 3
    assert figures["pcod"] > 70
    assert figures["mpjpe_mm"] < 180


def test_second_run_keeps_everything(folder):
    files = [path for part in ("mid", "out") for path in (folder / part).rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    for name in ("process", "inference"):
        done = script(name, *_arguments(folder, folder / f"{NAME}.jpg", name))
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_lost_pictures_are_drawn_again_without_the_networks(folder):
    overlay = folder / "out" / NAME / "overlay.jpg"
    result = folder / "out" / NAME / "scene.npz"
    before = result.stat().st_mtime_ns
    overlay.unlink()
    done = script("inference", *_arguments(folder, folder / f"{NAME}.jpg", "inference"))
    assert done.returncode == 0, done.stderr
    assert overlay.is_file()
    assert result.stat().st_mtime_ns == before


def test_released_weights(folder: Path, tmp_path: Path, make_released_checkpoint: Callable[..., Path]) -> None:
    """A made-up checkpoint of the release, with its own SMPL arrays, on the tiles around two people."""
    mid = shutil.copytree(folder / "mid", tmp_path / "mid")
    keypoints = mid / "joints_2d_alphapose_merge.npy"
    np.save(keypoints, np.load(keypoints)[:2])
    weights = make_released_checkpoint(tmp_path / "base_69.pkl", calm_entries())
    camera = folder / "out" / NAME / "scene.json"
    image = ["--scene_image_path", folder / f"{NAME}.jpg", "--save_mid_folder", mid, "--camera_json", camera]
    done = script("inference", *image, "--save_res_folder", tmp_path / "out", "--weights", weights)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "out" / NAME
    scene = Scene.load(results)
    assert scene.body == "smpl_neutral"
    found = read_all_result(results / "all_result.pkl")
    assert 0 < len(scene.people) <= len(found)
    moved = np.linalg.norm(found.hvip3d[:, None] - scene.people.hvip_cam_m, axis=2).min(0)
    assert np.median(moved) < 1.0, "people stay near where the network saw them"
    validate_predict_json(results / "predict.json")
    assert cv2.imread(str(results / "overlay.jpg")).shape == (1400, 4096, 3)


def test_weights_decide_the_people(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped detector's places are worse than the lifter's, an untrained network's are ruined; without any, see `test_accuracy`."""
    monkeypatch.setenv("CROWD3D_MODELS", NO_NETWORKS.name)
    trained, untrained = load_settings().pretrained_root / "crowd3dnet_compact.safetensors", tmp_path / "untrained.safetensors"
    torch.manual_seed(0)
    save_weights(untrained, Crowd3DNet("compact"), load_weights(trained)[1])
    truth = load_truth(folder / "truth.npz")
    lifted = figures_of(Scene.load(folder / "out" / NAME), truth)
    figures = []
    for weights in (trained, untrained):
        given = ["--save_res_folder", tmp_path / weights.stem, "--weights", weights]
        assert main(["infer", *map(str, [*_arguments(folder, folder / f"{NAME}.jpg", "process"), *given])]) == 0
        figures.append(figures_of(Scene.load(tmp_path / weights.stem / NAME), truth))
    for name in ("published_recall", "published_ppds"):
        assert lifted[name] > figures[0][name] > 2 * figures[1][name], name


@pytest.mark.skipif(photo_models(load_settings().models_folder) is None, reason="needs the networks of `crowd3d fetch people`")
def test_networks_that_have_seen_photographs(folder: Path, tmp_path: Path) -> None:
    """They find the same crowd; the default takes them where they are."""
    arguments = ["--scene_image_path", folder / f"{NAME}.jpg", "--save_mid_folder", tmp_path / "mid"]
    done = script("process", *arguments, fetched=True)
    assert done.returncode == 0, done.stderr
    assert "2D pose: movenet" in done.stderr
    found = Observations.load(tmp_path / "mid" / "observations.npz")
    truth = load_truth(folder / "truth.npz")
    wanted = truth.scene.people.keypoints_px[truth.eligible][:, [5, 6, 11, 12], :2].mean(1)
    size = np.ptp(truth.scene.people.keypoints_px[truth.eligible][..., 1], axis=1)
    nearest = np.linalg.norm(found.torso_px[:, None] - wanted, axis=2).min(0) / size
    assert (nearest < 0.1).mean() > 0.6
    assert np.isfinite(found.depth_m).all(), "depths come from the shipped network"


def _one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The program failed and its last line on stderr, the only one that is an error, has these words."""
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 1, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def test_photograph_with_nobody(tmp_path):
    noise = np.random.default_rng(0).integers(90, 120, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), noise)
    common = ["--scene_image_path", tmp_path / "empty.png", "--save_mid_folder", tmp_path / "mid", "--quiet"]
    for name, more in (("process", []), ("inference", ["--save_res_folder", tmp_path])):
        done = script(name, *common, *more)
        assert done.returncode == 0, done.stderr
        assert "nobody" in done.stderr
        assert "empty.png" in done.stderr
        assert "done" not in done.stderr, "--quiet leaves warnings only"
        assert "[00:" not in done.stderr
    scene = Scene.load(tmp_path / "empty")
    assert len(scene.people) == 0
    assert any("nobody was found" in remark for remark in scene.remarks)
    validate_predict_json(tmp_path / "empty" / "predict.json")


def test_truncated_photograph(folder, tmp_path):
    whole = (folder / f"{NAME}.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    _one_line(script("process", "--scene_image_path", tmp_path / "half.jpg", "--save_mid_folder", tmp_path / "mid"), "half.jpg")


def test_inference_before_process(folder, tmp_path):
    image = folder / f"{NAME}.jpg"
    _one_line(script("inference", "--scene_image_path", image, "--save_mid_folder", tmp_path / "mid"), "process.py")


def test_output_folder_that_is_a_file(folder, tmp_path):
    (tmp_path / "mid").write_text("in the way")
    small = cv2.imread(str(folder / f"{NAME}.jpg"))[600:1100, 1500:2200]
    cv2.imwrite(str(tmp_path / "small.png"), small)
    _one_line(script("process", "--scene_image_path", tmp_path / "small.png", "--save_mid_folder", tmp_path / "mid"), "mid")


def test_weights_of_the_wrong_kind(folder, tmp_path):
    wrong = ROOT / "Crowd3DNet" / "pretrained" / "lifter.safetensors"
    arguments = _arguments(folder, folder / f"{NAME}.jpg", "inference")[:4]
    _one_line(script("inference", *arguments, "--save_res_folder", tmp_path, "--weights", wrong), "lifter.safetensors")
