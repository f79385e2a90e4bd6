"""Folders and videos of a static camera: keypoints come from a file, Crowd3DNet is left out; everything else runs."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import crowd3d.pipeline.infer as infer_module
from crowd3d.cli import reconstruct
from crowd3d.cli.main import main
from crowd3d.cli.run import run_cli
from crowd3d.errors import BadImage
from crowd3d.evaluation.identity import identity_scores
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.frames import is_sequence, read_frames
from crowd3d.pipeline.sequence_ground import spread_over
from crowd3d.pose.standing import STANDING
from crowd3d.scene.paths import TRAJECTORY_COLUMNS
from crowd3d.types import Scene

SIZE = (480, 300)
CAMERA, GROUND = Camera.from_focal(400.0, SIZE), GroundPlane.from_angles(np.deg2rad(30.0), 0.0, 5.0)
NAMES = tuple(f"plaza_{number}" for number in (1, 2, 9, 10, 11))
PEOPLE = 20


def places() -> np.ndarray:
    """(5, 20, 2) x, z of people who walk to the right or to the left, half a second between two pictures."""
    rng = np.random.default_rng(0)
    z = -np.linspace(7.0, 13.0, PEOPLE)
    pace = np.where(np.arange(PEOPLE) % 2, 1.2, -1.2)
    x = 0.25 * z * rng.uniform(-1, 1, PEOPLE)
    return np.array([np.stack([x + 0.5 * step * pace, z], 1) for step in range(-2, 3)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures and the keypoints of the people in them."""
    folder = tmp_path / "plaza"
    folder.mkdir()
    results = []
    stature = np.random.default_rng(1).normal(1.7, 0.05, PEOPLE)
    for number, (name, spot) in enumerate(zip(NAMES, places(), strict=True)):
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((SIZE[1], SIZE[0], 3), 90 + number, np.uint8))
        body = -stature[:, None] * STANDING[:, 1]
        across = np.broadcast_to(1.7 * STANDING[:, 0], body.shape)
        world = np.stack([spot[:, :1] + across, body, np.broadcast_to(spot[:, 1:], body.shape)], -1)
        points = np.concatenate([CAMERA.project(GROUND.from_world(world)), np.full((PEOPLE, 17, 1), 0.95)], -1)
        results += [{"image_id": f"{name}.jpg", "category_id": 1, "score": 0.9, "keypoints": p.ravel().tolist()} for p in points]
    (tmp_path / "keypoints.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures whose people were lifted."""
    called: list[str] = []
    place = infer_module.place

    def recording(image: GigapixelImage, *others: Any) -> Any:
        called.append(image.path.stem)
        return place(image, *others)

    monkeypatch.setattr(infer_module, "place", recording)
    return called


def arguments(source: Path, *more: str) -> list[str]:
    root = source.parent
    given = ["--pose_backend", "file", "--keypoints", str(root / "keypoints.json"), "--ground_frames", "3"]
    given += ["--part_params", "60", "120", "20", "300"]  # a few large tiles, known without an estimate
    return [str(source), "--save_mid_folder", str(root / "mid"), "--save_res_folder", str(root / "res"), *given, *more]


def run(source: Path, *more: str) -> int:
    return run_cli(reconstruct.add_arguments, reconstruct.run, arguments(source, *more))


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_one_world_with_paths(folder: Path, calls: list[str]) -> None:
    assert run(folder) == 0
    result = folder.parent / "res" / "plaza"
    assert calls == list(NAMES)
    assert not list(folder.parent.rglob("part_images_scale")), "nothing asks for the pictures in tiles"
    scenes = [Scene.load(result / "frames" / name) for name in NAMES]
    assert len({(scene.camera, tuple(scene.ground.coefficients)) for scene in scenes}) == 1
    assert scenes[0].ground_covariance is not None
    rows = table(result / "trajectories.csv")
    assert tuple(rows[0]) == TRAJECTORY_COLUMNS
    assert {(row["frame"], row["image"], row["time_s"]) for row in rows} >= {("0", "plaza_1.jpg", "0.000"), ("3", "plaza_10.jpg", "1.500")}
    by_frame = [[row for row in rows if row["frame"] == str(number)] for number in range(5)]
    for scene, lines in zip(scenes, by_frame, strict=True):
        world = scene.ground.to_world(scene.people.hvip_cam_m)
        for line in lines:
            assert world[int(line["person"]), [0, 2]] == pytest.approx([float(line["x_m"]), float(line["z_m"])], abs=1e-3)
    seen = [np.array([[float(line["x_m"]), float(line["z_m"])] for line in lines]) for lines in by_frame]
    ids = [np.array([int(line["id"]) for line in lines]) for lines in by_frame]
    assert identity_scores(list(places()), [np.arange(PEOPLE)] * 5, seen, ids).idf1 > 0.9
    assert np.median([float(row["speed_m_s"]) for row in rows]) == pytest.approx(1.2, abs=0.25)
    frames = json.loads((result / "predict.json").read_text())
    assert list(frames) == [f"{name}.jpg" for name in NAMES]
    extra = json.loads((result / "predict_extra.json").read_text())
    for number, name in enumerate(NAMES):
        assert sorted(extra[f"{name}.jpg"]["id"]) == sorted(ids[number].tolist())
    picture = cv2.imread(str(result / "topview.png"))
    assert picture.shape[0] > 600
    # The same pictures, taken at half the pace: everything but ids and speeds is kept.
    (folder.parent / "times.csv").write_text("".join(f"{name}.jpg,{100.0 + number}\n" for number, name in enumerate(NAMES)))
    assert run(folder, "--times", str(folder.parent / "times.csv")) == 0
    assert calls == list(NAMES)
    rows = table(result / "trajectories.csv")
    assert {row["time_s"] for row in rows} == {f"{number}.000" for number in range(5)}
    assert np.median([float(row["speed_m_s"]) for row in rows]) == pytest.approx(0.6, abs=0.15)


def test_two_processes_share_the_pictures_and_write_the_same_bytes(folder: Path) -> None:
    (folder / "plaza_9.jpg").write_bytes(b"no picture")
    one, two = folder.parent / "one", folder.parent / "two"
    assert run(folder, "--save_mid_folder", str(one / "mid"), "--save_res_folder", str(one)) == 1
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "crowd3d", "reconstruct"]
    given = arguments(folder, "--save_mid_folder", str(two / "mid"), "--save_res_folder", str(two))
    ended = subprocess.run([*torchrun, *given], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1
    assert "1 of 5 pictures were skipped, plaza_9: " in ended.stderr
    assert {f"looking at picture {number} of {total}" in ended.stderr for number, total in ((3, 3), (2, 2))} == {True}, "each has its own"
    for name in ("camera_ground.json", "trajectories.csv", "predict.json", "predict_extra.json", "topview.png"):
        assert (two / "plaza" / name).read_bytes() == (one / "plaza" / name).read_bytes(), name


def test_a_second_run_does_nothing_and_a_bad_picture_is_skipped(
    folder: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "plaza_9.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(b"no picture")
    assert run(folder) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert "1 of 5 pictures" in errors[0]
    assert "plaza_9" in errors[0]
    result = folder.parent / "res" / "plaza"
    assert {row["image"] for row in table(result / "trajectories.csv")} == {f"{name}.jpg" for name in NAMES if name != "plaza_9"}
    assert calls == [name for name in NAMES if name != "plaza_9"]
    before = (result / "trajectories.csv").read_bytes(), (result / "predict.json").read_bytes()
    assert run(folder) == 1
    assert len(calls) == 4
    assert ((result / "trajectories.csv").read_bytes(), (result / "predict.json").read_bytes()) == before
    broken.write_bytes(whole)
    assert run(folder) == 0
    assert len(table(result / "trajectories.csv")) > 4 * PEOPLE


def test_a_picture_of_nobody_is_a_result_and_the_numbers_stay(folder: Path) -> None:
    path = folder.parent / "keypoints.json"
    people = json.loads(path.read_text())
    path.write_text(json.dumps([person for person in people if person["image_id"] not in ("plaza_9.jpg", "plaza_11.jpg")]))
    assert run(folder, "--optimise", "all") == 0
    result = folder.parent / "res" / "plaza"
    assert {row["frame"] for row in table(result / "trajectories.csv")} == {"0", "1", "3"}
    frames = json.loads((result / "predict.json").read_text())
    assert [len(frames[f"{name}.jpg"]["person_list"]) for name in NAMES] == [PEOPLE, PEOPLE, 0, PEOPLE, 0]
    empty = Scene.load(result / "frames" / "plaza_9")
    assert (len(empty.people), empty.remarks[0]) == (0, "nobody was found")
    for name in NAMES:
        scene = Scene.load(result / "frames" / name)
        assert scene.camera == empty.camera
        assert np.array_equal(scene.ground.coefficients, empty.ground.coefficients), "one ground for all, whatever is optimised"


def test_pictures_of_nobody_alone_are_a_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unseen = {"category_id": 1, "score": 0.9, "keypoints": [0.0] * 51}
    (folder.parent / "keypoints.json").write_text(json.dumps([{"image_id": f"{name}.jpg", **unseen} for name in NAMES]))
    assert run(folder) == 0
    result = folder.parent / "res" / "plaza"
    assert table(result / "trajectories.csv") == []
    assert {frame["person_list"] == [] for frame in json.loads((result / "predict.json").read_text()).values()} == {True}
    for verb in ("view", "export", "measure"):
        capsys.readouterr()
        assert main([verb, str(result)]) == 1
        said = f"crowd3d: error: nobody was found in the pictures of {result}: there is nothing to show or to measure\n"
        assert capsys.readouterr().err == said


def test_one_array_for_a_folder_is_refused_before_anything_is_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder.parent / "k.npy", np.zeros((2, 17, 3)))
    assert run(folder, "--keypoints", str(folder.parent / "k.npy")) == 1
    assert "holds the people of one picture and cannot speak of 5" in capsys.readouterr().err
    assert not (folder.parent / "mid").exists()


def test_a_picture_of_another_size_is_skipped(folder: Path, calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(folder / "plaza_11.jpg"), np.zeros((90, 160, 3), np.uint8))
    assert run(folder) == 1
    assert "160x90" in capsys.readouterr().err


def video(path: Path, count: int = 25, rate: float = 10.0) -> None:
    """Pictures whose grey value is 10 times their number."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v")), rate, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()


@pytest.mark.parametrize("name", ["crowd [1].mp4", "crowd.avi"])
def test_pictures_of_a_video(name: str, tmp_path: Path) -> None:
    video(tmp_path / name)
    store = tmp_path / "store"
    frames = read_frames(tmp_path / name, store, 2.5)
    assert [round(frame.time_s, 6) for frame in frames] == [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4]
    grey = [cv2.imread(str(frame.path)).mean() for frame in frames]
    np.testing.assert_allclose(grey, 10.0 * np.arange(0, 25, 4), atol=6)
    before = [frame.path.stat().st_mtime_ns for frame in frames]
    assert read_frames(tmp_path / name, store, 2.5) == frames
    assert [frame.path.stat().st_mtime_ns for frame in frames] == before
    assert len(read_frames(tmp_path / name, store, 100.0)) == 25


def vary(path: Path, runs: list[tuple[int, float]]) -> None:
    """Give an MP4 other times: so many pictures so many seconds after one another, by its table ``stts`` (ISO/IEC 14496-12, 8.6.1.2)."""
    data = bytearray(path.read_bytes())
    ticks = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0]
    at = data.index(b"stts") - 4
    old = struct.unpack(">I", data[at : at + 4])[0]
    entries = b"".join(struct.pack(">II", count, round(seconds * ticks)) for count, seconds in runs)
    table = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(runs)) + entries
    # The index lies behind the pictures, so that only the boxes around the table grow.
    assert data.index(b"mdat") < data.index(b"moov")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        begin = data.index(name) - 4
        data[begin : begin + 4] = struct.pack(">I", struct.unpack(">I", data[begin : begin + 4])[0] + len(table) - old)
    data[at : at + old] = table
    if b"edts" in data:  # which says how much of it is to be played
        begin = data.index(b"edts")
        data[begin : begin + 4] = b"free"
    path.write_bytes(data)


def test_a_video_whose_rate_varies_has_the_times_that_it_says(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    video(path)
    vary(path, [(10, 0.1), (5, 0.8), (10, 0.1)])
    taken = 10.0 * np.array([0, 5, 10, 11, 12, 13, 14, 15, 20])
    frames = read_frames(path, tmp_path / "store", 2.0)
    np.testing.assert_allclose([cv2.imread(str(frame.path)).mean() for frame in frames], taken, atol=6)
    np.testing.assert_allclose([frame.time_s for frame in frames], [0.0, 0.5, 1.0, 1.8, 2.6, 3.4, 4.2, 5.0, 5.5], atol=0.02)


def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for count in (20, 200):
        path = tmp_path / f"{count}.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (320, 240))
        for _ in range(count):
            writer.write(np.full((240, 320, 3), 90, np.uint8))
        writer.release()
        tracemalloc.start()
        read_frames(path, tmp_path / f"store_{count}", 10.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 240 * 320 * 3
    # Threads of earlier tests may still hold something; a quarter of the pictures would show.
    assert peaks[1] < peaks[0] + 45 * 240 * 320 * 3


def test_what_is_no_sequence(tmp_path: Path) -> None:
    assert not is_sequence(tmp_path / "crowd.jpg")
    assert is_sequence(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    assert is_sequence(tmp_path / "broken.mp4")
    with pytest.raises(BadImage, match="MP4"):
        read_frames(tmp_path / "broken.mp4", tmp_path / "store", 2.0)
    with pytest.raises(BadImage, match="no folder and no video"):
        read_frames(tmp_path / "absent.mp4", tmp_path / "store", 2.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadImage, match="no pictures"):
        read_frames(tmp_path / "empty", tmp_path / "store", 2.0)
    for name in ("a.jpg", "a.png"):
        (tmp_path / "empty" / name).touch()
    with pytest.raises(BadImage, match="two pictures called a"):
        read_frames(tmp_path / "empty", tmp_path / "store", 2.0)


def test_pictures_are_sorted_as_people_count(folder: Path) -> None:
    assert [frame.name for frame in read_frames(folder, folder, 2.0)] == list(NAMES)


def test_spread_over(folder: Path) -> None:
    frames = read_frames(folder, folder, 2.0)
    assert [frame.name for frame in spread_over(frames, 3)] == ["plaza_1", "plaza_9", "plaza_11"]
    assert spread_over(frames, 0) == spread_over(frames, 99) == frames
