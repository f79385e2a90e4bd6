"""What the estimator looks at: midpoints of ankles, knees, hips and shoulders, with the noise that their scores suggest.

A person is a line from a low joint to the shoulders. The low joint is the ankles or, where those are hidden or wrong, the knees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.geometry import Camera
from crowd3d.ground.stature import LANDMARKS, Proportions

_PAIRS = np.array([[15, 16], [13, 14], [11, 12], [5, 6]])
_REFERENCE_SCORE = 0.8
_MIN_SCORE = 0.05
_RELATIVE_NOISE = 0.012
_DUPLICATE_DISTANCE = 0.04
_FAR = 100.0
"""Border of an image that shows more than half the world, image units."""


@dataclass(frozen=True)
class Observations:
    """Midpoints of the people whose shoulders and ankles or knees are known, in image units.

    Image units (`image_units`): ideal pixels from the principal point, divided by `unit_px`, the vertical axis stretched by fx / fy.

    Attributes:
        low, knee, hip, shoulder: (N, 2) midpoints of left and right; `low` are the ankles or the knees.
        low_sigma, knee_sigma, hip_sigma, shoulder_sigma: (N,) standard deviation per axis; infinite where a joint is unknown, and
            for knees that serve as `low`.
        low_fraction: (N,) height of `low` over the soles, as a fraction of stature.
        size: (N,) diagonal of the box around the known keypoints.
        weight: (N,) 1, or 1 / k for each of k detections of the same person.
        top_fraction: (N,) height of the highest known joint over the soles, as a fraction of stature.
        rows: (N,) index of each person in the caller's keypoints.
        unit_px: pixels per image unit: the longer side of the image.
        border: (4,) left, top, right, bottom of the image in image units.
        proportions: where the keypoints sit on people who stand.
    """

    low: np.ndarray
    knee: np.ndarray
    hip: np.ndarray
    shoulder: np.ndarray
    low_sigma: np.ndarray
    knee_sigma: np.ndarray
    hip_sigma: np.ndarray
    shoulder_sigma: np.ndarray
    low_fraction: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    top_fraction: np.ndarray
    rows: np.ndarray
    unit_px: float
    border: np.ndarray
    proportions: Proportions

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, rows: np.ndarray) -> Observations:
        fields = {name: value[rows] for name, value in vars(self).items() if name not in ("unit_px", "border", "proportions")}
        return replace(self, **fields)


def image_units(points_px: np.ndarray, camera: Camera, unit_px: float) -> np.ndarray:
    """(..., 2) pixels of the photograph → image units, without the lens' distortion; NaN where the lens shows nothing."""
    return (camera.to_ideal_px(points_px) - [camera.cx, camera.cy]) * [1.0, camera.fx / camera.fy] / unit_px


def score_to_relative_sigma(score: np.ndarray) -> np.ndarray:
    """Keypoint noise per axis as a fraction of the person's image size, (...) scores 0…1 → (...).

    1.2 % of the size at score 0.8, inversely proportional to the score, infinite below 0.05. Only the ratios between people
    matter much: the common factor is measured in every image by `fit_noise`.
    """
    score = np.asarray(score, np.float64)
    sigma = _RELATIVE_NOISE * _REFERENCE_SCORE / np.maximum(score, _MIN_SCORE)
    return np.where(score > _MIN_SCORE, sigma, np.inf)


def observe(keypoints: np.ndarray, camera: Camera, proportions: Proportions = LANDMARKS) -> Observations:
    """(N, 17, 3) keypoints u, v, score in pixels → midpoints of those with known shoulders and ankles or knees.

    `camera` gives the principal point, the pixels' aspect and the lens' distortion; without one its focal length is not used.
    """
    unit = float(max(camera.width, camera.height))
    score = keypoints[..., 2]
    xy = image_units(keypoints[..., :2], camera, unit)
    known = (score > _MIN_SCORE) & np.isfinite(xy).all(-1)
    pair_known = known[:, _PAIRS].all(2)
    complete = pair_known[:, 3] & (pair_known[:, 0] | pair_known[:, 1])
    rows = np.flatnonzero(complete)
    # an order of its own, so that the caller's does not matter
    rows = rows[np.lexsort((keypoints[rows, 5, 0], keypoints[rows, 5, 1]))]
    xy, score, known = xy[rows], np.where(known, score, 0.0)[rows], known[rows]
    low = np.where(known[..., None], xy, np.inf).min(1, initial=np.inf)
    high = np.where(known[..., None], xy, -np.inf).max(1, initial=-np.inf)
    size = np.maximum(np.linalg.norm(high - low, axis=1), 1e-6)
    middle = xy[:, _PAIRS].mean(2)
    sigma = np.sqrt((score_to_relative_sigma(score)[:, _PAIRS] ** 2).sum(2)) / 2 * size[:, None]
    middle = np.where(np.isfinite(sigma)[..., None], middle, 0.0)
    ankle, knee, hip, shoulder = np.moveaxis(middle, 1, 0)
    ankle_sigma, knee_sigma, hip_sigma, shoulder_sigma = sigma.T
    sides_px = [[0.0, camera.cy], [camera.cx, 0.0], [camera.width, camera.cy], [camera.cx, camera.height]]
    border = image_units(np.array(sides_px), camera, unit)[range(4), [0, 1, 0, 1]]
    border = np.where(np.isnan(border), [-_FAR, -_FAR, _FAR, _FAR], border)
    observations = Observations(
        low=ankle,
        knee=knee,
        hip=hip,
        shoulder=shoulder,
        low_sigma=ankle_sigma,
        knee_sigma=knee_sigma,
        hip_sigma=hip_sigma,
        shoulder_sigma=shoulder_sigma,
        low_fraction=np.full(len(rows), proportions.ankle),
        size=size,
        weight=np.ones(len(rows)),
        top_fraction=np.where(known[:, :5].any(1), proportions.eye, proportions.shoulder),
        rows=rows,
        unit_px=unit,
        border=border,
        proportions=proportions,
    )
    observations = stand_on_knees(observations, ~pair_known[rows, 0])
    return replace(observations, weight=_duplicate_weight(observations))


