"""What the estimator looks at: midpoints of ankles, knees, hips, shoulders and head, with the spread that their scores suggest.

A person is a line from a low joint to a high one: of those that were seen the pair that tells the person's size best. That are the ankles
and the shoulders where they are seen; with the feet cut off the knees or the hips serve, with the legs hidden shoulders and head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies.joints import ANKLES17, HIPS17, KNEES17, SHOULDERS17
from crowd3d.geometry import Camera
from crowd3d.ground.body import HEAD, HIP, KNEE, LOW_JOINTS, SHOULDER, STANDING_SPREAD
from crowd3d.ground.stature import LANDMARKS
from crowd3d.types import Proportions

_PAIRS = np.array([ANKLES17, KNEES17, HIPS17, SHOULDERS17])
_FACE = np.arange(5)
_REFERENCE_SCORE = 0.8
_MIN_SCORE = 0.05
_RELATIVE_NOISE = 0.012
_HALF_WIDTH = 0.05
"""Half the distance of left and right in the image over the person's size, where only one of them is seen."""
_HEAD_SPREAD = 0.012
"""Where the middle of what is seen of a face lies in the head, over the person's size."""
_BOTH_SIDES = 0.3
"""Correlation of the errors of left and right: what hides one often hides both."""
_AT_BORDER = 0.01
_BORDER_SPREAD = 0.15
"""Keypoints within 1 % of a person's size of the picture's border, or beyond it, are guesses of where the joint would be."""
_DUPLICATE_DISTANCE = 0.04
_REPEATED = 0.5
"""How much of what makes a person differ from the average, stature and habit against stride, lean and pixels, stays in all pictures."""
_MOST_SPREAD = 0.5
_FAR = 100.0
"""Border of an image that shows more than half the world, image units."""


