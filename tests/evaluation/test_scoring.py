"""`evaluate` on whole scenes: identity, missing, doubled, moved and hidden people."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.evaluation import evaluate
from crowd3d.evaluation.observables import observe
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Scene

PERFECT_100 = ("ppds", "pa_ppds", "pcod", "pcod_smap", "oks", "scale_score", "gigacrowd_score")
PERFECT_1 = ("precision", "recall", "f1")
Change = Callable[..., Scene]


@pytest.fixture
def score(body: Body) -> Callable[..., dict[str, float]]:
    return lambda *scenes, **more: evaluate(*scenes, body_pred=body, body_true=body, **more)


def test_identity_is_perfect(crowd: Scene, score: Callable) -> None:
    result = score(crowd, crowd)
    for name in PERFECT_100:
        assert result[name] == pytest.approx(100.0, abs=1e-6), name
        assert result[f"published_{name}"] == pytest.approx(100.0, abs=1e-6), name
    for name in PERFECT_1:
        assert result[name] == 1.0
    zeros = [name for name in result if "error" in name or "mpjpe" in name or name in ("rp", "published_rp")]
    assert len(zeros) > 12
    for name in zeros:
        assert result[name] == pytest.approx(0.0, abs=1e-4), name


def test_order_of_people_does_not_matter(crowd: Scene, score: Callable, change: Change) -> None:
    shuffled = change(crowd, np.random.default_rng(0).permutation(len(crowd.people)))
    # millimetres of bodies in float32
    assert score(shuffled, crowd) == pytest.approx(score(crowd, crowd), abs=1e-4)


def test_a_missing_person_costs_his_share_of_recall(crowd: Scene, score: Callable, change: Change) -> None:
    result = score(change(crowd, np.arange(29)), crowd)
    assert (result["precision"], result["recall"]) == (1.0, pytest.approx(29 / 30))
    for name in ("ppds", "pa_ppds", "pcod", "oks"):
        assert result[name] == pytest.approx(100 * 29 / 30)
    assert result["mpjpe_mm"] == pytest.approx(0.0, abs=1e-4)
    assert result["published_mpjpe_mm"] == pytest.approx(150 / 30, abs=1e-4)
    assert result["count_error"] == -1


def test_doubled_people_cost_precision_and_redundancy(crowd: Scene, score: Callable, change: Change) -> None:
    result = score(change(crowd, np.r_[np.arange(30), np.arange(6)]), crowd)
    assert result["precision"] == pytest.approx(30 / 36)
    assert result["recall"] == 1.0
    assert result["rp"] == pytest.approx(100 * (36 / 30 - 1.02))
    assert result["gigacrowd_score"] == pytest.approx(100 - 0.5 * 18)


def test_people_who_need_not_be_found_count_neither_for_nor_against(crowd: Scene, score: Callable, change: Change) -> None:
    eligible = np.arange(30) >= 10
    found = score(crowd, crowd, eligible=eligible)
    missed = score(change(crowd, np.arange(10, 30)), crowd, eligible=eligible)
    for result in (found, missed):
        assert (result["precision"], result["recall"], result["true_people"]) == (1.0, 1.0, 20)
        assert result["published_recall"] == 1.0
        assert result["density_error_per_m2"] == pytest.approx(0.0, abs=1e-9)


def test_displacement_shows_in_metres(crowd: Scene, score: Callable, change: Change) -> None:
    step = crowd.ground.rotation_cam_world @ np.array([0.12, 0.0, 0.0])
    moved = change(crowd, translation_cam_m=crowd.people.translation_cam_m + step, hvip_cam_m=crowd.people.hvip_cam_m + step)
    result = score(moved, crowd)
    for name in ("ground_error_mean_m", "ground_error_median_m", "ground_error_p90_m", "hvip_error_median_m"):
        assert result[name] == pytest.approx(0.12), name
    assert result["world_mpjpe_mm"] == pytest.approx(120.0)
    assert result["mpjpe_mm"] == pytest.approx(0.0, abs=1e-4)
    assert result["ppds"] == pytest.approx(100.0)
    assert result["neighbour_distance_error_median_m"] == pytest.approx(0.0, abs=1e-6)


def test_camera_errors(crowd: Scene, score: Callable) -> None:
    camera = Camera.from_fov(42.5, (4096, 1400))
    ground = GroundPlane.from_angles(0.25 + np.deg2rad(0.7), 0.02, 10.4)
    result = score(dataclasses.replace(crowd, camera=camera, ground=ground), crowd)
    assert result["fov_error_deg"] == pytest.approx(2.5)
    assert result["normal_error_deg"] == pytest.approx(0.7)
    assert result["camera_height_error_percent"] == pytest.approx(4.0)


def test_hidden_keypoints_count_in_the_published_form_only(crowd: Scene, score: Callable, change: Change, body: Body) -> None:
    pose = crowd.people.pose_rad.copy()
    pose[:, 16] += (0, 0, 1.2)
    raised = change(crowd, pose_rad=pose)
    arm = np.isin(COCO17_FROM_SMPL54, (16, 18, 20))
    visible = np.tile(~arm, (30, 1))
    result = score(raised, crowd, visible=visible)
    assert result["oks"] == pytest.approx(100.0, abs=0.5)
    assert result["published_oks"] < 95.0


def test_turned_bodies_cost_mpjpe_but_not_its_aligned_form(crowd: Scene, score: Callable, change: Change) -> None:
    pose = crowd.people.pose_rad.astype(np.float64)
    turn = Rotation.from_rotvec(0.3 * crowd.ground.normal)
    pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    result = score(change(crowd, pose_rad=pose), crowd)
    assert result["mpjpe_mm"] > 20
    assert result["pa_mpjpe_mm"] == pytest.approx(0.0, abs=0.01)


def test_nobody_found_and_nobody_there(crowd: Scene, score: Callable, change: Change) -> None:
    nobody = change(crowd, np.arange(0))
    missed = score(nobody, crowd)
    assert (missed["recall"], missed["ppds"], missed["published_mpjpe_mm"]) == (0.0, 0.0, 150.0)
    assert np.isnan(missed["precision"])
    assert np.isnan(missed["mpjpe_mm"])
    invented = score(crowd, nobody)
    assert invented["precision"] == 0.0
    assert np.isnan(invented["recall"])


def direct_published(predicted: Scene, true: Scene, body: Body) -> dict[str, float]:
    """Published PPDS, PA-PPDS, PCOD and OKS straight from their definitions, one pair at a time."""
    sigma = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
    seen, real = (observe(scene, body) for scene in (predicted, true))
    similarity = np.zeros((len(real), len(seen)))
    for g, p in itertools.product(range(len(real)), range(len(seen))):
        squared = ((real.keypoints_px[g] - seen.keypoints_px[p]) ** 2).sum(1)
        similarity[g, p] = np.mean(np.exp(-squared / (2 * real.area_px[g] * (2 * sigma) ** 2)))
    pairs: dict[int, int] = {}
    for g in range(len(real)):
        best = int(similarity[g].argmax())
        if best not in pairs.values() and similarity[g, best] > 0:
            pairs[g] = best
    recall = len(pairs) / len(real)
    q, p = real.torso_cam_m[list(pairs)], seen.torso_cam_m[list(pairs.values())]
    a, b = p - p.mean(0), q - q.mean(0)
    turn = Rotation.align_vectors(b, a)[0]
    aligned = (turn.apply(a) * b).sum() / (a * a).sum() * turn.apply(a)
    couples = list(itertools.combinations(range(len(q)), 2))

    def ppds(points: np.ndarray) -> float:
        total = 0.0
        for i, j in couples:
            far = np.linalg.norm(q[i] - q[j])
            total += max(1 - abs(np.linalg.norm(points[i] - points[j]) - far) / far, 0)
        return 100 * recall * total / len(couples)

    right = sum((p[i, 2] - p[j, 2]) * (q[i, 2] - q[j, 2]) > 0 for i, j in couples)
    oks = np.mean([similarity[g, one] for g, one in pairs.items()])
    return {"ppds": ppds(p), "pa_ppds": ppds(aligned), "pcod": 100 * recall * right / len(couples), "oks": 100 * recall * oks}


@pytest.mark.parametrize("seed", range(3))
def test_published_forms_equal_their_definitions(seed: int, crowd: Scene, score: Callable, change: Change, body: Body) -> None:
    rng = np.random.default_rng(seed)
    people = crowd.people
    rows = np.r_[rng.permutation(30)[:26], rng.integers(0, 30, 3)]
    shift = rng.normal(0, (0.2, 0.2, 1.5), (30, 3))
    predicted = change(crowd, rows, translation_cam_m=people.translation_cam_m + shift)
    result = score(predicted, crowd)
    for name, value in direct_published(predicted, crowd, body).items():
        assert result[f"published_{name}"] == pytest.approx(value, abs=1e-9), name
