"""What camera and ground say of two joints of a person, one over the other, with the person's place left free.

Two image points and a height over the ground for each: the four coordinates have to agree with two numbers, the person's place. What is
left are two residuals. With u the image direction of up, s the span and a the height of the low joint, κ the inverse depth:

    below the horizon   f · (down(low) − (h − a) κ)
    along u             f · ((high − low) · u − κ s |u|) / D,     D = 1 + κ s n_z
    across u            f · ((high − low) × u) / D

The first residual is the combination of the first two lines that does not contain κ, by orthogonal projection, which for cameras far over
people's heads predicts the high joint from the low one, and stays as good for a camera at the height of either joint, where the place on
the ground tells nothing of the depth and the size tells all. The second residual is the third line.

The density of that is one per length in the four coordinates. Divided by the length that a step of the low joint makes it is the density of
the high joint given the low one, which holds wherever people prefer to stand. That is what is used for ankles and knees; for hips and
shoulders, which may be as high as the camera, it would be singular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.ground.body import KNEE, PostureSpread
from crowd3d.ground.sightings import Sightings

PARAMETERS = 6
"""log focal length in image units, tilt, roll, log height of the camera over the soles, log standard deviation of the lean in radians,
log of the crowd's mean stature over the expected one."""
VIEW = (0, 1, 2)
"""Places of focal length, tilt and roll among them."""
_IMPOSSIBLE = -50.0
_LEAST_NEARNESS = 0.25
_LEAST_SHARE = 0.05


