"""Non-maximum suppression: everybody once, whoever found them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies.joints import COCO17_SIGMAS
from crowd3d.pose.observations import Observations, person_size_px

TOLERANCE = 0.5 * np.maximum(COCO17_SIGMAS, 0.05)
"""By keypoint, in person sizes. Narrower than in COCO: two sightings of one person agree better than two annotators,
and the person behind may stand a twentieth of a person height away in the image."""
SAME_OKS = 0.5
SAME_TORSO, NEIGHBOUR_REACH = 0.14, 0.25
"""Shares of a person's size: torso centres nearer than the first are one person's, those within the second may be."""
NEIGHBOURS_AT_MOST = 64
"""So many of the nearest are compared with each: bounds work and memory where a texture makes thousands of candidates coincide."""


def suppress(pairs: np.ndarray, similarity: np.ndarray, priority: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression on a sparse graph: by falling priority, everything kept removes its similar neighbours.

    All nodes that are the best among their undecided neighbours are decided at once, which gives the sequential result in few rounds.

    Args:
        pairs: (P, 2) indices of nodes, each pair once, no node with itself.
        similarity: (P,) of the pairs.
        priority: (N,) of the nodes; equal priorities are resolved in favour of the smaller index.
        threshold: neighbours are similar from this value on.

    Returns:
        (N,) bool, True for the nodes kept.
    """
    rank = np.empty(len(priority), np.int64)
    rank[np.argsort(-np.asarray(priority), kind="stable")] = np.arange(len(priority))
    edges = np.asarray(pairs, np.int64).reshape(-1, 2)[np.asarray(similarity) >= threshold]
    flip = rank[edges[:, 0]] > rank[edges[:, 1]]
    stronger, weaker = np.where(flip, edges[:, 1], edges[:, 0]), np.where(flip, edges[:, 0], edges[:, 1])
    removed = np.zeros(len(priority), bool)
    while len(weaker):
        challenged = np.zeros(len(priority), bool)
        challenged[weaker] = True
        removed[weaker[~challenged[stronger]]] = True
        undecided = ~removed[weaker] & ~removed[stronger]
        stronger, weaker = stronger[undecided], weaker[undecided]
    return ~removed


def near_pairs(points: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(P, 2) unique pairs i < j of points (N, 2) that are within the larger of both reaches (N,), among each one's nearest."""
    if len(points) < 2:
        return np.zeros((0, 2), np.int64)
    count = min(len(points), NEIGHBOURS_AT_MOST + 1)
    distance, other = cKDTree(points).query(points, k=count)
    first = np.repeat(np.arange(len(points)), count)
    other, distance = other.ravel(), distance.ravel()
    within = (other != first) & (distance <= np.maximum(reach[first], reach[np.minimum(other, len(points) - 1)]))
    pairs = np.sort(np.stack([first[within], other[within]], 1), axis=1)
    return np.unique(pairs, axis=0)


def distinct(observed: Observations) -> np.ndarray:
    """(K,) ascending rows that remain when everybody who was looked at twice is kept once, by the highest score.

    Two observations are one person when their torso centres nearly coincide or their sure keypoints agree (OKS).
    """
    size, torso = person_size_px(observed.xy_px), observed.torso_px
    pairs = near_pairs(torso, NEIGHBOUR_REACH * size)
    first, second = pairs.T
    apart = np.linalg.norm(torso[first] - torso[second], axis=1)
    larger, smaller = np.maximum(size[first], size[second]), np.minimum(size[first], size[second])
    weight = 1.0 / (observed.sigma_px[first] ** 2 + observed.sigma_px[second] ** 2)
    distance = np.linalg.norm(observed.xy_px[first] - observed.xy_px[second], axis=-1) / larger[:, None]
    similarity = (weight * np.exp(-0.5 * (distance / TOLERANCE) ** 2)).sum(1) / weight.sum(1)
    same = (apart < SAME_TORSO * smaller) | (similarity > SAME_OKS)
    return np.flatnonzero(suppress(pairs, same.astype(float), observed.score, 0.5))


def box_distinct(boxes: np.ndarray, score: np.ndarray, threshold: float) -> np.ndarray:
    """(K,) ascending rows of boxes (N, 4) left, top, right, bottom that remain by falling `score` (N,), overlap measured by IoU."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
    pairs = near_pairs((boxes[:, :2] + boxes[:, 2:]) / 2, size.max(1))
    return np.flatnonzero(suppress(pairs, iou(boxes[pairs[:, 0]], boxes[pairs[:, 1]]), score, threshold))


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(P,) intersection over union of boxes (P, 4) left, top, right, bottom."""
    inner = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.maximum(inner, 0.0).prod(1)
    area = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(1) for boxes in (first, second)]
    return shared / np.maximum(area[0] + area[1] - shared, 1e-12)
