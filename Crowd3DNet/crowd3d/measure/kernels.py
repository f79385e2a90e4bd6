"""Inner loops over people and places, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

_SAME_M = 1e-6
"""People nearer than this share one cell."""


@njit(cache=True)
def cell_areas(
    points: np.ndarray, rows: np.ndarray, neighbours: np.ndarray, circle: np.ndarray, outline: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells, each cut out of a circle around its person by the bisectors towards ever farther neighbours.

    Args:
        points: (N, 2) metres.
        rows: (R,) whose cells.
        neighbours: (R, K) nearest others of each, the nearest first, N where there is nobody more within two reaches; the first is the
            person themself or somebody at the same place.
        circle: (C, 2) convex polygon that no cell leaves, around its person, counter-clockwise.
        outline: (L, 2) convex outline of the ground, counter-clockwise.

    Returns:
        Areas (R,) within the circle, and (R,) of them within the outline; (R,) bool, whether the neighbours were enough.
    """
    bounded, inner, done = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
    here = np.empty((len(circle) + neighbours.shape[1] + len(outline) + 2, 2))
    spare = np.empty_like(here)
    for r in range(len(rows)):
        x, y = points[rows[r]]
        here[: len(circle)] = circle
        count, sharing = len(circle), 1
        for other in neighbours[r]:
            if other == len(points):
                done[r] = True
                break
            if other == rows[r]:
                continue
            across, along = points[other, 0] - x, points[other, 1] - y
            squared = across**2 + along**2
            if squared < _SAME_M**2:
                sharing += 1
                continue
            if squared > 4.0 * _farthest(here, count):
                done[r] = True
                break
            left = _keep(here, count, across, along, 0.5 * squared, spare)
            if left >= 0:
                here, spare, count = spare, here, left
        bounded[r] = _area(here, count) / sharing
        for k in range(len(outline)):
            after = (k + 1) % len(outline)
            across, along = outline[after, 1] - outline[k, 1], outline[k, 0] - outline[after, 0]
            limit = across * (outline[k, 0] - x) + along * (outline[k, 1] - y)
            left = _keep(here, count, across, along, limit, spare)
            if left >= 0:
                here, spare, count = spare, here, left
        inner[r] = _area(here, count) / sharing
    return bounded, inner, done


@njit(cache=True)
def _keep(polygon: np.ndarray, count: int, nx: float, ny: float, limit: float, kept: np.ndarray) -> int:
    """The part of a convex polygon on which n·p ≤ limit goes to `kept`; its number of corners, −1 if that is the whole polygon."""
    whole = True
    for k in range(count):
        whole = whole and nx * polygon[k, 0] + ny * polygon[k, 1] <= limit
    if whole:
        return -1
    number = 0
    for k in range(count):
        after = k + 1 if k + 1 < count else 0
        off, next_off = nx * polygon[k, 0] + ny * polygon[k, 1] - limit, nx * polygon[after, 0] + ny * polygon[after, 1] - limit
        if off <= 0.0:
            kept[number, 0], kept[number, 1] = polygon[k, 0], polygon[k, 1]
            number += 1
        if off * next_off < 0.0:
            share = off / (off - next_off)
            kept[number, 0] = polygon[k, 0] + share * (polygon[after, 0] - polygon[k, 0])
            kept[number, 1] = polygon[k, 1] + share * (polygon[after, 1] - polygon[k, 1])
            number += 1
    return number


@njit(cache=True)
def _farthest(polygon: np.ndarray, count: int) -> float:
    most = 0.0
    for k in range(count):
        most = max(most, polygon[k, 0] ** 2 + polygon[k, 1] ** 2)
    return most


@njit(cache=True)
def _area(polygon: np.ndarray, count: int) -> float:
    twice = 0.0
    for k in range(count):
        after = k + 1 if k + 1 < count else 0
        twice += polygon[k, 0] * polygon[after, 1] - polygon[after, 0] * polygon[k, 1]
    return 0.5 * twice


@njit(cache=True)
def gaussian_sums(at: np.ndarray, people: np.ndarray, weight: np.ndarray, strip: np.ndarray, sigma: float, reach: float) -> np.ndarray:
    """Sums of exp(−d²/2σ²) over the people near each place.

    Args:
        at: (M, 2) places.
        people: (N, 2) sorted by strip, then by x.
        weight: (N,) people that each stands for.
        strip: (N,) of everybody, y in whole reaches.
        sigma: σ.
        reach: whoever is farther is left out.

    Returns:
        (M,).
    """
    result, x = np.zeros(len(at)), people[:, 0]
    for k in range(len(at)):
        middle = np.floor(at[k, 1] / reach)
        for beside in (-1.0, 0.0, 1.0):
            first, last = np.searchsorted(strip, middle + beside), np.searchsorted(strip, middle + beside + 1.0)
            begin = first + np.searchsorted(x[first:last], at[k, 0] - reach)
            for j in range(begin, last):
                if x[j] > at[k, 0] + reach:
                    break
                squared = (x[j] - at[k, 0]) ** 2 + (people[j, 1] - at[k, 1]) ** 2
                if squared <= reach**2:
                    result[k] += weight[j] * np.exp(-0.5 * squared / sigma**2)
    return result
