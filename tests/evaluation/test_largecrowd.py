"""LargeCrowd's annotations: reading, checking, scoring predict.json against them, reports."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.cli import evaluate as command
from crowd3d.cli.run import run_cli
from crowd3d.errors import MissingAsset
from crowd3d.evaluation import evaluate
from crowd3d.evaluation.annotations import find_problems, read_people, read_scene
from crowd3d.evaluation.benchmark import score_benchmark
from crowd3d.evaluation.observables import observe
from crowd3d.evaluation.page import binned, ticks
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.scene.predict_json import EXTRA_NAME, write_predict_json
from crowd3d.types import Scene

FRAMES = ("place_00_000000", "place_00_000050")
SCORES = ("ppds", "pa_ppds", "pcod", "oks")
Edit = Callable[[dict], None]


def annotate(scene: Scene, body: Body) -> list[dict]:
    """People of one picture in the words of the data set."""
    seen = observe(scene, body)
    fractions = seen.keypoints_px / [scene.camera.width, scene.camera.height]
    low, high = seen.keypoints_px.min(1) - 5, seen.keypoints_px.max(1) + 5
    rows = zip(fractions, low, high, scene.people.hvip_px, scene.people.hvip_cam_m, seen.torso_cam_m, strict=True)
    return [
        {
            "bbox": [*map(float, a), *map(float, b)],
            "keypoints": k.ravel().tolist(),
            "type": "normal",
            "hvip2d": h2.tolist(),
            "hvip3d": h3.tolist(),
            "torso_center": t.tolist(),
        }
        for k, a, b, h2, h3, t in rows
    ]


@pytest.fixture
def folder(crowd: Scene, body: Body, tmp_path: Path) -> LargeCrowdFolder:
    """One scene with two pictures of the same thirty people."""
    folder = LargeCrowdFolder(tmp_path / "lc")
    size = {"height": crowd.camera.height, "width": crowd.camera.width}
    people = annotate(crowd, body)
    for path in (folder.annotation("place_00"), folder.params("place_00"), folder.images / "place_00" / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
    folder.annotation("place_00").write_text(json.dumps({"image_shape": size, "frame_info": {f"{name}.jpg": people for name in FRAMES}}))
    planes = [{"coefficients": crowd.ground.coefficients.tolist(), "mask": None}]
    folder.params("place_00").write_text(json.dumps({"K": crowd.camera.K.tolist(), "planes": planes}))
    for name in FRAMES:
        cv2.imwrite(str(folder.images / "place_00" / f"{name}.jpg"), np.zeros((crowd.camera.height, crowd.camera.width), np.uint8))
    return folder


@pytest.fixture
def edit(folder: LargeCrowdFolder) -> Callable[[Edit], None]:
    """Change the first picture's list of people."""

    def change(how: Edit) -> None:
        path = folder.annotation("place_00")
        content = json.loads(path.read_text())
        how(content["frame_info"][f"{FRAMES[0]}.jpg"])
        path.write_text(json.dumps(content))

    return change


@pytest.fixture
def predict(crowd: Scene, tmp_path: Path) -> Callable[..., Path]:
    """Write predict.json with these scenes under the pictures' names; by default the truth in both."""

    def write(*scenes: Scene) -> Path:
        path = tmp_path / "predict.json"
        chosen = scenes or (crowd, crowd)
        write_predict_json(path, [dataclasses.replace(scene, image=f"{name}.jpg") for name, scene in zip(FRAMES, chosen, strict=False)])
        return path

    return write


def test_the_truth_is_perfect(folder: LargeCrowdFolder, predict: Callable) -> None:
    scores = score_benchmark(predict(), folder)
    overall = scores.overall()
    for name in SCORES:
        assert overall[name].mean == pytest.approx(100.0, abs=1e-3)
        assert overall[f"published_{name}"].mean == pytest.approx(100.0, abs=1e-3)
    assert (overall["precision"].mean, overall["recall"].mean, overall["true_people"].mean) == (1.0, 1.0, 30.0)
    assert np.isnan(overall["mpjpe_mm"].mean), "annotations have no bodies"
    assert scores.people["found"].sum() == 60
    assert np.nanmax(scores.people["ground_error_m"]) < 1e-6


