"""Formulas against direct loops, another library, and their invariances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.evaluation import metrics
from crowd3d.evaluation.matching import match_optimal, match_published


def crowd(seed: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal((0, 2, 40), (10, 1, 12), (count, 3))
    return true + rng.normal(0, 2.0, true.shape), true


def direct_ppds(predicted: np.ndarray, true: np.ndarray, recall: float) -> float:
    scores = []
    for i, j in itertools.combinations(range(len(true)), 2):
        d_pred = np.linalg.norm(predicted[i] - predicted[j])
        d_true = np.linalg.norm(true[i] - true[j])
        scores.append(max(1 - abs(d_pred - d_true) / d_true, 0))
    return 100 * recall * sum(scores) / len(scores)


def align(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Best similarity by scipy's rotation and the normal equation of the scale."""
    p, q = source - source.mean(0), target - target.mean(0)
    rotated = Rotation.align_vectors(q, p)[0].apply(p)
    scale = float((rotated * q).sum() / (p * p).sum())
    return scale * rotated + target.mean(0), scale


def move(points: np.ndarray, seed: int, scale: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * points @ Rotation.random(random_state=seed).as_matrix().T + rng.normal(0, 5, 3)


@pytest.mark.parametrize("seed", range(5))
def test_ppds_and_pa_ppds_equal_the_direct_evaluation(seed: int) -> None:
    predicted, true = crowd(seed)
    assert metrics.ppds(predicted, true, 0.8) == pytest.approx(direct_ppds(predicted, true, 0.8), abs=1e-9)
    aligned, a = align(predicted, true)
    assert metrics.pa_ppds(predicted, true, 0.8) == pytest.approx(direct_ppds(aligned, true, 0.8), abs=1e-9)
    assert metrics.scale_score(predicted, true) == pytest.approx(100 * (a if a <= 1 else 1 / a), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_pcod_equals_the_direct_evaluation(seed: int) -> None:
    predicted, true = crowd(seed)
    p, q = 3 * np.round(predicted[:, 2] / 3), true[:, 2]
    pairs = list(itertools.combinations(range(len(p)), 2))
    assert len(np.unique(p)) < len(p)  # the case holds ties
    right = sum((p[i] < p[j] and q[i] < q[j]) or (p[i] > p[j] and q[i] > q[j]) for i, j in pairs)
    assert metrics.pcod(p, q, 0.7) == pytest.approx(70 * right / len(pairs), abs=1e-9)

    def kind(d: float) -> int:
        return 0 if abs(d) <= 0.3 else (1 if d > 0 else -1)

    right = sum(kind(p[i] - p[j]) == kind(q[i] - q[j]) for i, j in pairs)
    assert metrics.pcod_banded(p, q, 0.7) == pytest.approx(70 * right / len(pairs), abs=1e-9)


def test_hand_computed_three_people_in_a_row() -> None:
    true = np.array([[0.0, 0, 10], [0, 0, 12], [0, 0, 14]])
    predicted = np.array([[0.0, 0, 10], [0, 0, 13], [0, 0, 12]])
    # Distances 2, 2, 4 became 3, 1, 2: scores 0.5, 0.5, 0.5. One of three orders is wrong.
    assert metrics.ppds(predicted, true, 1.0) == pytest.approx(50.0)
    assert metrics.pcod(predicted[:, 2], true[:, 2], 1.0) == pytest.approx(200 / 3)


def test_pa_ppds_is_invariant_under_similarity_and_ppds_under_rigid_motion() -> None:
    predicted, true = crowd(3)
    assert metrics.pa_ppds(move(predicted, 1, 2.7), true, 1.0) == pytest.approx(metrics.pa_ppds(predicted, true, 1.0), abs=1e-9)
    assert metrics.ppds(move(predicted, 1, 1.0), true, 1.0) == pytest.approx(metrics.ppds(predicted, true, 1.0), abs=1e-9)
    assert metrics.pa_ppds(move(true, 2, 0.4), true, 1.0) == pytest.approx(100.0)
    assert metrics.ppds(0.9 * true, true, 1.0) == pytest.approx(90.0)


def test_alignment_does_not_mirror() -> None:
    true = np.random.default_rng(0).normal(0, 5, (12, 3))
    mirrored = true * (-1, 1, 1)
    rotation = metrics.align_similarity(mirrored, true)[1]
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert metrics.pa_ppds(mirrored, true, 1.0) < 95.0


def test_aligned_joint_errors_equal_another_library() -> None:
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(0, 0.3, (4, 14, 3)), rng.normal(0, 0.3, (4, 14, 3))
    aligned = np.array([align(p, q)[0] for p, q in zip(predicted, true, strict=True)])
    expected = 1000 * np.linalg.norm(aligned - true, axis=2).mean(1)
    np.testing.assert_allclose(metrics.aligned_joint_errors_mm(predicted, true), expected, atol=1e-8)
    np.testing.assert_allclose(metrics.joint_errors_mm(true + np.array([0.03, 0, 0.04]), true), 50.0)


def test_oks_equals_the_direct_evaluation() -> None:
    rng = np.random.default_rng(1)
    true, predicted = rng.uniform(0, 100, (3, 17, 2)), rng.uniform(0, 100, (2, 17, 2))
    counted, area = rng.random((3, 17)) < 0.6, np.array([2e4, 5e4, 9e4])
    predicted[1, 3] = np.nan
    matrix = metrics.oks_matrix(true, counted, area, predicted)
    for g, p in itertools.product(range(3), range(2)):
        parts = []
        for k in np.flatnonzero(counted[g]):
            d2 = ((true[g, k] - predicted[p, k]) ** 2).sum()
            parts.append(0.0 if np.isnan(d2) else np.exp(-d2 / (2 * area[g] * (2 * metrics.COCO17_SIGMAS[k]) ** 2)))
        assert matrix[g, p] == pytest.approx(np.mean(parts), abs=1e-12)


def test_oks_of_people_without_counted_joints_is_zero() -> None:
    points = np.zeros((1, 17, 2))
    assert metrics.oks_matrix(points, np.zeros((1, 17), bool), np.ones(1), points).item() == 0.0


def test_redundancy_and_gigacrowd_score() -> None:
    assert metrics.redundancy(76, 42) == pytest.approx(100 * (76 / 42 - 1.02))
    assert metrics.redundancy(42, 42) == 0.0
    assert metrics.redundancy(200, 50) == 100.0
    assert metrics.gigacrowd_score(90, 80, 70, 60, 10) == pytest.approx(27 + 16 + 7 + 24 - 5)


def test_greedy_matching_drops_whom_it_finds_taken_and_optimal_matching_does_not() -> None:
    oks = np.array([[0.9, 0.5], [0.8, 0.1]])
    true, predicted = match_published(oks)
    assert (true.tolist(), predicted.tolist()) == ([0], [0])
    true, predicted = match_optimal(oks - 0.25, np.ones((2, 2)), np.ones(2, bool))
    assert (true.tolist(), predicted.tolist()) == ([0], [0])  # a pair below the gate is no pair
    true, predicted = match_optimal(oks, np.ones((2, 2)), np.ones(2, bool))
    assert (true.tolist(), predicted.tolist()) == ([0, 1], [1, 0])


def test_people_without_labels_are_matched_on_the_ground() -> None:
    distance = np.array([[0.5, 9.0], [0.4, 1.5]])
    true, predicted = match_optimal(np.zeros((2, 2)), distance, np.zeros(2, bool))
    assert (true.tolist(), predicted.tolist()) == ([0, 1], [0, 1])
    true, predicted = match_optimal(np.zeros((2, 2)), 3.0 * distance, np.zeros(2, bool))
    assert (true.tolist(), predicted.tolist()) == ([1], [0])


def test_density_error_of_a_crowd_that_is_missing_or_moved() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1).reshape(-1, 2)
    assert metrics.density_error(grid, grid) == 0.0
    assert metrics.density_error(grid[:0], grid) == pytest.approx(1.0)
    assert metrics.density_error(grid, np.repeat(grid, 2, axis=0)) == pytest.approx(1.0)
    errors = [metrics.density_error(grid + rng.normal(0, s, grid.shape), grid) for s in (0.1, 0.3, 1.0)]
    assert errors == sorted(errors)
