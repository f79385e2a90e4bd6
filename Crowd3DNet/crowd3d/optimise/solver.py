"""Levenberg–Marquardt with the people eliminated: their blocks are independent once camera and ground are given (Schur complement)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

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

    cost: Tensor
    gradient: Tensor
    hessian: Tensor
    cross: Tensor
    shared_gradient: Tensor
    shared_hessian: Tensor


@dataclass(frozen=True)
class Solution:
    """Where the search ended.

    Attributes:
        x: (N, P), shared: (4,): the unknowns.
        cost_before, cost_after: cost per term, under the final robust losses.
        iterations: steps taken.
        covariance: (4, 4) of the shared unknowns, 0 where they were not free.
    """

    x: Tensor
    shared: Tensor
    cost_before: dict[str, float]
    cost_after: dict[str, float]
    iterations: int
    covariance: Tensor


def solve(problem: Problem, x: Tensor, shared: Tensor, progress: Callable[[int], None] = lambda iteration: None) -> Solution:
    """Minimise the cost.

    Keypoints that do not fit lose their say gradually: the limit of the robust loss starts wide and follows each person's own
    residuals down. After each step everybody keeps the better of their new and old unknowns, so one bad step holds up nobody else.
    """
    first_x, first_shared = x, shared
    limit, iterations = torch.full((len(problem),), FIRST_LIMIT, dtype=x.dtype), 0
    damping = torch.full((len(problem),), FIRST_DAMPING, dtype=x.dtype)
    shared_damping = FIRST_DAMPING
    ceiling, reached = FIRST_LIMIT, torch.inf
    for iteration in range(ITERATIONS):
        limit = robust_limit(problem, x, shared, ceiling)
        frozen = freeze(problem, x, shared, limit)
        system = linearise(problem, x, shared, frozen)
        before = float(system.cost.sum() + shared_cost(problem, shared))
        after = before
        for _ in range(ATTEMPTS):
            step, shared_step = solve_step(problem, system, shared, damping, shared_damping)
            moved_shared = shared + shared_step
            trial = cost(problem, x + step, moved_shared, frozen)
            stay = cost(problem, x, moved_shared, frozen)
            better = trial < stay
            attempt = float(torch.where(better, trial, stay).sum() + shared_cost(problem, moved_shared))
            if attempt < before:
                x, shared, after = torch.where(better[:, None], x + step, x), moved_shared, attempt
                damping = torch.where(better, damping / 5, damping * 10).clamp(LEAST_DAMPING, MOST_DAMPING)
                shared_damping = max(shared_damping / 5, LEAST_DAMPING)
                break
            damping = (damping * 10).clamp(max=MOST_DAMPING)
            shared_damping *= 10
        iterations = iteration + 1
        progress(iterations)
        log.debug("iteration %d: cost %.6g → %.6g, limit %.1f", iterations, before, after, ceiling)
        # compared with the last iteration's end, because contacts found anew raise the cost again
        if ceiling == LIMIT and min(before, reached) - after <= CONVERGED * before + 1e-12:
            break
        reached = after if ceiling == LIMIT else torch.inf
        ceiling = max(LIMIT, ceiling * LIMIT_DECAY)
    frozen = freeze(problem, x, shared, torch.full_like(limit, LIMIT))
    first_frozen = freeze(problem, first_x, first_shared, torch.full_like(limit, LIMIT))
    return Solution(
        x=x,
        shared=shared,
        cost_before=cost_per_term(problem, first_x, first_shared, first_frozen),
        cost_after=cost_per_term(problem, x, shared, frozen),
        iterations=iterations,
        covariance=covariance(problem, linearise(problem, x, shared, frozen)),
    )


def solve_step(problem: Problem, system: System, shared: Tensor, damping: Tensor, shared_damping: float) -> tuple[Tensor, Tensor]:
    """Steps (N, P) of the people and (4,) of the shared unknowns."""
    free = problem.shared_free
    gradient = system.shared_gradient + problem.shared_information @ (shared - problem.shared_mean)
    hessian = system.shared_hessian + problem.shared_information
    if problem.people_free:
        diagonal = system.hessian.diagonal(dim1=1, dim2=2)
        damped = system.hessian + torch.diag_embed(diagonal * damping[:, None] + LEAST_DAMPING)
        factor = torch.linalg.cholesky(damped)
        solved = torch.cholesky_solve(torch.cat([system.gradient[..., None], system.cross], 2), factor)
        gradient = gradient - torch.einsum("nps,np->s", system.cross, solved[..., 0])
        hessian = hessian - torch.einsum("nps,npt->st", system.cross, solved[..., 1:])
    shared_step = torch.zeros_like(shared)
    if free.any():
        kept = hessian[free][:, free]
        kept = kept + torch.diag(kept.diagonal().abs() * shared_damping + LEAST_DAMPING)
        shared_step[free] = -torch.linalg.solve(kept, gradient[free])
    if not problem.people_free:
        return torch.zeros_like(system.gradient), shared_step
    return bounded(-solved[..., 0] - solved[..., 1:] @ shared_step), shared_step


def bounded(step: Tensor) -> Tensor:
    """Shorten the steps (N, P) of people who would go farther than the linearisation can be good for."""
    longest = torch.stack(
        [
            step[:, TURN].norm(dim=1) / LARGEST_TURN_RAD,
            step[:, PLACE].norm(dim=1) / LARGEST_PLACE,
            step[:, POSE:-BETAS].abs().amax(1) / LARGEST_COORDINATE,
        ]
    )
    return step / longest.amax(0).clamp(min=1.0)[:, None]


def covariance(problem: Problem, system: System) -> Tensor:
    """(4, 4) of the shared unknowns at a minimum, all people's unknowns integrated out; 0 where they are not free."""
    hessian = system.shared_hessian + problem.shared_information
    if problem.people_free:
        diagonal = torch.diag_embed(torch.full_like(system.gradient, LEAST_DAMPING))
        factor = torch.linalg.cholesky(system.hessian + diagonal)
        hessian = hessian - torch.einsum("nps,npt->st", system.cross, torch.cholesky_solve(system.cross, factor))
    free = problem.shared_free
    result = torch.zeros(SHARED, SHARED, dtype=hessian.dtype)
    rows = torch.nonzero(free)[:, 0]
    if len(rows):
        result[rows[:, None], rows] = torch.linalg.inv(hessian[rows[:, None], rows])
    return result


