"""Levenberg–Marquardt with the people eliminated: their blocks are independent once camera and ground are given (Schur complement)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crowd3d.optimise.contacts import find_contacts
from crowd3d.optimise.problem import Problem
from crowd3d.optimise.state import BETAS, PLACE, POSE, SHARED, TURN, Posed, pose_people
from crowd3d.optimise.terms import Chunk, Held, Residuals, ball_mixture, reprojection, terms_of

log = logging.getLogger(__name__)

PEOPLE_PER_CHUNK = 128
ITERATIONS = 30
ATTEMPTS = 6
LIMIT = 4.0
"""Residual, in spreads, from which on a keypoint loses its say in the end."""
FIRST_LIMIT = 64.0
LIMIT_DECAY = 0.5
CONVERGED = 1e-4
"""Relative decrease of the cost that is not worth another iteration."""
LEAST_DAMPING, FIRST_DAMPING, MOST_DAMPING = 1e-9, 1e-3, 1e6
LARGEST_TURN_RAD = 0.5
LARGEST_PLACE = 0.5
LARGEST_COORDINATE = 2.0


class System(NamedTuple):
    """Normal equations: cost (n,), gradients and Hessians of people (n, P), (n, P, P), shared unknowns (4,), (4, 4), both (n, P, 4)."""

    cost: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    cross: np.ndarray
    shared_gradient: np.ndarray
    shared_hessian: np.ndarray


@dataclass(frozen=True)
class Solution:
    """Where the search ended.

    Attributes:
        x: (N, P), shared: (4,): the unknowns.
        cost_before, cost_after: cost per term, under the final robust losses.
        iterations: steps taken.
        covariance: (4, 4) of the shared unknowns, 0 where they were not free.
    """

    x: np.ndarray
    shared: np.ndarray
    cost_before: dict[str, float]
    cost_after: dict[str, float]
    iterations: int
    covariance: np.ndarray


def solve(problem: Problem, x: np.ndarray, shared: np.ndarray, progress: Callable[[int], None] = lambda iteration: None) -> Solution:
    """Minimise the cost.

    Keypoints that do not fit lose their say gradually: the limit of the robust loss starts wide and follows each person's own
    residuals down. After each step everybody keeps the better of their new and old unknowns, so one bad step holds up nobody else.
    """
    first_x, first_shared = x, shared
    limit, iterations = np.full(len(problem), FIRST_LIMIT), 0
    damping = np.full(len(problem), FIRST_DAMPING)
    shared_damping = FIRST_DAMPING
    ceiling, reached = FIRST_LIMIT, np.inf
    for iteration in range(ITERATIONS):
        limit = robust_limit(problem, x, shared, ceiling)
        frozen = freeze(problem, x, shared, limit)
        system = linearise(problem, x, shared, frozen)
        before = float(system.cost.sum()) + shared_cost(problem, shared)
        after = before
        for _ in range(ATTEMPTS):
            step, shared_step = solve_step(problem, system, shared, damping, shared_damping)
            moved_shared = shared + shared_step
            trial = cost(problem, x + step, moved_shared, frozen)
            stay = cost(problem, x, moved_shared, frozen)
            better = trial < stay
            attempt = float(np.where(better, trial, stay).sum()) + shared_cost(problem, moved_shared)
            if attempt < before:
                x, shared, after = np.where(better[:, None], x + step, x), moved_shared, attempt
                damping = np.clip(np.where(better, damping / 5, damping * 10), LEAST_DAMPING, MOST_DAMPING)
                shared_damping = max(shared_damping / 5, LEAST_DAMPING)
                break
            damping = np.minimum(damping * 10, MOST_DAMPING)
            shared_damping *= 10
        iterations = iteration + 1
        progress(iterations)
        log.debug("iteration %d: cost %.6g → %.6g, limit %.1f", iterations, before, after, ceiling)
        # compared with the last iteration's end, because contacts found anew raise the cost again
        if ceiling == LIMIT and min(before, reached) - after <= CONVERGED * before + 1e-12:
            break
        reached = after if ceiling == LIMIT else np.inf
        ceiling = max(LIMIT, ceiling * LIMIT_DECAY)
    frozen = freeze(problem, x, shared, np.full_like(limit, LIMIT))
    first_frozen = freeze(problem, first_x, first_shared, np.full_like(limit, LIMIT))
    return Solution(
        x=x,
        shared=shared,
        cost_before=cost_per_term(problem, first_x, first_shared, first_frozen),
        cost_after=cost_per_term(problem, x, shared, frozen),
        iterations=iterations,
        covariance=covariance(problem, linearise(problem, x, shared, frozen)),
    )


def solve_step(
    problem: Problem, system: System, shared: np.ndarray, damping: np.ndarray, shared_damping: float
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (N, P) of the people and (4,) of the shared unknowns."""
    free = problem.shared_free
    gradient = system.shared_gradient + problem.shared_information @ (shared - problem.shared_mean)
    hessian = system.shared_hessian + problem.shared_information
    if problem.people_free:
        damped = _raised(system.hessian, np.diagonal(system.hessian, axis1=1, axis2=2) * damping[:, None] + LEAST_DAMPING)
        solved = np.linalg.solve(damped, np.concatenate([system.gradient[..., None], system.cross], 2))
        flat = system.cross.reshape(-1, SHARED)
        gradient = gradient - flat.T @ solved[..., 0].ravel()
        hessian = hessian - flat.T @ solved[..., 1:].reshape(-1, SHARED)
    shared_step = np.zeros_like(shared)
    if free.any():
        kept = hessian[free][:, free]
        kept = kept + np.diag(np.abs(np.diagonal(kept)) * shared_damping + LEAST_DAMPING)
        shared_step[free] = -np.linalg.solve(kept, gradient[free])
    if not problem.people_free:
        return np.zeros_like(system.gradient), shared_step
    return bounded(-solved[..., 0] - solved[..., 1:] @ shared_step), shared_step


