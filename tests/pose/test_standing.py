from __future__ import annotations

import numpy as np
import pytest

from crowd3d.imaging import turned
from crowd3d.pose.observations import person_size_px
from crowd3d.pose.standing import ARMS, HEAD_AND_SHOULDERS, STANDING, UPPER_SEEN, without_invented_legs

STATURE_PX, FEET = 400.0, np.array([600.0, 900.0])


def crammed(legs_score: float, turn_rad: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Somebody 400 px tall of whom head and shoulders are seen, the rest invented in a box that ends at the chest; and the truth."""
    truth = STATURE_PX * STANDING
    seen = truth.copy()
    seen[7:, 1] = -0.75 * STATURE_PX
    score = np.full(17, legs_score)
    score[list(HEAD_AND_SHOULDERS)] = 0.6
    whole, invented = (FEET + turned(points, turn_rad) for points in (truth, seen))
    return invented[None], score[None], whole


@pytest.mark.parametrize("turn_rad", [0.0, 0.6, -1.2])
def test_whoever_shows_head_and_shoulders_is_as_tall_as_these_tell(turn_rad):
    xy, score, truth = crammed(0.1, turn_rad)
    found = without_invented_legs(xy, score, np.array([turn_rad]))
    np.testing.assert_allclose(found.xy_px[0], truth, atol=1e-6 * STATURE_PX)
    unseen = np.setdiff1d(np.arange(17), HEAD_AND_SHOULDERS)
    assert (found.score[0, unseen] == 0).all()
    np.testing.assert_array_equal(found.score[0, list(HEAD_AND_SHOULDERS)], score[0, list(HEAD_AND_SHOULDERS)])


def test_from_the_side_the_height_of_the_head_over_the_shoulders_tells_it():
    xy, score, truth = crammed(0.1)
    narrow = FEET[0] + 0.1 * (xy[..., 0] - FEET[0])
    found = without_invented_legs(np.stack([narrow, xy[..., 1]], -1), score, np.zeros(1))
    assert person_size_px(found.xy_px)[0] == pytest.approx(person_size_px(truth[None])[0], rel=0.02)


def test_those_whose_legs_are_seen_stay_as_they_are():
    xy, score, _ = crammed(0.3)
    found = without_invented_legs(xy, score, np.zeros(1))
    np.testing.assert_array_equal(found.xy_px, xy)
    np.testing.assert_array_equal(found.score, score)


def test_arms_that_are_seen_stay_where_they_are():
    xy, score, truth = crammed(0.1)
    score[0, list(ARMS)] = UPPER_SEEN + 0.1
    xy[0, 9] = [700.0, 500.0]
    found = without_invented_legs(xy, score, np.zeros(1))
    np.testing.assert_array_equal(found.xy_px[0, 9], xy[0, 9])
    np.testing.assert_allclose(found.xy_px[0, 11:], truth[11:], atol=1e-6 * STATURE_PX)


def test_heads_that_are_hardly_seen_tell_nothing():
    xy, score, _ = crammed(0.1)
    found = without_invented_legs(xy, 0.2 * score, np.zeros(1))
    np.testing.assert_array_equal(found.xy_px, xy)


def test_nobody():
    assert len(without_invented_legs(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0)).score) == 0
