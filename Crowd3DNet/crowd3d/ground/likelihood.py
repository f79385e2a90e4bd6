"""Likelihood of a standing person's ankle and shoulder midpoints given camera and ground, with the place of the feet left free.

The ankle (or knee) midpoint, put at its height over the ground, predicts the shoulder midpoint. The difference is normal with the
sum of four covariances: pixel noise of the shoulders, pixel noise of the ankles carried along, stature, and lean in two
directions. Parameters are
(log focal in image units, tilt, roll, log height of the camera over the soles, log standard deviation of the lean in radians,
log of the crowd's mean stature over the expected one). The people tell only the height over the stature; whatever else is known of
the scene's size tells both. Everything is evaluated for a batch of parameter vectors at once, B below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from crowd3d.ground.observations import Observations
from crowd3d.ground.stature import StaturePrior

PARAMETERS = 6
_MIN_DOWN = 1e-3
OUTLIER_AREA = 0.4
"""Where the shoulders of people who do not stand may be, in squared person sizes."""
_POSTURE_SIGMA = 0.03
_LEAST_POSTURE_SIGMA = 0.006
_ODD_ALONG_SIGMA, _ODD_ACROSS_SIGMA = 0.06, 0.1


def up_vectors(tilt: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B,), (B,) radians → (B, 3) unit vectors up, camera frame (`GroundPlane.from_angles`)."""
    return np.stack([np.sin(roll) * np.cos(tilt), -np.cos(roll) * np.cos(tilt), -np.sin(tilt)], -1)


@dataclass(frozen=True)
class Prediction:
    """Shoulders predicted from ankles or knees, for B parameter vectors and N people; image units.

    Attributes:
        residual: (B, N, 2) observed minus predicted shoulders, for the mean stature.
        noise: (B, N, 3) covariance xx, xy, yy of the residual due to pixel noise.
        lean: (B, N, 3) covariance due to lean.
        stature_step: (B, N, 2) change of the predicted shoulders per metre of stature.
        stature_unit: (B, N, 3) covariance due to one square metre of stature variance.
        depth_ratio: (B, N) depth of the shoulders / depth of the low joint.
        scale: (B, N) image units per metre across the line of sight, at the low joint.
        top: (B, N, 2) predicted highest joint that was seen: eyes, or shoulders when the head is unknown.
        top_step: (B, N, 2) change of it per metre of stature.
        valid: (B, N) the low joint is below the horizon and the shoulders in front of the camera.
    """

    residual: np.ndarray
    noise: np.ndarray
    lean: np.ndarray
    stature_step: np.ndarray
    stature_unit: np.ndarray
    depth_ratio: np.ndarray
    scale: np.ndarray
    top: np.ndarray
    top_step: np.ndarray
    valid: np.ndarray


