"""The terms of the cost: each a small function from posed people to residuals with their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from crowd3d.bodies.joints import HIPS17, SHOULDERS17, TORSO17
from crowd3d.optimise.kernels import Kernel, cauchy, geman_mcclure, mixture, quadratic
from crowd3d.optimise.problem import Measurements, Problem
from crowd3d.optimise.state import BETAS, PLACE, POSE, SHARED, TURN, Posed, Start, view

TOUCH_SIGMA_M = 0.01
PERSON_GAP_SIGMA_M = 0.01
LIMIT_SIGMA_RAD = 0.05
LEAST_DEPTH_M = 0.1
KNEE_X, ELBOW_L_Y, ELBOW_R_Y = (3 * 3, 4 * 3), 17 * 3 + 1, 18 * 3 + 1
"""Places among the 69 axis-angles: flexion of the knees about +x, of the elbows about −y (left) and +y (right)."""
SPHERES = (
    (SHOULDERS17, 0.10), (HIPS17, 0.12), (TORSO17, 0.11), ((3, 4), 0.09), ((5,), 0.06), ((6,), 0.06), ((11,), 0.08), ((12,), 0.08),
    ((13,), 0.055), ((14,), 0.055), ((15,), 0.045), ((16,), 0.045), ((7,), 0.045), ((8,), 0.045),
)  # fmt: skip
"""Balls inside a body: the keypoints whose mean is the centre, and the radius in metres of somebody of `NOMINAL_STATURE_M`."""


class Residuals(NamedTuple):
    """Residuals of n people in g groups of d, whose norms go through `kernel`; derivatives are empty if not asked for.

    Attributes:
        residual: (n, g, d), 1 = one standard deviation.
        person: (n, g, d, P) change per unknown of the person.
        shared: (n, g, d, 4) change per shared unknown.
    """

    residual: Tensor
    person: Tensor
    shared: Tensor
    kernel: Kernel


@dataclass(frozen=True)
class Held:
    """What is held while a step is taken, so that everybody's cost depends on themselves and the shared unknowns only.

    Attributes:
        limit: (N,) residual from which on keypoints lose their say.
        shared: (4,) shared unknowns before the step.
        ball: (N, M) ball of the person that touches somebody.
        away: (N, M, 3) unit vector away from the other; 0 where there is no contact.
        bound: (N, M) how far along `away`, from the origin of the world, the ball's centre must be.
    """

    limit: Tensor
    shared: Tensor
    ball: Tensor
    away: Tensor
    bound: Tensor

    def __getitem__(self, rows: slice) -> Held:
        return Held(self.limit[rows], self.shared, self.ball[rows], self.away[rows], self.bound[rows])


@dataclass(frozen=True)
class Chunk:
    """n people at one point of the search.

    Attributes:
        problem: the whole problem.
        start, evidence, frozen: the rows of these people.
        x: (n, P) their unknowns.
        posed: what follows.
        changes: whether derivatives are wanted.
    """

    problem: Problem
    start: Start
    evidence: Measurements
    frozen: Held
    x: Tensor
    posed: Posed
    changes: bool

    def rows(self, residual: Tensor, person: Tensor | None, shared: Tensor | None, kernel: Kernel) -> Residuals:
        """Fill in derivatives that vanish or are not wanted."""
        empty = torch.empty(0)
        if not self.changes:
            return Residuals(residual, empty, empty, kernel)
        size = (*residual.shape, self.x.shape[1])
        person = person if person is not None else self.x.new_zeros(size)
        shared = shared if shared is not None else self.x.new_zeros(*residual.shape, SHARED)
        return Residuals(residual, person, shared, kernel)

    def linear(self, columns: slice | list[int], matrix: Tensor) -> Tensor | None:
        """(n, 1, d, P) derivative of ``matrix (d, k) @ x[columns]``."""
        if not self.changes:
            return None
        person = self.x.new_zeros(len(self.x), 1, len(matrix), self.x.shape[1])
        person[..., columns] = matrix
        return person


def reprojection(chunk: Chunk) -> Residuals:
    """Keypoints of the body where they are seen, in spreads; whoever comes behind the camera costs infinitely much."""
    posed, evidence = chunk.posed, chunk.evidence
    cam = posed.cam
    depth = cam[..., 2:]
    valid = (depth > LEAST_DEPTH_M) & posed.view.valid[:, None, None]
    depth = torch.where(valid, depth, torch.ones_like(depth))
    focal = posed.view.focal
    ratio = cam[..., :2] / depth
    centre = torch.tensor([chunk.problem.lens.cx, chunk.problem.lens.cy]).to(cam)
    inverse = evidence.xy_inverse[..., None]
    residual = (focal * ratio + centre - evidence.xy_px) * inverse
    residual = torch.where(valid, residual, torch.full_like(residual, torch.inf))
    if not chunk.changes:
        return chunk.rows(residual, None, None, geman_mcclure(chunk.frozen.limit))
    person, shared = posed.cam_changes()
    scale = (focal * inverse / depth)[..., None]
    person, shared = (scale * (d[..., :2, :] - ratio[..., None] * d[..., 2:, :]) for d in (person, shared))
    shared[..., 0] += focal * ratio * inverse
    return chunk.rows(residual, person, shared, geman_mcclure(chunk.frozen.limit))


def depth_cue(chunk: Chunk) -> Residuals:
    """Depths of the keypoints behind the torso centre, where the 2D stage tells them."""
    posed, evidence = chunk.posed, chunk.evidence
    inverse = evidence.depth_inverse[..., None]
    ray_world = evidence.ray @ posed.view.rotation
    arm = posed.points - posed.torso[:, None]
    residual = ((arm @ ray_world[..., None]) - evidence.depth_m[..., None]) * inverse
    kernel = geman_mcclure(chunk.frozen.limit)
    if not chunk.changes:
        return chunk.rows(residual, None, None, kernel)
    person = posed.points_person - posed.points_person[:, TORSO17].mean(1, keepdim=True)
    person = torch.einsum("nkxp,nx->nkp", person, ray_world) * inverse
    # the camera turns under the ray: about its own axis by roll, about the world's x axis by tilt
    per_roll = torch.stack([evidence.ray[:, 1], -evidence.ray[:, 0], torch.zeros_like(ray_world[:, 0])], 1) @ posed.view.rotation
    per_tilt = torch.stack([torch.zeros_like(ray_world[:, 0]), ray_world[:, 2], -ray_world[:, 1]], 1)
    zero = torch.zeros_like(per_tilt)
    shared = arm @ torch.stack([zero, per_tilt, per_roll, zero], 2) * inverse
    return chunk.rows(residual, person[:, :, None], shared[:, :, None], kernel)


def hvip_cue(chunk: Chunk) -> Residuals:
    """The HVIP where the 2D stage sees it."""
    inverse = chunk.evidence.hvip_inverse[:, None, None]
    residual = (chunk.x[:, None, PLACE] - chunk.evidence.hvip[:, None]) * inverse
    person = chunk.linear(PLACE, torch.eye(2).to(chunk.x))
    return chunk.rows(residual, None if person is None else person * inverse[..., None], None, cauchy(3.0))


def start_place(chunk: Chunk) -> Residuals:
    """The HVIP about where it was given."""
    inverse = 1 / chunk.problem.belief.place
    return chunk.rows(chunk.x[:, None, PLACE] * inverse, chunk.linear(PLACE, torch.eye(2).to(chunk.x) * inverse), None, cauchy(3.0))


def start_turn(chunk: Chunk) -> Residuals:
    """The pelvis about as it was given."""
    inverse = 1 / torch.tensor(chunk.problem.belief.turn_rad).to(chunk.x)
    return chunk.rows(chunk.x[:, None, TURN] * inverse, chunk.linear(TURN, torch.diag(inverse)), None, quadratic)


def pose_prior(chunk: Chunk) -> Residuals:
    """The pose about as it was given, and as people's poses are."""
    inverse = chunk.problem.pose_inverse
    residual = (chunk.x[:, None, POSE:-BETAS] - chunk.evidence.pose[:, None]) * inverse
    identity = torch.eye(residual.shape[-1]).to(chunk.x) * inverse
    return chunk.rows(residual, chunk.linear(slice(POSE, -BETAS), identity), None, quadratic)


