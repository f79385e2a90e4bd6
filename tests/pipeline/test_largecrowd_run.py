"""The benchmark's scripts on small pictures: keypoints come from a file, the networks are left out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import crowd3d.pipeline.largecrowd_run as benchmark
from crowd3d.cli import inference_eval, preprocess
from crowd3d.errors import BadImage, MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import write_release_files
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.pipeline.infer import read_observations
from crowd3d.pipeline.largecrowd_run import BenchmarkFolder, Picture, merge_results, published_ground, reconstruct_pictures, selected_frames
from crowd3d.pipeline.process import ProcessOptions
from crowd3d.pipeline.shards import Shard
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.standing import STANDING
from crowd3d.scene import validate_predict_json
from crowd3d.settings import load_settings
from crowd3d.types import People, Scene

SIZE = (480, 300)
FOCAL, HEIGHT, TILT_DEG = 400.0, 5.0, 30.0
KNOWN = Camera.from_focal(FOCAL, SIZE), GroundPlane.from_angles(np.deg2rad(TILT_DEG), 0.0, HEIGHT)
SCENES = {"place_00": 3, "place_01": 2}


def standing(seed: int) -> np.ndarray:
    """(24, 17, 3) people who stand on the ground under the known camera."""
    rng = np.random.default_rng(seed)
    depth, x = (grid.ravel() for grid in np.meshgrid(np.array([7.0, 8.5, 10.5, 13.5]), np.linspace(-0.4, 0.4, 6)))
    camera, ground = KNOWN
    spot = np.stack([x * depth + rng.uniform(-0.3, 0.3, 24), np.zeros(24), -depth], 1)
    height = -rng.normal(1.7, 0.06, 24)[:, None] * STANDING[:, 1]
    side = STANDING[:, 0] * 1.7
    world = spot[:, None] + np.stack([np.broadcast_to(side, (24, 17)), height, np.zeros((24, 17))], -1)
    return np.concatenate([camera.project(ground.from_world(world)), np.full((24, 17, 1), 0.95)], -1)


@pytest.fixture
def data(tmp_path: Path) -> LargeCrowdFolder:
    folder = LargeCrowdFolder(tmp_path / "lc")
    results = []
    for scene, count in SCENES.items():
        (folder.images / scene).mkdir(parents=True)
        for number in range(count):
            frame = f"{scene}_{50 * number:06d}"
            cv2.imwrite(str(folder.images / scene / f"{frame}.jpg"), np.full((SIZE[1], SIZE[0], 3), 90 + number, np.uint8))
            results += [
                {"image_id": f"{frame}.jpg", "category_id": 1, "score": 0.9, "keypoints": person.ravel().tolist()}
                for person in standing(10 * number + len(scene))
            ]
    (tmp_path / "keypoints.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BenchmarkFolder:
    """Send all files into the test's folder."""
    monkeypatch.setenv("CROWD3D_TEST_MID_ROOT", str(tmp_path / "mid"))
    monkeypatch.setenv("CROWD3D_TEST_RES_ROOT", str(tmp_path / "res"))
    return BenchmarkFolder(tmp_path / "mid", tmp_path / "res")