def predict(parameters: np.ndarray, observations: Observations, stature_m: float) -> Prediction:
    """(B, 6) parameters → shoulders of everybody, standing with `stature_m` times the crowd's own factor; metres are over that factor."""
    f = np.exp(parameters[:, 0])[:, None]
    up = up_vectors(parameters[:, 1], parameters[:, 2])
    height = np.exp(parameters[:, 3] - parameters[:, 5])[:, None]
    lean = np.exp(parameters[:, 4])[:, None]
    nx, ny, nz = (up[:, k, None] for k in range(3))
    low, span = observations.low_fraction, observations.proportions.shoulder - observations.low_fraction
    rx, ry = observations.low[:, 0] / f, observations.low[:, 1] / f
    down = -(nx * rx + ny * ry + nz)
    low_m = low * stature_m
    # leaning by N(0, lean²) about two axes shortens the upright part by lean² on average
    span_m = span * stature_m * (1.0 - np.minimum(lean**2, 0.5))
    valid = (down > _MIN_DOWN) & (height > 1.1 * low_m)
    down = np.maximum(down, _MIN_DOWN)
    z = np.maximum(height - low_m, 0.1 * low_m) / down
    depth = z + span_m * nz
    valid &= depth > 0.05 * z
    depth = np.maximum(depth, 0.05 * z)
    qx, qy = (z * rx + span_m * nx) / depth, (z * ry + span_m * ny) / depth
    residual = observations.shoulder - f[..., None] * np.stack([qx, qy], -1)
    k = f / depth

    sx, sy, sz = (-low / down * r + span * n for r, n in ((rx, nx), (ry, ny), (1.0, nz)))
    stature_step = np.stack([k * (sx - qx * sz), k * (sy - qy * sz)], -1)

    # shoulders follow a low joint that moves by (1, 0) and (0, 1): along the ground, hence also in depth
    zf = z / depth
    gx, gy = nx / down, ny / down
    axx, axy = zf * (1.0 + (rx - qx) * gx), zf * (rx - qx) * gy
    ayx, ayy = zf * (ry - qy) * gx, zf * (1.0 + (ry - qy) * gy)

    ux, uy = nx - qx * nz, ny - qy * nz
    lean_scale = (lean * span_m * k) ** 2
    bend = lean_scale[..., None] * np.stack([1.0 + qx * qx - ux * ux, qx * qy - ux * uy, 1.0 + qy * qy - uy * uy], -1)
    own, shoulder = observations.low_sigma**2, observations.shoulder_sigma**2
    noise = np.stack(
        [shoulder + own * (axx**2 + axy**2), own * (axx * ayx + axy * ayy), shoulder + own * (ayx**2 + ayy**2)], -1
    )
    to_top = observations.top_fraction - low
    rise_m = to_top * stature_m
    deep = np.maximum(z + rise_m * nz, 0.05 * z)
    hx, hy = (z * rx + rise_m * nx) / deep, (z * ry + rise_m * ny) / deep
    tx, ty, tz = (-low / down * r + to_top * n for r, n in ((rx, nx), (ry, ny), (1.0, nz)))
    top_step = (f / deep)[..., None] * np.stack([tx - hx * tz, ty - hy * tz], -1)
    top = f[..., None] * np.stack([hx, hy], -1)
    return Prediction(residual, noise, bend, stature_step, _outer(stature_step), depth / z, f / z, top, top_step, valid)