def bounded(step: np.ndarray) -> np.ndarray:
    """Shorten the steps (N, P) of people who would go farther than the linearisation can be good for."""
    turn, place = (np.linalg.norm(step[:, columns], axis=1) for columns in (TURN, PLACE))
    longest = np.max([turn / LARGEST_TURN_RAD, place / LARGEST_PLACE, np.abs(step[:, POSE:-BETAS]).max(1) / LARGEST_COORDINATE], axis=0)
    return step / np.maximum(longest, 1.0)[:, None]


def _raised(matrices: np.ndarray, diagonal: np.ndarray | float) -> np.ndarray:
    """Symmetric matrices (n, P, P) with more on their diagonals (n, P)."""
    raised = matrices.copy()
    rows = np.arange(matrices.shape[1])
    raised[:, rows, rows] += diagonal
    return raised


def covariance(problem: Problem, system: System) -> np.ndarray:
    """(4, 4) of the shared unknowns at a minimum, all people's unknowns integrated out; 0 where they are not free."""
    hessian = system.shared_hessian + problem.shared_information
    if problem.people_free:
        solved = np.linalg.solve(_raised(system.hessian, LEAST_DAMPING), system.cross)
        hessian = hessian - system.cross.reshape(-1, SHARED).T @ solved.reshape(-1, SHARED)
    free = problem.shared_free
    result = np.zeros((SHARED, SHARED))
    rows = np.flatnonzero(free)
    if len(rows):
        result[np.ix_(rows, rows)] = np.linalg.inv(hessian[np.ix_(rows, rows)])
    return result


def chunks(problem: Problem, x: np.ndarray, shared: np.ndarray, frozen: Held, changes: bool) -> Iterator[tuple[slice, Chunk]]:
    """Everybody, some at a time."""
    for first in range(0, len(problem), PEOPLE_PER_CHUNK):
        rows = slice(first, first + PEOPLE_PER_CHUNK)
        start = problem.start[rows]
        posed = pose_people(problem.skeleton, start, problem.basis, problem.lens, x[rows], shared, changes)
        yield rows, Chunk(problem, start, problem.evidence[rows], frozen[rows], x[rows], posed, changes)


def weigh(rows: Residuals) -> tuple[np.ndarray, np.ndarray]:
    """Costs (n,) and weights (n, g); what is infinitely wrong costs infinitely much and pulls nowhere."""
    with np.errstate(invalid="ignore"):
        costs, weights = rows.kernel((rows.residual**2).sum(-1))
    return np.where(np.isnan(costs), np.inf, costs).sum(1), weights


def cost(problem: Problem, x: np.ndarray, shared: np.ndarray, frozen: Held) -> np.ndarray:
    """(N,) cost of everybody."""
    terms = terms_of(problem).values()
    parts = [sum(weigh(term(chunk))[0] for term in terms) for _, chunk in chunks(problem, x, shared, frozen, False)]
    return np.concatenate(parts)  # type: ignore[arg-type]


