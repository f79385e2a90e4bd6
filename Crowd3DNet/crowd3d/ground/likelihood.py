"""Likelihood of people given camera and ground: adults and children who stand, people who sit, and the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from crowd3d.ground.body import SEATED_SPREAD, STANDING_SPREAD
from crowd3d.ground.posture import posture_log_odds
from crowd3d.ground.prediction import PARAMETERS, Prediction, Shape, predict
from crowd3d.ground.sightings import Sightings
from crowd3d.ground.stature import StaturePrior, seated_heights

OUTLIER_AREA = 0.4
"""Where the high joint of people of no posture may be, in squared person sizes."""
ADULT, CHILD, SEATED, OTHER = range(4)
SHARE_PRIOR = np.array([12.0, 1.0, 1.0])
"""Expected people who stand, who sit and who do neither, counted as so many; a Dirichlet prior."""
CHILD_PRIOR_PEOPLE = 4.0
_STEP = 1e-5


def around(parameters: np.ndarray) -> np.ndarray:
    """(6,) → (13, 6): a camera, then with each parameter a little larger, then a little smaller, for central differences."""
    offsets = _STEP * np.eye(PARAMETERS)
    return np.concatenate([parameters[None], parameters + offsets, parameters - offsets])


class Predictions(NamedTuple):
    """What follows from B parameter vectors for N people, whatever shares and postures are.

    Attributes:
        standing: for those who stand.
        residual: (3, B, N, 2) of adults, children and those who sit.
        covariance: (3, B, N, 3) xx, xy, yy of these.
        log_density: (3, B, N) of what was seen.
    """

    standing: Prediction
    residual: np.ndarray
    covariance: np.ndarray
    log_density: np.ndarray

    @property
    def first(self) -> Predictions:
        """Of the first of several parameter vectors."""
        return Predictions(self.standing[:1], self.residual[:, :1], self.covariance[:, :1], self.log_density[:, :1])


def log_seen(prediction: Prediction, observations: Sightings, sd_m: float, shift_m: float = 0.0) -> np.ndarray:
    """Log probability that the head of somebody with this low joint is inside the image, (B, N).

    Tall people close to the upper border are missing from the keypoints; without this factor they would bend the ground.
    """
    left, top, right, bottom = observations.border
    spread = np.sqrt((sd_m * prediction.top_step) ** 2 + prediction.plain[..., 2:])
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
    """Everybody is a standing adult, a standing child, seated, or something else: bent, wrong ankles, on another level.

    Attributes:
        observations: the people.
        stature: prior of their statures.
        shares: (3,) expected shares of people who stand, who sit, and of the rest.
        child_share: expected share of children among those who stand.
        posture: (N,) log odds, from knees and hips, that a person does not stand straight.
        temperature: factor on all standard deviations, 1 in the end; larger ones widen the basin of attraction.
    """

    observations: Sightings
    stature: StaturePrior
    shares: np.ndarray
    child_share: float
    posture: np.ndarray
    temperature: float = 1.0

    def among(self, observations: Sightings) -> Mixture:
        """The same for other people, of whose posture nothing is known yet."""
        return replace(self, observations=observations, posture=np.zeros(len(observations)))

    def predict(self, parameters: np.ndarray) -> Predictions:
        """(B, 6) → what follows for everybody in either posture."""
        o, proportions, s = self.observations, self.observations.proportions, self.stature
        standing = Shape.of(o, proportions.heights, STANDING_SPREAD)
        seated = Shape.of(o, seated_heights(proportions), SEATED_SPREAD, with_crowd=False)
        both = predict(parameters, o, Shape.either(standing, seated), s.mean_m)
        stand, sit = both[0], both[1]
        shorter = s.child_mean_m - s.mean_m
        residual = np.stack([stand.residual, stand.shifted(shorter), sit.residual])
        covariance = np.stack([stand.covariance(s.sd_m), stand.covariance(s.child_sd_m), sit.covariance(s.sd_m)]) * self.temperature**2
        log_density = _log_normal(residual, covariance)
        log_density[ADULT] -= log_seen(stand, o, s.sd_m)
        log_density[CHILD] -= log_seen(stand, o, s.child_sd_m, shorter)
        log_density += np.stack([stand.log_factor, stand.log_factor, sit.log_factor])
        return Predictions(stand, residual, covariance, log_density)

    def log_terms(self, predictions: Predictions) -> np.ndarray:
        """(4, B, N) log of share times density for adult, child, seated and other."""
        terms = np.empty((OTHER + 1, *predictions.log_density.shape[1:]))
        terms[:OTHER] = predictions.log_density
        terms[ADULT] += np.log1p(-self.child_share)
        terms[CHILD] += np.log(self.child_share)
        terms[SEATED] += self.posture
        terms[OTHER] = self.posture - np.log(OUTLIER_AREA * self.observations.size**2)
        return terms + np.log(self.shares)[[0, 0, 1, 2], None, None]

    def log_likelihood(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        return self.log_likelihood_of(self.predict(parameters))

    def log_likelihood_of(self, predictions: Predictions) -> np.ndarray:
        """Predictions for B parameter vectors → (B,)."""
        return np.logaddexp.reduce(self.log_terms(predictions), axis=0) @ self.observations.weight

    def responsibilities(self, parameters: np.ndarray) -> np.ndarray:
        """(6,) → (4, N) posterior probabilities of adult, child, seated, other."""
        terms = self.log_terms(self.predict(parameters[None]))[:, 0]
        return np.exp(terms - np.logaddexp.reduce(terms, axis=0))

    def expect(self, parameters: np.ndarray) -> Mixture:
        """The mixture with the posture odds and the shares that follow from this camera, (6,)."""
        return self.expect_of(self.predict(parameters[None]))

    def expect_of(self, predictions: Predictions) -> Mixture:
        """`expect` from the predictions of one camera."""
        stand = predictions.standing
        posture = posture_log_odds(self.observations, stand.depth_ratio[0], stand.scale[0])
        return replace(self, posture=posture).with_shares(predictions)

    def with_shares(self, predictions: Predictions) -> Mixture:
        """The mixture with the shares that follow from everybody's probable role, predictions of one camera."""
        terms = self.log_terms(predictions)[:, 0]
        adults, children, *others = np.exp(terms - np.logaddexp.reduce(terms, axis=0)) @ self.observations.weight
        count = np.array([adults + children, *others]) + SHARE_PRIOR
        return replace(self, shares=count / count.sum(), child_share=share_of_children(self.stature, adults, children))

    def log_share_prior(self) -> float:
        """Log prior density of the shares, up to a constant."""
        expected, share = self.stature.child_share, self.child_share
        children = CHILD_PRIOR_PEOPLE * (expected * np.log(share) + (1.0 - expected) * np.log1p(-share))
        return float(children + SHARE_PRIOR @ np.log(self.shares))

    def score_and_information(self, predictions: Predictions) -> tuple[float, np.ndarray, np.ndarray]:
        """Predictions `around` a camera → log likelihood, gradient (6,), Fisher information (6, 6) given who stands and who sits."""
        terms = self.log_terms(predictions)
        total = np.logaddexp.reduce(terms, axis=0)
        weight = self.observations.weight
        values = total @ weight
        gradient = (values[1 : 1 + PARAMETERS] - values[1 + PARAMETERS :]) / (2 * _STEP)
        share = np.exp(terms[:OTHER, 0] - total[0]) * weight
        some = share > 1e-3 * weight
        slopes = _slopes(*(np.moveaxis(one, 1, 0)[:, some] for one in (predictions.residual, predictions.covariance)))
        ends = some.sum(1).cumsum()[:-1]
        information = sum(map(_fisher, np.split(slopes, ends, axis=-1), np.split(share[some], ends)), np.zeros((PARAMETERS, PARAMETERS)))
        return float(values[0]), gradient, information


