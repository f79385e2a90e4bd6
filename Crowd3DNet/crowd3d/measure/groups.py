"""Who stands or walks together, with a probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.distance import squareform

from crowd3d.measure.density import within

PAIR_M = 3.0
"""People farther apart are not taken for a group."""
_MATE_M, _MATE_SPREAD = 0.78, 0.35
"""Median of the distance within groups (Moussaïd et al. 2010, PLoS ONE 5: 0.78 m) and its spread in the logarithm."""
_MATES = 0.9
"""Companions per person before anything is seen: up to 70 % are in groups, mostly of two and three (Moussaïd et al. 2010)."""
_MATES_WEIGHT = 10.0
"""So many people's worth of belief in that."""
_RING_M = (1.5, 4.0)
"""Where strangers are counted: too far for companions, near enough to be the same crowd."""
_MATE_SPEED_M_S = 0.2
"""Spread per axis of the difference of companions' velocities (Zanlungo, Ikeda and Kanda 2014, Phys. Rev. E 89)."""
_ROUNDS = 30


class Pairs(NamedTuple):
    """Pairs that may belong together.

    Attributes:
        rows: (P, 2) people.
        probability: (P,) that the two are together.
    """

    rows: np.ndarray
    probability: np.ndarray


def candidate_pairs(places: np.ndarray) -> np.ndarray:
    """(P, 2) rows of people (N, 2) who are within `PAIR_M`."""
    known = np.flatnonzero(np.isfinite(places).all(1))
    if len(known) < 2:
        return np.zeros((0, 2), np.int64)
    return known[cKDTree(places[known]).query_pairs(PAIR_M, output_type="ndarray")]


def strangers_per_m2(places: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(N,) density of the crowd around everybody, without those so near that they may be companions."""
    known = np.flatnonzero(np.isfinite(places).all(1))
    result = np.full(len(places), np.nan)
    if len(known) == 0:
        return result
    tree = cKDTree(places[known])
    near, far = (tree.query_ball_point(places[known], radius, return_length=True) for radius in _RING_M)
    turn = 2.399963 * np.arange(64)
    radius = np.sqrt(np.linspace(_RING_M[0] ** 2, _RING_M[1] ** 2, 64))
    probes = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    seen = within(outline, places[known][:, None] + probes).mean(1)
    ring = np.pi * (_RING_M[1] ** 2 - _RING_M[0] ** 2)
    # Half a person more, so that an empty ring is not taken for an impossible one.
    result[known] = (far - near + 0.5) / (ring * np.maximum(seen, 0.1))
    return result


def pair_odds(distance_m: np.ndarray, per_m2: np.ndarray) -> np.ndarray:
    """(...) likelihood ratio of companions, one per person, to strangers, for pairs at a distance.

    Companions' distances are lognormal; strangers are anywhere: 2π·density·distance of them per metre of distance.
    """
    distance = np.maximum(distance_m, 0.05)
    off = (np.log(distance) - np.log(_MATE_M)) / _MATE_SPREAD
    mates = np.exp(-0.5 * off**2) / (np.sqrt(2.0 * np.pi) * _MATE_SPREAD * distance)
    return mates / (2.0 * np.pi * distance * per_m2)


def velocity_odds(difference_m_s: np.ndarray, spread_m_s: float) -> np.ndarray:
    """(P,) likelihood ratio of companions to strangers by the difference (P, 2) of mean velocities.

    Args:
        difference_m_s: metres per second.
        spread_m_s: standard deviation per axis of all people's velocities.
    """
    mate, other = _MATE_SPEED_M_S**2, max(2.0 * spread_m_s**2, _MATE_SPEED_M_S**2)
    squared = (difference_m_s**2).sum(-1)
    return other / mate * np.exp(-0.5 * squared * (1.0 / mate - 1.0 / other))


def probabilities(odds: np.ndarray, people: int) -> np.ndarray:
    """(..., P) likelihood ratios of pairs → probabilities, with the number of companions fitted to the crowd at hand (EM)."""
    mates = _MATES
    for _ in range(_ROUNDS):
        chance = mates * odds / (1.0 + mates * odds)
        found = 2.0 * chance.mean(tuple(range(chance.ndim - 1))).sum()
        mates = (found + _MATES * _MATES_WEIGHT) / (people + _MATES_WEIGHT)
    return mates * odds / (1.0 + mates * odds)


def groups_of(pairs: Pairs, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups by average linkage of the pairs' probabilities, cut at one half.

    Returns:
        (N,) group of everybody, numbered from 0 by size, −1 for people alone; (N,) mean probability of being with the others of it,
        for people alone of being with nobody.
    """
    group, belief = np.full(people, -1), np.ones(people)
    np.multiply.at(belief, pairs.rows.ravel(), np.repeat(1.0 - pairs.probability, 2))
    # Average linkage joins two groups at one half only if one of their pairs has that much: each component is a problem by itself.
    strong = pairs.rows[pairs.probability >= 0.5]
    graph = coo_matrix((np.ones(len(strong)), (strong[:, 0], strong[:, 1])), (people, people))
    label = connected_components(graph, directed=False)[1]
    inner = np.flatnonzero(label[pairs.rows[:, 0]] == label[pairs.rows[:, 1]])
    inner = inner[np.argsort(label[pairs.rows[inner, 0]], kind="stable")]
    number = 0
    for part in np.split(inner, np.flatnonzero(np.diff(label[pairs.rows[inner, 0]])) + 1) if len(inner) else []:
        members = np.unique(pairs.rows[part])
        together = np.zeros((len(members), len(members)))
        first, second = np.searchsorted(members, pairs.rows[part]).T
        together[first, second] = together[second, first] = pairs.probability[part]
        cut = fcluster(linkage(squareform(1.0 - together, checks=False), "average"), 0.5, "distance")
        for one in np.unique(cut):
            chosen = np.flatnonzero(cut == one)
            if len(chosen) > 1:
                group[members[chosen]] = number
                belief[members[chosen]] = together[np.ix_(chosen, chosen)].sum(1) / (len(chosen) - 1)
                number += 1
    sizes = np.bincount(group[group >= 0], minlength=number)
    rank = np.empty(number, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(number)
    return np.where(group >= 0, rank[group] if number else -1, -1), belief
