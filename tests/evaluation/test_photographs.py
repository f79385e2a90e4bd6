"""Photographs with a partial truth: reading the folder, and figures that follow from how the reconstruction was spoilt."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.errors import MissingAsset
from crowd3d.evaluation.observables import observe
from crowd3d.evaluation.photograph_scores import INTERVAL_68, score_nobody, score_photograph
from crowd3d.evaluation.photographs import PartialTruth, read_index, read_truth
from crowd3d.evaluation.report import over_scenes
from crowd3d.geometry import GroundPlane
from crowd3d.types import Scene

Change = Callable[..., Scene]
Score = Callable[..., dict[str, float]]


def written(scene: Scene, body: Body) -> dict[str, Any]:
    """What a truth file says of a scene, in a world whose origin and axes have nothing to do with the camera."""
    ground = scene.ground
    right, up, back = ground.rotation_cam_world.T
    x = 0.8 * right - 0.6 * back
    rotation = np.stack([x, np.cross(up, x), up], axis=1)
    shift = -ground.offset_m * up + 5.0 * rotation[:, 0] - 3.0 * rotation[:, 1]
    seen = observe(scene, body)
    place = (scene.people.hvip_cam_m - shift) @ rotation
    assert np.abs(place[:, 2]).max() < 1e-9
    low, high = seen.keypoints_px.min(1), seen.keypoints_px.max(1)
    people = [
        {
            "box": [*low[i], *(high - low)[i]],
            "keypoints": [[*point, 2] for point in seen.keypoints_px[i]],
            "head": seen.keypoints_px[i, :5].mean(0).tolist(),
            "position_m": place[i, :2].tolist(),
        }
        for i in range(len(seen))
    ]
    camera = {"K": scene.camera.K.tolist(), "R": rotation.tolist(), "t": shift.tolist(), "distortion": None}
    return {"camera": camera, "people": people, "people_complete": True}


@pytest.fixture
def crowd(crowd: Scene, change: Change) -> Scene:
    """Twenty of the crowd who stand inside the picture."""
    inside = ((crowd.people.hvip_px > 0) & (crowd.people.hvip_px < (crowd.camera.width, crowd.camera.height))).all(1)
    return change(crowd, np.flatnonzero(inside)[:20])


@pytest.fixture
def told(crowd: Scene, body: Body) -> dict[str, Any]:
    return written(crowd, body)


@pytest.fixture
def seen(crowd: Scene, body: Body, change: Change) -> Scene:
    """The crowd with the keypoints that a perfect 2D stage sees."""
    points = crowd.camera.project(crowd.people.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    return change(crowd, keypoints_px=np.concatenate([points, np.full((*points.shape[:2], 1), 0.9)], axis=2))


@pytest.fixture
def truth(crowd: Scene, tmp_path: Path) -> Callable[[dict, str], PartialTruth]:
    """Function that writes a folder with one picture and reads what is known of it."""

    def read(told: dict, kind: str) -> PartialTruth:
        (tmp_path / "a.jpg").touch()
        (tmp_path / "a.json").write_text(json.dumps(told), encoding="utf-8")
        (tmp_path / "index.json").write_text(json.dumps([{"id": "a", "file": "a.jpg", "kind": kind, "truth": "a.json"}]), encoding="utf-8")
        (photograph,) = read_index(tmp_path)
        return read_truth(photograph, (crowd.camera.width, crowd.camera.height))

    return read


@pytest.fixture
def score(truth: Callable, body: Body) -> Score:
    return lambda told, kind, scene: score_photograph(kind, scene, observe(scene, body), truth(told, kind))


def test_the_camera_of_another_world_is_the_camera(crowd: Scene, told: dict, truth: Callable) -> None:
    known = truth(told, "metric")
    camera, ground = known.camera_ground
    assert camera == crowd.camera
    assert np.allclose(ground.coefficients, crowd.ground.coefficients)
    assert np.allclose(known.people.position_cam_m, crowd.people.hvip_cam_m)


@pytest.mark.parametrize(
    ("kind", "best"),
    [
        ("metric", {"precision": 1, "recall": 1, "ppds": 100, "pcod": 100, "position_error_m": 0, "fov_error_deg": 0, "focal_ratio": 1}),
        ("keypoints", {"oks_2d": 1, "oks_body": 1, "precision": 1, "recall": 1}),
        ("heads", {"f1": 1, "precision": 1, "recall": 1}),
    ],
)
def test_the_truth_is_perfect_and_nobody_is_worst(seen: Scene, told: dict, score: Score, truth: Callable, kind: str, best: dict) -> None:
    result = score(told, kind, seen)
    assert {name: result[name] for name in best} == pytest.approx(best, abs=1e-4)
    none = score_nobody(kind, truth(told, kind), (seen.camera.width, seen.camera.height))
    assert none.keys() == result.keys()
    assert (none["recall"], none["true_people"], none["predicted_people"]) == (0.0, 20.0, 0.0)
    assert none.get("ppds", 0.0) == none.get("pcod", 0.0) == none.get("oks_2d", 0.0) == none.get("oks_body", 0.0) == 0.0
    assert math.isnan(none.get("fov_error_deg", math.nan))


def test_missed_and_invented_people(seen: Scene, told: dict, score: Score, change: Change) -> None:
    """Three of twenty are missed; two others are somewhere else, in the air above the crowd."""
    up = np.zeros((20, 3))
    up[:2] = 12.0 * seen.ground.normal
    kept = change(change(seen, translation_cam_m=seen.people.translation_cam_m + up), np.arange(17))
    unseen = change(kept, keypoints_px=np.zeros((17, 17, 3)))
    for kind in ("metric", "heads"):
        result = score(told, kind, unseen)
        assert (result["matched_people"], result["precision"], result["recall"]) == (15, 15 / 17, 15 / 20), kind
    bodies = score(told, "keypoints", kept)
    assert bodies["oks_2d"] == pytest.approx(17 / 20)
    assert bodies["oks_body"] == pytest.approx(15 / 20)


def test_a_scaled_world_keeps_its_people(seen: Scene, told: dict, score: Score) -> None:
    """Everything 20 % too large: the same picture, a camera 20 % too high, distances 20 % too long."""
    people, ground = seen.people, seen.ground
    larger = dataclasses.replace(people, translation_cam_m=1.2 * people.translation_cam_m, hvip_cam_m=1.2 * people.hvip_cam_m)
    scene = dataclasses.replace(seen, ground=GroundPlane(ground.normal, 1.2 * ground.offset_m), people=larger)
    result = score(told, "metric", scene)
    expected = {"camera_height_error_percent": 20, "position_error_percent": 20, "recall": 1, "ppds": 80, "pcod": 100}
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_intervals_hold_the_truth_or_not(seen: Scene, told: dict, score: Score) -> None:
    ground = GroundPlane.from_angles(seen.ground.tilt_rad + 0.02, seen.ground.roll_rad, seen.ground.offset_m * 1.1)
    sigma = np.array([0.01, 0.02 / INTERVAL_68 * 0.99, 0.01, np.log(1.1) / INTERVAL_68 * 1.01])
    scene = dataclasses.replace(seen, ground=ground, ground_covariance=np.diag(sigma**2))
    result = score(told, "metric", scene)
    assert [result[f"held_{name}"] for name in ("log_focal", "tilt", "roll", "log_height")] == [1, 0, 1, 1]
    assert math.isnan(score(told, "metric", seen)["held_tilt"])


def test_who_need_not_be_found_counts_neither_way(seen: Scene, told: dict, score: Score, change: Change) -> None:
    told["people"][0]["visible"] = False
    for kind in ("metric", "keypoints", "heads"):
        found = score(told, kind, seen)
        missed = score(told, kind, change(seen, np.arange(1, 20)))
        for result in (found, missed):
            assert (result["true_people"], result["recall"], result["precision"]) == (19, 1, 1), kind
    # Somebody of whom nothing is annotated, but who stands in a region that does not count.
    box = told["people"].pop(1)["box"]
    assert score(told, "metric", seen)["precision"] == pytest.approx(18 / 19)
    told["dontcare_boxes"] = [box]
    assert score(told, "metric", seen)["precision"] == 1
    told["people_complete"] = False
    assert math.isnan(score(told, "metric", seen)["precision"])


def test_points_on_bodies_are_found_from_farther_away(seen: Scene, told: dict, score: Score) -> None:
    for person in told["people"]:
        left, top, width, height = person["box"]
        person["head"] = [left + width / 2, top + 0.35 * height]
    assert score(told, "heads", seen)["f1"] < 0.5
    for person in told["people"]:
        person["point"] = person.pop("head")
    assert score(told, "heads", seen)["f1"] == 1


def test_few_keypoints_are_not_asked_for(seen: Scene, told: dict, score: Score) -> None:
    for point in told["people"][0]["keypoints"][4:]:
        point[2] = 0
    result = score(told, "keypoints", seen)
    assert (result["true_people"], result["oks_2d"]) == (19, 1)


def test_scenes_weigh_the_same() -> None:
    rows = [{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": 2.0}, {"a": 8.0, "b": math.nan}]
    means = over_scenes(["one", "one", "other"], rows)
    assert means["one"] == {"a": 2.0, "b": 2.0}
    assert means["other"]["a"] == 8.0
    assert math.isnan(means["other"]["b"])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "cannot open"),
        ("[", "is not JSON"),
        ('{"a": 1}', "is not a list"),
        ('[{"id": "a", "file": "a.jpg"}]', "is not a list"),
        ('[{"id": "a", "file": "a.jpg", "kind": "video"}]', "kinds are"),
        ('[{"id": "a", "file": "a.jpg", "kind": "heads"}]', "has no truth"),
        ('[{"id": "a", "file": "b.jpg", "kind": "picture"}]', "which is not there"),
        ('[{"id": "a", "file": "a.jpg", "kind": "picture"}, {"id": "a", "file": "a.jpg", "kind": "picture"}]', "several pictures"),
    ],
)
def test_a_spoilt_index_is_told(tmp_path: Path, index: str | None, message: str) -> None:
    (tmp_path / "a.jpg").touch()
    if index is not None:
        (tmp_path / "index.json").write_text(index, encoding="utf-8")
    with pytest.raises(MissingAsset, match=message):
        read_index(tmp_path)


def test_a_spoilt_truth_is_told(told: dict, truth: Callable) -> None:
    spoils = {"no camera": {"camera": None}, "lacks or spoils": {"people": [{"box": [1, 2]}]}, "NoneType": {"people": None}}
    for message, spoil in spoils.items():
        with pytest.raises(MissingAsset, match=message):
            truth(told | spoil, "metric")