def chunks(problem: Problem, x: Tensor, shared: Tensor, frozen: Held, changes: bool) -> Iterator[tuple[slice, Chunk]]:
    """Everybody, some at a time."""
    for first in range(0, len(problem), PEOPLE_PER_CHUNK):
        rows = slice(first, first + PEOPLE_PER_CHUNK)
        start = problem.start[rows]
        posed = pose_people(problem.skeleton, start, problem.basis, problem.lens, x[rows], shared, changes)
        yield rows, Chunk(problem, start, problem.evidence[rows], frozen[rows], x[rows], posed, changes)


def weigh(rows: Residuals) -> tuple[Tensor, Tensor]:
    """Costs (n,) and weights (n, g); what is infinitely wrong costs infinitely much and pulls nowhere."""
    costs, weights = rows.kernel(rows.residual.square().sum(-1))
    return torch.where(costs.isnan(), torch.inf, costs).sum(1), weights


def cost(problem: Problem, x: Tensor, shared: Tensor, frozen: Held) -> Tensor:
    """(N,) cost of everybody."""
    terms = terms_of(problem).values()
    parts = [sum(weigh(term(chunk))[0] for term in terms) for _, chunk in chunks(problem, x, shared, frozen, False)]
    return torch.cat(parts)  # type: ignore[arg-type]


