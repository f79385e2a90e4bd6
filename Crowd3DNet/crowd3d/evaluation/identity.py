"""How well ids stay with people over the pictures of a sequence: IDF1 (Ristani et al., ECCV Workshops 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

SAME_PLACE_M = 1.0
"""A sighting within so many metres of a true person can be of them."""


class Identity(NamedTuple):
    """Figures of one sequence.

    Attributes:
        idf1: 2·IDTP / (true sightings + predicted sightings), 0…1; NaN for two empty sequences.
        precision: IDTP / predicted sightings.
        recall: IDTP / true sightings.
        true_positives: IDTP, the sightings in which id and person belong together under the best one-to-one assignment of ids to people.
    """

    idf1: float
    precision: float
    recall: float
    true_positives: int


def identity_scores(
    true_places_m: Sequence[np.ndarray],
    true_ids: Sequence[np.ndarray],
    places_m: Sequence[np.ndarray],
    ids: Sequence[np.ndarray],
    near_m: float = SAME_PLACE_M,
) -> Identity:
    """IDF1 with its precision and recall.

    Every predicted id is given to at most one person, so that as many sightings as possible lie within `near_m` of their person.

    Args:
        true_places_m, places_m: for each of T pictures (G_t, 2) and (P_t, 2) places on the ground in metres.
        true_ids, ids: the ids that belong to them, each at most once per picture.
        near_m: greatest distance between a person and a sighting of them.
    """
    wanted, offered = sum(map(len, true_ids)), sum(map(len, ids))
    people, true_rows = _rows(true_ids)
    tracks, rows = _rows(ids)
    together = np.zeros((people, tracks), np.int64)
    for places, who, seen, which in zip(true_places_m, true_rows, places_m, rows, strict=True):
        near_true, near_seen = np.nonzero(cdist(places, seen) <= near_m)
        np.add.at(together, (who[near_true], which[near_seen]), 1)
    found = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return Identity(
        idf1=2.0 * found / (wanted + offered) if wanted + offered else float("nan"),
        precision=found / offered if offered else float("nan"),
        recall=found / wanted if wanted else float("nan"),
        true_positives=found,
    )


def _rows(ids: Sequence[np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """Number of different ids, and for each picture their row among them."""
    names, rows = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_inverse=True)
    return len(names), np.split(rows.ravel(), np.cumsum([len(one) for one in ids])[:-1])
