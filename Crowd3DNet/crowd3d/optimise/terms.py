"""The terms of the cost: each a small function from posed people to residuals with their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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

    residual: np.ndarray
    person: np.ndarray
    shared: np.ndarray
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

    limit: np.ndarray
    shared: np.ndarray
    ball: np.ndarray
    away: np.ndarray
    bound: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Held:
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
    x: np.ndarray
    posed: Posed
    changes: bool

    def rows(self, residual: np.ndarray, person: np.ndarray | None, shared: np.ndarray | None, kernel: Kernel) -> Residuals:
        """Fill in derivatives that vanish or are not wanted."""
        empty = np.empty(0)
        if not self.changes:
            return Residuals(residual, empty, empty, kernel)
        size = (*residual.shape, self.x.shape[1])
        person = person if person is not None else np.zeros(size)
        shared = shared if shared is not None else np.zeros((*residual.shape, SHARED))
        return Residuals(residual, person, shared, kernel)

    def linear(self, columns: slice | list[int], matrix: np.ndarray) -> np.ndarray | None:
        """(n, 1, d, P) derivative of ``matrix (d, k) @ x[columns]``."""
        if not self.changes:
            return None
        person = np.zeros((len(self.x), 1, len(matrix), self.x.shape[1]))
        person[..., columns] = matrix
        return person


def reprojection(chunk: Chunk) -> Residuals:
    """Keypoints of the body where they are seen, in spreads; whoever comes behind the camera costs infinitely much."""
    posed, evidence = chunk.posed, chunk.evidence
    cam = posed.cam
    depth = cam[..., 2:]
    valid = (depth > LEAST_DEPTH_M) & posed.view.valid[:, None, None]
    depth = np.where(valid, depth, 1.0)
    focal = posed.view.focal
    ratio = cam[..., :2] / depth
    centre = np.array([chunk.problem.lens.cx, chunk.problem.lens.cy])
    inverse = evidence.xy_inverse[..., None]
    residual = (focal * ratio + centre - evidence.xy_px) * inverse
    residual = np.where(valid, residual, np.inf)
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
    person = posed.points_person - posed.points_person[:, TORSO17].mean(1, keepdims=True)
    person = (ray_world[:, None, None] @ person)[:, :, 0] * inverse
    # the camera turns under the ray: about its own axis by roll, about the world's x axis by tilt
    none = np.zeros(len(ray_world))
    per_roll = np.stack([evidence.ray[:, 1], -evidence.ray[:, 0], none], 1) @ posed.view.rotation
    per_tilt = np.stack([none, ray_world[:, 2], -ray_world[:, 1]], 1)
    zero = np.zeros_like(per_tilt)
    shared = arm @ np.stack([zero, per_tilt, per_roll, zero], 2) * inverse
    return chunk.rows(residual, person[:, :, None], shared[:, :, None], kernel)


def hvip_cue(chunk: Chunk) -> Residuals:
    """The HVIP where the 2D stage sees it."""
    inverse = chunk.evidence.hvip_inverse[:, None, None]
    residual = (chunk.x[:, None, PLACE] - chunk.evidence.hvip[:, None]) * inverse
    person = chunk.linear(PLACE, np.eye(2))
    return chunk.rows(residual, None if person is None else person * inverse[..., None], None, cauchy(3.0))


def start_place(chunk: Chunk) -> Residuals:
    """The HVIP about where it was given."""
    inverse = 1 / chunk.problem.belief.place
    return chunk.rows(chunk.x[:, None, PLACE] * inverse, chunk.linear(PLACE, np.eye(2) * inverse), None, cauchy(3.0))


def start_turn(chunk: Chunk) -> Residuals:
    """The pelvis about as it was given."""
    inverse = 1 / np.array(chunk.problem.belief.turn_rad)
    return chunk.rows(chunk.x[:, None, TURN] * inverse, chunk.linear(TURN, np.diag(inverse)), None, quadratic)


def pose_prior(chunk: Chunk) -> Residuals:
    """The pose about as it was given, and as people's poses are."""
    inverse = chunk.problem.pose_inverse
    residual = (chunk.x[:, None, POSE:-BETAS] - chunk.evidence.pose[:, None]) * inverse
    identity = np.eye(residual.shape[-1]) * inverse
    return chunk.rows(residual, chunk.linear(slice(POSE, -BETAS), identity), None, quadratic)