def share_of_children(stature: StaturePrior, adults: float, children: float) -> float:
    """Expected share, the prior counting as `CHILD_PRIOR_PEOPLE` people."""
    if stature.child_share == 0:
        return 1e-12
    return float((children + CHILD_PRIOR_PEOPLE * stature.child_share) / (adults + children + CHILD_PRIOR_PEOPLE))


def fisher_information(parameters: np.ndarray, observations: Sightings, stature: StaturePrior) -> np.ndarray:
    """(6, 6) information of standing adults with the given parameters (6,): the inverse of the Cramér-Rao bound."""
    shape = Shape.of(observations, observations.proportions.heights, STANDING_SPREAD)
    prediction = predict(around(parameters), observations, shape, stature.mean_m)
    return _fisher(_slopes(prediction.residual, prediction.covariance(stature.sd_m)), observations.weight)


def _whiten(covariance: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solve L y = x with the Cholesky factor of (..., 3) symmetric matrices, (..., 2) → (..., 2)."""
    a = np.sqrt(covariance[..., 0])
    b = covariance[..., 1] / a
    c = np.sqrt(np.maximum(covariance[..., 2] - b * b, 1e-30))
    first = vectors[..., 0] / a
    return np.stack([first, (vectors[..., 1] - b * first) / c], -1)


def _log_normal(residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    xx, xy, yy = covariance[..., 0], covariance[..., 1], covariance[..., 2]
    x, y = residual[..., 0], residual[..., 1]
    determinant = np.maximum(xx * yy - xy * xy, 1e-60)
    return -0.5 * (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant - 0.5 * np.log(determinant) - np.log(2 * np.pi)


def _fisher(slopes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(6, 5, N) of `_slopes`, (N,) → (6, 6) Fisher information."""
    return (slopes * weight).reshape(PARAMETERS, -1) @ slopes.reshape(PARAMETERS, -1).T


def _slopes(residual: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(6, 5, N) by how much mean and covariance of normal residuals `around` parameters change with these, whitened.

    Args:
        residual: (13, N, 2).
        covariance: (13, N, 3) xx, xy, yy.
    """
    p = PARAMETERS
    mean = (residual[1 : 1 + p] - residual[1 + p :]) / (2 * _STEP)
    spread = (covariance[1 : 1 + p] - covariance[1 + p :]) / (2 * _STEP)
    base = covariance[0]
    white = _whiten(base, mean)
    # L⁻¹ dΣ L⁻ᵀ, half of it from each side
    left = _whiten(base[None], np.stack([spread[..., 0], spread[..., 1]], -1))
    right = _whiten(base[None], np.stack([spread[..., 1], spread[..., 2]], -1))
    first = _whiten(base[None], np.stack([left[..., 0], right[..., 0]], -1))
    second = _whiten(base[None], np.stack([left[..., 1], right[..., 1]], -1))
    rows = np.stack([white[..., 0], white[..., 1], first[..., 0] / np.sqrt(2), first[..., 1], second[..., 1] / np.sqrt(2)])
    return np.moveaxis(rows, 1, 0)
