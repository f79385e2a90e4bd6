"""What may be known besides the people: focal length, direction of gravity, camera height, a measured distance on the ground.

What cannot be meant is refused at once, in the user's unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import log_expit

from crowd3d.errors import BadConfig
from crowd3d.geometry import Camera
from crowd3d.ground.opinion import Opinion
from crowd3d.ground.prediction import VIEW, up_vectors
from crowd3d.ground.sightings import image_units

_DISTANCE_SIGMA = 0.01
_EXIF_SIGMA = 0.05
_SMALLEST_CROP = float(np.log(4.0))
_NO_CROP = 0.02
"""Density, over that of a crop, of focal lengths that no crop explains."""
STATURES_M = (0.5, 2.5)
HEIGHTS_M = (0.2, 500.0)
"""Cameras lower than that see no ground, and from higher up nobody is seen."""
LONGEST_M = 5000.0
_WIDEST_DEG, _NARROWEST_DEG = 170.0, 0.1


@dataclass(frozen=True)
class Knowns:
    """Facts and good guesses. What is None is unknown.

    Attributes:
        focal_px: focal length in pixels of the whole image.
        focal_sigma: relative standard deviation of `focal_px`; 0 fixes it.
        height_m: height of the camera over the ground that people stand on, metres.
        height_sigma_m: standard deviation of `height_m`; 0 fixes it.
        scale_points: u1, v1, u2, v2, metres: two ground pixels and the distance between them.
        tilt_rad, roll_rad: exact direction of the ground, both or neither (`GroundPlane.from_angles`).
        opinion: of somebody else about focal length and gravity, in pixels of the whole image.
        exif_focal_px: focal length in pixels as the camera wrote it into the photograph, which may have been cropped since.
        exif_trust: probability that it was not (`imaging.exif.trust`).
        use_exif: False ignores what the photograph says of its focal length.

    Raises:
        BadConfig: a value that cannot be meant.
    """

    focal_px: float | None = None
    focal_sigma: float = 0.05
    height_m: float | None = None
    height_sigma_m: float = 0.0
    scale_points: tuple[float, float, float, float, float] | None = None
    tilt_rad: float | None = None
    roll_rad: float | None = None
    opinion: Opinion | None = None
    exif_focal_px: float | None = None
    exif_trust: float = 0.85
    use_exif: bool = True

    def __post_init__(self) -> None:
        if self.focal_px is not None:
            check_positive(self.focal_px, "focal length", "px")
        if self.exif_focal_px is not None:
            check_positive(self.exif_focal_px, "focal length of EXIF", "px")
        if self.height_m is not None:
            check_height(self.height_m)
        if self.scale_points is not None:
            check_scale_points(self.scale_points)
        if not (0 <= self.focal_sigma < np.inf and 0 <= self.height_sigma_m < np.inf):
            raise BadConfig(f"spreads {self.focal_sigma} and {self.height_sigma_m} must be finite and not negative")
        if (self.tilt_rad is None) != (self.roll_rad is None):
            raise BadConfig("the direction of the ground needs both tilt and roll")

    @property
    def tell_size(self) -> bool:
        """Whether a length is among them, so that the scale does not rest on people's statures alone."""
        return self.height_m is not None or self.scale_points is not None


def check_positive(value: float, name: str, unit: str) -> None:
    """Raise unless a value is a positive finite number.

    Raises:
        BadConfig: it is not.
    """
    if not 0 < value < np.inf:
        raise BadConfig(f"{name} {value:g} {unit}: it must be a positive, finite number")


def check_length(value: float, name: str, limits: tuple[float, float]) -> None:
    """Raise unless a length in metres is possible.

    Raises:
        BadConfig: it is not; the message names the unit that is evidently meant.
    """
    check_positive(value, name, "m")
    if limits[0] <= value <= limits[1]:
        return
    low, high = limits
    units = {"centimetres": 0.01, "millimetres": 0.001, "feet": 0.3048, "inches": 0.0254}
    meant = next((f"; if {unit} are meant, give {value * m:.3g}" for unit, m in units.items() if low <= value * m <= high), "")
    raise BadConfig(f"{name} {value:g} m: metres between {limits[0]:g} and {limits[1]:g} are possible{meant}")


def check_height(height_m: float) -> None:
    """Raise unless a camera can be so high above the ground, metres.

    Raises:
        BadConfig: see `check_length`.
    """
    check_length(height_m, "camera height", HEIGHTS_M)


