"""Non-maximum suppression against its sequential definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd3d.pose.nms import NEIGHBOURS_AT_MOST, box_distinct, distinct, iou, near_pairs
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.pose.standing import STANDING
from crowd3d.types import Keypoints


def greedy(boxes: np.ndarray, score: np.ndarray, threshold: float) -> list[int]:
    """One box after the other, each against all that were kept."""
    kept: list[int] = []
    for row in np.argsort(-score, kind="stable"):
        if all(iou(boxes[[row]], boxes[[other]])[0] < threshold for other in kept):
            kept.append(int(row))
    return sorted(kept)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0.2, 0.8))
@settings(max_examples=60, deadline=None)
def test_boxes_as_one_after_the_other(seed: int, count: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (count, 2))], 1)
    score = rng.uniform(0, 1, count)
    assert box_distinct(boxes, score, threshold).tolist() == greedy(boxes, score, threshold)


def test_iou_of_known_boxes() -> None:
    first = np.array([[0, 0, 10, 10.0], [0, 0, 10, 10], [0, 0, 1, 1]])
    second = np.array([[5, 0, 15, 10.0], [0, 0, 10, 10], [2, 2, 3, 3]])
    np.testing.assert_allclose(iou(first, second), [1 / 3, 1, 0])


def test_pairs_are_bounded_where_everything_coincides() -> None:
    pairs = near_pairs(np.random.default_rng(0).uniform(0, 1, (3000, 2)), np.full(3000, 10.0))
    assert len(pairs) <= 3000 * NEIGHBOURS_AT_MOST
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(near_pairs(np.zeros((1, 2)), np.ones(1))) == 0


def test_everybody_once() -> None:
    """Of two sightings of one person the surer one; a neighbour half a step aside stays, and so does somebody of another size."""
    person = STANDING * 100
    places = [person, person + [1.0, 0.5], person + [24.0, 0.0], person * 0.3 + [12.0, 5.0]]
    keypoints = np.concatenate([np.stack(places) + 300, np.full((4, 17, 1), 0.8)], 2)
    observed = Observations.from_keypoints(Keypoints.from_array(keypoints), plain("test"))
    assert distinct(replace(observed, score=np.array([0.5, 0.9, 0.4, 0.3]))).tolist() == [1, 2, 3]
    assert distinct(replace(observed, score=np.array([0.9, 0.5, 0.4, 0.3]))).tolist() == [0, 2, 3]
    assert len(distinct(observed[:0])) == 0
