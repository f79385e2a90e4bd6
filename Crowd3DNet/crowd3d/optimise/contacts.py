"""Who touches whom: a handful of balls per person, looked up in a spatial index."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.optimise.terms import SPHERES
from crowd3d.types import NOMINAL_STATURE_M

CONTACTS = 4
REACH_M = 1.2
MARGIN_M = 0.05
"""Balls that are this near to each other are watched as well, so that a step does not push them together."""


def find_contacts(centres: np.ndarray, stature_m: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For everybody the deepest contacts with others.

    Args:
        centres: (N, B, 3) balls of everybody in the upright world, metres.
        stature_m: (N,) statures, which scale the balls.
        frame: (N,) photograph that each person is in.

    Returns:
        ball (N, M), away (N, M, 3) and bound (N, M) of `terms.Held`.
    """
    count = len(centres)
    balls = np.zeros((count, CONTACTS), np.int64)
    away, bound = np.zeros((count, CONTACTS, 3)), np.zeros((count, CONTACTS))
    pairs = cKDTree(centres.mean(1)[:, [0, 2]]).query_pairs(REACH_M, output_type="ndarray") if count else np.zeros((0, 2), np.int64)
    pairs = pairs[frame[pairs[:, 0]] == frame[pairs[:, 1]]]
    if len(pairs) == 0:
        return balls, away, bound
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64).T
    radius = np.array([r for _, r in SPHERES]) * (stature_m / NOMINAL_STATURE_M)[:, None]
    between = centres[first][:, :, None] - centres[second][:, None]
    distance = np.linalg.norm(between, axis=-1)
    overlap = (radius[first][:, :, None] + radius[second][:, None] - distance).reshape(len(first), -1)
    which = overlap.argmax(1)
    mine, other, row = which // len(SPHERES), which % len(SPHERES), np.arange(len(first))
    depth, gap = overlap[row, which], distance[row, mine, other]
    normal = between[row, mine, other] / np.maximum(gap, 1e-9)[:, None]
    # two people at the same place: one to the right, one to the left
    aside = np.sign(first - second)[:, None] * np.array([1.0, 0.0, 0.0])
    normal = np.where((gap > 1e-6)[:, None], normal, aside)
    limit = (centres[first, mine] * normal).sum(1) + depth / 2
    order = np.lexsort((-depth, first))
    ranked = first[order]
    rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    kept = (rank < CONTACTS) & (depth[order] > -MARGIN_M)
    chosen, slot = order[kept], rank[kept]
    balls[first[chosen], slot] = mine[chosen]
    away[first[chosen], slot] = normal[chosen]
    bound[first[chosen], slot] = limit[chosen]
    return balls, away, bound


def deepest_overlap(centres: np.ndarray, stature_m: np.ndarray) -> np.ndarray:
    """(N,) metres by which everybody's balls reach into somebody else's, 0 for most."""
    return 2 * overlap(centres, *find_contacts(centres, stature_m, np.zeros(len(centres))))


def overlap(centres: np.ndarray, ball: np.ndarray, away: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """(N,) metres by which balls (N, B, 3) are on the wrong side of where contacts, as of `find_contacts`, are; 0 for most."""
    at = np.take_along_axis(centres, ball[..., None], 1)
    return np.maximum((bound - (at * away).sum(-1)).max(1), 0.0)
