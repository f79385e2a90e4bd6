"""Levenberg–Marquardt with the people eliminated: their blocks are independent once camera and ground are given (Schur complement)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crowd3d.optimise.contacts import find_contacts, overlap
from crowd3d.optimise.problem import Problem
from crowd3d.optimise.state import BETAS, PLACE, POSE, SHARED, TURN, pose_people
from crowd3d.optimise.terms import Chunk, Held, Residuals, ball_mixture, reprojection, terms_of
from crowd3d.types import Rows

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
SETTLED = 2
"""Whose own cost has not decreased by more than that in so many iterations is left alone, unless somebody comes nearer by `PRESSED_M`."""
PRESSED_M = 0.003
LEAST_DAMPING, FIRST_DAMPING, MOST_DAMPING = 1e-9, 1e-3, 1e6
LARGEST_TURN_RAD = 0.5
LARGEST_PLACE = 0.5
LARGEST_COORDINATE = 2.0


@dataclass(frozen=True)
class Look(Rows):
    """Everybody at one point of the search.

    Attributes:
        points: (N, 17, 3) keypoints of the bodies, upright world.
        miss: (N, 17) how far they are seen from where they were measured, in spreads.
    """

    points: np.ndarray
    miss: np.ndarray


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


@dataclass(frozen=True)
class Reached:
    """Where a step of n people led: their unknowns, cost, what is seen of them, and how much the next step is to be damped."""

    x: np.ndarray
    shared: np.ndarray
    cost: np.ndarray
    seen: Look
    damping: np.ndarray
    shared_damping: float


def solve(problem: Problem, x: np.ndarray, shared: np.ndarray, progress: Callable[[int], None] = lambda iteration: None) -> Solution:
    """Minimise the cost.

    Keypoints that do not fit lose their say gradually: the limit of the robust loss starts wide and follows each person's own
    residuals down. After each step everybody keeps the better of their new and old unknowns, so one bad step holds up nobody else. Where
    camera and ground stay, people depend on each other by contacts only, and who has settled is left alone.
    """
    count, alone = len(problem), not problem.shared_free.any()
    first_x, first_shared, x = x, shared, x.copy()
    damping, shared_damping = np.full(count, FIRST_DAMPING), FIRST_DAMPING
    ceiling, previous = FIRST_LIMIT, np.inf
    seen = look(problem, x, shared)
    costs, settled, quiet = np.zeros(count), np.full(count, np.inf), np.zeros(count, np.int64)
    for iteration in range(1, ITERATIONS + 1):
        frozen = _held(problem, x, shared, robust_limit(problem, seen, ceiling), seen)
        pressed = overlap(ball_mixture(seen.points), frozen.ball, frozen.away, frozen.bound)
        quiet[pressed > settled + PRESSED_M] = 0
        rows = np.flatnonzero(quiet < SETTLED)
        part, held = problem[rows], frozen[rows]
        system = linearise(part, x[rows], shared, held)
        costs[rows], settled[rows] = system.cost, pressed[rows]
        before = float(costs.sum()) + shared_cost(problem, shared)
        reached = _stepped(part, Reached(x[rows], shared, system.cost, seen[rows], damping[rows], shared_damping), held, system)
        if ceiling == LIMIT and alone:
            quiet[rows] = np.where(system.cost - reached.cost <= CONVERGED * system.cost, quiet[rows] + 1, 0)
        x[rows], costs[rows], damping[rows], seen = reached.x, reached.cost, reached.damping, seen.with_rows(rows, reached.seen)
        shared, shared_damping = reached.shared, reached.shared_damping
        after = float(costs.sum()) + shared_cost(problem, shared)
        progress(iteration)
        log.debug("iteration %d: cost %.6g → %.6g, limit %.1f, %d people", iteration, before, after, ceiling, len(rows))
        # compared with the last iteration's end, because contacts found anew raise the cost again
        if ceiling == LIMIT and min(before, previous) - after <= CONVERGED * before + 1e-12:
            break
        previous = after if ceiling == LIMIT else np.inf
        ceiling = max(LIMIT, ceiling * LIMIT_DECAY)
    frozen = _held(problem, x, shared, np.full(count, LIMIT), seen)
    first_frozen = freeze(problem, first_x, first_shared, np.full(count, LIMIT))
    return Solution(
        x=x,
        shared=shared,
        cost_before=cost_per_term(problem, first_x, first_shared, first_frozen),
        cost_after=cost_per_term(problem, x, shared, frozen),
        iterations=iteration,
        covariance=np.zeros((SHARED, SHARED)) if alone else covariance(problem, linearise(problem, x, shared, frozen)),
    )


def _stepped(problem: Problem, at: Reached, frozen: Held, system: System) -> Reached:
    """One step, damped more and more until it leads down; none if it never does."""
    before = float(at.cost.sum()) + shared_cost(problem, at.shared)
    damping, shared_damping = at.damping, at.shared_damping
    for _ in range(ATTEMPTS):
        step, shared_step = solve_step(problem, system, at.shared, damping, shared_damping)
        shared = at.shared + shared_step
        trial, there = _tried(problem, at.x + step, shared, frozen)
        stay, here = _tried(problem, at.x, shared, frozen) if problem.shared_free.any() else (at.cost, at.seen)
        better = trial < stay
        costs = np.where(better, trial, stay)
        if float(costs.sum()) + shared_cost(problem, shared) < before:
            damping = np.clip(np.where(better, damping / 5, damping * 10), LEAST_DAMPING, MOST_DAMPING)
            rows = np.flatnonzero(better)
            moved = np.where(better[:, None], at.x + step, at.x)
            return Reached(moved, shared, costs, here.with_rows(rows, there[rows]), damping, max(shared_damping / 5, LEAST_DAMPING))
        damping = np.minimum(damping * 10, MOST_DAMPING)
        shared_damping *= 10
    return replace(at, damping=damping, shared_damping=shared_damping)


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
    return _tried(problem, x, shared, frozen)[0]


def _tried(problem: Problem, x: np.ndarray, shared: np.ndarray, frozen: Held) -> tuple[np.ndarray, Look]:
    """(N,) cost of everybody, and where it puts them."""
    terms, costs, looks = terms_of(problem), [], []
    for _, chunk in chunks(problem, x, shared, frozen, False):
        rows = {name: term(chunk) for name, term in terms.items()}
        costs.append(np.sum([weigh(one)[0] for one in rows.values()], axis=0))
        looks.append(_look(chunk, rows["reprojection"]))
    return np.concatenate(costs), Look.joined(looks)


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
    return _held(problem, x, shared, limit, look(problem, x, shared))


def _held(problem: Problem, x: np.ndarray, shared: np.ndarray, limit: np.ndarray, seen: Look) -> Held:
    """`freeze` for people who were looked at."""
    skeleton = problem.skeleton
    stature = skeleton.stature[0] + x[:, -BETAS:] @ skeleton.stature[1:]
    return Held(limit, shared, *find_contacts(ball_mixture(seen.points), stature, problem.frame))


def robust_limit(problem: Problem, seen: Look, ceiling: float) -> np.ndarray:
    """(N,) the limit for keypoints: thrice the median miss of each person, at most `ceiling`, at least `LIMIT`."""
    missing = ~(problem.evidence.xy_inverse > 0)
    medians = np.ma.median(np.ma.masked_array(seen.miss, missing), axis=1).filled(LIMIT / 3)
    return np.clip(3 * medians, LIMIT, ceiling)


def look(problem: Problem, x: np.ndarray, shared: np.ndarray) -> Look:
    """Everybody at these unknowns."""
    wide = Held(np.full(len(problem), np.inf), shared, *_no_contacts(problem))
    return Look.joined([_look(chunk, reprojection(chunk)) for _, chunk in chunks(problem, x, shared, wide, False)])


def _look(chunk: Chunk, reprojected: Residuals) -> Look:
    return Look(chunk.posed.points, np.linalg.norm(reprojected.residual, axis=-1))


def _no_contacts(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(problem)
    return np.zeros((count, 1), np.int64), np.zeros((count, 1, 3)), np.zeros((count, 1))
