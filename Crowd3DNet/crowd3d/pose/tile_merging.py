"""One detection per person out of the detections of overlapping tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from crowd3d.bodies.joints import ANKLES17, HIPS17, SHOULDERS17
from crowd3d.pose.nms import TOLERANCE, suppress
from crowd3d.types import Keypoints, TileLayout

# The recorded detections and made-up crowds of tests/pose/test_merge_keypoints.py bound these values: SAME_PERSON_IN_TWO_TILES may be
# 0.2 to 0.6 there, SAME_PERSON_IN_ONE_TILE must be above 0.7; half or one and a half times USUAL_DIFFERENCE, WIDEST_TOLERANCE,
# SAME_FRAGMENT, BORDER, CUT_WEIGHT or ANCHOR_RADIUS pass as well. No photograph was asked.
SAME_PERSON_IN_TWO_TILES = 0.40
SAME_PERSON_IN_ONE_TILE = 0.85
USUAL_DIFFERENCE = 0.022
"""Mean distance between the keypoints of two sightings, in person sizes, to which `TOLERANCE` belongs."""

WIDEST_TOLERANCE = 2.5
SAME_FRAGMENT = 0.75
BORDER = 0.01
"""Part of the tile's side within which a keypoint counts as cut off."""

CUT_WEIGHT = 0.05
ANCHORS = (SHOULDERS17, HIPS17, ANKLES17)
"""Shoulders, hips, ankles: two sightings of one person agree in at least one of them, however much of the rest is cut off."""

ANCHOR_RADIUS = 0.10
OUTLIER = 0.08
FAR = 0.14
LEAST_SHARE = 0.4
"""Two sightings with fewer keypoints than this share nearer to each other than `FAR` are not looked at again."""


def merge_keypoints(keypoints: np.ndarray, tile_index: np.ndarray, layout: TileLayout) -> tuple[np.ndarray, Keypoints]:
    """Everybody once, from what overlapping tiles saw of them.

    Sightings are joined two by two, most similar first (object keypoint similarity, OKS), and each join takes the mean, weighted by
    confidence. Two sightings by one tile are two people, and so are two groups that share a tile. What is left of somebody cut by a tile
    border then loses against the whole person by confidence × completeness. The order of tiles or detections does not matter.

    Args:
        keypoints: (M, 17, 3) u, v, score in scene pixels.
        tile_index: (M,) row of `layout` that each detection comes from.
        layout: the tiles.

    Returns:
        (K,) ascending rows of `keypoints`: the best sighting of each person; and the people in the same order, means of their sightings.
    """
    keypoints = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)
    tile_index = np.asarray(tile_index, np.int64).reshape(-1)
    if len(keypoints) == 0:
        return np.zeros(0, np.int64), Keypoints.from_array(keypoints)
    weight, completeness = _weights(keypoints, layout.boxes[tile_index], layout.image_size)
    priority = keypoints[..., 2].mean(axis=1) * completeness
    sightings = _Groups(keypoints[..., :2], weight, priority, completeness, _size(keypoints, weight))
    pairs = _near_pairs(sightings)
    pairs = pairs[sightings.overlap(pairs, FAR) >= LEAST_SHARE]
    group, best = _join(sightings, pairs, tile_index, len(layout))
    joined = sightings.means(group, best)
    kept = _drop_fragments(joined, _contract(pairs, group), _seen_by(group, tile_index, len(layout)))
    score = sightings.mean_score(keypoints[..., 2], group, best, joined)
    order = np.argsort(best[kept])
    rows = np.flatnonzero(kept)[order]
    return best[rows], Keypoints(joined.xy[rows], score[rows])


