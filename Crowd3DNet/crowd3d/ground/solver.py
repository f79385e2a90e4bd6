"""Maximum a posteriori camera and ground by Fisher scoring on the mixture, and its covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from crowd3d.ground.likelihood import PARAMETERS, Mixture, Prediction, posture_log_odds, predict
from crowd3d.ground.observations import Observations, stand_on_knees
from crowd3d.ground.start import starting_points
from crowd3d.ground.stature import StaturePrior

_START_PEOPLE = 200
_CANDIDATES = 3
_OUTLIER_PRIOR = (1.0, 12.0)
_CHILD_PRIOR_PEOPLE = 4.0
_ALL_CHILDREN = 0.8
_CONVERGED, _NEAR = 1e-3, 0.1
"""Longest move, in standard deviations, with which a search ends: the last one, and those whose result is only a start."""
_MAX_STEP = np.array([0.4, 0.25, 0.25, 0.6, 1.5, 0.3])
_LIMIT = np.array([[-3.0, -1.5, -np.pi, np.log(0.3), np.log(1e-4), -1.0], [4.5, 1.56, np.pi, np.log(5000.0), np.log(0.4), 1.0]])


@dataclass(frozen=True)
class Prior:
    """Independent normal priors of the six parameters (see `likelihood`); a standard deviation of 0 fixes a parameter.

    Attributes:
        mean: (6,) expected values.
        sigma: (6,) standard deviations.
    """

    mean: np.ndarray
    sigma: np.ndarray

    @property
    def free(self) -> np.ndarray:
        """(6,) bool: the parameters to be found."""
        return self.sigma > 0

    @property
    def precision(self) -> np.ndarray:
        """(6,) inverse variances, 0 for fixed parameters."""
        return np.where(self.free, 1.0 / np.where(self.free, self.sigma, 1.0) ** 2, 0.0)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,) up to a constant."""
        return -0.5 * ((parameters - self.mean) ** 2) @ self.precision


class Evidence(Protocol):
    """Something besides the people that is known about camera and ground."""

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,) up to a constant."""
        ...


@dataclass(frozen=True)
class Solution:
    """What the people say.

    Attributes:
        parameters: (6,) maximum a posteriori.
        covariance: (6, 6) inverse of the observed information; rows of fixed parameters are 0.
        mixture: the likelihood at the solution.
        roles: (3, N) probability that a person is a standing adult, a standing child, or something else.
        value: log posterior, up to a constant.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    mixture: Mixture
    roles: np.ndarray
    value: float


