"""The first half with 2D backends other than the embedded one: no network is needed."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

import crowd3d
from crowd3d.cli import process as process_cli
from crowd3d.errors import MissingAsset
from crowd3d.imaging import GigapixelImage, PartParams, parse_tile_name, plan_tiles_release
from crowd3d.pipeline import process as process_module
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.infer import read_observations
from crowd3d.pipeline.process import ProcessOptions, process, read_layout
from crowd3d.pose.alphapose_json import tile_sightings
from crowd3d.pose.backends import TileBackend
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.pose.standing import STANDING
from crowd3d.types import Keypoints, TileLayout

SIZE = (960, 600)
PART_PARAMS = PartParams(90, 200, 60, 590)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the tiles here; small ones are written faster."""
    monkeypatch.setattr(process_module, "RELEASE_TILE_PX", 32)


@pytest.fixture
def people() -> np.ndarray:
    """(16, 17, 3) people who stand on level ground under a camera at 5 m."""
    depth, x = np.meshgrid(np.array([14.0, 18.0, 23.0, 30.0]), np.linspace(-0.38, 0.38, 4))
    focal, horizon = 800.0, 20.0
    stature = np.random.default_rng(1).normal(1.7, 0.05, 16)
    feet = np.stack([480 + focal * x.ravel(), horizon + focal * 5.0 / depth.ravel()], 1)
    xy = feet[:, None] + (focal * stature / depth.ravel())[:, None, None] * STANDING
    return np.concatenate([xy, np.full((16, 17, 1), 0.9)], -1)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "crowd.v2.jpg"
    cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), 120, np.uint8))
    return path


@dataclass(frozen=True)
class Planted:
    """A backend that sees everybody who is whole in a tile."""

    people: np.ndarray = field(repr=False)
    calls: list[int] = field(default_factory=list, repr=False)
    name: ClassVar[str] = "planted"

    def check(self) -> None:
        pass

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        names = [parse_tile_name(path.name) for path in tiles_folder.iterdir()]
        assert sorted(tuple(name[3:]) for name in names if name) == sorted(map(tuple, layout.boxes.tolist()))
        self.calls.append(len(layout))
        person, tile = tile_sightings(self.people, layout)
        return self.people[person], tile


def by_place(keypoints: np.ndarray) -> np.ndarray:
    return keypoints[np.lexsort((keypoints[:, 0, 0].round(), keypoints[:, 0, 1].round()))]


