"""The ground that was observed: inside the picture, and near enough that people would be found there."""

from __future__ import annotations

import cv2
import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.measure.recall import heights_px
from crowd3d.types import NOMINAL_STATURE_M

LEAST_PX = 24.0
"""Whoever is less tall in the picture is not found."""
_COLUMNS = 65
_ROWS = 257
_BISECTIONS = 30
_STRAIGHT_PX = 0.25


def observed_pixels(camera: Camera, ground: GroundPlane, least_px: float = LEAST_PX) -> np.ndarray:
    """Outline of the ground on which a standing person would be inside the picture and at least `least_px` tall.

    Feet must be in the picture; the line far away is where people become too small.

    Returns:
        (K, 2) pixels, near edge from left to right, then far edge back; (0, 2) if there is no such ground.
    """
    u = np.linspace(0.0, camera.width, _COLUMNS)
    rows = np.linspace(0.0, camera.height, _ROWS)
    grid = np.stack(np.meshgrid(u, rows, indexing="ij"), -1)
    good = _tall(camera, ground, grid, least_px)
    kept = good.any(1)
    if kept.sum() < 2:
        return np.zeros((0, 2))
    near, far = _ROWS - 1 - good[:, ::-1].argmax(1), good.argmax(1)
    # Between the topmost row that will do and the one above lies the exact end.
    inside, outside = rows[far], rows[np.maximum(far - 1, 0)]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (inside + outside)
        fine = _tall(camera, ground, np.stack([u, middle], -1), least_px)
        inside, outside = np.where(fine, middle, inside), np.where(fine, outside, middle)
    inside = np.where(far == 0, 0.0, inside)
    outline = np.concatenate([np.stack([u, rows[near]], -1)[kept], np.stack([u, inside], -1)[kept][::-1]])
    # Of edges that are straight in the picture only the ends are kept.
    return cv2.approxPolyDP(outline.astype(np.float32), _STRAIGHT_PX, True)[:, 0].astype(np.float64)


def _tall(camera: Camera, ground: GroundPlane, pixels: np.ndarray, least_px: float) -> np.ndarray:
    # Seen from above people are short but wide: what counts is the scale, as if they were seen from the side.
    depth = ground.intersect(camera, pixels)[..., 2]
    upright, scale = heights_px(camera, ground, pixels), NOMINAL_STATURE_M * camera.fx / np.where(depth > 0, depth, np.nan)
    steep = np.nan_to_num(-ground.normal[2]) > 0.9
    return np.nan_to_num(scale if steep else upright, nan=0.0) >= least_px


def inside(rings: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon, by the even-odd rule.

    Args:
        rings: outline and holes, (K, 2) each.
        points: (..., 2); NaN is outside.
    """
    x, y = np.asarray(points)[..., 0, None], np.asarray(points)[..., 1, None]
    odd = np.zeros(np.shape(points)[:-1], bool)
    for ring in rings:
        start, end = ring, np.roll(ring, -1, axis=0)
        rise = end[:, 1] - start[:, 1]
        crosses = (start[:, 1] > y) != (end[:, 1] > y)
        at = start[:, 0] + (y - start[:, 1]) / np.where(rise == 0, 1.0, rise) * (end[:, 0] - start[:, 0])
        odd ^= (crosses & (x < at)).sum(-1) % 2 == 1
    return odd


def area(rings: list[np.ndarray]) -> float:
    """Area of a polygon with holes, whose rings do not cross."""
    sizes = [abs(float(np.cross(ring - ring[0], np.roll(ring, -1, axis=0) - ring[0]).sum())) / 2.0 for ring in _flat(rings)]
    return sizes[0] - sum(sizes[1:]) if sizes else 0.0


def _flat(rings: list[np.ndarray]) -> list[np.ndarray]:
    """With a third coordinate, which `numpy.cross` wants."""
    return [np.concatenate([ring, np.zeros((len(ring), 1))], -1) for ring in rings]
