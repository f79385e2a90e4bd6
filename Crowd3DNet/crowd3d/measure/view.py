"""From pixels to metres on the ground, and how sure that is: one camera and plane for everybody, perhaps tied to a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from crowd3d.errors import BadConfig
from crowd3d.geometry import Camera, GroundPlane

EARTH_RADIUS_M, FLATTENING = 6378137.0, 1 / 298.257223563
"""WGS 84."""


@dataclass(frozen=True)
class Control:
    """Points of the photograph whose places on a map are known.

    Attributes:
        pixels: (K, 2) where they are seen, on the ground.
        places: (K, 2) east and north in metres, or longitude and latitude in degrees.
        degrees: whether `places` are longitude and latitude (WGS 84).
    """

    pixels: np.ndarray
    places: np.ndarray
    degrees: bool

    def metres(self) -> np.ndarray:
        """(K, 2) metres east and north; of degrees, on the tangent plane of the first point."""
        return (self.places - self.places[0]) * self._per_degree() if self.degrees else self.places

    def to_map(self, metres: np.ndarray) -> np.ndarray:
        """(..., 2) metres of `metres` → what the map uses."""
        return self.places[0] + metres / self._per_degree() if self.degrees else metres

    def from_map(self, places: np.ndarray) -> np.ndarray:
        """The inverse of `to_map`."""
        return (places - self.places[0]) * self._per_degree() if self.degrees else places

    def _per_degree(self) -> np.ndarray:
        """(2,) metres per degree of longitude and latitude at the first point: radii of curvature of the ellipsoid."""
        latitude = np.deg2rad(self.places[0, 1])
        squared = FLATTENING * (2 - FLATTENING)
        bent = 1 - squared * np.sin(latitude) ** 2
        north = EARTH_RADIUS_M * (1 - squared) / bent**1.5
        return np.deg2rad([EARTH_RADIUS_M / np.sqrt(bent) * np.cos(latitude), north])


@dataclass(frozen=True)
class View:
    """Camera and ground with their uncertainty.

    Places on the ground are (right, forward): metres to the right of and in front of the camera's foot. With `control` they are
    (east, north) instead, turned, moved and scaled so that the control points fit best: lengths then rest on the map and no longer on
    the statures of people.

    Attributes:
        camera, ground: as estimated or given.
        covariance: (4, 4) of (log focal, tilt, roll, log height), zero for exact ones.
        control: points of a map, if any.
    """

    camera: Camera
    ground: GroundPlane
    covariance: np.ndarray
    control: Control | None = None

    def __post_init__(self) -> None:
        if self.control is None:
            return
        if len(self.control.pixels) < 2 or not np.isfinite(self._plain(self.control.pixels)).all():
            raise BadConfig("control points: at least two are needed, all of them on the ground below the horizon")
        if np.ptp(self._plain(self.control.pixels), axis=0).max() < 0.1 or np.ptp(self.control.metres(), axis=0).max() < 0.1:
            raise BadConfig("control points: they are all at one place; choose some that are far apart")

    def to_ground(self, pixels: np.ndarray) -> np.ndarray:
        """(..., 2) pixels → (..., 2) metres; NaN at and above the horizon."""
        plain = self._plain(pixels)
        if self.control is None:
            return plain
        turn, shift = self._fit()
        return _pair(turn * _complex(plain) + shift)

    def to_pixels(self, places: np.ndarray) -> np.ndarray:
        """(..., 2) metres → (..., 2) pixels; NaN behind the camera."""
        places = np.asarray(places, np.float64)
        if self.control is not None:
            turn, shift = self._fit()
            places = _pair((_complex(places) - shift) / turn)
        world = np.stack([places[..., 0], np.zeros(places.shape[:-1]), -places[..., 1]], -1)
        return self.camera.project(self.ground.from_world(world))

    def scale(self) -> float:
        """Metres of the map per metre of the reconstruction: 1 without control points."""
        return 1.0 if self.control is None else float(abs(self._fit()[0]))

    def misfit_m(self) -> float:
        """Root mean square distance of the control points from their places; NaN without a third one, which alone can disagree."""
        if self.control is None or len(self.control.pixels) < 3:
            return float("nan")
        off = self.to_ground(self.control.pixels) - self.control.metres()
        return float(np.sqrt((off**2).sum(-1).mean()))

    def turned(self, directions: np.ndarray) -> np.ndarray:
        """(..., 2) unit vectors (right, forward) → the same directions in the frame of `to_ground`."""
        if self.control is None:
            return directions
        turn = self._fit()[0]
        return _pair(turn / abs(turn) * _complex(directions))

    def draws(self, count: int, rng: np.random.Generator) -> Iterator[View]:
        """`count` views from the normal distribution around this one; control points are fitted anew in each."""
        off = rng.multivariate_normal(np.zeros(4), self.covariance, count, method="eigh")
        for focal, tilt, roll, height in off:
            camera = replace(self.camera, fx=self.camera.fx * np.exp(focal), fy=self.camera.fy * np.exp(focal))
            ground = self.ground
            moved = GroundPlane.from_angles(ground.tilt_rad + tilt, ground.roll_rad + roll, ground.offset_m * float(np.exp(height)))
            yield replace(self, camera=camera, ground=moved)

    def _plain(self, pixels: np.ndarray) -> np.ndarray:
        world = self.ground.to_world(self.ground.intersect(self.camera, pixels))
        return np.stack([world[..., 0], -world[..., 2]], -1)

    def _fit(self) -> tuple[complex, complex]:
        """Least-squares similarity from plain places to the map, as numbers of the complex plane."""
        assert self.control is not None
        start, end = _complex(self._plain(self.control.pixels)), _complex(self.control.metres())
        off = start - start.mean()
        turn = np.vdot(off, end - end.mean()) / np.vdot(off, off)
        return complex(turn), complex(end.mean() - turn * start.mean())


def _complex(pairs: np.ndarray) -> np.ndarray:
    return pairs[..., 0] + 1j * pairs[..., 1]


def _pair(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers.real, numbers.imag], -1)
