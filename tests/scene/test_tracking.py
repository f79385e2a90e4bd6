"""Ids that stay with people who cross each other's ways, against known identities, and smooth paths against batch least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from crowd3d.evaluation.identity import identity_scores
from crowd3d.scene.motion import Motion
from crowd3d.scene.tracking import TrackingOptions, smooth_paths, track

PEOPLE, FRAMES = 100, 50
FIELD_M = 30.0


def walk(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(FRAMES, PEOPLE, 2) people who cross a field in all directions, turning a little; one in five stands."""
    heading = rng.uniform(-np.pi, np.pi, PEOPLE) + np.cumsum(rng.normal(0, 0.05, (FRAMES, PEOPLE)), axis=0)
    pace = np.where(rng.random(PEOPLE) < 0.2, 0.0, rng.normal(1.3, 0.2, PEOPLE))
    way = np.cumsum(seconds * pace[:, None] * np.stack([np.cos(heading), np.sin(heading)], -1), axis=0)
    return rng.uniform(0, FIELD_M, (PEOPLE, 2)) + way - way[FRAMES // 2]


def score(true: np.ndarray, seen: list[np.ndarray], ids: list[np.ndarray]) -> float:
    everybody = [np.arange(PEOPLE)] * FRAMES
    return identity_scores(list(true), everybody, seen, ids).idf1


@pytest.mark.parametrize(("seed", "seconds"), [(0, 0.4), (1, 0.4), (2, 1.0)])
def test_a_hundred_people_whose_paths_cross_keep_their_ids(seed: int, seconds: float) -> None:
    rng = np.random.default_rng(seed)
    true = walk(rng, seconds)
    crossings = sum((cdist(now, now)[np.triu_indices(PEOPLE, 1)] < 0.5).sum() for now in true)
    assert crossings > 60
    order = [rng.permutation(PEOPLE) for _ in range(FRAMES)]
    seen = [now[rows] + rng.normal(0, 0.2, (PEOPLE, 2)) for now, rows in zip(true, order, strict=True)]
    ids = track(seen, seconds * np.arange(FRAMES))
    assert score(true, seen, ids) >= 0.9
    # Without distances: IDF1 where only the sighting that was made from a person counts as theirs.
    both = np.zeros((PEOPLE, 1 + max(id_.max() for id_ in ids)), int)
    for rows, id_ in zip(order, ids, strict=True):
        both[rows, id_] += 1
    assert both[linear_sum_assignment(both, maximize=True)].sum() / both.sum() >= 0.9


def test_people_who_are_missed_and_people_who_are_not_there() -> None:
    rng = np.random.default_rng(5)
    seconds = 0.4
    true = walk(rng, seconds)
    seen = []
    for now in true:
        missed = rng.random(PEOPLE) < 0.1
        invented = rng.uniform(0, FIELD_M, (5, 2))
        seen.append(np.concatenate([now[~missed] + rng.normal(0, 0.2, ((~missed).sum(), 2)), invented]))
    assert score(true, seen, track(seen, seconds * np.arange(FRAMES))) > 0.75


def test_ids_are_counted_by_first_appearance_and_never_shared() -> None:
    rng = np.random.default_rng(0)
    seen = [rng.uniform(0, 10, (count, 2)) for count in (4, 0, 7, 7)]
    seen[2][3] = np.nan
    ids = track(seen, np.arange(4.0))
    assert ids[0].tolist() == [0, 1, 2, 3]
    assert [len(one) for one in ids] == [4, 0, 7, 7]
    for one in ids:
        assert len(np.unique(one)) == len(one)
    together = np.concatenate(ids)
    assert sorted(set(together)) == list(range(together.max() + 1))
    assert (np.concatenate(ids) == ids[2][3]).sum() == 1, "who has no place is not followed"
    assert track([], np.zeros(0)) == []


def test_a_wait_behind_a_tree_is_survived_and_a_long_one_is_not() -> None:
    walker = np.stack([1.3 * np.arange(0, 12, 0.5), np.zeros(24)], 1)

    def ids(gap: slice) -> set[int]:
        hidden = np.zeros(24, bool)
        hidden[gap] = True
        seen = [np.zeros((0, 2)) if gone else place[None] for gone, place in zip(hidden, walker, strict=True)]
        return set(np.concatenate(track(seen, 0.5 * np.arange(24))).tolist())

    assert ids(slice(8, 12)) == {0}
    assert ids(slice(8, 18)) == {0, 1}


def test_covariances_decide_who_it_was() -> None:
    first, second = np.array([[0.0, 10.0]]), np.array([[0.0, 14.0]])
    deep = np.array([[[0.01, 0.0], [0.0, 4.0]]])
    options = TrackingOptions(motion=Motion(speed_sigma_m_s=0.2))
    assert track([first, second], np.array([0.0, 1.0]), [deep, deep], options)[1].tolist() == [0]
    assert track([first, second], np.array([0.0, 1.0]), None, options)[1].tolist() == [1]
    assert track([first, first + [4.0, 0.0]], np.array([0.0, 1.0]), [deep, deep], options)[1].tolist() == [1]


def batch(places: np.ndarray, times: np.ndarray, sigma: float, motion: Motion) -> np.ndarray:
    """(T, 4) most likely states by one least-squares problem over all of them."""
    count = len(times)
    rows, right = [], []

    def add(block: np.ndarray, value: np.ndarray, spread: np.ndarray) -> None:
        white = np.linalg.inv(np.linalg.cholesky(spread))
        rows.append(white @ block)
        right.append(white @ value)

    def at(row: int, block: np.ndarray) -> np.ndarray:
        wide = np.zeros((len(block), 4 * count))
        wide[:, 4 * row : 4 * row + 4] = block
        return wide

    first = int(np.flatnonzero(np.isfinite(places).all(1))[0])
    add(at(first, np.eye(4)[2:]), np.zeros(2), motion.speed_sigma_m_s**2 * np.eye(2))
    for row in range(count):
        if np.isfinite(places[row]).all():
            add(at(row, np.eye(2, 4)), places[row], sigma**2 * np.eye(2))
        if row:
            step, noise = motion.transition(times[row] - times[row - 1])
            add(at(row, np.eye(4)) - at(row - 1, step), np.zeros(4), noise)
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0].reshape(count, 4)