def check_stature(stature_m: float) -> None:
    """Raise unless people can be so tall on average, metres.

    Raises:
        BadConfig: see `check_length`.
    """
    check_length(stature_m, "stature", STATURES_M)


def check_scale_points(points: Sequence[float]) -> None:
    """Raise unless these are two different pixels and a distance.

    Raises:
        BadConfig: they are not.
    """
    if len(points) != 5 or not np.isfinite(points).all():
        raise BadConfig(f"scale points {' '.join(map(str, points))}: give U1 V1 U2 V2 METRES, all finite")
    if np.allclose(points[:2], points[2:4]):
        raise BadConfig(f"scale points {points[0]:g} {points[1]:g} and {points[2]:g} {points[3]:g} are the same pixel; give two")
    check_length(points[4], "distance of the scale points", (1e-3, LONGEST_M))


def check_focal(focal_px: float, image_size: tuple[int, int]) -> None:
    """Raise unless a photograph of this size can have such a focal length in pixels.

    Raises:
        BadConfig: it cannot.
    """
    check_positive(focal_px, "focal length", "px")
    fov = Camera.from_focal(focal_px, (max(image_size), min(image_size))).fov_x_deg
    if not _NARROWEST_DEG < fov < _WIDEST_DEG:
        meant = "; it is needed in pixels, not in millimetres" if fov > _WIDEST_DEG else ""
        size = "x".join(map(str, image_size))
        raise BadConfig(f"focal length {focal_px:g} px means a field of view of {fov:.2g}° for {size} pixels{meant}")


def check_fov(fov_deg: float) -> None:
    """Raise unless this can be the horizontal field of view of a pinhole camera in degrees.

    Raises:
        BadConfig: it cannot.
    """
    if not _NARROWEST_DEG < fov_deg < 180:
        raise BadConfig(f"field of view {fov_deg:g}°: between {_NARROWEST_DEG:g}° and 180° are possible; wider lenses need a camera file")


@dataclass(frozen=True)
class ExifFocal:
    """Likelihood of a focal length that a camera wrote: right to 5 %, or too short because the picture was cropped (see `solver.Evidence`).

    A crop of half the width doubles the focal length in units of the picture's side; crops to a quarter are as likely as any less.

    Attributes:
        log_focal: its logarithm in image units.
        trust: probability that nothing was cropped.
    """

    log_focal: float
    trust: float
    which: ClassVar[tuple[int, ...]] = (0,)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        longer = parameters[:, 0] - self.log_focal
        whole = -0.5 * (longer / _EXIF_SIGMA) ** 2 - np.log(_EXIF_SIGMA * np.sqrt(2 * np.pi))
        edges = log_expit((longer + _EXIF_SIGMA) / _EXIF_SIGMA) + log_expit((_SMALLEST_CROP - longer) / _EXIF_SIGMA)
        cropped = np.logaddexp(edges, np.log(_NO_CROP)) - np.log(_SMALLEST_CROP)
        return np.logaddexp(np.log(self.trust) + whole, np.log1p(-self.trust) + cropped)


@dataclass(frozen=True)
class MeasuredDistance:
    """Likelihood of a distance measured on the ground, 1 % standard deviation (see `solver.Evidence`).

    Attributes:
        points: (2, 2) image units.
        distance_m: metres between them.
    """

    points: np.ndarray
    distance_m: float
    which: ClassVar[tuple[int, ...]] = (*VIEW, 3)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        up = up_vectors(parameters[:, 1], parameters[:, 2])
        focal = np.exp(parameters[:, 0])[:, None, None]
        rays = np.concatenate([self.points[None] / focal, np.ones((len(parameters), 2, 1))], -1)
        down = -np.einsum("bki,bi->bk", rays, up)
        ground = rays * (np.exp(parameters[:, 3])[:, None] / np.maximum(down, 1e-3))[..., None]
        length = np.linalg.norm(ground[:, 0] - ground[:, 1], axis=-1)
        return -0.5 * (np.log(np.maximum(length, 1e-9) / self.distance_m) / _DISTANCE_SIGMA) ** 2


def measured_distance(scale_points: tuple[float, float, float, float, float], camera: Camera, unit_px: float) -> MeasuredDistance:
    """From `Knowns.scale_points`; `camera` gives principal point, aspect and distortion."""
    *coordinates, metres = scale_points
    pixels = np.array(coordinates, np.float64).reshape(2, 2)
    return MeasuredDistance(image_units(pixels, camera, unit_px), float(metres))