def test_a_backend_of_tiles(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    folder, planted = MidFolder(tmp_path / "mid"), Planted(people)
    backend = TileBackend(planted)
    options = ProcessOptions(backend=backend, part_params=PART_PARAMS)
    process(GigapixelImage(image), folder, options)
    layout = read_layout(folder, SIZE)
    np.testing.assert_array_equal(layout.boxes, plan_tiles_release(*PART_PARAMS, SIZE).boxes)
    np.testing.assert_allclose(by_place(np.load(folder.keypoints)), by_place(people), atol=1e-6)
    observed = Observations.load(folder.observations)
    assert len(observed) == len(people)
    np.testing.assert_array_equal(read_observations(folder).sigma_px, observed.sigma_px)
    sightings = json.loads(folder.alphapose.read_text(encoding="utf-8"))
    assert len(sightings) == len(tile_sightings(people, layout)[0]) > len(people)
    assert len(np.load(folder.standing_keypoints)) == len(people)
    process(GigapixelImage(image), folder, options)
    assert planted.calls == [len(layout)]
    process(GigapixelImage(image), folder, ProcessOptions(backend=backend, part_params=PART_PARAMS, overwrite=True))
    assert len(planted.calls) == 2


@dataclass(frozen=True)
class Waiting(Planted):
    """Sees nobody before something else has begun."""

    begun: threading.Event = field(default_factory=threading.Event, repr=False)

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        assert self.begun.wait(10)
        return super().detect(image, layout, tiles_folder)


def test_something_else_is_done_while_people_are_looked_for_and_only_then(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    detector, times = Waiting(people), []

    def meanwhile() -> None:
        times.append(1)
        detector.begun.set()
        raise MissingAsset("nobody hears this")

    options = ProcessOptions(TileBackend(detector), part_params=PART_PARAMS)
    for _ in range(2):
        assert len(process(GigapixelImage(image), MidFolder(tmp_path / "mid"), options, meanwhile=meanwhile)) == len(people)
    assert len(times) == 1


def test_a_layout_that_another_backend_replaced_is_planned_again(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    folder, keypoints = MidFolder(tmp_path / "mid"), tmp_path / "k.npy"
    np.save(keypoints, people)
    planted = ProcessOptions(backend=TileBackend(Planted(people)), part_params=PART_PARAMS)
    process(GigapixelImage(image), folder, planted)
    process(GigapixelImage(image), folder, ProcessOptions(backend=FileBackend(keypoints), part_params=PartParams(80, 150, 60, 590)))
    assert not np.array_equal(read_layout(folder, SIZE).boxes, plan_tiles_release(*PART_PARAMS, SIZE).boxes)
    process(GigapixelImage(image), folder, planted)
    np.testing.assert_array_equal(read_layout(folder, SIZE).boxes, plan_tiles_release(*PART_PARAMS, SIZE).boxes)


def test_nobody_is_a_result_that_says_so(image: Path, people: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="crowd3d")
    folder = MidFolder(tmp_path / "mid")
    for backend in (TileBackend(Planted(people[:0])), FileBackend(tmp_path / "nobody.npy")):
        np.save(tmp_path / "nobody.npy", people[:0])
        assert len(process(GigapixelImage(image), folder, ProcessOptions(backend, part_params=PART_PARAMS))) == 0
        assert "nobody found in" in caplog.text
        assert "of one colour throughout" in caplog.text
        caplog.clear()
        assert np.load(folder.keypoints).shape == np.load(folder.standing_keypoints).shape == (0, 17, 3)
        assert json.loads(folder.alphapose.read_text()) == json.loads(folder.occupied_tiles.read_text()) == []


@dataclass(frozen=True)
class Glancing:
    """A scout that has seen some people already."""

    seen: Observations

    def key(self) -> str:
        return "glancing"

    def glance(self, image: GigapixelImage) -> Observations:
        return self.seen


def glancing(people: np.ndarray) -> Any:
    return Glancing(Observations.from_keypoints(Keypoints.from_array(people), plain("test")))


def test_a_backend_of_tiles_needs_to_know_their_sizes(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="part_params"):
        process(GigapixelImage(image), MidFolder(tmp_path / "mid"), ProcessOptions(backend=TileBackend(Planted(people))))


def test_tiles_follow_from_the_first_look(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    folder = MidFolder(tmp_path / "mid")
    process(GigapixelImage(image), folder, ProcessOptions(TileBackend(Planted(people)), glancing(people[::2])))
    layout = read_layout(folder, SIZE)
    person, tile = tile_sightings(people, layout)
    ratio = np.diff(layout.boxes[tile][:, [0, 2]])[:, 0] / np.ptp(people[..., 1], axis=1)[person]
    assert set(person[(ratio > 1.8) & (ratio < 3.0)]) == set(range(len(people))), "everybody is about half as tall as a tile"
    assert len(np.load(folder.keypoints)) == len(people)


def test_a_first_look_that_sees_nobody_gives_tiles_of_all_sizes(image: Path, people: np.ndarray) -> None:
    options = ProcessOptions(TileBackend(Planted(people)), glancing(people[:0]))
    layout = process_module._plan_blindly(GigapixelImage(image), options)
    assert len(np.unique(layout.row_col, axis=0)) == len(layout)
    assert set(np.diff(layout.boxes[:, [0, 2]])[:, 0]) == {600, 300, 150, 74}
    assert set(tile_sightings(people, layout)[0]) == set(range(len(people)))


def test_keypoints_from_a_file_need_no_weights(
    image: Path, people: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    keypoints, mid = tmp_path / "k.npy", tmp_path / "mid"
    np.save(keypoints, people)
    caplog.set_level(logging.INFO)
    arguments = ["--scene_image_path", str(image), "--save_mid_folder", str(mid), "--keypoints", str(keypoints)]
    assert process_cli.main(arguments) == 0
    assert "2D pose: file" in caplog.text
    assert capsys.readouterr().out.strip() == str(mid)
    folder = MidFolder(mid)
    np.testing.assert_allclose(np.load(folder.keypoints), people, atol=1e-12)
    layout = read_layout(folder, SIZE)
    seen, _ = tile_sightings(people, layout)
    assert set(seen) == set(range(len(people))), "everybody is whole in a tile"
    assert len(list(folder.tiles.iterdir())) == len(layout)


def test_tiles_are_written_where_something_needs_them(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    keypoints, folder = tmp_path / "k.npy", MidFolder(tmp_path / "mid")
    np.save(keypoints, people)
    options = ProcessOptions(backend=FileBackend(keypoints))
    process(GigapixelImage(image), folder, options, tiles=False)
    assert not folder.tiles.exists()
    before = {path.name: path.read_bytes() for path in folder.root.iterdir() if path.is_file() and path.name != "manifest.json"}
    process(GigapixelImage(image), folder, options)
    assert len(list(folder.tiles.iterdir())) == len(read_layout(folder, SIZE))
    assert before == {name: (folder.root / name).read_bytes() for name in before}
    process(GigapixelImage(image), folder, options, tiles=False)
    assert not folder.tiles.exists(), "a folder holds what its last run gives"


def test_changed_keypoints_are_read_again(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    keypoints, folder = tmp_path / "k.npy", MidFolder(tmp_path / "mid")
    for count in (16, 12):
        np.save(keypoints, people[:count])
        process(GigapixelImage(image), folder, ProcessOptions(backend=FileBackend(keypoints), part_params=PART_PARAMS))
        assert len(np.load(folder.keypoints)) == count


def test_without_a_ground_tiles_suit_most_people(
    image: Path, people: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "quick_world", lambda *arguments: None)
    keypoints, folder = tmp_path / "k.npy", MidFolder(tmp_path / "mid")
    np.save(keypoints, people)
    process(GigapixelImage(image), folder, ProcessOptions(backend=FileBackend(keypoints)))
    height = np.median(np.ptp(people[..., 1], axis=1))
    sides = np.diff(read_layout(folder, SIZE).boxes[:, [0, 2]])
    assert len(np.unique(sides)) == 1
    assert 0.7 < sides[0, 0] / (2 * height) < 1.42


def test_a_wrong_choice_is_one_line(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scene_image_path", str(image), "--save_mid_folder", str(tmp_path / "mid"), "--pose_backend", "file"]
    assert process_cli.main(arguments) == 1
    assert capsys.readouterr().err == "crowd3d: error: --pose_backend file has no keypoints; give them by --keypoints PATH\n"
    assert process_cli.main([*arguments, "--device", "tpu"]) == 1
    assert "no device 'tpu' in this machine; choose auto or" in capsys.readouterr().err


def test_edited_keypoints_replace_what_was_measured(image: Path, people: np.ndarray, tmp_path: Path) -> None:
    """Of the edited people only, whatever the edit: a place, or a score."""
    keypoints, folder = tmp_path / "k.npy", MidFolder(tmp_path / "mid")
    np.save(keypoints, people)
    process(GigapixelImage(image), folder, ProcessOptions(backend=FileBackend(keypoints), part_params=PART_PARAMS))
    measured = replace(Observations.load(folder.observations), depth_m=np.full((len(people), 17), 0.5))
    measured.save(folder.observations)
    edited = np.load(folder.keypoints)
    edited[2, 7, 0] += 0.25
    edited[5, 4, 2] = 0.3
    np.save(folder.keypoints, edited)
    observed = read_observations(folder)
    assert np.isnan(observed.depth_m).any(1).nonzero()[0].tolist() == [2, 5]
    np.testing.assert_array_equal(observed.xy_px, edited[..., :2])
    assert observed.sigma_px[5, 4] > 3 * measured.sigma_px[5, 4]
    assert observed.source == measured.source


def test_python_takes_keypoints_too(tmp_path: Path) -> None:
    absent = tmp_path / "absent.npy"
    with pytest.raises(MissingAsset, match=f"no keypoints at {absent}"):
        crowd3d.reconstruct(tmp_path / "crowd.jpg", pose_backend="file", keypoints=absent)