def test_annotations_score_as_the_whole_truth_does(
    folder: LargeCrowdFolder, predict: Callable, crowd: Scene, body: Body, change: Callable
) -> None:
    rng = np.random.default_rng(0)
    people = crowd.people
    moved = change(
        crowd,
        np.arange(26),
        translation_cam_m=people.translation_cam_m + rng.normal(0, 0.15, (30, 3)),
        hvip_cam_m=people.hvip_cam_m + rng.normal(0, 0.15, (30, 3)),
    )
    ours = score_benchmark(predict(moved, moved), folder).figures[0]
    direct = evaluate(moved, crowd, body_pred=body, body_true=body)
    for name in ("ppds", "pa_ppds", "pcod", "pcod_smap", "scale_score", "recall", "rp", "ground_error_median_m", "density_error_per_m2"):
        assert ours[name] == pytest.approx(direct[name], rel=1e-4, abs=1e-6), name
    assert ours["oks"] == pytest.approx(direct["oks"], abs=6), "the box is around keypoints instead of vertices"


def test_people_who_need_not_be_found(folder: LargeCrowdFolder, predict: Callable, edit: Callable) -> None:
    def hide(people: list[dict]) -> None:
        people[0]["type"] = "ghost"
        people[1]["type"] = "severe_occlusion"
        people[2] |= {"keypoints": None, "hvip2d": None, "hvip3d": None, "torso_center": None}
        people[3] |= {"hvip2d": None, "hvip3d": None, "torso_center": None}

    edit(hide)
    first, second = score_benchmark(predict(), folder).figures
    assert (first["true_people"], second["true_people"]) == (26, 30)
    # Whom nothing but a box marks cannot be recognised: finding them is one too many.
    assert (first["recall"], first["predicted_people"]) == (1.0, 27)
    for name in SCORES:
        assert first[name] == pytest.approx(100.0, abs=1e-3)


def test_a_missing_picture_counts_as_nobody_found(folder: LargeCrowdFolder, predict: Callable, crowd: Scene) -> None:
    scores = score_benchmark(predict(crowd), folder)
    assert scores.frame == [f"{name}.jpg" for name in FRAMES]
    second = scores.figures[1]
    assert (second["recall"], second["ppds"], second["predicted_people"]) == (0.0, 0.0, 0)
    assert np.isnan(second["fov_error_deg"])
    assert scores.overall()["recall"].mean == 0.5
    assert scores.people["found"].sum() == 30


def test_a_foreign_file_without_ground(folder: LargeCrowdFolder, predict: Callable, tmp_path: Path) -> None:
    path = predict()
    (tmp_path / EXTRA_NAME).write_text(json.dumps({f"{name}.jpg": {"body": "free_low", "score": [1.0] * 30} for name in FRAMES}))
    overall = score_benchmark(path, folder).overall()
    assert overall["normal_error_deg"].mean == pytest.approx(0.0, abs=1e-4)
    assert overall["camera_height_error_percent"].mean == pytest.approx(0.0, abs=1e-4)
    assert overall["ppds"].mean == pytest.approx(100.0, abs=1e-3)
    (tmp_path / EXTRA_NAME).unlink()
    with pytest.raises(MissingAsset, match="SMPL"):
        score_benchmark(path, folder)


def test_keypoints_outside_the_picture_are_unknown(folder: LargeCrowdFolder, edit: Callable, crowd: Scene, body: Body) -> None:
    edit(lambda people: people[4]["keypoints"].__setitem__(slice(0, 6), [-0.1, 0.5, 0.5, 1.2, 0.0, 0.0]))
    scene = read_scene(folder, "place_00")
    keypoints = read_people(scene, f"{FRAMES[0]}.jpg").keypoints_px
    assert np.isnan(keypoints[4, :3]).all()
    true = crowd.camera.project(crowd.people.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    np.testing.assert_allclose(keypoints[4, 3:], true[4, 3:], atol=1e-6)


def test_a_good_copy_has_no_problems(folder: LargeCrowdFolder) -> None:
    assert list(find_problems(folder)) == []


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda person: person.update(type="tree"), "unknown type"),
        (lambda person: person.update(bbox=person["bbox"][2:] + person["bbox"][:2]), "bbox"),
        (lambda person: person["hvip3d"].__setitem__(1, person["hvip3d"][1] - 0.5), "off every ground plane"),
        (lambda person: person["hvip2d"].__setitem__(0, person["hvip2d"][0] + 9), "hvip2d"),
        (lambda person: person["torso_center"].__setitem__(1, person["torso_center"][1] + 4), "below the ground"),
        (lambda person: person.update(keypoints=None), "no keypoint"),
        (lambda person: person.update(keypoints=[0.5] * 33), "people of place_00_000000.jpg"),
        (lambda person: person.pop("torso_center"), "people of place_00_000000.jpg"),
    ],
)
def test_problems_of_people_are_listed(spoil: Edit, word: str, folder: LargeCrowdFolder, edit: Callable) -> None:
    edit(lambda people: spoil(people[7]))
    problems = list(find_problems(folder))
    assert any(word in line and FRAMES[0] in line for line in problems), problems