def stand_on_knees(observations: Observations, which: np.ndarray) -> Observations:
    """Use the knees as the low joint of some people, (N,) bool; they cannot check the posture of those any more."""
    o = observations
    return replace(
        o,
        low=np.where(which[:, None], o.knee, o.low),
        low_sigma=np.where(which, o.knee_sigma, o.low_sigma),
        low_fraction=np.where(which, o.proportions.knee, o.low_fraction),
        knee_sigma=np.where(which, np.inf, o.knee_sigma),
    )


def _duplicate_weight(o: Observations) -> np.ndarray:
    """1 / (number of detections that lie on top of each one, itself included), (N,)."""
    if len(o) < 2:
        return np.ones(len(o))
    place = np.concatenate([o.low, o.shoulder], 1)
    distance, _ = cKDTree(place).query(place, k=min(8, len(o)))
    return 1.0 / (distance < _DUPLICATE_DISTANCE * o.size[:, None]).sum(1)


def fit_noise(observations: Observations) -> Observations:
    """Replace the nominal noise by ``factor · (size / median size)^exponent``, measured on how straight people are.

    In a standing person the hips lie on the line from the ankles (or knees) to the shoulders. Their sideways deviation tells the noise of
    the detector (and of posture, which acts alike) without knowing camera or ground. Exponent 0 is noise in pixels, 1 noise in
    proportion to the person. Maximum a posteriori with a Cauchy-like scale, so that seated people do not count.
    """
    o = observations
    usable = np.isfinite(o.hip_sigma)
    relative = o.size / np.median(o.size)
    axis = o.shoulder - o.low
    length = np.linalg.norm(axis, axis=1)
    usable &= length > 0.2 * o.size
    across = (o.hip - o.low)[:, 0] * axis[:, 1] - (o.hip - o.low)[:, 1] * axis[:, 0]
    fraction = (o.proportions.hip - o.low_fraction) / (o.proportions.shoulder - o.low_fraction)
    nominal = np.sqrt(o.hip_sigma**2 + (fraction * o.shoulder_sigma) ** 2 + ((1 - fraction) * o.low_sigma) ** 2)
    ratio = np.abs(across[usable]) / length[usable] / nominal[usable] + 1e-9
    shape = np.log(relative[usable])
    exponents = np.linspace(0.0, 1.0, 11)
    log_scale = np.log(ratio)[None, :] - (exponents[:, None] - 1.0) * shape[None, :]
    # the median of |N(0, 1)| is 0.6745; ten nominal people as prior; the spread of log residuals is least for the right exponent
    count = usable.sum()
    factor = np.exp((np.median(log_scale, axis=1) - np.log(0.6745)) * count / (count + 10.0)) if count else np.ones(11)
    residual = ratio[None, :] / (factor[:, None] * np.exp((exponents[:, None] - 1.0) * shape[None, :]))
    cost = 2.5 * np.log1p(residual**2 / 4.0).sum(1) + ((exponents[:, None] - 1.0) * shape[None, :]).sum(1) + count * np.log(factor)
    best = int(np.argmin(cost + 0.5 * ((1.0 - exponents) / 0.5) ** 2))
    scale = factor[best] * relative ** (exponents[best] - 1.0)
    sigmas = {name: getattr(o, name) * scale for name in ("low_sigma", "knee_sigma", "hip_sigma", "shoulder_sigma")}
    return replace(o, **sigmas)
