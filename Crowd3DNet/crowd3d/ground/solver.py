"""Maximum a posteriori camera and ground by Fisher scoring on the mixture, and its covariance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from crowd3d.ground.body import HIP, KNEE, SHOULDER
from crowd3d.ground.kept import kept
from crowd3d.ground.likelihood import CHILD, OTHER, SHARE_PRIOR, Mixture, Predictions, around, share_of_children
from crowd3d.ground.prediction import PARAMETERS
from crowd3d.ground.prior import Prior
from crowd3d.ground.sightings import Sightings, measured_from
from crowd3d.ground.start import starting_points
from crowd3d.ground.stature import StaturePrior, seated_heights

_START_PEOPLE = 200
_CANDIDATES, _FEW, _MORE_CANDIDATES = 3, 25, 6
_ALL_CHILDREN = 0.8
_START_SHARES, _SEATED_SHARES = np.array([0.7, 0.1, 0.2]), np.array([0.1, 0.8, 0.1])
_BENT = 6.0
"""Log odds that somebody does not stand whose ankles and knees agree with no standing person."""
_MAY_SIT = -0.5
"""Mean log odds that people do not stand straight, above which everybody may sit."""
CONVERGED, NEAR = 1e-3, 0.1
"""Longest move, in standard deviations, with which a search ends: the last one, and those whose result is only a start."""
_MAX_STEP = np.array([0.4, 0.25, 0.25, 0.6, 1.5, 0.3])
LIMIT = np.array([[-3.0, -1.5, -np.pi, np.log(0.15), np.log(1e-4), -1.0], [4.5, 1.56, np.pi, np.log(5000.0), np.log(0.4), 1.0]])


class Evidence(Protocol):
    """Something besides the people that is known about camera and ground."""

    @property
    def which(self) -> Sequence[int] | np.ndarray:
        """Places among the parameters of those that it depends on."""
        ...

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
        roles: (4, N) probability that a person is a standing adult, a standing child, seated, or something else.
        value: log posterior, up to a constant.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    mixture: Mixture
    roles: np.ndarray
    value: float


@kept(2)
def solve(observations: Sightings, stature: StaturePrior, prior: Prior, evidence: tuple[Evidence, ...] = ()) -> Solution:
    """Scan, refine the best starts on a subset, then everybody."""
    stride = max(1, -(-len(observations) // _START_PEOPLE))
    few = observations[np.arange(0, len(observations), stride)]
    starts = starting_points(few, stature.mean_m, prior)
    starts = np.clip(np.where(prior.free, starts, prior.fixed), LIMIT[0], LIMIT[1])
    rough = Mixture(few, stature, _START_SHARES, share_of_children(stature, 0.0, 0.0), np.zeros(len(few)), temperature=3.0)
    value = rough.log_likelihood(starts) + prior.log_density(starts)
    chosen = starts[_spread_best(starts, value, _CANDIDATES if len(observations) > _FEW else _MORE_CANDIDATES)]
    mixture = replace(rough, shares=SHARE_PRIOR / SHARE_PRIOR.sum(), temperature=1.0)
    parameters, mixture, _ = max((_climb(mixture, prior, evidence, start, 5, NEAR) for start in chosen), key=lambda climb: climb[2])
    parameters, mixture, value = _climb(mixture, prior, evidence, parameters, 40, NEAR)
    if stature.child_share > 0 and prior.free[3]:
        # the same view of a crowd of children, from a camera that is lower in proportion
        lower = parameters + np.log(stature.child_mean_m / stature.mean_m) * np.eye(PARAMETERS)[3]
        other = _climb(replace(mixture, child_share=0.95), prior, evidence, lower, 40, NEAR)
        if other[2] > value and other[1].child_share > _ALL_CHILDREN:
            parameters, mixture, value = other
    if prior.free[3] and len(few) and float(np.mean(mixture.posture)) > _MAY_SIT:
        # the same view of people who sit, from a camera that is lower in proportion
        spans = few.proportions.heights - seated_heights(few.proportions)
        lower = parameters - np.log1p(spans[SHOULDER] / seated_heights(few.proportions)[SHOULDER]) * np.eye(PARAMETERS)[3]
        other = _climb(replace(mixture, shares=_SEATED_SHARES), prior, evidence, lower, 40, NEAR)
        if other[2] > value:
            parameters, mixture, value = other
    parameters, mixture, value = _climb(mixture.among(observations), prior, evidence, parameters, 40, NEAR)
    mixture = _rescue(mixture, parameters)
    rescued = Solution(parameters, np.zeros((PARAMETERS, PARAMETERS)), mixture, mixture.responsibilities(parameters), value)
    return refine(rescued, prior, evidence)


def refine(solution: Solution, prior: Prior, evidence: tuple[Evidence, ...], converged: float = CONVERGED) -> Solution:
    """Climb on from a solution with other evidence until the longest move is `converged` standard deviations."""
    parameters, mixture, value = _climb(solution.mixture, prior, evidence, solution.parameters, 40, converged)
    covariance = _covariance(mixture, prior, evidence, parameters)
    return Solution(parameters, covariance, mixture, mixture.responsibilities(parameters), value)


def _rescue(mixture: Mixture, parameters: np.ndarray) -> Mixture:
    """Let people whose ankles seem wrong be measured from their knees, or else from their hips, where that then agrees with a posture."""
    for joint, bent in ((KNEE, 0.0), (HIP, _BENT)):
        o = mixture.observations
        known = np.isfinite(o.sigma[:, joint]) & (o.low_joint < joint)
        wrong = known & (mixture.responsibilities(parameters)[CHILD + 1 :].sum(0) > 0.5)
        raised = replace(mixture, observations=measured_from(o, wrong, joint, bent)).expect(parameters)
        better = wrong & (raised.responsibilities(parameters)[OTHER] < 0.2)
        if bent == 0:
            better &= raised.posture < -2.0
        mixture = replace(mixture, observations=measured_from(o, better, joint, bent)).expect(parameters)
    return mixture


def _spread_best(starts: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """Indices of the best starts, no two of nearly the same focal length and tilt."""
    chosen: list[int] = []
    for i in np.argsort(-value, kind="stable"):
        near = [np.abs((starts[i] - starts[j])[:2] / np.array([0.3, 0.1])).max() < 1.0 for j in chosen]
        if not any(near):
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return np.array(chosen)


def _climb(
    mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray, rounds: int, converged: float = CONVERGED
) -> tuple[np.ndarray, Mixture, float]:
    """Alternate shares and postures with damped Fisher scoring until nothing moves: parameters, mixture and log posterior."""
    damping, at = 1e-3, _Place.of(mixture, parameters)
    for _ in range(rounds):
        mixture = mixture.expect_of(at.seen.first)
        at, damping, moved = _step(mixture, prior, evidence, at, damping)
        if moved < converged:
            break
    mixture = mixture.expect_of(at.seen.first)
    return at.parameters, mixture, _value(mixture, prior, evidence, at) + mixture.log_share_prior()


class _Place(NamedTuple):
    """A camera that was tried, (6,), and what follows `around` it, whatever shares and postures are."""

    parameters: np.ndarray
    seen: Predictions

    @classmethod
    def of(cls, mixture: Mixture, parameters: np.ndarray) -> _Place:
        return cls(parameters, mixture.predict(around(parameters)))


def _value(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], at: _Place) -> float:
    """`log_posterior` of one camera."""
    return float((mixture.log_likelihood_of(at.seen.first) + _log_known(prior, evidence, at.parameters[None]))[0])


def log_posterior(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray) -> np.ndarray:
    """(B, 6) → (B,) up to a constant, shares and postures as they are."""
    return mixture.log_likelihood(parameters) + _log_known(prior, evidence, parameters)


def _log_known(prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray) -> np.ndarray:
    """(B, 6) → (B,) log density of all that is known besides the people."""
    return sum((item.log_density(parameters) for item in evidence), prior.log_density(parameters))


def _step(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], at: _Place, damping: float) -> tuple[_Place, float, float]:
    """One Levenberg-Marquardt step uphill; the damping for the next one; the longest move in standard deviations."""
    parameters = at.parameters
    value, gradient, information = mixture.score_and_information(at.seen)
    value += float(prior.log_density(parameters[None])[0])
    slope, curvature = prior.score_and_information(parameters)
    gradient, information = gradient + slope, information + curvature
    for item in evidence:
        slope, curvature = _derivatives(item.log_density, parameters, item.which)
        value += float(item.log_density(parameters[None])[0])
        gradient, information = gradient + slope, information + _positive(-curvature)
    free = np.flatnonzero(prior.free)
    gradient, information = gradient[free], information[np.ix_(free, free)]
    for _ in range(8):
        move = np.linalg.solve(information + damping * np.diag(np.diag(information) + 1e-9), gradient)
        move = move / max(1.0, float(np.abs(move / _MAX_STEP[free]).max()))
        candidate = parameters.copy()
        candidate[free] = np.clip(parameters[free] + move, LIMIT[0, free], LIMIT[1, free])
        there = _Place.of(mixture, candidate)
        if _value(mixture, prior, evidence, there) >= value - 1e-12:
            moved = np.abs(candidate[free] - parameters[free]) * np.sqrt(np.diag(information))
            return there, max(damping / 5.0, 1e-7), float(moved.max())
        damping = max(damping * 8.0, 1e-4)
    return at, damping, 0.0


def _derivatives(
    function: Callable[[np.ndarray], np.ndarray], parameters: np.ndarray, which: Sequence[int] | np.ndarray, step: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (6,) and Hessian (6, 6) of a batched scalar function of some of the parameters by central differences."""
    rows = np.asarray(which)
    p = len(rows)
    unit = step * np.eye(PARAMETERS)[rows]
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
    gradient, whole = np.zeros(PARAMETERS), np.zeros((PARAMETERS, PARAMETERS))
    gradient[rows], whole[np.ix_(rows, rows)] = (plus - minus) / (2 * step), hessian
    return gradient, whole


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Nearest positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _covariance(mixture: Mixture, prior: Prior, evidence: tuple[Evidence, ...], parameters: np.ndarray) -> np.ndarray:
    """Inverse of the observed information of the free parameters, eigenvalues kept at or above those of the prior."""
    hessian = _derivatives(lambda batch: log_posterior(mixture, prior, (), batch), parameters, np.arange(PARAMETERS))[1]
    hessian = hessian + sum(_derivatives(item.log_density, parameters, item.which)[1] for item in evidence)
    free = np.flatnonzero(prior.free)
    scale = prior.spread[free]
    scaled = -hessian[np.ix_(free, free)] * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, 1.0)) @ vectors.T * np.outer(scale, scale)
    covariance = np.zeros((PARAMETERS, PARAMETERS))
    covariance[np.ix_(free, free)] = inverse
    return covariance