def test_smooth_paths_are_the_most_likely_ones() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.2, 1.0, 12))
    places = rng.normal(0, 2, (12, 3, 2)) + [100.0, -50.0]
    places[0, 1] = places[4:6, 0] = places[9:, 2] = np.nan
    smooth = smooth_paths(places, times, np.tile(0.09 * np.eye(2), (12, 3, 1, 1))).state
    for person, (begin, end) in enumerate([(0, 12), (1, 12), (0, 9)]):
        assert np.isfinite(smooth[begin:end, person]).all()
        assert np.isnan(smooth[:begin, person]).all()
        assert np.isnan(smooth[end:, person]).all()
        expected = batch(places[begin:end, person], times[begin:end], 0.3, Motion())
        np.testing.assert_allclose(smooth[begin:end, person], expected, atol=1e-6)


def test_smoothing_reduces_noise() -> None:
    rng = np.random.default_rng(2)
    true = walk(rng, 0.4)
    noisy = true + rng.normal(0, 0.2, true.shape)
    smooth = smooth_paths(noisy, 0.4 * np.arange(FRAMES), np.tile(0.04 * np.eye(2), (FRAMES, PEOPLE, 1, 1))).state
    assert np.sqrt(((smooth[..., :2] - true) ** 2).mean()) < 0.65 * 0.2


def test_smooth_paths_know_how_sure_they_are() -> None:
    """People who move as the filter assumes, some of whom are hidden for a while, at uneven times."""
    rng = np.random.default_rng(3)
    motion, people = Motion(), 300
    times = np.cumsum(rng.uniform(0.2, 1.5, 14))
    state = np.concatenate([rng.uniform(0, 30, (people, 2)), motion.speed_sigma_m_s * rng.normal(size=(people, 2))], 1)
    true = [state]
    for seconds in np.diff(times):
        step, noise = motion.transition(seconds)
        true.append(true[-1] @ step.T + rng.multivariate_normal(np.zeros(4), noise, people))
    true = np.array(true)
    seen = true[..., :2] + rng.normal(0, 0.2, (14, people, 2))
    seen[5:8, ::3] = np.nan
    smooth = smooth_paths(seen, times, np.tile(0.04 * np.eye(2), (14, people, 1, 1)), motion)
    miss = smooth.state - true
    distance = np.einsum("tki,tkij,tkj->tk", miss, np.linalg.inv(smooth.covariance), miss)
    assert distance.mean() == pytest.approx(4.0, rel=0.05), "four degrees of freedom"
    assert smooth.place_sigma_m[6, ::3].mean() > 1.5 * smooth.place_sigma_m[6, 1::3].mean()
    assert np.sqrt((miss[..., 2:] ** 2).mean()) == pytest.approx(np.sqrt((smooth.speed_sigma_m_s**2).mean()), rel=0.05)