@pytest.fixture
def prepared(settings: BenchmarkFolder) -> BenchmarkFolder:
    """Camera and ground of all scenes are there."""
    for scene in SCENES:
        write_release_files(settings.ground(scene), *KNOWN)
    return settings


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of the second half: people who lie where their HVIPs are. The pictures that it was asked for."""
    called: list[str] = []

    def infer(image, mid, results, options):
        if (results.root / "scene.npz").is_file():
            return
        called.append(image.path.stem)
        keypoints = np.load(mid.keypoints)
        hvip_px = keypoints[:, [15, 16], :2].mean(1)
        camera, ground = options.known.world
        hvip = ground.intersect(camera, hvip_px)
        zeros = np.zeros((len(hvip), 24, 3), np.float32), np.zeros((len(hvip), 10), np.float32)
        people = People(*zeros, hvip, hvip_px, hvip, np.ones(len(hvip)), keypoints)
        Scene(camera, ground, people, "free", image.path.name).save(results.root)

    monkeypatch.setattr(benchmark, "infer", infer)
    return called


def options() -> InferOptions:
    return InferOptions(DefaultWeights.shipped(load_settings()), pictures=False)


def run(module, data: LargeCrowdFolder, *more: str) -> int:
    common = ["--data_root", str(data.root), "--pose_backend", "file", "--keypoints", str(data.root.parent / "keypoints.json")]
    return module.main([*common, *more])


def test_preprocess_writes_the_files_of_the_release(data: LargeCrowdFolder, settings: BenchmarkFolder) -> None:
    assert run(preprocess, data, "--scenes", "place_00") == 0
    scene = "place_00"
    ground, intrinsics, size = (np.load(settings.ground(scene) / f"{name}.npy") for name in ("ground", "cam_para", "scene_shape"))
    raw = np.load(settings.raw_ground(scene, f"{scene}_000000") / "ground.npy")
    assert (ground.dtype, intrinsics.dtype, size.tolist()) == (np.float32, np.float32, list(SIZE))
    assert ground[3] - raw[3] == pytest.approx(0.1, abs=1e-5)
    assert intrinsics[0, 0] == pytest.approx(FOCAL, rel=0.1)
    assert ground[3] == pytest.approx(HEIGHT, rel=0.1)
    assert np.rad2deg(np.arcsin(-ground[2])) == pytest.approx(TILT_DEG, abs=2)
    mid = settings.mid(scene, f"{scene}_000000")
    assert len(np.load(mid.keypoints)) == 24
    assert len(list(mid.tiles.iterdir())) == len(np.load(mid.position))
    assert not settings.mid(scene, f"{scene}_000050").root.exists()
    before = {path: path.stat().st_mtime_ns for path in settings.mid_root.rglob("*") if path.is_file()}
    assert run(preprocess, data, "--scenes", "place_00") == 0
    assert {path: path.stat().st_mtime_ns for path in settings.mid_root.rglob("*") if path.is_file()} == before


def test_pictures_know_what_their_ground_rests_on(data: LargeCrowdFolder, settings: BenchmarkFolder) -> None:
    assert run(preprocess, data, "--scenes", "place_00") == 0
    world = benchmark.prepared_ground(settings, "place_00")
    picture = Picture("place_00", data.frames("place_00")[0], world, ProcessOptions(FileBackend(Path("none"))), options())
    observed = read_observations(settings.mid("place_00", "place_00_000000"))
    told = find_world(GigapixelImage(picture.path), observed, picture.known)
    assert told.covariance is not None
    np.testing.assert_array_equal(told.covariance, world.covariance)
    assert "mean stature" in " ".join(told.remarks)
    write_release_files(settings.ground("place_00"), *KNOWN)
    given = benchmark.prepared_ground(settings, "place_00")
    assert given.covariance is None, "files that somebody has put there count as exact"
    assert given.ground.offset_m == pytest.approx(HEIGHT, abs=1e-5)


def test_all_pictures_in_one_file_whatever_the_number_of_processes(
    data: LargeCrowdFolder, prepared: BenchmarkFolder, calls: list[str]
) -> None:
    assert run(inference_eval, data) == 0
    path = prepared.submission("ground_epoch_159")
    assert validate_predict_json(path) == 5
    assert len(calls) == 5
    frame = json.loads(path.read_text())["place_01_000050.jpg"]
    assert len(frame["person_list"]) == 24
    np.testing.assert_allclose(frame["Intrinsic_matrix"], np.load(prepared.ground("place_01") / "cam_para.npy"), rtol=1e-6)
    tiles = [np.load(prepared.mid("place_00", f"place_00_{n:06d}").position) for n in (0, 50, 100)]
    np.testing.assert_array_equal(tiles[0], tiles[1])
    np.testing.assert_array_equal(tiles[0], tiles[2])

    other = BenchmarkFolder(prepared.mid_root.parent / "mid2", prepared.res_root.parent / "res2")
    pictures = [
        Picture(
            scene,
            image,
            benchmark.prepared_ground(prepared, scene),
            ProcessOptions(backend=FileBackend(data.root.parent / "keypoints.json")),
            options(),
        )
        for scene in SCENES
        for image in data.frames(scene)
    ]
    for rank in (1, 0):
        assert reconstruct_pictures(other, "t", Shard(rank, 2).part(pictures)) == {}
    merged = merge_results(other, "t", [(picture.scene, picture.frame) for picture in reversed(pictures)])
    assert merged.read_bytes() == path.read_bytes()
    assert (merged.parent / "predict_extra.json").read_bytes() == (path.parent / "predict_extra.json").read_bytes()


def test_a_run_that_was_killed_does_only_what_is_missing(
    data: LargeCrowdFolder, prepared: BenchmarkFolder, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = benchmark.infer

    def killed(image, *others):
        if image.path.stem == "place_01_000000":
            raise KeyboardInterrupt
        return stand_in(image, *others)

    monkeypatch.setattr(benchmark, "infer", killed)
    assert run(inference_eval, data) == 130
    assert len(calls) == 3
    assert not prepared.submission("ground_epoch_159").exists()
    monkeypatch.setattr(benchmark, "infer", stand_in)
    assert run(inference_eval, data) == 0
    resumed = prepared.submission("ground_epoch_159").read_bytes()
    assert run(inference_eval, data, "--optim_epoch", "100") == 0, "another folder of results: a run that nobody kills"
    assert prepared.submission("ground_epoch_99").read_bytes() == resumed
    del calls[5:]
    assert sorted(calls) == sorted(path.stem for scene in SCENES for path in data.frames(scene))


def test_a_corrupt_picture_is_skipped_and_told(
    data: LargeCrowdFolder, prepared: BenchmarkFolder, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = data.images / "place_00" / "place_00_000050.jpg"
    broken.write_bytes(broken.read_bytes()[:1500])
    assert run(inference_eval, data) == 1
    path = prepared.submission("ground_epoch_159")
    assert validate_predict_json(path) == 4
    assert broken.name not in json.loads(path.read_text())
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert "1 of 5 pictures" in errors[0]
    assert "place_00_000050" in errors[0]


def test_missing_data_is_one_line(tmp_path: Path, settings: BenchmarkFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for module in (preprocess, inference_eval):
        assert module.main(["--data_root", str(tmp_path / "nothing")]) == 1
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1
        assert str(tmp_path / "nothing" / "images" / "test") in error[0]


def test_an_unknown_scene_and_a_missing_step_are_named(
    data: LargeCrowdFolder, settings: BenchmarkFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(preprocess, data, "--scenes", "elsewhere") == 1
    assert "place_00, place_01" in capsys.readouterr().err
    assert run(inference_eval, data) == 1
    assert "test/preprocess.py" in capsys.readouterr().err
    assert run(inference_eval, data, "--use_pre_optim") == 1
    assert "place_00" in capsys.readouterr().err


def test_a_picture_of_another_size_is_refused(data: LargeCrowdFolder, settings: BenchmarkFolder) -> None:
    image = data.images / "place_00" / "place_00_000050.jpg"
    picture = Picture(
        "place_00",
        image,
        World(Camera.from_focal(FOCAL, (500, 300)), GroundPlane.from_angles(0.3, 0, 5), None),
        ProcessOptions(FileBackend(data.root.parent / "keypoints.json")),
        options(),
    )
    with pytest.raises(BadImage, match="480x300"):
        benchmark.reconstruct_picture(settings, "t", picture)


def test_published_planes(tmp_path: Path) -> None:
    world = published_ground(tmp_path, "stadiumEntrance_01", (19200, 6286))
    camera, ground = world.camera, world.ground
    assert "published" in world.remarks[0]
    folder = tmp_path / "params" / "pre_grounds" / "ground_info_predict_1106" / "stadiumEntrance_01"
    np.testing.assert_allclose(np.load(folder / "ground.npy"), [0.0046281, -0.9736459, -0.2280179, 13.4040442], atol=1e-6)
    assert np.load(folder / "cam_para.npy").tolist()[0] == pytest.approx([23311.191, 0, 9600], abs=2e-3)
    assert np.load(folder / "scene_shape.npy").tolist() == [19200, 6286]
    assert ground.offset_m == pytest.approx(13.4040442, abs=1e-5)
    assert camera.fov_x_deg == pytest.approx(44.77, abs=0.005)
    half = published_ground(tmp_path, "stadiumEntrance_01", (9600, 3143)).camera
    assert half.fov_x_deg == pytest.approx(camera.fov_x_deg)
    np.save(folder / "ground.npy", np.array([0, -1, 0, 9], np.float32))
    assert published_ground(tmp_path, "stadiumEntrance_01", (19200, 6286)).ground.offset_m == pytest.approx(9), "the user's files win"
    with pytest.raises(MissingAsset, match="square_00"):
        published_ground(tmp_path, "square_00", (10, 10))


def test_selected_frames() -> None:
    frames = [Path(f"stadiumEntrance_00_{n:06d}.jpg") for n in range(0, 700, 100)]
    assert selected_frames("stadiumEntrance_00", frames) == [frames[3]]
    assert selected_frames("other", frames) == [frames[0]]
    assert selected_frames("other", frames, 3) == [frames[0], frames[3], frames[6]]
    assert selected_frames("other", frames, 99) == frames


def test_known_camera_and_ground_stay(data: LargeCrowdFolder, settings: BenchmarkFolder) -> None:
    """The real second half."""
    picture = Picture(
        "place_00",
        data.frames("place_00")[1],
        World(*KNOWN, None),
        ProcessOptions(backend=FileBackend(data.root.parent / "keypoints.json")),
        options(),
    )
    benchmark.reconstruct_picture(settings, "t", picture)
    scene = Scene.load(settings.results("t", "place_00", "place_00_000050").root)
    assert scene.camera == KNOWN[0]
    np.testing.assert_array_equal(scene.ground.coefficients, KNOWN[1].coefficients)
    assert scene.ground_covariance is None
    assert len(scene.people) == 24
    np.testing.assert_allclose(np.load(settings.mid("place_00", "place_00_000050").ground / "ground.npy"), KNOWN[1].coefficients, rtol=1e-6)
