"""People per square metre around a place: Voronoi cells and a Gaussian kernel, both inside the observed ground."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import norm, qmc

from crowd3d.measure.kernels import cell_areas, gaussian_sums

REACH_M = 3.0
"""Nobody's Voronoi cell reaches farther from its person: beyond is empty ground (`cut_off` of PedPy)."""
KERNEL_M = 1.0
"""Standard deviation of the Gaussian: it averages over about 4πσ² = 12.6 m²."""
_AROUND_M = 6.0
_FAR = 4.0
_CIRCLE = 32
_NEIGHBOURS = 24
"""So many of the nearest people are looked at before more are: most cells have six sides."""


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
    points, circle = places[rows], _circle(reach_m)
    tree, left, most = cKDTree(points), np.arange(len(rows)), _NEIGHBOURS
    turning = np.roll(outline, -1, axis=0) - outline
    ring = outline if (turning[:, 0] * np.roll(turning[:, 1], -1) - turning[:, 1] * np.roll(turning[:, 0], -1)).sum() > 0 else outline[::-1]
    while len(left):
        neighbours = tree.query(points[left], np.arange(1, most + 1), distance_upper_bound=2.0 * reach_m)[1]
        bounded, inner, done = cell_areas(points, left, neighbours, circle, np.ascontiguousarray(ring))
        areas[rows[left]], cut[rows[left]] = np.where(inner > 0, inner, np.nan), inner < 0.999 * bounded
        left, most = left[~done], 4 * most
    return areas, cut


def _circle(radius: float) -> np.ndarray:
    """(32, 2) counter-clockwise polygon of the circle's area."""
    angle = 2.0 * np.pi * np.arange(_CIRCLE) / _CIRCLE
    wider = np.sqrt(np.pi / (_CIRCLE / 2.0 * np.sin(2.0 * np.pi / _CIRCLE)))
    return radius * wider * np.stack([np.cos(angle), np.sin(angle)], -1)


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


def kernel_density(places: np.ndarray, at: np.ndarray, sigma_m: float = KERNEL_M, weight: np.ndarray | None = None) -> np.ndarray:
    """(M,) people per m² at (M, 2) places by a Gaussian kernel, not corrected for what lies outside the observed ground.

    Args:
        places: (N, 2) metres; NaN for people who do not count.
        at: where, NaN gives NaN.
        sigma_m: standard deviation per axis.
        weight: (N,) people that each stands for; one by default.
    """
    result = np.where(np.isfinite(at).all(1), 0.0, np.nan)
    known, counted = np.flatnonzero(np.isfinite(at).all(1)), np.flatnonzero(np.isfinite(places).all(1))
    if len(known) == 0 or len(counted) == 0:
        return result
    reach = _FAR * sigma_m
    strip = np.floor(places[:, 1] / reach)
    order = counted[np.lexsort((places[counted, 0], strip[counted]))]
    many = np.ones(len(order)) if weight is None else weight[order]
    result[known] = gaussian_sums(at[known], places[order], many, strip[order], sigma_m, reach) / (2.0 * np.pi * sigma_m**2)
    return result


def grid_around(places: np.ndarray, outline: np.ndarray, step_m: float, most: int) -> tuple[np.ndarray, float]:
    """Middles of a square grid over the ground on which people are.

    Args:
        places: (N, 2) metres; NaN for people who do not count.
        outline: (K, 2) convex outline of the observed ground, which is the limit, also if nobody is there.
        step_m: distance of neighbours.
        most: places at most, about; the step is larger where it must be.

    Returns:
        (M, 2) metres, and their step.
    """
    low, high = outline.min(0), outline.max(0)
    inner = places[within(outline, places)]
    if len(inner):
        low, high = np.maximum(low, inner.min(0) - _AROUND_M), np.minimum(high, inner.max(0) + _AROUND_M)
    step = max(step_m, float(np.sqrt(np.prod(high - low) / most)))
    first, last = np.floor(low / step), np.floor(high / step)
    axes = ((np.arange(a, b + 1.0) + 0.5) * step for a, b in zip(first, last, strict=True))
    at = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return at[within(outline, at)], step


def seen_mass(at: np.ndarray, outline: np.ndarray, sigma_m: float = KERNEL_M) -> np.ndarray:
    """(M,) share of the kernel at (M, 2) places that lies on observed ground: what densities are divided by (Diggle 1985)."""
    probes = norm.ppf(qmc.Sobol(2, scramble=False).random_base2(6) * (1 - 4e-3) + 2e-3) * sigma_m
    return within(outline, at[:, None] + probes).mean(1)
