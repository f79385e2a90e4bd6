"""Several horizontal levels under one camera: a bridge, a balcony, the landings of stairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.children import NORMAL_95
from crowd3d.ground.estimate import GroundEstimate, conclude, evidence_of, prepare, prior_of
from crowd3d.ground.knowns import Knowns
from crowd3d.ground.likelihood import OTHER, OUTLIER_AREA, SHARE_PRIOR, Mixture, share_of_children
from crowd3d.ground.line_search import modes
from crowd3d.ground.lines import segments_of
from crowd3d.ground.posture import posture_log_odds
from crowd3d.ground.prior import Prior
from crowd3d.ground.sightings import Sightings
from crowd3d.ground.solver import Evidence, Solution, solve
from crowd3d.ground.stature import StaturePrior

_LEAST_PEOPLE = 10
_LEAST_SHARE = 0.08
_LEAST_AGREEMENT = 0.5
_STRAIGHT = -2.0
_ROUNDS = 3
_LEAST_GAIN = 12.0
"""Log likelihood: a height and a share are worth log N or about 5, and few pictures have a second level."""
_SHARE_ROUNDS, _SHARE_PRIOR = 25, 0.5
_CHILDREN_RANGE = 0.2
_NEIGHBOURS, _TOGETHER = 6, 4.0
_LOG_LEAN = float(np.log(np.deg2rad(3.0)))
"""Lean of people on a ground that was estimated elsewhere."""
_HEIGHT = np.array([False, False, False, True, False, False])


@dataclass(frozen=True)
class Levels:
    """Levels by falling number of people.

    Attributes:
        estimates: one per level; they share camera, tilt and roll.
        level: (N,) int64 index into `estimates`, −1 for people on none.
        probability: (N, K) of being on each level, standing or seated; what is missing to 1 is on none.
    """

    estimates: tuple[GroundEstimate, ...]
    level: np.ndarray
    probability: np.ndarray


def estimate_levels(
    keypoints: np.ndarray,
    image_size: tuple[int, int],
    *,
    camera: Camera | None = None,
    stature: StaturePrior | None = None,
    knowns: Knowns | None = None,
    labels: np.ndarray | None = None,
    lines: np.ndarray | None = None,
    most: int = 4,
) -> Levels:
    """Camera from the level with most people, then the heights of the others among those who do not fit it.

    A person on another level looks too tall or too short by the ratio of the camera's heights over both. The same holds for
    children, so none are assumed unless `stature` says so. Without `labels`, another level needs ten people and 8 % of all, at
    least half of those who are left over must agree on it, and everybody together has to be clearly more probable than on one level less.
    A lower level, whose people look like children, must be somewhere in the picture: children are everywhere.

    Args:
        keypoints: (N, 17, 3) COCO-17 u, v in pixels and score 0…1.
        image_size: width and height in pixels.
        camera: exact intrinsics, if known.
        stature: what is known of people's heights.
        knowns: focal length, height of the camera over the first level, or a distance on it.
        labels: (N,) int, which people share a level, such as the value of a mask at their feet; negative = unknown.
        lines: (L, 4) segments as in `estimate_ground`; they sharpen the camera once everybody has a level.
        most: greatest number of levels that are looked for without `labels`.

    Raises:
        UnsolvableGround: not even one level is found.
    """
    keypoints = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)
    stature, knowns = stature or StaturePrior(child_share=0.0), knowns or Knowns()
    nominal = camera or Camera.from_focal(max(image_size), image_size)
    people = prepare(keypoints, nominal, stature)
    prior, evidence = prior_of(nominal, camera, knowns, stature, people.unit_px), evidence_of(knowns, nominal, people.unit_px)
    found = None if labels is None else _ranked(np.asarray(labels)[people.rows])
    level = found
    if level is None:
        level, _ = _search(people, stature, partial(_solve_levels, people, stature=stature, prior=prior, evidence=evidence), most)
    ends = None if lines is None else segments_of(lines, nominal, people.unit_px)
    solutions = _solve_levels(people, level, stature, prior, evidence, ends)
    estimates: list[GroundEstimate] = []
    assigned = np.full(len(keypoints), -1)
    for k, solution in enumerate(solutions):
        members = people[level == k]
        estimate = conclude(solution, members, nominal, camera if k == 0 else estimates[0].camera, len(keypoints), stature, knowns)
        if k > 0:
            estimate = _share_camera(estimate, estimates[0])
        estimates.append(estimate)
        assigned[estimate.inliers] = k
    probability = np.zeros((len(keypoints), len(solutions)))
    probability[people.rows] = _Mixed.of(people, solutions).probability.T
    return Levels(tuple(estimates), assigned, probability)


@dataclass(frozen=True)
class OtherLevels:
    """Levels over and under a known ground.

    Attributes:
        heights_m: K metres over the ground, the ground itself (0) first.
        level: (N,) int64 where everybody most probably is; who fits nowhere is where the neighbours are.
        probability: (N,) of being there.
        value: log likelihood of everybody.
    """

    heights_m: tuple[float, ...]
    level: np.ndarray
    probability: np.ndarray
    value: float


def find_levels(
    keypoints: np.ndarray,
    camera: Camera,
    ground: GroundPlane,
    *,
    stature: StaturePrior | None = None,
    sigma_px: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    most: int = 4,
) -> OtherLevels:
    """Levels beside a ground that stays as it is, and who is on which, by the rules of `estimate_levels`.

    Who stands among people of a level is rather on it, too: shares are those of the neighbourhood in the picture.

    Args:
        keypoints, stature, sigma_px, weight: as in `estimate_ground`.
        camera, ground: of the photograph.
        most: greatest number of levels; 1 is the ground alone.
    """
    alone = OtherLevels((0.0,), np.zeros(len(keypoints), np.int64), np.ones(len(keypoints)), 0.0)
    if most < 2 or len(keypoints) < 2 * _LEAST_PEOPLE:
        return alone
    stature = replace(stature or StaturePrior(), child_share=0.0)
    people = prepare(np.asarray(keypoints, np.float64), camera, stature, sigma_px, weight)
    told = (np.log(camera.fx / people.unit_px), ground.tilt_rad, ground.roll_rad, np.log(ground.offset_m), _LOG_LEAN, 0.0)
    start = Mixture(people, stature, SHARE_PRIOR / SHARE_PRIOR.sum(), share_of_children(stature, 0.0, 0.0), np.zeros(len(people)))
    base = Solution(np.array(told), np.zeros((len(told),) * 2), start, np.zeros((4, len(people))), 0.0)
    same_camera = Prior.around(base.parameters, np.where(_HEIGHT, 1.0, 0.0))

    def fit(level: np.ndarray) -> list[Solution]:
        return [_settled(base, people[level == 0]), *(solve(people[level == k], stature, same_camera) for k in range(1, level.max() + 1))]

    _, solutions = _search(people, stature, fit, most)
    value = _Mixed.of(people, solutions).value
    if len(solutions) == 1:
        return replace(alone, value=value)
    mixed = _Mixed.of(people, solutions, _neighbours(people))
    # who fits nowhere is where the neighbours are
    lost = mixed.probability.sum(0) < 0.5
    level, sure = alone.level.copy(), alone.probability.copy()
    level[people.rows] = np.where(lost, mixed.share.argmax(0), mixed.probability.argmax(0))
    sure[people.rows] = mixed.probability.max(0)
    heights = (ground.offset_m - float(np.exp(solution.parameters[3])) for solution in solutions[1:])
    return OtherLevels((0.0, *heights), level, sure, value)


def _settled(base: Solution, people: Sightings) -> Solution:
    """A known camera with the shares and postures that suit people."""
    mixture = base.mixture.among(people)
    for _ in range(_ROUNDS):
        mixture = mixture.expect(base.parameters)
    return replace(base, mixture=mixture, roles=mixture.responsibilities(base.parameters))


def _neighbours(people: Sightings) -> np.ndarray:
    """(N, K) rows of everybody's neighbours in the picture, themselves among them."""
    return cKDTree(people.low).query(people.low, k=min(_NEIGHBOURS + 1, len(people)))[1]


