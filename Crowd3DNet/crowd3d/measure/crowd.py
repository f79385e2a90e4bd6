"""The crowd as it may be: camera and ground drawn for everybody, noise for each, and those who were missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.ground import HVIP_SIGMA_M
from crowd3d.measure.density import voronoi_areas, within
from crowd3d.measure.observed import observed_pixels
from crowd3d.measure.recall import Recall, heights_px, visible_shares
from crowd3d.measure.view import View

_ELBOW_M = 0.35
"""People who were missed do not stand in others: breadth of a body (Fruin 1971 allows 0.46 m by 0.61 m in clothes)."""
_TRIES = 8
_BISECTIONS = 12


@dataclass(frozen=True)
class Found:
    """People who were found in one picture.

    Attributes:
        view: camera and ground.
        foot_px: (N, 2) where they stand, pixels.
        sigma_px: (N,) standard deviation of that per axis.
        outline_px: (K, 2) outline of the observed ground, as from `observed_pixels`.
        height_px: (N,) height of an average person there.
        visible: (N,) share of everybody that those in front leave to be seen.
    """

    view: View
    foot_px: np.ndarray
    sigma_px: np.ndarray
    outline_px: np.ndarray
    height_px: np.ndarray
    visible: np.ndarray

    @classmethod
    def of(cls, view: View, foot_px: np.ndarray, least_px: float, sigma_m: float = HVIP_SIGMA_M) -> Found:
        """From feet (N, 2) in pixels; whoever is above the horizon is left with NaN."""
        camera, ground = view.camera, view.ground
        return cls(
            view,
            foot_px,
            sigma_m * ground.pixels_per_metre(camera, foot_px),
            observed_pixels(camera, ground, least_px),
            heights_px(camera, ground, foot_px),
            visible_shares(camera, ground, foot_px, foot_px),
        )

    @property
    def places(self) -> np.ndarray:
        """(N, 2) metres."""
        return self.view.to_ground(self.foot_px)

    @property
    def outline(self) -> np.ndarray:
        """(K, 2) metres, outline of the observed ground."""
        return self.view.to_ground(self.outline_px)


class Draw(NamedTuple):
    """One way that the crowd may be: the N people found, then M who were missed.

    Attributes:
        view: camera and ground.
        outline: (K, 2) metres, the observed ground.
        plain: (N + M, 2) metres without added noise; NaN above this view's horizon.
        noisy: (N + M, 2) metres with noise added to those found; see `figures.reflect`.
        plain_px, noisy_px: (N + M, 2) the same in pixels, in which zones are counted: they are anchored in the picture.
    """

    view: View
    outline: np.ndarray
    plain: np.ndarray
    noisy: np.ndarray
    plain_px: np.ndarray
    noisy_px: np.ndarray


def draw_crowds(found: Found, recall: Recall, count: int, rng: np.random.Generator) -> Iterator[Draw]:
    """Crowds that may be true, given who was found.

    For everybody found with chance p, as many as a geometric distribution says were missed, (1 − p)/p in the mean: the sum over all has
    mean and variance of Horvitz and Thompson's estimator (1952). They stand about one spacing away, not in anybody else.

    Args:
        found: N people.
        recall: the chances.
        count: number of draws.
        rng: source of chance.
    """
    areas, _ = voronoi_areas(found.places, found.outline)
    spacing = np.sqrt(np.nan_to_num(areas, nan=np.nanmedian(areas) if np.isfinite(areas).any() else 1.0))
    for view in found.view.draws(count, rng):
        off = rng.normal()
        noise = rng.normal(size=found.foot_px.shape) * found.sigma_px[:, None]
        plain, noisy = view.to_ground(found.foot_px), view.to_ground(found.foot_px + noise)
        lost = ~np.isfinite(noisy).all(1) | ~np.isfinite(plain).all(1)
        plain[lost], noisy[lost] = np.nan, np.nan
        outline = ground_outline(view, found.outline_px)
        chance = np.nan_to_num(recall.among_found(found.height_px, found.visible, off), nan=1.0)
        parent = np.repeat(np.arange(len(plain)), rng.geometric(chance) - 1)
        parent = parent[~lost[parent] & within(outline, plain[parent])] if len(parent) else parent
        missed = _stand_beside(plain, parent, spacing * view.scale() / found.view.scale(), outline, rng)
        missed_px = view.to_pixels(missed)
        yield Draw(
            view,
            outline,
            np.concatenate([plain, missed]),
            np.concatenate([noisy, missed]),
            np.concatenate([found.foot_px, missed_px]),
            np.concatenate([found.foot_px + noise, missed_px]),
        )


def ground_outline(view: View, outline_px: np.ndarray) -> np.ndarray:
    """(K, 2) pixels of an outline → (K, 2) metres; what this view sees above its horizon is drawn in to just below it."""
    places = view.to_ground(outline_px)
    lost = ~np.isfinite(places).all(1)
    if not lost.any() or lost.all():
        return places[~lost]
    near, far = np.repeat(outline_px[~lost].mean(0)[None], lost.sum(), 0), outline_px[lost]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (near + far)
        fine = np.isfinite(view.to_ground(middle)).all(1, keepdims=True)
        near, far = np.where(fine, middle, near), np.where(fine, far, middle)
    places[lost] = view.to_ground(near)
    return places[np.isfinite(places).all(1)]


def _stand_beside(
    places: np.ndarray, parent: np.ndarray, spacing: np.ndarray, outline: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(M, 2) places about a spacing away from those of their parents (M,), inside the outline, the best of a few tries."""
    chosen = np.full((len(parent), 2), np.nan)
    room = np.full(len(parent), -1.0)
    known = places[np.isfinite(places).all(1)]
    for _ in range(_TRIES if len(parent) else 0):
        tried = places[parent] + rng.normal(size=(len(parent), 2)) * spacing[parent, None]
        gap = np.minimum(_nearest(known, tried), _ELBOW_M * (0.9 + 0.1 * rng.random(len(parent))))
        gap = np.where(within(outline, tried), gap, -0.5)
        better = gap > room
        chosen[better], room[better] = tried[better], gap[better]
    return chosen


def _nearest(places: np.ndarray, at: np.ndarray) -> np.ndarray:
    return cKDTree(places).query(at)[0]