def cost_per_term(problem: Problem, x: Tensor, shared: Tensor, frozen: Held) -> dict[str, float]:
    """Cost of everybody by term, that of the shared prior included."""
    terms = terms_of(problem)
    total = dict.fromkeys(terms, 0.0)
    for _, chunk in chunks(problem, x, shared, frozen, False):
        for name, term in terms.items():
            total[name] += float(weigh(term(chunk))[0].sum())
    return total | {"camera and ground": float(shared_cost(problem, shared))}


def shared_cost(problem: Problem, shared: Tensor) -> Tensor:
    """() cost of the prior of camera and ground."""
    off = shared - problem.shared_mean
    return 0.5 * off @ problem.shared_information @ off


def linearise(problem: Problem, x: Tensor, shared: Tensor, frozen: Held) -> System:
    """Normal equations at a point, without the shared prior."""
    count, unknowns = len(problem), problem.unknowns
    sizes = ((count,), (count, unknowns), (count, unknowns, unknowns), (count, unknowns, SHARED), (SHARED,), (SHARED, SHARED))
    system = System(*(x.new_zeros(size) for size in sizes))
    for rows, chunk in chunks(problem, x, shared, frozen, True):
        terms = [term(chunk) for term in terms_of(problem).values()]
        weighed = [weigh(term) for term in terms]
        system.cost[rows] = sum(costs for costs, _ in weighed)
        pairs = zip(terms, weighed, strict=True)
        root = torch.cat([weights.sqrt()[..., None].expand(term.residual.shape).flatten(1) for term, (_, weights) in pairs], 1)
        residual = torch.cat([term.residual.flatten(1) for term in terms], 1) * root
        person = torch.cat([term.person.flatten(1, 2) for term in terms], 1) * root[..., None]
        both = torch.cat([term.shared.flatten(1, 2) for term in terms], 1) * root[..., None]
        turned = person.transpose(1, 2)
        system.gradient[rows] = (turned @ residual[..., None])[..., 0]
        system.hessian[rows] = turned @ person
        system.cross[rows] = turned @ both
        system.shared_gradient.add_(torch.einsum("nms,nm->s", both, residual))
        system.shared_hessian.add_(torch.einsum("nms,nmt->st", both, both))
    return system


def freeze(problem: Problem, x: Tensor, shared: Tensor, limit: Tensor) -> Held:
    """Hold contacts and limits for one step."""
    skeleton = problem.skeleton
    centres = torch.cat([ball_mixture(posed.points) for posed in _everybody(problem, x, shared)])
    stature = skeleton.stature[0] + x[:, -BETAS:] @ skeleton.stature[1:]
    return Held(limit, shared, *find_contacts(centres, stature, problem.frame))


def robust_limit(problem: Problem, x: Tensor, shared: Tensor, ceiling: float) -> Tensor:
    """(N,) the limit for keypoints: thrice the median residual of each person, at most `ceiling`, at least `LIMIT`."""
    wide = Held(torch.full((len(problem),), torch.inf, dtype=x.dtype), shared, *_no_contacts(problem, x))
    medians = []
    for _, chunk in chunks(problem, x, shared, wide, False):
        size = reprojection(chunk).residual.norm(dim=-1)
        known = chunk.evidence.xy_inverse > 0
        medians.append(torch.where(known, size, torch.nan).nanmedian(1).values)
    return (3 * torch.cat(medians)).nan_to_num(LIMIT).clamp(LIMIT, ceiling)


def _everybody(problem: Problem, x: Tensor, shared: Tensor) -> list[Posed]:
    parts = range(0, len(problem), PEOPLE_PER_CHUNK)
    rows = [slice(first, first + PEOPLE_PER_CHUNK) for first in parts]
    return [pose_people(problem.skeleton, problem.start[r], problem.basis, problem.lens, x[r], shared, False) for r in rows]


def _no_contacts(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count = len(problem)
    return torch.zeros(count, 1, dtype=torch.long), x.new_zeros(count, 1, 3), x.new_zeros(count, 1)
