"""Smooth ways of everybody in a sequence, and how they may be off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance
from crowd3d.measure.followed import Ways, followed_shares
from crowd3d.measure.observed import observed_pixels
from crowd3d.measure.recall import Recall, heights_px, visible_shares
from crowd3d.measure.view import View
from crowd3d.scene.motion import SWAY_SIGMA_M
from crowd3d.scene.paths import Sequence
from crowd3d.scene.tracking import smooth_tracks

LOOK_S = 2.0
"""Chances of being found in pictures so far apart count as independent: hiders and hidden have moved on."""
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
        crossing: (K,) people for whom each stands where a line is crossed: one, and those who were not followed just then, never found or
            lost for a while.
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
        times_s: (T,) of all pictures.
        unbroken: (S,) what the share of people's time during which they were followed may be; a line crossed in the rest of it is not
            noticed. 1 without a correction for people who were missed.
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
    unbroken: np.ndarray

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
        state, frame, row = states[0, by_person], seen.frame[by_person], row[by_person]
        chance = recall.among_found(height, visible)[by_person]
        outline = View(camera, ground, view.covariance).to_ground(observed_pixels(camera, ground))
        return cls(
            view,
            frame,
            seen.time_s[by_person],
            row,
            ids,
            state,
            states[1:, by_person],
            chance,
            sequence.times_s,
            followed_shares(Ways(frame, row, state[:, :2], chance), outline, len(sequence.times_s), recall.sigma, rng),
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
            crossing = rng.geometric(rng.choice(self.unbroken), len(followed))
            yield WalkDraw(view, plain, noisy, rng.geometric(followed), crossing)


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
