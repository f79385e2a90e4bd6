"""Crowds of known density seen through a camera that is known imperfectly; no pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import HVIP_SIGMA_M
from crowd3d.measure.recall import Recall, heights_px, visible_shares
from crowd3d.measure.view import View
from crowd3d.scene.paths import Sequence, Sightings
from crowd3d.scene.tracking import track
from crowd3d.types import People, Scene

CAMERA, GROUND = Camera.from_focal(3000.0, (4000, 2600)), GroundPlane.from_angles(np.deg2rad(35.0), 0.01, 14.0)
SIGMA = np.array([0.03, np.deg2rad(0.6), np.deg2rad(0.4), 0.04])
"""Of log focal length, tilt, roll and log height."""
SQUARE = np.array([[-6.0, 14.0], [6.0, 14.0], [6.0, 26.0], [-6.0, 26.0]])
"""Where the crowd stands, metres to the right and ahead: 144 m²."""
RECALL = Recall(base=3.0, by_size=0.8, by_hidden=-5.0, sigma=0.5)
"""Whoever is hidden is missed; who is not is found nearly always."""
_BODY_M = 0.3


class Made(NamedTuple):
    """A crowd: its true view and places, and what is seen of it.

    Attributes:
        truth: exact camera and ground.
        places: (G, 2) true metres.
        view: camera and ground as estimated.
        foot_px: (N, 2) feet of the people found, with noise.
        rows: (N,) their rows in `places`.
    """

    truth: View
    places: np.ndarray
    view: View
    foot_px: np.ndarray
    rows: np.ndarray

    def scene(self) -> Scene:
        """A reconstruction that knows only where people stand."""
        count = len(self.foot_px)
        people = People(
            np.zeros((count, 24, 3), np.float32),
            np.zeros((count, 10), np.float32),
            np.zeros((count, 3)),
            self.foot_px,
            self.view.ground.intersect(self.view.camera, self.foot_px),
            np.ones(count),
            np.zeros((count, 17, 3)),
        )
        return Scene(self.view.camera, self.view.ground, people, "free", "made.jpg", self.view.covariance)


def scatter(count: int, corners: np.ndarray, rng: np.random.Generator, gap_m: float = _BODY_M) -> np.ndarray:
    """(count, 2) places in a rectangle, nobody nearer than a body's breadth to anybody else."""
    places = np.zeros((0, 2))
    while len(places) < count:
        tried = rng.uniform(corners.min(0), corners.max(0))
        if len(places) == 0 or np.hypot(*(places - tried).T).min() > gap_m:
            places = np.concatenate([places, tried[None]])
    return places


def make(density: float, rng: np.random.Generator, recall: Recall, corners: np.ndarray = SQUARE, places: np.ndarray | None = None) -> Made:
    """A crowd with so many people per m² on the average, of whom some are missed."""
    if places is None:
        size = float(np.prod(np.ptp(corners, axis=0)))
        places = scatter(rng.poisson(density * size), corners, rng)
    truth = View(CAMERA, GROUND, np.zeros((4, 4)))
    view = next(View(CAMERA, GROUND, np.diag(SIGMA**2)).draws(1, rng))
    exact = truth.to_pixels(places)
    seen = visible_shares(CAMERA, GROUND, exact, exact)
    chance = recall.probability(heights_px(CAMERA, GROUND, exact), seen, rng.normal())
    rows = np.flatnonzero(rng.random(len(places)) < chance)
    sigma_px = HVIP_SIGMA_M * GROUND.pixels_per_metre(CAMERA, exact[rows])
    return Made(truth, places, view, exact[rows] + rng.normal(size=(len(rows), 2)) * sigma_px[:, None], rows)


class Walked(NamedTuple):
    """People who walked, as a reconstructed sequence, with what is true.

    Attributes:
        truth: exact camera and ground.
        sequence: what was reconstructed.
        to_right, to_left: people who crossed x = 0 between the first and the last picture; right is where x grows.
        speed: true mean, metres per second.
        places: (T, G, 2) true metres.
    """

    truth: View
    sequence: Sequence
    to_right: int
    to_left: int
    speed: float
    places: np.ndarray


def walkers(rng: np.random.Generator, recall: Recall, people: int = 40, pictures: int = 40, step_s: float = 0.5) -> Walked:
    """People who walk to and fro between x = −20 and 20 m, 14 to 26 m ahead; found or missed in every picture anew."""
    times = step_s * np.arange(pictures)
    pace = rng.normal(1.3, 0.2, people) * rng.choice([-1.0, 1.0], people)
    lane, start = np.linspace(14.0, 26.0, people), rng.uniform(-14.0, 14.0, people)
    x = start + pace * (times[:, None] - times[-1] / 2.0)
    places = np.stack([x, np.broadcast_to(lane, x.shape)], -1)
    truth = View(CAMERA, GROUND, np.zeros((4, 4)))
    view = next(View(CAMERA, GROUND, np.diag(SIGMA**2)).draws(1, rng))
    off = rng.normal()
    found, feet = [], []
    for place in places:
        exact = truth.to_pixels(place)
        visible = visible_shares(CAMERA, GROUND, exact, exact)
        inside = ((exact >= 0) & (exact <= (CAMERA.width, CAMERA.height))).all(1)
        chance = recall.probability(heights_px(CAMERA, GROUND, exact), visible, off) * inside
        rows = np.flatnonzero(rng.random(people) < chance)
        noise = rng.normal(size=(len(rows), 2)) * HVIP_SIGMA_M * GROUND.pixels_per_metre(CAMERA, exact[rows])[:, None]
        found.append(rows)
        feet.append(view.to_ground(exact[rows] + noise))
    ids = track([place * (1.0, -1.0) for place in feet], times)
    frame = np.repeat(np.arange(pictures), [len(rows) for rows in found])
    spots, count = np.concatenate(feet), len(frame)
    seen = Sightings(frame, times[frame], np.concatenate(ids), np.zeros(count, np.int64), spots, spots, np.ones(count))
    names = tuple(f"{number}.jpg" for number in range(pictures))
    crossed = np.sign(x[-1]) - np.sign(x[0])
    sequence = Sequence(view.camera, view.ground, view.covariance, seen, names, times)
    return Walked(truth, sequence, int((crossed > 0).sum()), int((crossed < 0).sum()), float(np.abs(pace).mean()), places)