def _ranked(labels: np.ndarray) -> np.ndarray:
    """Labels renumbered by falling number of people; −1 for negative ones."""
    values, counts = np.unique(labels[labels >= 0], return_counts=True)
    if not len(values):
        raise UnsolvableGround(f"nobody of {len(labels)} has a level's label; check that the mask covers their feet")
    rank = {value: k for k, value in enumerate(values[np.argsort(-counts, kind="stable")])}
    return np.array([rank.get(label, -1) for label in labels])


Fit = Callable[[np.ndarray], list[Solution]]
"""(N,) level of everybody → solutions of all levels."""


def _search(people: Sightings, stature: StaturePrior, fit: Fit, most: int) -> tuple[np.ndarray, list[Solution]]:
    """(N,) level of each person and the levels: one more as long as it is found, everybody assigned anew each time."""
    level = np.zeros(len(people), int)
    solutions = best = fit(level)
    value = _Mixed.of(people, solutions).value
    while len(solutions) < most:
        height = _height_of_the_rest(people, solutions, stature)
        if height is None:
            break
        solutions = [*solutions, replace(solutions[0], parameters=np.where(_HEIGHT, height, solutions[0].parameters))]
        for _ in range(_ROUNDS):
            tried = np.argmax([_log_density(people, solution) for solution in solutions], axis=0)
            if np.bincount(tried, minlength=len(solutions)).min() < _LEAST_PEOPLE:
                return level, best
            solutions = fit(tried)
        if (solutions[-1].roles[:2].sum(0) > 0.5).sum() < max(_LEAST_PEOPLE, _LEAST_SHARE * len(people)):
            return level, best
        more = _Mixed.of(people, solutions).value
        if more - value < _LEAST_GAIN or (_like_children(solutions, stature) and not _together(people, tried == len(solutions) - 1)):
            return level, best
        level, value, best = tried, more, solutions
    return level, best


