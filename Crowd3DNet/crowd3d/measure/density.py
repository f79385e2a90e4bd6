"""People per square metre around a place: Voronoi cells and a Gaussian kernel, both inside the observed ground."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import QhullError, Voronoi, cKDTree
from scipy.stats import norm, qmc

REACH_M = 3.0
"""Nobody's Voronoi cell reaches farther from its person: beyond is empty ground (`cut_off` of PedPy)."""
KERNEL_M = 1.0
"""Standard deviation of the Gaussian: it averages over about 4πσ² = 12.6 m²."""
_FAR = 4.0
_CIRCLE = 32
_SIDES = 1e4


def voronoi_areas(places: np.ndarray, outline: np.ndarray, reach_m: float = REACH_M) -> tuple[np.ndarray, np.ndarray]:
    """Area of everybody's Voronoi cell (Steffen and Seyfried 2010), inside the outline and within reach.

    Args:
        places: (N, 2) metres; NaN for people who do not count.
        outline: (K, 2) convex outline of the observed ground.
        reach_m: radius that no cell leaves.

    Returns:
        (N,) square metres, NaN for people outside the outline; (N,) bool, cells that the outline cuts off: their people may have
        neighbours that are not seen.
    """
    areas, cut = np.full(len(places), np.nan), np.zeros(len(places), bool)
    rows = np.flatnonzero(np.isfinite(places).all(1))
    rows = rows[within(outline, places[rows])]
    if len(rows) == 0:
        return areas, cut
    points = places[rows]
    middle = points.mean(0)
    frame = _SIDES * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) + middle
    try:
        diagram = Voronoi(np.concatenate([points, frame]) - middle, qhull_options="Qbb Qc Qz")
    except QhullError:
        return areas, cut
    vertices = diagram.vertices + middle
    sides, ends = np.array(diagram.ridge_points), np.array(diagram.ridge_vertices)
    owner = np.concatenate([sides[:, 0], sides[:, 1]])
    ends = np.concatenate([ends, ends])
    real = (owner < len(points)) & (ends >= 0).all(1)
    owner, ends = owner[real], ends[real]
    first, second = vertices[ends[:, 0]] - points[owner], vertices[ends[:, 1]] - points[owner]
    whole = np.bincount(owner, np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2.0, len(points))
    long = np.maximum(np.hypot(*first.T), np.hypot(*second.T)) > reach_m
    out = ~within(outline, vertices)[ends].all(1)
    clipped = np.flatnonzero(np.bincount(owner, long | out, len(points)))
    circle, hull = _circle(reach_m), cv2.convexHull((outline - middle).astype(np.float32))
    by_owner = np.argsort(owner, kind="stable")
    start = np.searchsorted(owner[by_owner], np.arange(len(points) + 1))
    for row in clipped:
        edges = by_owner[start[row] : start[row + 1]]
        cell = _hull(np.concatenate([first[edges], second[edges]]))
        bounded, corners = cv2.intersectConvexConvex(cell, circle)
        around = hull - (points[row] - middle).astype(np.float32)
        inner = cv2.intersectConvexConvex(corners, around)[0] if bounded > 0 else 0.0
        whole[row], cut[rows[row]] = inner, inner < 0.999 * bounded
    areas[rows] = np.where(whole > 0, whole, np.nan)
    return areas, cut


def _circle(radius: float) -> np.ndarray:
    """(32, 2) float32 polygon of the circle's area."""
    angle = 2.0 * np.pi * np.arange(_CIRCLE) / _CIRCLE
    wider = np.sqrt(np.pi / (_CIRCLE / 2.0 * np.sin(2.0 * np.pi / _CIRCLE)))
    return (radius * wider * np.stack([np.cos(angle), np.sin(angle)], -1)).astype(np.float32)


def _hull(corners: np.ndarray) -> np.ndarray:
    """Corners in order; those far beyond any reach are drawn in, to keep single precision."""
    length = np.hypot(*corners.T)[:, None]
    return cv2.convexHull((corners * np.minimum(1.0, 1e3 / np.maximum(length, 1e-9))).astype(np.float32))


def within(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(...) whether (..., 2) points lie in a convex outline; NaN does not."""
    start, end = outline, np.roll(outline, -1, axis=0)
    side, off = end - start, np.asarray(points)[..., None, :] - start
    turn = side[:, 0] * off[..., 1] - side[:, 1] * off[..., 0]
    return (turn >= -1e-9).all(-1) | (turn <= 1e-9).all(-1)


def voronoi_at(places: np.ndarray, areas: np.ndarray, at: np.ndarray, reach_m: float = REACH_M) -> np.ndarray:
    """Voronoi density field: (M,) people per m² at (M, 2) places, 1/area of the cell that each lies in, 0 outside all cells."""
    rows = np.flatnonzero(np.isfinite(areas))
    known = np.isfinite(at).all(1)
    result = np.where(known, 0.0, np.nan)
    if len(rows) and known.any():
        distance, nearest = cKDTree(places[rows]).query(at[known])
        result[known] = np.where(distance <= reach_m, 1.0 / areas[rows[nearest]], 0.0)
    return result


def kernel_density(places: np.ndarray, at: np.ndarray, sigma_m: float = KERNEL_M) -> np.ndarray:
    """(M,) people per m² at (M, 2) places by a Gaussian kernel, not corrected for what lies outside the observed ground.

    Args:
        places: (N, 2) metres; NaN for people who do not count.
        at: where, NaN gives NaN.
        sigma_m: standard deviation per axis.
    """
    result = np.where(np.isfinite(at).all(1), 0.0, np.nan)
    known, people = np.flatnonzero(np.isfinite(at).all(1)), places[np.isfinite(places).all(1)]
    if len(known) == 0 or len(people) == 0:
        return result
    pairs = cKDTree(at[known]).sparse_distance_matrix(cKDTree(people), _FAR * sigma_m, output_type="ndarray")
    weight = np.exp(-0.5 * (pairs["v"] / sigma_m) ** 2) / (2.0 * np.pi * sigma_m**2)
    result[known] += np.bincount(pairs["i"], weight, len(known))
    return result


def seen_mass(at: np.ndarray, outline: np.ndarray, sigma_m: float = KERNEL_M) -> np.ndarray:
    """(M,) share of the kernel at (M, 2) places that lies on observed ground: what densities are divided by (Diggle 1985)."""
    probes = norm.ppf(qmc.Sobol(2, scramble=False).random_base2(6) * (1 - 4e-3) + 2e-3) * sigma_m
    return within(outline, at[:, None] + probes).mean(1)