def cost_per_term(problem: Problem, x: np.ndarray, shared: np.ndarray, frozen: Held) -> dict[str, float]:
    """Cost of everybody by term, that of the shared prior included."""
    terms = terms_of(problem)
    total = dict.fromkeys(terms, 0.0)
    for _, chunk in chunks(problem, x, shared, frozen, False):
        for name, term in terms.items():
            total[name] += float(weigh(term(chunk))[0].sum())
    return total | {"camera and ground": shared_cost(problem, shared)}


def shared_cost(problem: Problem, shared: np.ndarray) -> float:
    """Cost of the prior of camera and ground."""
    off = shared - problem.shared_mean
    return float(0.5 * off @ problem.shared_information @ off)


def linearise(problem: Problem, x: np.ndarray, shared: np.ndarray, frozen: Held) -> System:
    """Normal equations at a point, without the shared prior."""
    count, unknowns = len(problem), problem.unknowns
    sizes = ((count,), (count, unknowns), (count, unknowns, unknowns), (count, unknowns, SHARED), (SHARED,), (SHARED, SHARED))
    system = System(*map(np.zeros, sizes))
    for rows, chunk in chunks(problem, x, shared, frozen, True):
        terms = [term(chunk) for term in terms_of(problem).values()]
        weighed = [weigh(term) for term in terms]
        system.cost[rows] = sum(costs for costs, _ in weighed)
        pairs = zip(terms, weighed, strict=True)
        root = _flat([np.broadcast_to(np.sqrt(weights)[..., None], term.residual.shape) for term, (_, weights) in pairs])
        residual = _flat([term.residual for term in terms]) * root
        person = _flat([term.person for term in terms], unknowns) * root[..., None]
        both = _flat([term.shared for term in terms], SHARED) * root[..., None]
        turned = person.swapaxes(1, 2)
        system.gradient[rows] = (turned @ residual[..., None])[..., 0]
        system.hessian[rows] = turned @ person
        system.cross[rows] = turned @ both
        flat = both.reshape(-1, SHARED)
        system.shared_gradient[:] += flat.T @ residual.ravel()
        system.shared_hessian[:] += flat.T @ flat
    return system


def _flat(parts: list[np.ndarray], *rest: int) -> np.ndarray:
    """Terms (n, g, d, …) side by side: (n, all g · d, …)."""
    return np.concatenate([part.reshape(len(part), -1, *rest) for part in parts], 1)


def freeze(problem: Problem, x: np.ndarray, shared: np.ndarray, limit: np.ndarray) -> Held:
    """Hold contacts and limits for one step."""
    skeleton = problem.skeleton
    centres = np.concatenate([ball_mixture(posed.points) for posed in _everybody(problem, x, shared)])
    stature = skeleton.stature[0] + x[:, -BETAS:] @ skeleton.stature[1:]
    return Held(limit, shared, *find_contacts(centres, stature, problem.frame))


def robust_limit(problem: Problem, x: np.ndarray, shared: np.ndarray, ceiling: float) -> np.ndarray:
    """(N,) the limit for keypoints: thrice the median residual of each person, at most `ceiling`, at least `LIMIT`."""
    wide = Held(np.full(len(problem), np.inf), shared, *_no_contacts(problem))
    medians = []
    for _, chunk in chunks(problem, x, shared, wide, False):
        size = np.linalg.norm(reprojection(chunk).residual, axis=-1)
        known = chunk.evidence.xy_inverse > 0
        medians.append(np.ma.median(np.ma.masked_array(size, ~known), axis=1).filled(LIMIT / 3))
    return np.clip(3 * np.concatenate(medians), LIMIT, ceiling)


def _everybody(problem: Problem, x: np.ndarray, shared: np.ndarray) -> list[Posed]:
    parts = range(0, len(problem), PEOPLE_PER_CHUNK)
    rows = [slice(first, first + PEOPLE_PER_CHUNK) for first in parts]
    return [pose_people(problem.skeleton, problem.start[r], problem.basis, problem.lens, x[r], shared, False) for r in rows]


def _no_contacts(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(problem)
    return np.zeros((count, 1), np.int64), np.zeros((count, 1, 3)), np.zeros((count, 1))
