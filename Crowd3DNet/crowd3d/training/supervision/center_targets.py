"""Targets of the centre map: where people's centres are, how wide their peaks, and how neighbours are kept apart.

N people; points in tile coordinates, −1…1 across the tile. Collision-aware centres follow Sun et al., ROMP (ICCV 2021), with the
constants of the Crowd3D release.
"""

from __future__ import annotations

import numpy as np

from crowd3d.bodies.joints import TORSO54

LEAST_JOINTS = 5
"""So many joints make a centre where no torso joint is in the tile."""
LEAST_RADIUS, RADIUS_GAIN = 2.0, 7.0
RADIUS_MAP = 64
"""Cells along the side of the map that the radii are given for; other maps have theirs in proportion."""
NEIGHBOUR = 0.25
"""Centres closer than this may be pushed apart."""
PUSH = 0.2


def person_centers(points: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the torso joints in the tile; without any, of all joints in the tile if there are at least five.

    Args:
        points: (N, 54, 2).
        visible: (N, 54) bool.

    Returns:
        (N, 2) centres and (N,) bool, false where there is none.
    """
    inside = visible & np.all(np.abs(points) < 1, axis=2)
    torso = np.zeros_like(inside)
    torso[:, TORSO54] = inside[:, TORSO54]
    used = np.where(torso.any(1, keepdims=True), torso, inside)
    count = used.sum(1)
    known = torso.any(1) | (count >= LEAST_JOINTS)
    return (points * used[..., None]).sum(1) / np.maximum(count, 1)[:, None], known


def center_radius(points: np.ndarray, visible: np.ndarray, side: int) -> np.ndarray:
    """(N,) radius in cells of the peak of each person, by the extent of their visible joints.

    The release takes the extent for a coordinate and adds 1 to it, which makes the peaks of small people as wide as if they
    filled the tile; here it is the share of the tile.

    Args:
        points: (N, 54, 2).
        visible: (N, 54) bool.
        side: cells along the side of the map.
    """
    low = np.where(visible[..., None], points, np.inf).min(1)
    high = np.where(visible[..., None], points, -np.inf).max(1)
    extent = np.where(visible.any(1, keepdims=True), high - low, 0.0)
    share = np.linalg.norm(extent / 2, axis=1) / np.sqrt(2)
    return np.floor(np.maximum(1 + RADIUS_GAIN * share**2, LEAST_RADIUS) * side / RADIUS_MAP)


def push_apart(centers: np.ndarray, radius: np.ndarray, side: int) -> np.ndarray:
    """Move centres (N, 2) whose peaks overlap away from each other; every pair of nearest neighbours once, all at the same time."""
    if len(centers) < 2:
        return centers
    distance = np.linalg.norm(centers[:, None] - centers, axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(1)
    close = np.flatnonzero(distance.min(1) < NEIGHBOUR)
    i, j = np.unique(np.sort(np.stack([close, nearest[close]], 1), axis=1), axis=0).T
    gap = distance[i, j] + 1e-4
    least = (radius[i] + radius[j] + 1) / side * 2
    strength = np.where(gap < least, (least - gap) / gap * PUSH / 2, 0.0)
    shift = strength[:, None] * (centers[j] - centers[i] + 1e-4)
    moved = centers.copy()
    np.subtract.at(moved, i, shift)
    np.add.at(moved, j, shift)
    return np.where(np.abs(moved) < 1, moved, np.clip(moved, -0.96, 0.96))


def center_cells(centers: np.ndarray, side: int) -> np.ndarray:
    """(N, 2) tile coordinates → (N, 2) int64 cells x, y."""
    return np.clip(((centers + 1) / 2 * side).astype(np.int64), 0, side - 1)


def draw_centers(centers: np.ndarray, radius: np.ndarray, side: int) -> np.ndarray:
    """(side, side) float32: the largest of the peaks everywhere, exactly 1 in the cells of the centres (N, 2)."""
    cells = center_cells(centers, side)
    rows, columns = np.mgrid[:side, :side]
    y, x = rows - cells[:, 1, None, None], columns - cells[:, 0, None, None]
    reach = radius[:, None, None]
    peaks = np.exp((x**2 + y**2) * (-18 / (2 * reach + 1) ** 2))
    return np.where((np.abs(x) <= reach) & (np.abs(y) <= reach), peaks, 0.0).max(0, initial=0.0).astype(np.float32)


def discs(centers: np.ndarray, radius: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool, true within `radius` (N,) cells of the centres (N, 2)."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    at = (centers + 1) / 2 * side
    square = (rows - at[:, 1, None, None]) ** 2 + (columns - at[:, 0, None, None]) ** 2
    return (square <= np.maximum(radius, 1.0)[:, None, None] ** 2).any(0)
