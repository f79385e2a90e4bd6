"""Smooth ways of everybody in a sequence, and how they may be off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance
from crowd3d.measure.observed import observed_pixels
from crowd3d.measure.recall import Recall, heights_px, visible_shares
from crowd3d.measure.view import View
from crowd3d.scene.motion import SWAY_SIGMA_M
from crowd3d.scene.paths import Sequence
from crowd3d.scene.tracking import smooth_tracks

EDGE_M = 2.0
"""A way that ends nearer than this to the edge of the observed ground may have left it; farther inside it was lost."""
LOOK_S = 2.0
"""Chances of being found in pictures so far apart count as independent: hiders and hidden have moved on."""
_NEAR_WAITS = 1.5
_FIELDS = 24
_STEP_S = 0.01


class Walk(NamedTuple):
    """The R sightings in one draw.

    Attributes:
        place: (R, 2) metres.
        velocity: (R, 2) metres per second.
        pixel: (R, 2) of the places, in which zones and lines are anchored.
    """

    place: np.ndarray
    velocity: np.ndarray
    pixel: np.ndarray

    @property
    def speed(self) -> np.ndarray:
        """(R,) metres per second."""
        return np.hypot(*self.velocity.T)


class WalkDraw(NamedTuple):
    """One way that everybody may have walked.

    Attributes:
        view: camera and ground.
        plain, noisy: without and with noise added to the sightings; see `figures.reflect`.
        weight: (K,) people that each of the K ids stands for: one, and those who were never found.
        crossing: (K,) people for whom each stands where a line is crossed: those who were not followed just then, too.
    """

    view: View
    plain: Walk
    noisy: Walk
    weight: np.ndarray
    crossing: np.ndarray


@dataclass(frozen=True)
class Walks:
    """A sequence, sorted by person and time.

    Attributes:
        view: camera and ground.
        frame, time_s: (R,) picture and time of the sightings.
        row: (R,) person 0 … K − 1.
        ids: (K,) ids of the people.
        state: (R, 4) smoothed right, forward and velocity, in the frame of the camera's foot without control points.
        noise: (F, R, 4) smoothed noise, samples.
        chance: (R,) recall of each sighting.
        unbroken: share of people's time in sight during which they were followed; a line crossed in the rest of it is not noticed. 1
            without a correction for people who were missed.
        times_s: (T,) of all pictures.
    """

    view: View
    frame: np.ndarray
    time_s: np.ndarray
    row: np.ndarray
    ids: np.ndarray
    state: np.ndarray
    noise: np.ndarray
    chance: np.ndarray
    times_s: np.ndarray
    unbroken: float

    @classmethod
    def of(cls, sequence: Sequence, view: View, recall: Recall, rng: np.random.Generator) -> Walks:
        """Smooth what was seen, and noise as large as that of the sightings.

        Smoothing is linear in the places for given spreads: smoothed noise is what noise does to smooth ways.
        """
        seen = sequence.sightings
        seen = seen[np.isfinite(seen.place_m).all(1)]
        camera, ground = sequence.camera, sequence.ground
        world = np.stack([seen.place_m[:, 0], np.zeros(len(seen)), -seen.place_m[:, 1]], -1)
        pixels = camera.project(ground.from_world(world))
        sigma_px = HVIP_SIGMA_M * ground.pixels_per_metre(camera, pixels)
        own = ground_position_covariance(camera, ground, np.zeros((4, 4)), pixels, sigma_px) * [[1.0, -1.0], [-1.0, 1.0]]
        ids, row = np.unique(seen.id, return_inverse=True)
        root = np.linalg.cholesky(own + 1e-12 * np.eye(2))
        noise = (root @ rng.normal(size=(_FIELDS, len(seen), 2, 1)))[..., 0]
        both = np.concatenate([seen.place_m[None], noise])
        states = _smoothed(both, own + SWAY_SIGMA_M**2 * np.eye(2), seen.frame, row, sequence.times_s)
        height, visible = heights_px(camera, ground, pixels), np.ones(len(seen))
        for here in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen.frame)) + 1):
            visible[here] = visible_shares(camera, ground, pixels[here], pixels[here])
        by_person = np.lexsort((seen.time_s, row))
        state, frame = states[0, by_person], seen.frame[by_person]
        return cls(
            view,
            frame,
            seen.time_s[by_person],
            row[by_person],
            ids,
            state,
            states[1:, by_person],
            recall.among_found(height, visible)[by_person],
            sequence.times_s,
            1.0 if np.isinf(recall.base) else _unbroken(view, frame, row[by_person], state[:, :2], sequence.times_s),
        )

    @property
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) first and last row of every person."""
        first = np.searchsorted(self.row, np.arange(len(self.ids)))
        return first, np.append(first[1:], len(self.row)) - 1

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """Rows of the sightings in every picture in which somebody was seen."""
        order = np.argsort(self.frame, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.frame[order])) + 1)

    @property
    def followed(self) -> np.ndarray:
        """(K,) chance of being found at all while in sight: independent looks every `LOOK_S`."""
        first, last = self.spans
        chance = np.bincount(self.row, self.chance, len(self.ids)) / np.maximum(last - first + 1, 1)
        looks = 1.0 + (self.time_s[last] - self.time_s[first]) / LOOK_S
        return 1.0 - (1.0 - chance) ** looks

    def seen_as(self, view: View, state: np.ndarray) -> Walk:
        """States (R, 4) of this view's plain ground, as another view of the same pixels sees them."""
        plain = View(self.view.camera, self.view.ground, self.view.covariance)
        pixels = [plain.to_pixels(state[:, :2] + step * state[:, 2:]) for step in (-_STEP_S, 0.0, _STEP_S)]
        before, now, after = (view.to_ground(pixel) for pixel in pixels)
        return Walk(now, (after - before) / (2.0 * _STEP_S), pixels[1])

    def draws(self, count: int, rng: np.random.Generator) -> Iterator[WalkDraw]:
        """`count` ways that everybody may have walked."""
        followed = np.clip(self.followed, 0.1, 1.0)
        for view in self.view.draws(count, rng):
            off = self.noise[rng.integers(len(self.noise))] * rng.choice([-1.0, 1.0])
            plain, noisy = self.seen_as(view, self.state), self.seen_as(view, self.state + off)
            weight, lost = rng.geometric(followed), rng.geometric(self.unbroken, len(followed)) - 1
            yield WalkDraw(view, plain, noisy, weight, weight + lost)