def joint_limits(chunk: Chunk) -> Residuals:
    """Knees and elbows do not bend backwards."""
    rows = [*KNEE_X, ELBOW_L_Y, ELBOW_R_Y]
    sign = torch.tensor([1.0, 1.0, -1.0, 1.0]).to(chunk.x) / LIMIT_SIGMA_RAD
    basis = chunk.problem.basis[rows]
    flexion = (chunk.start.pose_rad[:, rows] + chunk.x[:, POSE:-BETAS] @ basis.T) * sign
    over = (flexion < 0)[:, None]
    person = chunk.linear(slice(POSE, -BETAS), basis * sign[:, None])
    return chunk.rows(torch.where(over, flexion[:, None], 0.0), None if person is None else person * over[..., None], None, quadratic)


def upright(chunk: Chunk) -> Residuals:
    """Pelvises are upright, but for the few who bend or lie."""
    inverse = 1 / chunk.problem.lean
    person = chunk.posed.up_person[:, None, [0, 2]] * inverse if chunk.changes else None
    return chunk.rows(chunk.posed.up[:, None, [0, 2]] * inverse, person, None, cauchy(2.0))


def touch_ground(chunk: Chunk) -> Residuals:
    """The lowest point of the body is on the ground."""
    person = chunk.posed.lowest_person[:, None, None] / TOUCH_SIGMA_M if chunk.changes else None
    return chunk.rows(chunk.posed.lowest[:, None, None] / TOUCH_SIGMA_M, person, None, quadratic)


