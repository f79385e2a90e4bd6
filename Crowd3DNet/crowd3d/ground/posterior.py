"""The posterior of camera and ground where few people leave it wide, lopsided or with several peaks: adaptive importance sampling.

Population Monte Carlo (Cappé et al., J. Comput. Graph. Stat. 13:907, 2004): samples of Student's t around what was found so far and of the
prior itself, weighted by posterior over proposal; mean and covariance of the weighted samples are the next proposal. The answer is their
median focal length, which a long tail does not drag along (few people hardly tell a long one from a longer one), with what belongs to it.
Shares and postures stay those of the most probable camera. The random numbers are the same in every call.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import gammaln

from crowd3d.ground.prediction import PARAMETERS
from crowd3d.ground.prior import Prior
from crowd3d.ground.solver import LIMIT, Evidence, Solution, log_posterior

MOST_PEOPLE = 60
"""Of more people the most probable camera and its curvature tell enough."""
_SAMPLES, _ROUNDS = 500, 4
_FREEDOM = 5.0
_PRIOR_SHARE = 0.15
_LEAST_SAMPLES = 25.0
_WIDER = 1.3


def expected(solution: Solution, prior: Prior, evidence: tuple[Evidence, ...]) -> Solution:
    """The solution with the posterior's centre and covariance instead of its peak; the same one if sampling does not settle."""
    free = np.flatnonzero(prior.free)
    if not len(free):
        return solution
    rng = np.random.default_rng(0)
    centre, spread = solution.parameters, solution.covariance[np.ix_(free, free)] * _WIDER
    effective = 0.0
    for _ in range(_ROUNDS):
        samples, log_proposal = _propose(centre, spread, prior, free, rng)
        inside = ((samples >= LIMIT[0]) & (samples <= LIMIT[1])).all(1)
        samples, log_proposal = samples[inside], log_proposal[inside]
        log_weight = log_posterior(solution.mixture, prior, evidence, samples) - log_proposal
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        effective = 1.0 / float((weight**2).sum())
        centre = weight @ samples
        away = samples[:, free] - centre[free]
        floor = 0.05 * solution.covariance[np.ix_(free, free)]
        spread = (weight[:, None] * away).T @ away + floor
    if effective < _LEAST_SAMPLES:
        return solution
    covariance = np.zeros((PARAMETERS, PARAMETERS))
    covariance[np.ix_(free, free)] = spread - floor
    if prior.free[0]:
        centre = centre + covariance[:, 0] / covariance[0, 0] * (_median(samples[:, 0], weight) - centre[0])
    mixture = solution.mixture.expect(centre)
    return replace(solution, parameters=centre, covariance=covariance, mixture=mixture, roles=mixture.responsibilities(centre))


def mixed(solutions: list[Solution], log_weight: np.ndarray) -> Solution:
    """One solution with the mean and the covariance of a mixture of several, given the (S,) logarithms of their weights."""
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
    centre = weight @ np.stack([solution.parameters for solution in solutions])
    spread = sum(
        share * (solution.covariance + np.outer(away := solution.parameters - centre, away))
        for share, solution in zip(weight, solutions, strict=True)
    )
    best = solutions[int(weight.argmax())]
    mixture = best.mixture.expect(centre)
    return replace(best, parameters=centre, covariance=spread, mixture=mixture, roles=mixture.responsibilities(centre))


def _median(samples: np.ndarray, weight: np.ndarray) -> float:
    """Of samples (S,) with weights (S,) that sum up to 1."""
    order = np.argsort(samples)
    share = np.cumsum(weight[order]) - weight[order] / 2
    return float(np.interp(0.5, share, samples[order]))


def _propose(
    centre: np.ndarray, spread: np.ndarray, prior: Prior, free: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(S, 6) samples around a centre and of the prior, and the (S,) log density of that mixture, up to a constant."""
    p = len(free)
    from_prior = int(_PRIOR_SHARE * _SAMPLES)
    factor = np.linalg.cholesky(spread)
    wide = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, _SAMPLES - from_prior))
    samples = np.tile(centre, (_SAMPLES, 1))
    samples[from_prior:, free] += (rng.normal(size=(len(wide), p)) @ factor.T) * wide[:, None]
    kind = rng.choice(len(prior.log_weight), from_prior, p=np.exp(prior.log_weight - np.logaddexp.reduce(prior.log_weight)))
    samples[:from_prior, free] = prior.mean[kind][:, free] + prior.sigma[kind][:, free] * rng.normal(size=(from_prior, p))
    white = np.linalg.solve(factor, (samples[:, free] - centre[free]).T)
    log_t = gammaln((_FREEDOM + p) / 2) - gammaln(_FREEDOM / 2) - 0.5 * p * np.log(_FREEDOM * np.pi) - np.log(np.diag(factor)).sum()
    log_t = log_t - 0.5 * (_FREEDOM + p) * np.log1p((white**2).sum(0) / _FREEDOM)
    log_prior = prior.log_density(samples) - np.logaddexp.reduce(prior.log_weight) - 0.5 * p * np.log(2 * np.pi)
    return samples, np.logaddexp(np.log(1.0 - _PRIOR_SHARE) + log_t, np.log(_PRIOR_SHARE) + log_prior)