def joint_limits(chunk: Chunk) -> Residuals:
    """Knees and elbows do not bend backwards."""
    rows = [*KNEE_X, ELBOW_L_Y, ELBOW_R_Y]
    sign = np.array([1.0, 1.0, -1.0, 1.0]) / LIMIT_SIGMA_RAD
    basis = chunk.problem.basis[rows]
    flexion = (chunk.start.pose_rad[:, rows] + chunk.x[:, POSE:-BETAS] @ basis.T) * sign
    over = (flexion < 0)[:, None]
    person = chunk.linear(slice(POSE, -BETAS), basis * sign[:, None])
    return chunk.rows(np.where(over, flexion[:, None], 0.0), None if person is None else person * over[..., None], None, quadratic)


def upright(chunk: Chunk) -> Residuals:
    """Pelvises are upright, but for the few who bend or lie."""
    inverse = 1 / chunk.problem.lean
    person = chunk.posed.up_person[:, None, [0, 2]] * inverse if chunk.changes else None
    return chunk.rows(chunk.posed.up[:, None, [0, 2]] * inverse, person, None, cauchy(2.0))


def touch_ground(chunk: Chunk) -> Residuals:
    """The lowest point of the body is on the ground, or as high over it as was given."""
    person = chunk.posed.lowest_person[:, None, None] / TOUCH_SIGMA_M if chunk.changes else None
    over = chunk.posed.lowest - chunk.start.off_ground_m
    return chunk.rows(over[:, None, None] / TOUCH_SIGMA_M, person, None, quadratic)


def start_shape(chunk: Chunk) -> Residuals:
    """The betas about as they were given."""
    inverse = 1 / chunk.problem.belief.betas
    residual = (chunk.x[:, None, -BETAS:] - chunk.evidence.betas[:, None]) * inverse
    return chunk.rows(residual, chunk.linear(slice(-BETAS, None), np.eye(BETAS) * inverse), None, quadratic)


def shape_prior(chunk: Chunk) -> Residuals:
    """Betas from N(0, 1) but for stature, which has a prior of its own; children are far out."""
    rise = chunk.problem.skeleton.stature[1:]
    across = np.eye(BETAS) - np.outer(rise, rise) / (rise**2).sum()
    return chunk.rows((chunk.x[:, -BETAS:] @ across)[:, None], chunk.linear(slice(-BETAS, None), across), None, cauchy(6.0))


def stature_prior(chunk: Chunk) -> Residuals:
    """Adults and some children."""
    prior, stature = chunk.problem.stature, chunk.problem.skeleton.stature
    mean = np.array([prior.mean_m, prior.child_mean_m])
    inverse = 1 / np.array([prior.sd_m, prior.child_sd_m])
    share = np.array([1 - prior.child_share, prior.child_share])
    height = stature[0] + chunk.x[:, -BETAS:] @ stature[1:]
    person = chunk.linear(slice(-BETAS, None), inverse[:, None] * stature[1:])
    residual = (height[:, None] - mean) * inverse
    kernel = mixture(np.log(np.maximum(share * inverse, 1e-12)))
    return chunk.rows(residual[..., None], None if person is None else person[:, 0, :, None], None, kernel)


def keep_apart(chunk: Chunk) -> Residuals:
    """Nobody is inside somebody else: balls stay on their side of the plane half-way."""
    frozen, posed = chunk.frozen, chunk.posed
    before = view(frozen.shared, chunk.problem.lens, chunk.start.hvip_px + chunk.x[:, PLACE] * chunk.start.size_px[:, None])
    centre = _gather(ball_mixture(posed.points), frozen.ball) + (before.foot - posed.view.foot)[:, None]
    gap = frozen.bound - (centre * frozen.away).sum(-1)
    inside = gap > 0
    residual = np.where(inside, gap, 0.0)[..., None] / PERSON_GAP_SIGMA_M
    if not chunk.changes:
        return chunk.rows(residual, None, None, cauchy(3.0))
    flat = posed.points_person.reshape(*posed.points_person.shape[:2], -1)
    person = _gather(ball_mixture(flat), frozen.ball).reshape(*frozen.ball.shape, 3, -1)
    moved = (before.foot_place - posed.view.foot_place) * chunk.start.size_px[:, None, None]
    person[..., PLACE] += moved[:, None]
    person = -(frozen.away[:, :, None] @ person)[:, :, 0] * inside[..., None] / PERSON_GAP_SIGMA_M
    return chunk.rows(residual, person[:, :, None], None, cauchy(3.0))


def ball_mixture(points: np.ndarray) -> np.ndarray:
    """(n, 17, C) values at keypoints → (n, 14, C) at the balls' centres."""
    return np.stack([points[:, keypoints].mean(1) for keypoints, _ in SPHERES], 1)


def _gather(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, index[..., None], 1)


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