def start_shape(chunk: Chunk) -> Residuals:
    """The betas about as they were given."""
    inverse = 1 / chunk.problem.belief.betas
    residual = (chunk.x[:, None, -BETAS:] - chunk.evidence.betas[:, None]) * inverse
    return chunk.rows(residual, chunk.linear(slice(-BETAS, None), torch.eye(BETAS).to(chunk.x) * inverse), None, quadratic)


def shape_prior(chunk: Chunk) -> Residuals:
    """Betas from N(0, 1) but for stature, which has a prior of its own; children are far out."""
    rise = chunk.problem.skeleton.stature[1:]
    across = torch.eye(BETAS).to(chunk.x) - torch.outer(rise, rise) / rise.square().sum()
    return chunk.rows((chunk.x[:, -BETAS:] @ across)[:, None], chunk.linear(slice(-BETAS, None), across), None, cauchy(6.0))


def stature_prior(chunk: Chunk) -> Residuals:
    """Adults and some children."""
    prior, stature = chunk.problem.stature, chunk.problem.skeleton.stature
    mean = torch.tensor([prior.mean_m, prior.child_mean_m]).to(chunk.x)
    inverse = 1 / torch.tensor([prior.sd_m, prior.child_sd_m]).to(chunk.x)
    share = torch.tensor([1 - prior.child_share, prior.child_share]).to(chunk.x)
    height = stature[0] + chunk.x[:, -BETAS:] @ stature[1:]
    person = chunk.linear(slice(-BETAS, None), inverse[:, None] * stature[1:])
    residual = (height[:, None] - mean) * inverse
    kernel = mixture((share * inverse).clamp(min=1e-12).log())
    return chunk.rows(residual[..., None], None if person is None else person[:, 0, :, None], None, kernel)


def keep_apart(chunk: Chunk) -> Residuals:
    """Nobody is inside somebody else: balls stay on their side of the plane half-way."""
    frozen, posed = chunk.frozen, chunk.posed
    before = view(frozen.shared, chunk.problem.lens, chunk.start.hvip_px + chunk.x[:, PLACE] * chunk.start.size_px[:, None])
    centre = _gather(ball_mixture(posed.points), frozen.ball) + (before.foot - posed.view.foot)[:, None]
    gap = frozen.bound - (centre * frozen.away).sum(-1)
    inside = gap > 0
    residual = torch.where(inside, gap, 0.0)[..., None] / PERSON_GAP_SIGMA_M
    if not chunk.changes:
        return chunk.rows(residual, None, None, cauchy(3.0))
    person = _gather(ball_mixture(posed.points_person.flatten(2)), frozen.ball).unflatten(2, (3, -1))
    moved = (before.foot_place - posed.view.foot_place) * chunk.start.size_px[:, None, None]
    person[..., PLACE] += moved[:, None]
    person = -torch.einsum("nmxp,nmx->nmp", person, frozen.away) * inside[..., None] / PERSON_GAP_SIGMA_M
    return chunk.rows(residual, person[:, :, None], None, cauchy(3.0))


def ball_mixture(points: Tensor) -> Tensor:
    """(n, 17, C) values at keypoints → (n, 14, C) at the balls' centres."""
    return torch.stack([points[:, keypoints].mean(1) for keypoints, _ in SPHERES], 1)


def _gather(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(*index.shape, values.shape[-1]))


Term = Callable[[Chunk], Residuals]
TERMS: dict[str, Term] = {
    "reprojection": reprojection,
    "depth": depth_cue,
    "hvip": hvip_cue,
    "place": start_place,
    "turn": start_turn,
    "pose": pose_prior,
    "given shape": start_shape,
    "joint limits": joint_limits,
    "upright": upright,
    "ground contact": touch_ground,
    "shape": shape_prior,
    "stature": stature_prior,
    "people apart": keep_apart,
}

POPULATION = ("upright", "shape", "stature")
"""What is known of people at large; people who were lifted with a camera and ground that stay contain it already."""
GIVEN = ("given shape",)
"""What holds such people, and would hold back camera and ground."""


def terms_of(problem: Problem) -> dict[str, Term]:
    """The terms of a problem: camera and ground follow from people at large, people alone from what was given."""
    unused = GIVEN if problem.shared_free.any() else POPULATION
    return {name: term for name, term in TERMS.items() if name not in unused}