def solve(observations: Observations, stature: StaturePrior, prior: Prior, evidence: tuple[Evidence, ...] = ()) -> Solution:
    """Scan, refine the best starts on a subset, then everybody."""
    stride = max(1, -(-len(observations) // _START_PEOPLE))
    few = observations[np.arange(0, len(observations), stride)]
    focal = None if prior.free[0] else float(np.exp(prior.mean[0]))
    starts = starting_points(few, stature.mean_m, focal)
    starts = np.clip(np.where(prior.free, starts, prior.mean), _LIMIT[0], _LIMIT[1])
    rough = Mixture(few, stature, 0.3, _share_of_children(stature, 0.0, 0.0), np.zeros(len(few)), temperature=3.0)
    value = rough.log_likelihood(starts) + prior.log_density(starts)
    chosen = starts[_spread_best(starts, value)]
    mixture = replace(rough, outlier_share=0.15, temperature=1.0)
    parameters, mixture, _ = max((_climb(mixture, prior, evidence, start, 5, _NEAR) for start in chosen), key=lambda climb: climb[2])
    parameters, mixture, value = _climb(mixture, prior, evidence, parameters, 40, _NEAR)
    if stature.child_share > 0 and prior.free[3]:
        # the same view of a crowd of children, from a camera that is lower in proportion
        lower = parameters + np.log(stature.child_mean_m / stature.mean_m) * np.eye(PARAMETERS)[3]
        other = _climb(replace(mixture, child_share=0.95), prior, evidence, lower, 40, _NEAR)
        if other[2] > value and other[1].child_share > _ALL_CHILDREN:
            parameters, mixture, value = other
    everybody = replace(mixture, observations=observations, posture=np.zeros(len(observations)))
    parameters, mixture, value = _climb(everybody, prior, evidence, parameters, 40, _NEAR)
    mixture = _rescue(mixture, parameters)
    rescued = Solution(parameters, np.zeros((PARAMETERS, PARAMETERS)), mixture, mixture.responsibilities(parameters), value)
    return refine(rescued, prior, evidence)


def refine(solution: Solution, prior: Prior, evidence: tuple[Evidence, ...]) -> Solution:
    """Climb on from a solution with other evidence."""
    parameters, mixture, value = _climb(solution.mixture, prior, evidence, solution.parameters, 40)
    covariance = _covariance(mixture, prior, evidence, parameters)
    return Solution(parameters, covariance, mixture, mixture.responsibilities(parameters), value)


def _rescue(mixture: Mixture, parameters: np.ndarray) -> Mixture:
    """Let people whose ankles seem wrong stand on their knees where hips and shoulders then agree with a standing person."""
    known = np.isfinite(mixture.observations.knee_sigma) & np.isfinite(mixture.observations.hip_sigma)
    wrong = known & (mixture.responsibilities(parameters)[2] > 0.5)
    raised = _expect(replace(mixture, observations=stand_on_knees(mixture.observations, wrong)), parameters)
    better = wrong & (raised.responsibilities(parameters)[2] < 0.2) & (raised.posture < -2.0)
    return replace(mixture, observations=stand_on_knees(mixture.observations, better))


def _spread_best(starts: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the best starts, no two of nearly the same focal length and tilt."""
    chosen: list[int] = []
    for i in np.argsort(-value, kind="stable"):
        near = [np.abs((starts[i] - starts[j])[:2] / np.array([0.3, 0.1])).max() < 1.0 for j in chosen]
        if not any(near):
            chosen.append(int(i))
        if len(chosen) == _CANDIDATES:
            break
    return np.array(chosen)


def _climb(
    mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray, rounds: int, converged: float = _CONVERGED
) -> tuple[np.ndarray, Mixture, float]:
    """Alternate shares and postures with damped Fisher scoring until nothing moves: parameters, mixture and log posterior."""
    damping = 1e-3
    for _ in range(rounds):
        mixture = _expect(mixture, parameters)
        parameters, damping, moved = _step(mixture, prior, evidence, parameters, damping)
        if moved < converged:
            break
    mixture = _expect(mixture, parameters)
    value = _log_posterior(mixture, prior, evidence, parameters[None])[0] + log_share_prior(mixture)
    return parameters, mixture, float(value)


def _expect(mixture: Mixture, parameters: np.ndarray) -> Mixture:
    """Update the posture odds and the shares of outliers and children for the current camera."""
    observations = mixture.observations
    prediction = predict(parameters[None], observations, mixture.stature.mean_m)
    posture = posture_log_odds(observations, prediction.depth_ratio[0], prediction.scale[0])
    return with_shares(replace(mixture, posture=posture), prediction)


def with_shares(mixture: Mixture, prediction: Prediction) -> Mixture:
    """The mixture with the shares of outliers and children that follow from everybody's probable role, (1, N) prediction."""
    terms = mixture.log_terms(prediction)[:, 0]
    adults, children, outliers = np.exp(terms - np.logaddexp.reduce(terms, axis=0)) @ mixture.observations.weight
    share = (outliers + _OUTLIER_PRIOR[0]) / (mixture.observations.weight.sum() + sum(_OUTLIER_PRIOR))
    return replace(mixture, outlier_share=float(share), child_share=_share_of_children(mixture.stature, adults, children))


def _share_of_children(stature: StaturePrior, adults: float, children: float) -> float:
    """Expected share, the prior counting as `_CHILD_PRIOR_PEOPLE` people."""
    if stature.child_share == 0:
        return 1e-12
    return float((children + _CHILD_PRIOR_PEOPLE * stature.child_share) / (adults + children + _CHILD_PRIOR_PEOPLE))


def log_share_prior(mixture: Mixture) -> float:
    """Log prior density of the mixture's share of children, up to a constant."""
    expected, share = mixture.stature.child_share, mixture.child_share
    return float(_CHILD_PRIOR_PEOPLE * (expected * np.log(share) + (1.0 - expected) * np.log1p(-share)))


def _log_posterior(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray) -> np.ndarray:
    value = mixture.log_likelihood(parameters) + prior.log_density(parameters)
    for item in evidence:
        value = value + item.log_density(parameters)
    return value


def _step(
    mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray, damping: float
) -> tuple[np.ndarray, float, float]:
    """One Levenberg-Marquardt step uphill; the damping for the next one; the longest move in standard deviations."""
    value, gradient, information = mixture.score_and_information(parameters)
    value += float(prior.log_density(parameters[None])[0])
    gradient = gradient - prior.precision * (parameters - prior.mean)
    information = information + np.diag(prior.precision)
    for item in evidence:
        slope, curvature = _derivatives(item.log_density, parameters)
        value += float(item.log_density(parameters[None])[0])
        gradient, information = gradient + slope, information + _positive(-curvature)
    free = np.flatnonzero(prior.free)
    gradient, information = gradient[free], information[np.ix_(free, free)]
    for _ in range(8):
        move = np.linalg.solve(information + damping * np.diag(np.diag(information) + 1e-9), gradient)
        move = move / max(1.0, float(np.abs(move / _MAX_STEP[free]).max()))
        candidate = parameters.copy()
        candidate[free] = np.clip(parameters[free] + move, _LIMIT[0, free], _LIMIT[1, free])
        if _log_posterior(mixture, prior, evidence, candidate[None])[0] >= value - 1e-12:
            moved = np.abs(candidate[free] - parameters[free]) * np.sqrt(np.diag(information))
            return candidate, max(damping / 5.0, 1e-7), float(moved.max())
        damping = max(damping * 8.0, 1e-4)
    return parameters, damping, 0.0


def _derivatives(function, parameters: np.ndarray, step: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (6,) and Hessian (6, 6) of a batched scalar function by central differences."""
    p = PARAMETERS
    unit = step * np.eye(p)
    i, j = np.triu_indices(p, 1)
    points = np.concatenate(
        [parameters[None], parameters + unit, parameters - unit, parameters + unit[i] + unit[j], parameters - unit[i] - unit[j]]
    )
    value = function(points)
    plus, minus = value[1 : 1 + p], value[1 + p : 1 + 2 * p]
    both = value[1 + 2 * p :].reshape(2, -1).sum(0)
    hessian = np.diag((plus + minus - 2 * value[0]) / step**2)
    mixed = (both - plus[i] - plus[j] - minus[i] - minus[j] + 2 * value[0]) / (2 * step**2)
    hessian[i, j] = hessian[j, i] = mixed
    return (plus - minus) / (2 * step), hessian


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Nearest positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _covariance(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray) -> np.ndarray:
    """Inverse of the observed information of the free parameters, eigenvalues kept at or above those of the prior."""
    hessian = _derivatives(lambda batch: _log_posterior(mixture, prior, evidence, batch), parameters)[1]
    free = np.flatnonzero(prior.free)
    scale = prior.sigma[free]
    scaled = -hessian[np.ix_(free, free)] * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, 1.0)) @ vectors.T * np.outer(scale, scale)
    covariance = np.zeros((PARAMETERS, PARAMETERS))
    covariance[np.ix_(free, free)] = inverse
    return covariance
