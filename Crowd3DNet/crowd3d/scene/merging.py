"""One person, one body: people that overlapping tiles reconstructed several times are reduced to one."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

# Reconstructions of one person from several tiles differ by a few percent of their height in the image, and by what that is on
# the ground along the line of sight. The made-up grids of tests/scene/test_merging.py, people 0.5 to 3 m apart, bound these values: at
# two thirds or one and a half times IMAGE_SIGMA, DISTANCE_SIGMA, OTHER_TILE_LIMIT or SAME_TILE_LIMIT people are lost or doubled there;
# half or twice MIN_DISTANCE_SIGMA_M or CUT_FLOOR change nothing. No photograph was asked.
IMAGE_SIGMA = 0.2
DISTANCE_SIGMA = 0.02
MIN_DISTANCE_SIGMA_M = 0.8
OTHER_TILE_LIMIT = 1.0
SAME_TILE_LIMIT = 0.03
CUT_FLOOR = 0.05


def duplicate_free(
    joints_px: np.ndarray,
    torso_cam_m: np.ndarray,
    score: np.ndarray,
    border_distance: np.ndarray,
    tile_index: np.ndarray,
) -> np.ndarray:
    """Rows of the people to keep: of each person's reconstructions the one with the highest score.

    A body that its tile cuts off loses against a whole one.

    Args:
        joints_px: (N, 17, 2) projected COCO-17 joints, scene pixels.
        torso_cam_m: (N, 3) torso centres, camera frame.
        score: (N,) confidence in 0…1.
        border_distance: (N,) pixels from the body's box to the nearest edge of its tile inside the image, negative by as much as
            the tile cuts off.
        tile_index: (N,) tile that each row comes from.

    Returns:
        (K,) ascending rows.
    """
    person = group_people(joints_px, torso_cam_m, tile_index)
    complete = np.clip(1.0 + border_distance / _extent_px(joints_px), CUT_FLOOR, 1.0)
    order = np.lexsort((-score * complete, person))
    return np.sort(order[np.unique(person[order], return_index=True)[1]])


def group_people(joints_px: np.ndarray, torso_cam_m: np.ndarray, tile_index: np.ndarray) -> np.ndarray:
    """Which rows are the same person.

    The dissimilarity of two rows is ``(e / 0.2)² + (d / s)²`` with e the root mean square distance of their joints in the image
    relative to their size there, d the distance of their torso centres, and s = 2 % of that from the camera. Up to 1, rows are
    joined from the most similar pair on (single linkage) under one constraint: the network has already told apart the people of
    one tile, so a person has at most one row per tile, unless two are nearly identical. This is what keeps dense crowds apart:
    between neighbours who are seen together in any tile only the order of similarities decides.

    Args:
        joints_px: (N, 17, 2) projected COCO-17 joints, scene pixels.
        torso_cam_m: (N, 3) torso centres, camera frame.
        tile_index: (N,) tile that each row comes from.

    Returns:
        (N,) label of each row's person.
    """
    count = len(joints_px)
    pairs, distance = _similar_pairs(joints_px, torso_cam_m)
    # A set of tiles is the bits of an integer.
    tiles = [1 << tile for tile in tile_index.tolist()]
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for (first, second), identical in zip(pairs.tolist(), (distance < SAME_TILE_LIMIT).tolist(), strict=True):
        a, b = root(first), root(second)
        if a != b and (identical or not tiles[a] & tiles[b]):
            parent[b] = a
            tiles[a] |= tiles[b]
    return np.array([root(row) for row in range(count)], np.int64)


def _extent_px(joints_px: np.ndarray) -> np.ndarray:
    """(N,) longer side of the box around each person's joints."""
    return np.maximum((joints_px.max(1) - joints_px.min(1)).max(1), 1e-6) if len(joints_px) else np.zeros(0)


def _similar_pairs(joints_px: np.ndarray, torso_cam_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows (E, 2) whose dissimilarity (E,) is below the limit, the most similar first."""
    if len(joints_px) == 0:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    sigma_m = np.maximum(DISTANCE_SIGMA * np.linalg.norm(torso_cam_m, axis=1), MIN_DISTANCE_SIGMA_M)
    pairs = cKDTree(torso_cam_m).query_pairs(sigma_m.max() * np.sqrt(OTHER_TILE_LIMIT), output_type="ndarray")
    first, second = pairs.T
    extent = _extent_px(joints_px)
    apart_px = np.sqrt(((joints_px[first] - joints_px[second]) ** 2).sum(-1).mean(-1))
    relative = apart_px / np.maximum(extent[first], extent[second])
    apart_m = np.linalg.norm(torso_cam_m[first] - torso_cam_m[second], axis=1)
    distance = (relative / IMAGE_SIGMA) ** 2 + (apart_m / np.maximum(sigma_m[first], sigma_m[second])) ** 2
    order = np.argsort(distance, kind="stable")
    order = order[: np.searchsorted(distance[order], OTHER_TILE_LIMIT)]
    return pairs[order], distance[order]
