"""Lens distortion in normalised image coordinates: x / z, y / z without distortion → where the lens puts them.

Two models, with the coefficients of OpenCV's `calib3d`: radial-tangential (Brown, Close-range camera calibration, Photogrammetric
Engineering 37:855, 1971, with the rational denominator of Claus and Fitzgibbon) and fisheye (Kannala and Brandt, A generic camera model,
PAMI 28:1335, 2006). Both bend the radius; beyond the radius where the bent one stops to grow a lens model means nothing, and the
answer is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np

_TABLE = 4096
_WIDEST_RAD = np.deg2rad(89.5)
_NEWTON = 12
_FOLD = 1.01
"""Tangential distortion moves the fold by a little."""
_TOLERANCE = 1e-9


class Distortion(Protocol):
    """What a lens does to normalised image coordinates. Values are frozen, of plain numbers, and know each other by `model`."""

    @property
    def model(self) -> str:
        """``radial_tangential`` or ``fisheye``."""
        ...

    @property
    def valid_radius(self) -> float:
        """Undistorted normalised radius up to which the model is one to one; infinite if everywhere."""
        ...

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) undistorted → distorted; NaN beyond `valid_radius`."""
        ...

    def undistort(self, xy: np.ndarray) -> np.ndarray:
        """Inverse of `distort`, (..., 2) → (..., 2) to 1e-9; NaN where nothing is seen."""
        ...


