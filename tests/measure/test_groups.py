"""Groups that are known: found, with probabilities that mean what they say."""

from __future__ import annotations

import numpy as np

from crowd3d.measure.groups import Pairs, candidate_pairs, groups_of, pair_odds, probabilities, strangers_per_m2, velocity_odds
from crowd3d.measure.simulate import SQUARE, scatter

WIDE = 5.0 * (SQUARE - SQUARE.mean(0)) + SQUARE.mean(0)


def made(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places and (N,) groups: 40 couples and 80 people alone on 3600 m²."""
    middles = scatter(120, WIDE, rng, gap_m=0.4)
    turn = rng.uniform(0, 2 * np.pi, 40)
    apart = 0.5 * np.exp(rng.normal(np.log(0.78), 0.25, 40))[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    places = np.concatenate([middles[:40] - apart, middles[:40] + apart, middles[40:]])
    return places, np.concatenate([np.arange(40), np.arange(40), np.arange(40, 120)])


def test_couples_are_found_and_probabilities_are_calibrated() -> None:
    said, true, right, both = [], [], 0, 0
    for seed in range(4):
        places, group = made(np.random.default_rng(seed))
        rows = candidate_pairs(places)
        odds = pair_odds(np.hypot(*(places[rows[:, 0]] - places[rows[:, 1]]).T), strangers_per_m2(places, WIDE)[rows].mean(1))
        chance = probabilities(odds, len(places))
        said.append(chance)
        true.append(group[rows[:, 0]] == group[rows[:, 1]])
        found, belief = groups_of(Pairs(rows, chance), len(places))
        assert ((belief >= 0) & (belief <= 1)).all()
        couple = (found[:40] == found[40:80]) & (found[:40] >= 0)
        right += couple.sum()
        both += 40
    chance, same = np.concatenate(said), np.concatenate(true)
    assert right / both > 0.8
    assert abs(chance.sum() - same.sum()) < 0.15 * same.sum()
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        of = (chance >= low) & (chance < high)
        if of.sum() > 20:
            assert abs(chance[of].mean() - same[of].mean()) < 0.2


def test_in_a_dense_crowd_nobody_can_tell() -> None:
    places = scatter(400, SQUARE, np.random.default_rng(0), gap_m=0.35)
    rows = candidate_pairs(places)
    odds = pair_odds(np.hypot(*(places[rows[:, 0]] - places[rows[:, 1]]).T), strangers_per_m2(places, SQUARE)[rows].mean(1))
    assert np.quantile(probabilities(odds, len(places)), 0.95) < 0.5


def test_who_walks_alike_is_together_sooner() -> None:
    odds = velocity_odds(np.array([[0.05, 0.0], [1.0, 0.0], [2.6, 0.0]]), 1.0)
    assert odds[0] > 10 > 1 > odds[1] > odds[2]


def test_groups_are_numbered_by_size_and_people_alone_have_none() -> None:
    rows = np.array([[0, 1], [2, 3], [3, 4], [2, 4], [5, 6]])
    group, belief = groups_of(Pairs(rows, np.array([0.9, 0.9, 0.8, 0.7, 0.2])), 8)
    np.testing.assert_array_equal(group, [1, 1, 0, 0, 0, -1, -1, -1])
    np.testing.assert_allclose(belief, [0.9, 0.9, 0.8, 0.85, 0.75, 0.8, 0.8, 1.0])
    group, belief = groups_of(Pairs(np.zeros((0, 2), int), np.zeros(0)), 3)
    assert (group == -1).all()
    assert (belief == 1).all()