def test_problems_of_files_are_listed(folder: LargeCrowdFolder, crowd: Scene) -> None:
    first, second = (folder.images / "place_00" / f"{name}.jpg" for name in FRAMES)
    cv2.imwrite(str(first), np.zeros((10, 20), np.uint8))
    second.rename(second.with_name("place_00_000099.jpg"))
    (folder.images / "other_00").mkdir()
    folder.annotation("gone_00").write_text("{}")
    params = json.loads(folder.params("place_00").read_text())
    params["planes"][0]["mask"] = "mask.png"
    folder.params("place_00").write_text(json.dumps(params))
    problems = "\n".join(find_problems(folder))
    for words in ("20x10", "000099.jpg: not annotated", f"{FRAMES[1]}.jpg is annotated, but", "other_00.json", "gone_00.json", "mask.png"):
        assert words in problems


def test_unusable_annotations_are_named(folder: LargeCrowdFolder, predict: Callable) -> None:
    folder.params("place_00").write_text('{"K": [1, 2]}')
    with pytest.raises(MissingAsset, match=r"place_00\.json"):
        score_benchmark(predict(), folder)
    with pytest.raises(MissingAsset, match="annotations"):
        score_benchmark(predict(), LargeCrowdFolder(folder.root, "train"))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_command_writes_table_json_csv_and_page(
    folder: LargeCrowdFolder, predict: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predict()
    arguments = ["--predict", str(path), "--truth", str(folder.root)]
    assert run_cli(command.add_arguments, command.run, arguments) == 0
    out = capsys.readouterr().out
    assert "81.5" in out
    assert "71.7" in out
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["overall"]["recall"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert figures["overall"]["mpjpe_mm"]["mean"] is None
    with (tmp_path / "benchmark.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"{name}.jpg" for name in FRAMES]
    assert float(rows[0]["ppds"]) == pytest.approx(100.0, abs=1e-3)
    with (tmp_path / "benchmark_scenes.csv").open() as file:
        lines = {(line["scene"], line["figure"]): line for line in csv.DictReader(file)}
    assert float(lines["all", "recall"]["mean"]) == float(lines["place_00", "recall"]["high"]) == 1.0
    assert lines["all", "mpjpe_mm"]["mean"] == ""
    assert "not comparable" in out
    assert any(line.split()[:2] == ["place_00", "2"] for line in out.splitlines()), "a line for every scene"
    page = _Tags()
    page.feed((tmp_path / "benchmark.html").read_text())
    assert page.open == []
    assert page.seen.count("svg") == 8
    assert run_cli(command.add_arguments, command.run, ["--check", "--truth", str(folder.root)]) == 0
    (folder.images / "place_00" / f"{FRAMES[0]}.jpg").unlink()
    assert run_cli(command.add_arguments, command.run, ["--check", "--truth", str(folder.root)]) == 1


def test_groups_of_equal_size() -> None:
    rng = np.random.default_rng(0)
    x = rng.permutation(800).astype(float)
    rows = binned(np.append(x, np.nan), np.append(2 * x, 1.0), 8)
    np.testing.assert_array_equal(rows[:, 4], 100)
    np.testing.assert_allclose(rows[:, 0], np.arange(8) * 100 + 49.5, atol=1)
    np.testing.assert_allclose(rows[:, 1], 2 * rows[:, 0], atol=3)
    assert binned(np.ones(5), np.arange(5.0)).tolist() == [[1.0, 2.0, 1.0, 3.0, 5.0, 2.0]]
    assert binned(np.zeros(0), np.zeros(0)).shape == (0, 6)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (53.0, 198.0, [50.0, 100.0, 150.0, 200.0]), (3.0, 3.0, []), (0.0, 0.0, [])],
)
def test_ticks_are_round_and_span_the_data(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert len(found) <= 7
    if low < high:
        assert found == pytest.approx(expected)