def _like_children(solutions: list[Solution], stature: StaturePrior) -> bool:
    """Whether people on the last level look as children on the first one would."""
    lower = float(solutions[-1].parameters[3] - solutions[0].parameters[3])
    return abs(lower - np.log(stature.mean_m / stature.child_mean_m)) < _CHILDREN_RANGE


def _together(people: Sightings, members: np.ndarray) -> bool:
    """Whether (N,) members are neighbours in the picture more often than by chance: a lower level is somewhere, children are everywhere."""
    count = min(_NEIGHBOURS, len(people) - 1)
    _, near = cKDTree(people.low).query(people.low[members], k=count + 1)
    among = members[near[:, 1:]].mean()
    share = (members.sum() - 1) / (len(people) - 1)
    # neighbours count each other, so half as many are independent
    chance = np.sqrt(share * (1.0 - share) / (0.5 * count * members.sum()))
    return bool(among > share + _TOGETHER * chance)


@dataclass(frozen=True)
class _Mixed:
    """Everybody on one of K levels or on none.

    Attributes:
        probability: (K, N) of each level.
        share: (K, N) of each level among those who are on one, around everybody; (K, 1) of all.
        value: log likelihood of all, with the shares that suit them best.
    """

    probability: np.ndarray
    share: np.ndarray
    value: float

    @classmethod
    def of(cls, people: Sightings, solutions: list[Solution], near: np.ndarray | None = None) -> _Mixed:
        """Shares by expectation maximisation: of all, or of everybody's neighbours (N, K)."""
        density = []
        for solution in solutions:
            mixture = solution.mixture.among(people)
            fitted = mixture.expect(solution.parameters)
            terms = replace(mixture, posture=fitted.posture).log_terms(mixture.predict(solution.parameters[None]))[:, 0]
            density.append(np.logaddexp.reduce(terms[:OTHER], axis=0) - np.log1p(-mixture.shares[-1]))
        density.append(terms[OTHER] - np.log(mixture.shares[-1]))
        table = np.array(density)
        share = np.full((len(table), 1), 1.0 / len(table))
        for _ in range(_SHARE_ROUNDS):
            weighted = table + np.log(share)
            total = np.logaddexp.reduce(weighted, axis=0)
            belief = np.exp(weighted - total) * people.weight
            share = (belief.sum(1, keepdims=True) if near is None else belief[:, near].sum(-1)) + _SHARE_PRIOR
            share /= share.sum(0)
        return cls(np.exp(weighted - total)[:-1], share[:-1], float(total @ people.weight))