@dataclass(frozen=True)
class RadialTangential:
    """x' = x·(1 + k1·r² + k2·r⁴ + k3·r⁶) / (1 + k4·r² + k5·r⁴ + k6·r⁶) + 2·p1·x·y + p2·(r² + 2·x²), and y' with p1, p2 exchanged.

    Attributes:
        k1, k2, k3: radial coefficients; k4, k5, k6: those of the denominator.
        p1, p2: tangential coefficients.
        model: tells this model in files.
    """

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    model: Literal["radial_tangential"] = "radial_tangential"

    @property
    def valid_radius(self) -> float:
        """Where the radial part folds back or its denominator vanishes."""
        above, below = np.poly1d([self.k3, self.k2, self.k1, 1.0]), np.poly1d([self.k6, self.k5, self.k4, 1.0])
        squared = np.poly1d([1.0, 0.0])
        growth = above * below + 2 * squared * (above.deriv() * below - above * below.deriv())
        return float(np.sqrt(min(_first_root(growth), _first_root(below))))

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """See `Distortion`."""
        xy = np.asarray(xy, np.float64)
        inside = (xy**2).sum(-1, keepdims=True) <= self.valid_radius**2
        return np.where(inside, self._bent(xy), np.nan)

    def undistort(self, xy: np.ndarray) -> np.ndarray:
        """See `Distortion`: the radius from a table, then Newton's method on both coordinates."""
        wanted = np.asarray(xy, np.float64)
        found = _by_table(self, wanted)
        # beyond this the model has folded back: a root there is another pixel's
        most = min(_FOLD * self.valid_radius, 2 * np.tan(_WIDEST_RAD))
        for _ in range(_NEWTON):
            miss = wanted - self._bent(found)
            if not np.nanmax(np.abs(miss), initial=0.0) > _TOLERANCE * 1e-3:
                break
            a, b, c, d = self._slopes(found)
            step = np.stack([d * miss[..., 0] - b * miss[..., 1], a * miss[..., 1] - c * miss[..., 0]], -1)
            found = found + step / np.maximum(a * d - b * c, 1e-9)[..., None]
            radius = np.linalg.norm(found, axis=-1, keepdims=True)
            found = np.where(radius > most, found * (most / np.maximum(radius, 1e-12)), found)
        reached = np.abs(wanted - self._bent(found)).max(-1, keepdims=True) < _TOLERANCE * (1 + np.abs(wanted).max(-1, keepdims=True))
        return np.where(reached, found, np.nan)

    def radius(self, r: np.ndarray) -> np.ndarray:
        """Radial part: distorted radius of undistorted ones, whether valid or not."""
        return r * self._ratio(r**2)[0]

    def _ratio(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Radial factor for squared radii, and its derivative by them."""
        above, below = 1 + s * (self.k1 + s * (self.k2 + s * self.k3)), 1 + s * (self.k4 + s * (self.k5 + s * self.k6))
        above_slope = self.k1 + s * (2 * self.k2 + 3 * s * self.k3)
        below_slope = self.k4 + s * (2 * self.k5 + 3 * s * self.k6)
        return above / below, (above_slope * below - above * below_slope) / below**2

    def _bent(self, xy: np.ndarray) -> np.ndarray:
        x, y = xy[..., 0], xy[..., 1]
        s = x * x + y * y
        ratio = self._ratio(s)[0]
        u = x * ratio + 2 * self.p1 * x * y + self.p2 * (s + 2 * x * x)
        v = y * ratio + self.p1 * (s + 2 * y * y) + 2 * self.p2 * x * y
        return np.stack([u, v], -1)

    def _slopes(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives du/dx, du/dy, dv/dx, dv/dy."""
        x, y = xy[..., 0], xy[..., 1]
        ratio, slope = self._ratio(x * x + y * y)
        mixed = 2 * x * y * slope + 2 * self.p1 * x + 2 * self.p2 * y
        across = ratio + 2 * x * x * slope + 2 * self.p1 * y + 6 * self.p2 * x
        down = ratio + 2 * y * y * slope + 6 * self.p1 * y + 2 * self.p2 * x
        return across, mixed, mixed, down


@dataclass(frozen=True)
class Fisheye:
    """Distance from the middle = θ·(1 + k1·θ² + k2·θ⁴ + k3·θ⁶ + k4·θ⁸), θ the angle from the optical axis; all 0 is equidistant.

    Directions at 90° and more have no normalised coordinates and come out as NaN.

    Attributes:
        k1, k2, k3, k4: coefficients.
        model: tells this model in files.
    """

    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    model: Literal["fisheye"] = "fisheye"

    @property
    def valid_radius(self) -> float:
        """Where the distance stops to grow with the angle; infinite if only beyond 90°."""
        growth = np.poly1d([9 * self.k4, 7 * self.k3, 5 * self.k2, 3 * self.k1, 1.0])
        angle = np.sqrt(_first_root(growth))
        return float(np.tan(angle)) if angle < np.pi / 2 else np.inf

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """See `Distortion`."""
        xy = np.asarray(xy, np.float64)
        r = np.linalg.norm(xy, axis=-1, keepdims=True)
        bent = np.where(r > 1e-12, self.radius(r) / np.where(r > 1e-12, r, 1.0), 1.0)
        return np.where(r <= self.valid_radius, xy * bent, np.nan)

    def undistort(self, xy: np.ndarray) -> np.ndarray:
        """See `Distortion`: the angle from a table, then Newton's method."""
        xy = np.asarray(xy, np.float64)
        wanted = np.linalg.norm(xy, axis=-1, keepdims=True)
        angle = np.arctan(np.linalg.norm(_by_table(self, xy), axis=-1, keepdims=True))
        for _ in range(_NEWTON):
            miss = wanted - self._distance(angle)
            if not np.nanmax(np.abs(miss), initial=0.0) > _TOLERANCE * 1e-3:
                break
            angle = angle + miss / self._growth(angle)
        angle = np.where((np.abs(wanted - self._distance(angle)) < _TOLERANCE) & (angle < np.pi / 2), angle, np.nan)
        return xy * np.where(wanted > 1e-12, np.tan(angle) / np.where(wanted > 1e-12, wanted, 1.0), 1.0)

    def radius(self, r: np.ndarray) -> np.ndarray:
        """Distorted radius of undistorted ones, whether valid or not."""
        return self._distance(np.arctan(r))

    def _distance(self, angle: np.ndarray) -> np.ndarray:
        s = angle**2
        return angle * (1 + s * (self.k1 + s * (self.k2 + s * (self.k3 + s * self.k4))))

    def _growth(self, angle: np.ndarray) -> np.ndarray:
        s = angle**2
        return 1 + s * (3 * self.k1 + s * (5 * self.k2 + s * (7 * self.k3 + s * 9 * self.k4)))


def distortion_from(values: Mapping[str, Any]) -> RadialTangential | Fisheye:
    """From the fields of a value with its `model`, as `dataclasses.asdict` gives them.

    Raises:
        ValueError: another model, or a coefficient that the model does not have or that is no finite number.
    """
    kinds = {kind.model: kind for kind in (RadialTangential, Fisheye)}
    kind = kinds.get(values.get("model", RadialTangential.model))
    if kind is None:
        raise ValueError(f"distortion model {values['model']!r} is not known; use one of {', '.join(kinds)}")
    names = {field.name for field in fields(kind)} - {"model"}
    numbers = {name: float(value) for name, value in values.items() if name != "model"}
    if unknown := sorted(set(numbers) - names):
        raise ValueError(f"{kind.model} distortion has no {', '.join(unknown)}")
    if not np.isfinite(list(numbers.values())).all():
        raise ValueError(f"distortion coefficients {numbers} are not finite")
    return kind(**numbers)  # type: ignore[arg-type]


def _first_root(polynomial: np.poly1d) -> float:
    """Smallest positive real root, infinite if there is none."""
    roots = np.asarray(polynomial.roots)
    real = roots[(np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))) & (roots.real > 0)].real
    return float(real.min(initial=np.inf))


@lru_cache(maxsize=32)
def _table(lens: RadialTangential | Fisheye) -> tuple[np.ndarray, np.ndarray]:
    """Undistorted radii from the middle to the edge of what is valid, and where the lens puts them; both grow."""
    widest = min(np.arctan(lens.valid_radius), _WIDEST_RAD)
    plain = np.tan(np.linspace(0.0, widest, _TABLE))
    return plain, np.maximum.accumulate(lens.radius(plain))


def _by_table(lens: RadialTangential | Fisheye, xy: np.ndarray) -> np.ndarray:
    """First guess of undistorted coordinates, (..., 2); NaN beyond the table."""
    plain, bent = _table(lens)
    r = np.linalg.norm(xy, axis=-1, keepdims=True)
    # tangential distortion reaches a little farther than the radial part
    guess = np.where(r > 1.02 * bent[-1], np.nan, np.interp(r, bent, plain))
    return np.where(r > 1e-12, xy * guess / np.where(r > 1e-12, r, 1.0), xy)