@dataclass(frozen=True)
class _Groups:
    """N sightings or groups of sightings.

    Attributes:
        xy: (N, 17, 2) scene pixels.
        weight: (N, 17) confidence, small where the keypoint is cut off by a tile border.
        priority: (N,) confidence × completeness.
        completeness: (N,) part of the keypoints that is not cut off.
        size: (N,) extent of the person in pixels.
    """

    xy: np.ndarray
    weight: np.ndarray
    priority: np.ndarray
    completeness: np.ndarray
    size: np.ndarray

    def similarity(self, pairs: np.ndarray, tolerance: float) -> np.ndarray:
        """(P,) OKS with the larger one's size, keypoints weighted by the lower confidence."""
        i, j = pairs.T
        weight = np.minimum(self.weight[i], self.weight[j])
        agreement = np.exp(-0.5 * (self._distance(i, j) / (tolerance * TOLERANCE)) ** 2)
        return _mean(agreement, weight)

    def difference(self, pairs: np.ndarray) -> np.ndarray:
        """(P,) mean distance between keypoints, in sizes of the larger one."""
        i, j = pairs.T
        weight = np.minimum(self.weight[i], self.weight[j])
        return _mean(self._distance(i, j), weight)

    def overlap(self, pairs: np.ndarray, radius: float) -> np.ndarray:
        """(P,) part of the less complete one's confident keypoints that are within `radius` of the other one's."""
        i, j = pairs.T
        swap = self.completeness[i] > self.completeness[j]
        weight = self.weight[np.where(swap, j, i)]
        return _mean(self._distance(i, j) < radius, weight)

    def means(self, group: np.ndarray, best: np.ndarray) -> _Groups:
        """Weighted means by group; a keypoint far from the group's best sighting of it does not count.

        Args:
            group: (N,) group of each row, 0…G−1.
            best: (G,) row with the highest priority in each group.
        """
        weight = self._trusted(group, best)
        total = _sum_by(group, weight, len(best))
        xy = _sum_by(group, weight[..., None] * self.xy, len(best)) / total[..., None]
        size = _max_by(group, self.size, len(best))
        strongest = np.zeros((len(best), 17))
        np.maximum.at(strongest, group, weight)
        return _Groups(xy, strongest, self.priority[best], self.completeness[best], size)

    def mean_score(self, score: np.ndarray, group: np.ndarray, best: np.ndarray, joined: _Groups) -> np.ndarray:
        """(G, 17) mean of `score` with the weights of `means`."""
        weight = self._trusted(group, best)
        return _sum_by(group, weight * score, len(best)) / _sum_by(group, weight, len(best))

    def _trusted(self, group: np.ndarray, best: np.ndarray) -> np.ndarray:
        reference = self.xy[best][group]
        far = _length(self.xy - reference) > OUTLIER * self.size[best][group][:, None]
        return np.where(far, 0.0, self.weight)

    def _distance(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return _length(self.xy[i] - self.xy[j]) / np.maximum(self.size[i], self.size[j])[:, None]


def _weights(keypoints: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(M, 17) confidence with cut keypoints damped, and (M,) part of the keypoints that is not cut."""
    width, height = image_size
    margin = BORDER * (boxes[:, 2] - boxes[:, 0])
    # Where the image ends nobody is cut by a tile: every tile sees the same.
    top = np.where(boxes[:, 0] <= 0, -np.inf, boxes[:, 0] + margin)[:, None]
    left = np.where(boxes[:, 1] <= 0, -np.inf, boxes[:, 1] + margin)[:, None]
    bottom = np.where(boxes[:, 2] >= height, np.inf, boxes[:, 2] - margin)[:, None]
    right = np.where(boxes[:, 3] >= width, np.inf, boxes[:, 3] - margin)[:, None]
    u, v, score = np.moveaxis(keypoints, -1, 0)
    inside = (u >= left) & (u <= right) & (v >= top) & (v <= bottom)
    weight = np.maximum(score, 1e-3) * np.where(inside, 1.0, CUT_WEIGHT)
    return weight, inside.mean(axis=1)


def _size(keypoints: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(M,) diagonal of the box around the keypoints that count."""
    counts = (weight >= 0.25 * weight.max(axis=1, keepdims=True))[..., None]
    low = np.where(counts, keypoints[..., :2], np.inf).min(axis=1)
    high = np.where(counts, keypoints[..., :2], -np.inf).max(axis=1)
    return np.maximum(_length(high - low), 1.0)


def _near_pairs(people: _Groups) -> np.ndarray:
    """(P, 2) unique pairs i < j that agree roughly in at least one anchor."""
    count = len(people.xy)
    codes = []
    for anchor in ANCHORS:
        points = people.xy[:, anchor].mean(axis=1)
        near = cKDTree(points).query_ball_point(points, ANCHOR_RADIUS * people.size)
        second = np.concatenate(near).astype(np.int64)
        first = np.repeat(np.arange(count), [len(found) for found in near])
        codes.append(np.minimum(first, second) * count + np.maximum(first, second))
    pairs = np.stack(np.divmod(np.unique(np.concatenate(codes)), count), axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _join(sightings: _Groups, pairs: np.ndarray, tile_index: np.ndarray, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroid linkage in rounds: (M,) group of each sighting, and (G,) the best sighting of each group."""
    group = best = np.arange(len(tile_index))
    tolerance = _tolerance(sightings, pairs, tile_index)
    while len(joins := _joins(sightings.means(group, best), _contract(pairs, group), _seen_by(group, tile_index, tiles), tolerance)):
        target = np.arange(len(best))
        target[joins[:, 1]] = joins[:, 0]
        group = np.unique(target[group], return_inverse=True)[1]
        by_group = np.lexsort((sightings.xy[:, 0, 0], -sightings.priority, group))
        best = by_group[np.searchsorted(group[by_group], np.arange(group.max() + 1))]
    return group, best


def _tolerance(sightings: _Groups, pairs: np.ndarray, tile_index: np.ndarray) -> float:
    """Factor on `TOLERANCE`: how far apart sightings by different tiles are that are each other's nearest, most of them of one person."""
    pairs = pairs[tile_index[pairs[:, 0]] != tile_index[pairs[:, 1]]]
    difference = sightings.difference(pairs)
    nearest = _mutual_best(np.column_stack([pairs, np.arange(len(pairs))]), -difference, len(tile_index))
    if len(nearest) == 0:
        return 1.0
    return float(np.clip(np.quantile(difference[nearest[:, 2]], 0.8) / USUAL_DIFFERENCE, 1.0, WIDEST_TOLERANCE))


def _joins(groups: _Groups, pairs: np.ndarray, seen: csr_array, tolerance: float) -> np.ndarray:
    """(J, 2) disjoint pairs of groups that are one person."""
    similarity = groups.similarity(pairs, tolerance)
    likely = similarity >= np.where(_share_tile(seen, pairs), SAME_PERSON_IN_ONE_TILE, SAME_PERSON_IN_TWO_TILES)
    return _mutual_best(pairs[likely], similarity[likely], len(groups.xy))


def _max_by(group: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(N,) non-negative → (count,) largest by group, 0 for none."""
    largest = np.zeros(count)
    np.maximum.at(largest, group, values)
    return largest


def _mutual_best(pairs: np.ndarray, similarity: np.ndarray, count: int) -> np.ndarray:
    """Rows of `pairs` (P, 2+) that are the most similar pair of both partners; with any pairs at all, at least one is."""
    rank = np.empty(len(pairs), np.int64)
    rank[np.argsort(-similarity, kind="stable")] = np.arange(len(pairs))
    first = np.full(count, len(pairs))
    np.minimum.at(first, pairs[:, :2].ravel(), np.repeat(rank, 2))
    return pairs[(first[pairs[:, :2]] == rank[:, None]).all(axis=1)]


def _contract(pairs: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Pairs of sightings → unique pairs of different groups."""
    low, high = np.sort(group[pairs], axis=1).T
    codes = np.unique((low * len(group) + high)[low != high])
    return np.stack(np.divmod(codes, len(group)), axis=1)


def _seen_by(group: np.ndarray, tile_index: np.ndarray, tiles: int) -> csr_array:
    """(G, tiles) how many sightings of each group come from each tile."""
    return csr_array((np.ones(len(group)), (group, tile_index)), shape=(int(group.max()) + 1, tiles))


def _share_tile(seen: csr_array, pairs: np.ndarray) -> np.ndarray:
    return np.asarray(seen[pairs[:, 0]].multiply(seen[pairs[:, 1]]).sum(axis=1)).ravel() > 0


def _drop_fragments(people: _Groups, pairs: np.ndarray, seen: csr_array) -> np.ndarray:
    """(G,) False for what a tile border left of somebody who is there as a whole."""
    partial = (people.completeness[pairs] < 0.9).any(axis=1) & ~_share_tile(seen, pairs)
    pairs = pairs[partial]
    return suppress(pairs, people.overlap(pairs, OUTLIER), people.priority, SAME_FRAGMENT)


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum("pk,pk->p", values, weight) / np.einsum("pk->p", weight)


def _length(vectors: np.ndarray) -> np.ndarray:
    """(…, 2) → (…); several times faster than the general norm."""
    return np.hypot(vectors[..., 0], vectors[..., 1])


def _sum_by(group: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(N, …) summed by group → (count, …)."""
    selector = csr_array((np.ones(len(group)), (group, np.arange(len(group)))), shape=(count, len(group)))
    return np.asarray(selector @ values.reshape(len(group), -1)).reshape(count, *values.shape[1:])
