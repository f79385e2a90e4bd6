"""Smooth ways of everybody in a sequence, and how they may be off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance
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
    """

    place: np.ndarray
    velocity: np.ndarray

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
    """

    view: View
    plain: Walk
    noisy: Walk
    weight: np.ndarray


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
        frames = np.arange(len(sequence.times_s))
        order = np.argsort(seen.frame, kind="stable")
        cuts = np.searchsorted(seen.frame[order], frames[1:])

        def smooth(places: np.ndarray) -> np.ndarray:
            parts = (np.split(values[order], cuts) for values in (places, own + SWAY_SIGMA_M**2 * np.eye(2), row))
            apart, spreads, who = parts
            state = np.empty((len(seen), 4))
            state[order] = np.concatenate(smooth_tracks(apart, sequence.times_s, spreads, who))
            return state

        root = np.linalg.cholesky(own + 1e-12 * np.eye(2))
        noise = [smooth((root @ rng.normal(size=(len(seen), 2, 1)))[..., 0]) for _ in range(_FIELDS)]
        height, visible = heights_px(camera, ground, pixels), np.ones(len(seen))
        for frame in frames:
            here = np.flatnonzero(seen.frame == frame)
            visible[here] = visible_shares(camera, ground, pixels[here], pixels[here])
        by_person = np.lexsort((seen.time_s, row))
        return cls(
            view,
            seen.frame[by_person],
            seen.time_s[by_person],
            row[by_person],
            ids,
            smooth(seen.place_m)[by_person],
            np.array(noise)[:, by_person],
            recall.among_found(height, visible)[by_person],
            sequence.times_s,
        )

    @property
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) first and last row of every person."""
        first = np.searchsorted(self.row, np.arange(len(self.ids)))
        return first, np.append(first[1:], len(self.row)) - 1

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
        ends = (view.to_ground(plain.to_pixels(state[:, :2] + step * state[:, 2:])) for step in (-_STEP_S, 0.0, _STEP_S))
        before, now, after = ends
        return Walk(now, (after - before) / (2.0 * _STEP_S))

    def draws(self, count: int, rng: np.random.Generator) -> Iterator[WalkDraw]:
        """`count` ways that everybody may have walked."""
        followed = np.clip(self.followed, 1e-3, 1.0)
        for view in self.view.draws(count, rng):
            off = self.noise[rng.integers(len(self.noise))] * rng.choice([-1.0, 1.0])
            yield WalkDraw(view, self.seen_as(view, self.state), self.seen_as(view, self.state + off), rng.geometric(followed))