@dataclass(frozen=True)
class Sightings:
    """The people of whom at least a low and a high joint are known, in image units.

    Image units (`image_units`): ideal pixels from the principal point, divided by `unit_px`, the vertical axis stretched by fx / fy.

    Attributes:
        joints: (N, 5, 2) midpoints of ankles, knees, hips, shoulders and the seen part of the head.
        sigma: (N, 5) standard deviation per axis; infinite where a joint is unknown.
        low_joint, high_joint: (N,) int, the joints between which the person is measured.
        bent: (N,) log odds that somebody does not stand, from joints below the low one.
        size: (N,) diagonal of the box around the known keypoints.
        weight: (N,) how much each counts: the probability of being a person, shared among detections of the same one.
        rows: (N,) index of each person in the caller's keypoints.
        unit_px: pixels per image unit: the longer side of the image.
        border: (4,) left, top, right, bottom of the image in image units.
        proportions: where the keypoints sit on people who stand.
    """

    joints: np.ndarray
    sigma: np.ndarray
    low_joint: np.ndarray
    high_joint: np.ndarray
    bent: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    unit_px: float
    border: np.ndarray
    proportions: Proportions

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, rows: np.ndarray) -> Sightings:
        fields = {name: value[rows] for name, value in vars(self).items() if name not in ("unit_px", "border", "proportions")}
        return replace(self, **fields)

    def of(self, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (N, 2) and standard deviations (N,) of one joint per person, (N,) int."""
        people = np.arange(len(self))
        return self.joints[people, joint], self.sigma[people, joint]

    @property
    def low(self) -> np.ndarray:
        """(N, 2) place of the low joint."""
        return self.of(self.low_joint)[0]

    @property
    def high(self) -> np.ndarray:
        """(N, 2) place of the high joint."""
        return self.of(self.high_joint)[0]

    @property
    def low_sigma(self) -> np.ndarray:
        """(N,) standard deviation per axis of `low`."""
        return self.of(self.low_joint)[1]

    @property
    def high_sigma(self) -> np.ndarray:
        """(N,) standard deviation per axis of `high`."""
        return self.of(self.high_joint)[1]

    @property
    def low_fraction(self) -> np.ndarray:
        """(N,) height of the low joint over the soles of somebody who stands, as a fraction of stature."""
        return self.proportions.heights[self.low_joint]

    @property
    def span(self) -> np.ndarray:
        """(N,) height of the high joint over the low one in somebody who stands, as a fraction of stature."""
        return self.proportions.heights[self.high_joint] - self.low_fraction

    @property
    def top_fraction(self) -> np.ndarray:
        """(N,) height of the highest joint that was seen, as a fraction of stature."""
        return np.where(np.isfinite(self.sigma[:, HEAD]), self.proportions.eye, self.proportions.shoulder)


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


def observe(
    keypoints: np.ndarray,
    camera: Camera,
    proportions: Proportions = LANDMARKS,
    sigma_px: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> Sightings:
    """(N, 17, 3) keypoints u, v, score in pixels → midpoints of those with a known low and high joint.

    `camera` gives the principal point, the pixels' aspect and the lens' distortion; without one its focal length is not used.
    `sigma_px` (N, 17) replaces what the scores suggest; `weight` (N,) are probabilities of being a person.
    """
    unit = float(max(camera.width, camera.height))
    xy = image_units(keypoints[..., :2], camera, unit)
    known = (keypoints[..., 2] > _MIN_SCORE) & np.isfinite(xy).all(-1)
    if sigma_px is not None:
        known &= np.isfinite(sigma_px)
    low = np.where(known[..., None], xy, np.inf).min(1, initial=np.inf)
    high = np.where(known[..., None], xy, -np.inf).max(1, initial=-np.inf)
    some = known.sum(1) >= 2
    size = np.where(some, np.maximum(np.linalg.norm(np.where(some[:, None], high - low, 1.0), axis=1), 1e-6), 1.0)
    sides_px = [[0.0, camera.cy], [camera.cx, 0.0], [camera.width, camera.cy], [camera.cx, camera.height]]
    border = image_units(np.array(sides_px), camera, unit)[range(4), [0, 1, 0, 1]]
    border = np.where(np.isnan(border), [-_FAR, -_FAR, _FAR, _FAR], border)
    sigma = score_to_relative_sigma(keypoints[..., 2]) * size[:, None] if sigma_px is None else np.asarray(sigma_px, np.float64) / unit
    guessed = _beyond(keypoints[..., :2], size * unit, (camera.width, camera.height))
    sigma = np.where(known, np.where(guessed, np.maximum(sigma, _BORDER_SPREAD * size[:, None]), sigma), np.inf)
    joints, spread = _midpoints(np.where(known[..., None], xy, 0.0), sigma, size)
    spread = np.where(spread < _MOST_SPREAD * size[:, None], spread, np.inf)
    low_joint, high_joint, usable = best_pair(spread / size[:, None], proportions)
    rows = np.flatnonzero(usable & some)
    # an order of its own, so that the caller's does not matter
    rows = rows[np.lexsort((joints[rows, SHOULDER, 0], joints[rows, HEAD, 1], joints[rows, SHOULDER, 1]))]
    observations = Sightings(
        joints=joints[rows],
        sigma=spread[rows],
        low_joint=low_joint[rows],
        high_joint=high_joint[rows],
        bent=np.zeros(len(rows)),
        size=size[rows],
        weight=np.ones(len(rows)) if weight is None else np.asarray(weight, np.float64)[rows],
        rows=rows,
        unit_px=unit,
        border=border,
        proportions=proportions,
    )
    return replace(observations, weight=observations.weight * _duplicate_weight(observations))


def _beyond(points_px: np.ndarray, size_px: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N, 17) bool: at the picture's border or outside."""
    margin = _AT_BORDER * size_px[:, None, None]
    return np.any((points_px < margin) | (points_px > np.array(image_size) - margin), axis=-1)


def _midpoints(xy: np.ndarray, sigma: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 17, 2) keypoints, (N, 17) spreads → (N, 5, 2) midpoints and (N, 5) spreads; one side alone stands for both, less surely."""
    seen = np.isfinite(sigma)
    both = seen[:, _PAIRS].all(-1)
    variance = np.where(seen, sigma, 0.0) ** 2
    left, right = np.moveaxis(variance[:, _PAIRS], -1, 0)
    of_both = (left + right + 2 * _BOTH_SIDES * np.sqrt(left * right)) / 4
    of_one = left + right + (_HALF_WIDTH * size[:, None]) ** 2
    pairs = np.where(both, of_both, np.where(seen[:, _PAIRS].any(-1), of_one, np.inf))
    share = seen[:, _PAIRS] / np.maximum(seen[:, _PAIRS].sum(-1, keepdims=True), 1)
    middle = (xy[:, _PAIRS] * share[..., None]).sum(2)
    count = seen[:, _FACE].sum(1)
    face = (xy[:, _FACE] * seen[:, _FACE, None]).sum(1) / np.maximum(count, 1)[:, None]
    of_face = variance[:, _FACE].sum(1) / np.maximum(count, 1) ** 2 + (_HEAD_SPREAD * size) ** 2
    spread = np.sqrt(np.concatenate([pairs, np.where(count > 0, of_face, np.inf)[:, None]], 1))
    return np.concatenate([middle, face[:, None]], 1), spread


def best_pair(relative: np.ndarray, proportions: Proportions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two joints that tell a standing person's size best, and whether there are two: (N,) int, (N,) int, (N,) bool.

    Args:
        relative: (N, 5) spreads of the joints over the person's image size.
        proportions: where the joints sit.
    """
    cost = np.full((len(relative), len(LOW_JOINTS), 2), np.inf)
    for i, low in enumerate(LOW_JOINTS):
        for j, high in enumerate((SHOULDER, HEAD)):
            if low == high:
                continue
            span = proportions.heights[high] - proportions.heights[low]
            own = STANDING_SPREAD.span[low, high] ** 2
            # image sizes are about nine tenths of a stature
            cost[:, i, j] = (relative[:, low] ** 2 + relative[:, high] ** 2 + own) / span**2
    flat = cost.reshape(len(relative), -1)
    best = flat.argmin(1) if len(flat) else np.zeros(0, int)
    usable = np.isfinite(flat).any(1)
    return np.array(LOW_JOINTS)[best // 2], np.array([SHOULDER, HEAD])[best % 2], usable


def measured_from(observations: Sightings, which: np.ndarray, joint: int, bent: float = 0.0) -> Sightings:
    """Use another low joint, (N,) bool who, because those below it show that they do not stand (log odds `bent`) or are wrong (0)."""
    o = observations
    return replace(o, low_joint=np.where(which, joint, o.low_joint), bent=np.where(which, bent, o.bent))


def _duplicate_weight(o: Sightings) -> np.ndarray:
    """1 / (number of detections that lie on top of each one, itself included), (N,)."""
    if len(o) < 2:
        return np.ones(len(o))
    place = np.concatenate([o.low, o.high], 1)
    distance, index = cKDTree(place).query(place, k=min(8, len(o)))
    same = (distance < _DUPLICATE_DISTANCE * o.size[:, None]) & (o.low_joint[index] == o.low_joint[:, None])
    return 1.0 / same.sum(1)


def share_of_repeats(groups: np.ndarray) -> np.ndarray:
    """(N,) int, who is the same person in several pictures → (N,) what each is worth, 1 for people seen once (or negative numbers).

    With a correlation ρ among the errors of n views of one person, they are worth n / (1 + (n − 1) ρ) independent ones.
    """
    values, index, count = np.unique(groups, return_inverse=True, return_counts=True)
    times = np.where(values < 0, 1, count)[index]
    return 1.0 / (1.0 + (times - 1) * _REPEATED)


def fit_noise(observations: Sightings) -> Sightings:
    """Replace the nominal noise by ``factor · (size / median size)^exponent``, measured on how straight people are.

    In a standing person the hips lie on the line from the ankles (or knees) to the shoulders. Their sideways deviation tells the noise of
    the detector (and of posture, which acts alike) without knowing camera or ground. Exponent 0 is noise in pixels, 1 noise in
    proportion to the person. Maximum a posteriori with a Cauchy-like scale, so that seated people do not count.
    """
    o = observations
    low, high, hip = o.low, o.high, o.joints[:, HIP]
    hip_sigma = o.sigma[:, HIP]
    axis = high - low
    length = np.linalg.norm(axis, axis=1)
    usable = np.isfinite(hip_sigma) & (o.low_joint <= KNEE) & (length > 0.2 * o.size)
    relative = o.size / np.median(o.size)
    across = (hip - low)[:, 0] * axis[:, 1] - (hip - low)[:, 1] * axis[:, 0]
    fraction = (o.proportions.hip - o.low_fraction) / o.span
    nominal = np.sqrt(hip_sigma**2 + (fraction * o.high_sigma) ** 2 + ((1 - fraction) * o.low_sigma) ** 2)
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
    return replace(o, sigma=o.sigma * (factor[best] * relative ** (exponents[best] - 1.0))[:, None])