def up_vectors(tilt: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B,), (B,) radians → (B, 3) unit vectors up, camera frame (`GroundPlane.from_angles`)."""
    return np.stack([np.sin(roll) * np.cos(tilt), -np.cos(roll) * np.cos(tilt), -np.sin(tilt)], -1)


@dataclass(frozen=True)
class Shape:
    """Heights of N people's low joints and spans, as fractions of stature, with what they stray beyond stature.

    Attributes:
        low, span: (N,) mean height of the low joint over the soles and of the high one over it.
        low_sd, span_sd: (N,) their standard deviations.
        lean_rad: (N,) standard deviation of the lean, besides that of the crowd.
        with_crowd: (N,) 1 for those who lean with the crowd, 0 for others.
    """

    low: np.ndarray
    span: np.ndarray
    low_sd: np.ndarray
    span_sd: np.ndarray
    lean_rad: np.ndarray
    with_crowd: np.ndarray

    @classmethod
    def of(cls, observations: Sightings, heights: np.ndarray, spread: PostureSpread, *, with_crowd: bool = True) -> Shape:
        """The shape of everybody in a posture with these (5,) heights."""
        low, high = observations.low_joint, observations.high_joint
        span = heights[high] - heights[low]
        return cls(heights[low], span, spread.low[low], spread.span[low, high], spread.lean_rad[low], np.full(len(low), float(with_crowd)))

    @classmethod
    def either(cls, first: Shape, second: Shape) -> Shape:
        """(2, 1, N) the same people in two postures, to be predicted in one go."""
        return cls(*(np.stack(pair)[:, None] for pair in zip(vars(first).values(), vars(second).values(), strict=True)))


@dataclass(frozen=True)
class Prediction:
    """Residuals of N people for B parameter vectors; image units. Of people in two postures everything is twice there, (2, B, N).

    Attributes:
        residual: (B, N, 2) for the mean stature.
        plain: (B, N, 3) covariance xx, xy, yy due to pixel noise, lean and shape.
        stature_step: (B, N) change of the prediction per metre of stature; of the first residual only.
        scale: (B, N) image units per metre across the line of sight, at the low joint.
        depth_ratio: (B, N) depth of the high joint / depth of the low joint.
        top: (B, N, 2) predicted highest joint that was seen.
        top_step: (B, N, 2) change of it per metre of stature.
        log_factor: (B, N) log of a factor on the density, tiny for people who would have to be behind the camera.
    """

    residual: np.ndarray
    plain: np.ndarray
    stature_step: np.ndarray
    scale: np.ndarray
    depth_ratio: np.ndarray
    top: np.ndarray
    top_step: np.ndarray
    log_factor: np.ndarray

    def __getitem__(self, which: int | slice) -> Prediction:
        """One of two postures, or some of the parameter vectors."""
        return Prediction(*(values[which] for values in vars(self).values()))

    def covariance(self, stature_sd_m: float) -> np.ndarray:
        """(B, N, 3) covariance of the residual among people whose statures have this standard deviation."""
        total = self.plain.copy()
        total[..., 0] += (stature_sd_m * self.stature_step) ** 2
        return total

    def shifted(self, stature_m: float) -> np.ndarray:
        """(B, N, 2) residual for people who are so much taller."""
        moved = self.residual.copy()
        moved[..., 0] -= stature_m * self.stature_step
        return moved


def predict(parameters: np.ndarray, observations: Sightings, shape: Shape, stature_m: float) -> Prediction:
    """(B, 6) parameters → residuals of everybody with `stature_m` times the crowd's own factor; metres are over that factor."""
    f = np.exp(parameters[:, 0])[:, None]
    up = up_vectors(parameters[:, 1], parameters[:, 2])
    height = np.exp(parameters[:, 3] - parameters[:, 5])[:, None]
    lean = np.hypot(np.exp(parameters[:, 4])[:, None] * shape.with_crowd, shape.lean_rad)
    nx, ny, nz = (up[:, k, None] for k in range(3))
    low, high = observations.low, observations.high
    rx, ry, qx, qy = low[:, 0] / f, low[:, 1] / f, high[:, 0] / f, high[:, 1] / f
    down = -(nx * rx + ny * ry + nz)
    # leaning by N(0, lean²) about two axes shortens the upright part by lean² on average
    span = shape.span * stature_m * (1.0 - np.minimum(lean**2, 0.3))
    over_low = height - shape.low * stature_m
    ux, uy = nx - qx * nz, ny - qy * nz
    u = np.maximum(np.hypot(ux, uy), 1e-6)
    ux, uy = ux / u, uy / u
    rise, aside = (qx - rx) * ux + (qy - ry) * uy, (qy - ry) * ux - (qx - rx) * uy
    by_size = rise / (span * u)
    squeeze = np.maximum(1.0 + by_size * span * nz, 0.05)
    near = (over_low * down + span * u * rise / squeeze**2) / (over_low**2 + (span * u / squeeze) ** 2)
    squeeze = np.maximum(1.0 + near * span * nz, 0.05)
    # a unit vector across the direction in which κ moves the first two lines
    norm = np.hypot(over_low, span * u / squeeze)
    c, d = -span * u / squeeze / norm, -over_low / norm
    residual = np.stack([f * (c * down - d * rise / squeeze), f * aside / squeeze], -1)
    scale = f * np.maximum(near, 1e-9)
    n1, n2 = nx * ux + ny * uy, ny * ux - nx * uy
    own, other = observations.low_sigma**2, observations.high_sigma**2
    bend = (lean * span * scale / squeeze) ** 2
    q1, q2 = qx * ux + qy * uy, qy * ux - qx * uy
    shape_step = c * scale, d * scale * u / squeeze
    plain = np.stack(
        [
            other * d**2
            + own * ((d / squeeze - c * n1) ** 2 + (c * n2) ** 2)
            + bend * d**2 * (1.0 + q1**2 - u**2)
            + (stature_m * shape.low_sd * shape_step[0]) ** 2
            + (stature_m * shape.span_sd * shape_step[1]) ** 2,
            own * c * n2 / squeeze - bend * d * q1 * q2,
            other + own / squeeze**2 + bend * (1.0 + q2**2),
        ],
        -1,
    )
    # the head's place: from the low joint upwards
    to_top = observations.top_fraction - observations.low_fraction
    deep = np.maximum(1.0 + near * to_top * stature_m * nz, 0.05)
    top = f[..., None] * np.stack([(rx + near * to_top * stature_m * nx) / deep, (ry + near * to_top * stature_m * ny) / deep], -1)
    top_step = (scale * to_top * u / deep)[..., None] * np.stack([ux, uy], -1)
    nearness = near / np.where(by_size > 1e-9, by_size, 1e-9)
    given_low = np.where(observations.low_joint <= KNEE, np.log(np.maximum(-d, _LEAST_SHARE)), 0.0)
    lacking = np.where(by_size > 1e-9, np.clip(1.0 - nearness / _LEAST_NEARNESS, 0.0, 1.0), 1.0)
    stature_step = -(shape.low * shape_step[0] + shape.span * shape_step[1])
    return Prediction(residual, plain, stature_step, scale, squeeze, top, top_step, given_low + _IMPOSSIBLE * lacking**2)