def _smoothed(places: np.ndarray, spreads: np.ndarray, frame: np.ndarray, row: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(F, R, 4) smoothed states of F × R sightings, (F, R, 2) places of the same (R,) people in the same (R,) pictures.

    All F are smoothed as if they were so many people, which is what `smooth_tracks` is fast at; those of one person are in sight together.
    """
    fields = len(places)
    here = [np.flatnonzero(frame == number) for number in range(len(times_s))]
    ids = [(np.arange(fields)[:, None] + fields * row[rows]).ravel() for rows in here]
    apart = [places[:, rows].reshape(-1, 2) for rows in here]
    smooth = smooth_tracks(apart, times_s, [np.tile(spreads[rows], (fields, 1, 1)) for rows in here], ids)
    states = [one.state for one in smooth]
    result = np.empty((fields, len(row), 4))
    for rows, one in zip(here, states, strict=True):
        result[:, rows] = one.reshape(fields, len(rows), 4)
    return result


def _unbroken(view: View, frame: np.ndarray, row: np.ndarray, place: np.ndarray, times_s: np.ndarray) -> float:
    """Share of the time in sight that lies inside of ways, from how many of their ends lie where nobody can come or go.

    A lost person is found again after 1/p pictures in the mean, p being the share of pictures in which people are seen while they are
    followed; so much time belongs to a lost end and a new beginning. Near the first and the last picture it is the time up to it.
    """
    first = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    last = np.append(first[1:], len(row)) - 1
    spanned = frame[last] - frame[first] + 1
    inner = np.maximum(spanned - 2, 0).sum()
    seen = np.maximum(last - first + 1 - 2, 0).sum() / inner if inner > 0 else 1.0
    plain = View(view.camera, view.ground, view.covariance)
    outline = plain.to_ground(observed_pixels(view.camera, view.ground))
    wait = 1.0 / max(seen, 0.1)
    lost = 0.0
    for ends, away in ((first, frame[first]), (last, len(times_s) - 1 - frame[last])):
        missing = np.where(away <= _NEAR_WAITS * wait, away, 0.5 * wait)
        lost += float(missing[_far_inside(outline, place[ends])].sum())
    followed = max(float((spanned - 1).sum()), 1.0)
    return followed / (followed + lost)


def _far_inside(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) bool, whether points are inside of a convex outline and `EDGE_M` from its edges."""
    if len(outline) < 3:
        return np.zeros(len(points), bool)
    start, side = outline, np.roll(outline, -1, axis=0) - outline
    off = points[:, None] - start
    across = (side[:, 0] * off[..., 1] - side[:, 1] * off[..., 0]) / np.maximum(np.hypot(*side.T), 1e-9)
    return (across > EDGE_M).all(1) | (across < -EDGE_M).all(1)
