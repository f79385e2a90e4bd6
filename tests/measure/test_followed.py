"""The share of people's time that their ways hold, where it is known who was lost when."""

from __future__ import annotations

import numpy as np
import pytest

from crowd3d.measure.followed import Ways, followed_shares

PEOPLE, PICTURES = 60, 40
SQUARE = np.array([[-50.0, -50.0], [50.0, -50.0], [50.0, 50.0], [-50.0, 50.0]])


def walked(found: float, lost: float, chance: float, seed: int = 0) -> tuple[Ways, float]:
    """Ways of people who stay in the middle of the ground, and the share of their time that the ways truly hold.

    Args:
        found: share of the pictures in which somebody is found.
        lost: share of the sightings after which another way begins.
        chance: what is believed of `found`.
    """
    rng = np.random.default_rng(seed)
    who, frame = np.nonzero(rng.random((PEOPLE, PICTURES)) < found)
    fresh = np.append(True, who[1:] != who[:-1]) | (rng.random(len(who)) < lost)
    row = np.cumsum(fresh) - 1
    step = np.flatnonzero(row[1:] == row[:-1])
    truth = (frame[step + 1] - frame[step]).sum() / (PEOPLE * (PICTURES - 1))
    return Ways(frame, row, rng.normal(0.0, 5.0, (len(who), 2)), np.full(len(who), chance)), float(truth)


@pytest.mark.parametrize(("found", "lost"), [(0.9, 0.0), (0.5, 0.0), (0.5, 0.05)])
def test_of_known_recall(found: float, lost: float) -> None:
    ways, truth = walked(found, lost, found)
    shares = followed_shares(ways, SQUARE, PICTURES, 0.0, np.random.default_rng(1))
    assert abs(np.median(shares) - truth) < 3.0 * shares.std()
    # A sum of n sightings at p strays by √((1 − p) / n).
    assert shares.std() < 1.3 * np.sqrt((1.0 - found) / len(ways.row))


def test_recall_that_is_wrong_is_put_right_by_the_pictures_between() -> None:
    ways, truth = walked(0.5, 0.0, 0.7)
    shares = [followed_shares(ways, SQUARE, PICTURES, sigma, np.random.default_rng(1)).mean() for sigma in (0.0, 0.5)]
    assert shares[0] == 1.0
    assert shares[1] == pytest.approx(truth, abs=0.05)


def test_where_nobody_is_missed_or_nothing_is_far_inside_ways_hold_everything() -> None:
    ways, _ = walked(0.9, 0.1, 1.0)
    assert followed_shares(ways, SQUARE, PICTURES, 0.5, np.random.default_rng(0)).tolist() == [1.0]
    ways, _ = walked(0.5, 0.1, 0.5)
    assert followed_shares(ways, 0.01 * SQUARE, PICTURES, 0.0, np.random.default_rng(0)).tolist() == [1.0]