def _solve_levels(
    people: Sightings,
    level: np.ndarray,
    stature: StaturePrior,
    prior: Prior,
    evidence: tuple[Evidence, ...],
    ends: np.ndarray | None = None,
) -> list[Solution]:
    """The first level with its camera, then the heights of the others."""
    base = solve(people[level == 0], stature, prior, evidence)
    if ends is not None:
        base = modes(base, ends, prior, evidence)[0].solution
    same_camera = Prior.around(base.parameters, np.where(_HEIGHT, 1.0, 0.0))
    return [base, *(solve(people[level == k], stature, same_camera) for k in range(1, level.max() + 1))]


def _log_density(people: Sightings, solution: Solution) -> np.ndarray:
    """(N,) log density of everybody as a standing person on a level."""
    mixture = solution.mixture.among(people)
    return mixture.log_terms(mixture.predict(solution.parameters[None]))[:2, 0].max(0)


def _height_of_the_rest(people: Sightings, solutions: list[Solution], stature: StaturePrior) -> float | None:
    """Log height on which most of the people agree who stand straight but on none of the levels, if at least half of them do."""
    parameters = solutions[0].parameters
    prediction = solutions[0].mixture.among(people).predict(parameters[None]).standing
    straight = posture_log_odds(people, prediction.depth_ratio[0], prediction.scale[0]) < _STRAIGHT
    outlier = -np.log(OUTLIER_AREA * people.size**2)
    fits = np.max([_log_density(people, solution) for solution in solutions], axis=0) > outlier
    rest = straight & ~fits
    if rest.sum() < max(_LEAST_PEOPLE, _LEAST_SHARE * len(people)):
        return None
    tall = stature.mean_m + prediction.residual[0, rest, 0] / prediction.stature_step[0, rest]
    log_height = parameters[3] - np.log(np.maximum(tall, 0.2) / stature.mean_m)
    near = np.abs(log_height[:, None] - log_height) < 2.5 * stature.sd_m / stature.mean_m
    best = int(np.argmax(near.sum(1)))
    if near[best].sum() < max(_LEAST_PEOPLE, _LEAST_AGREEMENT * rest.sum()):
        return None
    return float(np.median(log_height[near[best]]))


def _share_camera(estimate: GroundEstimate, base: GroundEstimate) -> GroundEstimate:
    """Another level's uncertainty: the camera's is that of the first, and heights over both scale together."""
    covariance = base.covariance.copy()
    covariance[3, 3] += estimate.covariance[3, 3]
    reason = "; ".join(filter(None, (base.reason, estimate.reason)))
    wider = float(np.exp(NORMAL_95 * (np.sqrt(covariance[3, 3]) - np.sqrt(estimate.covariance[3, 3]))))
    height_range = (estimate.height_range_m[0] / wider, estimate.height_range_m[1] * wider)
    return replace(estimate, covariance=covariance, height_range_m=height_range, weak=bool(reason), reason=reason)
