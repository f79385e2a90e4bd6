"""Smooth ways, their noise, and what is lost between broken ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crowd3d.measure import Recall, View
from crowd3d.measure.simulate import walkers
from crowd3d.measure.walks import Walks
from crowd3d.scene.paths import Sequence


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    """Twelve people who are all found all the time."""
    return walkers(np.random.default_rng(5), Recall.everybody(), people=12, pictures=24).sequence


def walks_of(sequence: Sequence) -> Walks:
    view = View(sequence.camera, sequence.ground, sequence.ground_covariance)
    return Walks.of(sequence, view, Recall.constant(0.99), np.random.default_rng(0))


def test_smooth_ways_have_the_speed_of_the_people_and_lie_where_they_were_seen(sequence: Sequence) -> None:
    walks = walks_of(sequence)
    same = walks.seen_as(walks.view, walks.state)
    np.testing.assert_allclose(same.place, walks.state[:, :2], atol=1e-9)
    np.testing.assert_allclose(same.velocity, walks.state[:, 2:], atol=1e-5)
    assert np.median(same.speed) == pytest.approx(1.3, abs=0.25)
    order = np.lexsort((sequence.sightings.time_s, sequence.sightings.id))
    off = walks.state[:, :2] - sequence.sightings.place_m[order]
    # Smoothing takes noise away, so what is left of it is smaller than what was taken.
    assert 0.02 < np.abs(off).mean() < 0.4
    assert np.abs(walks.noise[..., :2]).mean() < np.abs(off).mean() * 1.5


def test_ways_that_break_in_the_middle_are_told_from_ways_that_end(sequence: Sequence) -> None:
    whole = walks_of(sequence)
    assert whole.unbroken.mean() > 0.98
    assert (whole.followed > 0.98).all()
    seen = sequence.sightings
    broken = dataclasses.replace(sequence, sightings=dataclasses.replace(seen, id=seen.id + 1000 * (seen.frame > 11)))
    assert walks_of(broken).unbroken.mean() < whole.unbroken.mean() - 0.02
