"""IDF1 on cases that are small enough to count by hand, and against all assignments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crowd3d.evaluation.identity import identity_scores

A, B, C = np.array([0.0, 0.0]), np.array([5.0, 0.0]), np.array([0.0, 5.0])


def test_two_people_who_swap_their_ids_after_three_of_four_pictures() -> None:
    true = [np.array([A, B])] * 4
    who = [np.array([0, 1])] * 4
    ids = [np.array([7, 8])] * 3 + [np.array([8, 7])]
    result = identity_scores(true, who, true, ids)
    # Best: 7 is the first person, 8 the second: three of four pictures right for each, 6 of 8 sightings.
    assert result.true_positives == 6
    assert result.idf1 == pytest.approx(2 * 6 / (8 + 8))
    assert (result.precision, result.recall) == (0.75, 0.75)


def test_a_path_in_two_pieces_a_missed_sighting_and_an_invented_one() -> None:
    true = [np.array([A])] * 5
    who = [np.array([3])] * 5
    seen = [A[None], A[None] + 0.5, np.zeros((0, 2)), A[None], np.array([A, C])]
    ids = [np.array([0]), np.array([0]), np.array([], int), np.array([1]), np.array([0, 2])]
    # Id 0 is the person: pictures 1, 2 and 5. Of 5 true and 5 predicted sightings 3 are right.
    result = identity_scores(true, who, seen, ids)
    assert result.true_positives == 3
    assert result.idf1 == pytest.approx(2 * 3 / (5 + 5))


def test_far_away_is_somebody_else() -> None:
    assert identity_scores([A[None]], [np.array([0])], [A[None] + [1.01, 0]], [np.array([0])]).idf1 == 0.0
    assert identity_scores([A[None]], [np.array([0])], [A[None] + [0.99, 0]], [np.array([0])]).idf1 == 1.0


def test_nobody() -> None:
    nothing, none = [np.zeros((0, 2))], [np.zeros(0, int)]
    assert np.isnan(identity_scores(nothing, none, nothing, none).idf1)
    missed = identity_scores([A[None]], [np.array([0])], nothing, none)
    assert (missed.idf1, missed.recall) == (0.0, 0.0)
    assert np.isnan(missed.precision)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_assignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = [rng.uniform(0, 3, (4, 2)) for _ in range(6)]
    seen = [places[:3] + rng.normal(0, 0.4, (3, 2)) for places in true]
    who, ids = [np.arange(4)] * 6, [rng.permutation(5)[:3] for _ in range(6)]
    best = 0
    for people in itertools.permutations([0, 1, 2, 3, None], 5):
        right = 0
        for places, spots, id_ in zip(true, seen, ids, strict=True):
            for spot, name in zip(spots, id_, strict=True):
                person = people[name]
                right += person is not None and np.linalg.norm(places[person] - spot) <= 1.0
        best = max(best, right)
    assert identity_scores(true, who, seen, ids).true_positives == best