def _whiten(covariance: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solve L y = x with the Cholesky factor of (..., 3) symmetric matrices, (..., 2) → (..., 2)."""
    a = np.sqrt(covariance[..., 0])
    b = covariance[..., 1] / a
    c = np.sqrt(np.maximum(covariance[..., 2] - b * b, 1e-30))
    first = vectors[..., 0] / a
    return np.stack([first, (vectors[..., 1] - b * first) / c], -1)


def _log_normal(residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    white = _whiten(covariance, residual)
    determinant = np.maximum(covariance[..., 0] * covariance[..., 2] - covariance[..., 1] ** 2, 1e-60)
    return -0.5 * (white**2).sum(-1) - 0.5 * np.log(determinant) - np.log(2 * np.pi)


def _outer(vectors: np.ndarray) -> np.ndarray:
    """(..., 2) → (..., 3) xx, xy, yy."""
    return np.stack([vectors[..., 0] ** 2, vectors[..., 0] * vectors[..., 1], vectors[..., 1] ** 2], -1)


def log_seen(prediction: Prediction, observations: Observations, sd_m: float, shift_m: float = 0.0) -> np.ndarray:
    """Log probability that the head of somebody with these ankles is inside the image, (B, N).

    Tall people close to the upper border are missing from the keypoints; without this factor they would bend the ground.
    """
    left, top, right, bottom = observations.border
    spread = np.sqrt((sd_m * prediction.top_step) ** 2 + (prediction.noise + prediction.lean)[..., [0, 2]])
    head = prediction.top + shift_m * prediction.top_step
    low = (head - np.array([left, top])) / spread
    high = (np.array([right, bottom]) - head) / spread
    nearest = np.minimum(low, high).min(-1)
    near = nearest < 7.0
    result = np.zeros(nearest.shape)
    result[near] = log_ndtr(np.maximum(nearest[near], -3.0))
    return result


@dataclass(frozen=True)
class Mixture:
    """Everybody is a standing adult, a standing child, or something else: seated, bent, wrong ankles, on another level.

    Attributes:
        observations: the people.
        stature: prior of their statures.
        outlier_share: expected share of the rest.
        child_share: expected share of children among those who stand.
        posture: (N,) log odds, from knees and hips, that a person does not stand straight.
        temperature: factor on all standard deviations, 1 in the end; larger ones widen the basin of attraction.
    """

    observations: Observations
    stature: StaturePrior
    outlier_share: float
    child_share: float
    posture: np.ndarray
    temperature: float = 1.0

    def log_terms(self, prediction: Prediction) -> np.ndarray:
        """(3, B, N) log of share times density for adult, child and outlier."""
        s, heat = self.stature, self.temperature**2
        plain = prediction.noise + prediction.lean
        adult = _log_normal(prediction.residual, heat * (plain + s.sd_m**2 * prediction.stature_unit))
        adult = adult - log_seen(prediction, self.observations, s.sd_m)
        shorter = s.child_mean_m - s.mean_m
        shift = prediction.residual - shorter * prediction.stature_step
        child = _log_normal(shift, heat * (plain + s.child_sd_m**2 * prediction.stature_unit))
        child = child - log_seen(prediction, self.observations, s.child_sd_m, shorter)
        inlier = np.log1p(-self.outlier_share)
        # densities of impossible predictions are tiny but not zero, so that a start can leave them
        impossible = np.where(prediction.valid, 0.0, -50.0)
        terms = np.stack([adult + np.log1p(-self.child_share), child + np.log(self.child_share)]) + inlier + impossible
        outlier = self.posture + np.log(self.outlier_share) - np.log(OUTLIER_AREA * self.observations.size**2)
        return np.concatenate([terms, np.broadcast_to(outlier, terms[:1].shape)])

    def log_likelihood(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        terms = self.log_terms(predict(parameters, self.observations, self.stature.mean_m))
        return np.logaddexp.reduce(terms, axis=0) @ self.observations.weight

    def responsibilities(self, parameters: np.ndarray) -> np.ndarray:
        """(6,) → (3, N) posterior probabilities of adult, child, outlier."""
        terms = self.log_terms(predict(parameters[None], self.observations, self.stature.mean_m))[:, 0]
        return np.exp(terms - np.logaddexp.reduce(terms, axis=0))

    def score_and_information(self, parameters: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """(6,) → log likelihood, gradient (6,), Fisher information (6, 6) given who is standing."""
        step = 1e-5
        offsets = step * np.eye(PARAMETERS)
        batch = np.concatenate([parameters[None], parameters + offsets, parameters - offsets])
        prediction = predict(batch, self.observations, self.stature.mean_m)
        terms = self.log_terms(prediction)
        total = np.logaddexp.reduce(terms, axis=0)
        weight = self.observations.weight
        values = total @ weight
        gradient = (values[1 : 1 + PARAMETERS] - values[1 + PARAMETERS :]) / (2 * step)
        information = np.zeros((PARAMETERS, PARAMETERS))
        s = self.stature
        for component, (mean, sd) in enumerate([(s.mean_m, s.sd_m), (s.child_mean_m, s.child_sd_m)]):
            residual = prediction.residual - (mean - s.mean_m) * prediction.stature_step
            covariance = self.temperature**2 * (prediction.noise + prediction.lean + sd**2 * prediction.stature_unit)
            share = np.exp(terms[component, 0] - total[0]) * weight
            information += _fisher(residual, covariance, share, step)
        return float(values[0]), gradient, information


def fisher_information(parameters: np.ndarray, observations: Observations, stature: StaturePrior) -> np.ndarray:
    """(6, 6) information of standing adults with the given parameters (6,): the inverse of the Cramér-Rao bound."""
    step = 1e-5
    offsets = step * np.eye(PARAMETERS)
    prediction = predict(np.concatenate([parameters[None], parameters + offsets, parameters - offsets]), observations, stature.mean_m)
    covariance = prediction.noise + prediction.lean + stature.sd_m**2 * prediction.stature_unit
    return _fisher(prediction.residual, covariance, observations.weight, step)


def _fisher(residual: np.ndarray, covariance: np.ndarray, weight: np.ndarray, step: float) -> np.ndarray:
    """Fisher information of normal residuals whose mean and covariance depend on the parameters (central differences)."""
    p = PARAMETERS
    mean = (residual[1 : 1 + p] - residual[1 + p :]) / (2 * step)
    spread = (covariance[1 : 1 + p] - covariance[1 + p :]) / (2 * step)
    base = covariance[0]
    white = _whiten(base, mean)
    # L⁻¹ dΣ L⁻ᵀ, half of it from each side
    left = _whiten(base[None], np.stack([spread[..., 0], spread[..., 1]], -1))
    right = _whiten(base[None], np.stack([spread[..., 1], spread[..., 2]], -1))
    first = _whiten(base[None], np.stack([left[..., 0], right[..., 0]], -1))
    second = _whiten(base[None], np.stack([left[..., 1], right[..., 1]], -1))
    rows = np.stack([white[..., 0], white[..., 1], first[..., 0] / np.sqrt(2), first[..., 1], second[..., 1] / np.sqrt(2)])
    rows = np.moveaxis(rows, 1, 0)
    return (rows * weight).reshape(p, -1) @ rows.reshape(p, -1).T


def posture_log_odds(observations: Observations, depth_ratio: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log odds that knees and hips do not belong to somebody who stands straight, (N,); 0 where they are unknown.

    On the straight line from the low joint to the shoulders each joint has its place (perspective included). A stride moves the knees
    across that line; somebody who sits has higher knees and lower hips, seen from any side. How far standing people stray along and
    across is read off the crowd itself.

    Args:
        observations: the people.
        depth_ratio: (N,) depth of the shoulders / depth of the low joint.
        scale: (N,) image units per metre at the low joint.
    """
    o = observations
    odds = np.zeros(len(o))
    stature = np.maximum(1.7 * scale, 0.3 * o.size)
    axis = o.shoulder - o.low
    along = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    across = along[:, ::-1] * [1.0, -1.0]
    for place, sigma, height in ((o.knee, o.knee_sigma, o.proportions.knee), (o.hip, o.hip_sigma, o.proportions.hip)):
        known = np.isfinite(sigma)
        if not known.any():
            continue
        fraction = (height - o.low_fraction) / (o.proportions.shoulder - o.low_fraction)
        share = fraction * depth_ratio / (1.0 - fraction + fraction * depth_ratio)
        offset = place - (1.0 - share[:, None]) * o.low - share[:, None] * o.shoulder
        noise = (sigma**2 + (share * o.shoulder_sigma) ** 2 + ((1 - share) * o.low_sigma) ** 2) / stature**2
        for direction, odd_sigma in ((along, _ODD_ALONG_SIGMA), (across, _ODD_ACROSS_SIGMA)):
            miss = (offset * direction).sum(1) ** 2 / stature**2
            straight = noise + _posture_variance(miss[known], noise[known])
            odd = noise + odd_sigma**2
            straight, odd = np.where(known, straight, 1.0), np.where(known, odd, 1.0)
            odds += np.where(known, 0.5 * (miss * (1.0 / straight - 1.0 / odd) + np.log(straight / odd)), 0.0)
    return np.clip(odds, -4.0, 8.0)


def _posture_variance(miss: np.ndarray, noise: np.ndarray) -> float:
    """Variance of joints of standing people around their nominal place in one direction, beyond noise, in squared statures.

    From the 40 % quantile of squared misses, which is 0.275 variances and hardly moved by 40 % outliers; ten people's worth of 3 % as
    prior.
    """
    seen = np.quantile(miss, 0.4) / 0.275 - np.median(noise)
    blend = (len(miss) * max(float(seen), 0.0) + 10.0 * _POSTURE_SIGMA**2) / (len(miss) + 10.0)
    return float(np.clip(blend, _LEAST_POSTURE_SIGMA**2, 0.06**2))
