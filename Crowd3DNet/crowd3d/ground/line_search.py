"""Finding the camera with which the image's lines and the people agree, and sharpening the people's estimate with those lines.

The people's focal length may be wrong by more than the spread of a family of lines allows, because errors of keypoints that many
people share (hidden feet) are not part of their noise. So the search begins at several cameras along the direction in which the
people are least sure, lets lines and people settle, and compares what each is worth: for every segment the gain of its density over
that of a line of any direction, against the people's disagreement. No family is used unless the gain is clear, lines and people
together are more probable than before, and the people alone hardly less. Where none is, uprights among the segments still count
(`uprights`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from crowd3d.ground.lines import REPEATS, LineEvidence, choose, sampled
from crowd3d.ground.prior import Prior
from crowd3d.ground.solver import CONVERGED, NEAR, Evidence, Solution, log_posterior, refine
from crowd3d.ground.uprights import Uprights

_SEARCH_GATES = np.deg2rad([6.0, 3.0, 1.5, 0.7])
"""Without the first the right camera of a football pitch was often not found: on 15 photographs by six calibrated cameras, each with its
crops moved by a pixel six times, fields of view are 3.2 instead of 3.9° off, and 3.1 to 3.3° with first gates of 5 to 10°."""
_FINAL_GATES = np.deg2rad([2.0, 1.0, 0.5])
_SETTLING = 2
_STARTS = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5])
_DISTRUST = 2.0
"""The people's standard deviations are taken so many times as large as they say, for errors that people share."""
_FLOOR = np.array([0.04, np.deg2rad(0.7), np.deg2rad(0.4)])
_MOST_SEGMENTS = 1500
_LEAST_SIGMA_PX = 0.7
_LEAST_SIGMA_RAD = np.deg2rad(0.25)
_FRAME_COST = 6.0
"""A frame may have any of some 200 directions: that much gain comes by chance."""
_LEAST_GAIN = 6.0
"""Between 4 and 6 the field of view of 15 photographs by six calibrated cameras, each with its keypoints jittered four times, is best;
segments of random directions reached 5 in none of 29 made-up crowds."""
_AGREEMENT = 16.0
"""99.7 % of chi-square with four degrees of freedom."""
_OBJECTION = 4.7 * _DISTRUST**2
"""By so much may the people alone be less probable for the lines' sake, if the lines gain more: half of that for 95 %, distrusted."""
_HARDLY = 3.9
"""A loss that says nothing, half of 95 % of chi-square with three degrees of freedom (focal length, tilt, roll): what lines gain is known
less well than that."""
_LEAST_STANDING = 0.9
_AS_GOOD = 4.0
"""Modes that are worth so much less than the best do not count."""
_SAME_MODE = np.array([0.06, np.deg2rad(1.0), np.deg2rad(1.0)])
_SAME_START = 0.2
"""Searches that settled so near each other end in one mode."""
_STEP = 1e-4


class Mode(NamedTuple):
    """A camera that people and some of the lines agree on.

    Attributes:
        solution: the people's, sharpened by these lines.
        evidence: all of it, these lines included.
        value: log of how probable it is, up to what all modes of a picture have in common.
    """

    solution: Solution
    evidence: tuple[Evidence, ...]
    value: float


@dataclass(frozen=True)
class _People:
    """What the people say, and what they say it with: every camera that lines propose is held against it.

    Attributes:
        solution: theirs, without any line.
        prior, evidence: what it rests on besides them.
        view: indices of those of focal length, tilt and roll that are free.
        trust: inverse covariance of these, as far as the people are trusted.
    """

    solution: Solution
    prior: Prior
    evidence: tuple[Evidence, ...]
    view: np.ndarray
    trust: np.ndarray

    def change(self, parameters: np.ndarray) -> np.ndarray:
        """How far `parameters` are from the people's, in those that are free."""
        return (parameters - self.solution.parameters)[self.view]

    def disagreement(self, parameters: np.ndarray) -> float:
        """Squared Mahalanobis distance of `parameters`."""
        change = self.change(parameters)
        return float(change @ self.trust @ change)


@dataclass(frozen=True)
class _Segments:
    """The picture's line segments.

    Attributes:
        ends: (L, 2, 2) all of them.
        some: (S, 2, 2) those by which cameras are searched for and compared.
        least_sigma: spread of their ends, in image units, at least.
    """

    ends: np.ndarray
    some: np.ndarray
    least_sigma: float


def modes(solution: Solution, ends: np.ndarray, prior: Prior, evidence: tuple[Evidence, ...]) -> list[Mode]:
    """Cameras with which families of (L, 2, 2) segments agree, the best first; where none does, the people's, who hear the uprights."""
    view = np.flatnonzero(prior.free[:3])
    if not len(view) or not len(ends):
        return [Mode(solution, evidence, 0.0)]
    people = _People(solution, prior, evidence, view, _trust(solution, view))
    segments = _Segments(ends, sampled(ends, _MOST_SEGMENTS), _LEAST_SIGMA_PX / solution.mixture.observations.unit_px)

    def gain(parameters: np.ndarray) -> float:
        return _worth(segments, parameters) - 0.5 * people.disagreement(parameters)

    settled = [_settle(segments, start, people) for start in _starts(solution, view)]
    found = sorted(((gain(parameters), parameters) for parameters in settled if parameters is not None), key=lambda one: -one[0])
    kept: list[Mode] = []
    tried: list[np.ndarray] = []
    for value, parameters in found:
        if value < max(_LEAST_GAIN, found[0][0] - _AS_GOOD):
            break
        if any(_apart(parameters, other, view) < _SAME_START for other in tried):
            continue
        tried.append(parameters)
        sharper = _sharpened(people, parameters, segments)
        if sharper is not None and all(_apart(sharper[0].parameters, mode.solution.parameters, view) > 1.0 for mode in kept):
            kept.append(Mode(*sharper, value))
    if kept:
        return kept
    told = (*evidence, Uprights.of(ends, segments.least_sigma))
    return [Mode(refine(solution, prior, told), told, 0.0)]


def _apart(first: np.ndarray, second: np.ndarray, view: np.ndarray) -> float:
    """How far two cameras are from each other; modes are apart by more than 1."""
    return float(np.abs((first - second)[view] / _SAME_MODE[view]).max())


def _sharpened(people: _People, start: np.ndarray, segments: _Segments) -> tuple[Solution, tuple[Evidence, ...]] | None:
    """The people's solution after it moved to where lines have settled, and all evidence; None if it then contradicts the people."""
    solution = people.solution
    sharper = replace(solution, parameters=_carry_along(solution, people.view, start))
    used: tuple[Evidence, ...] = people.evidence
    for gate in _FINAL_GATES:
        lines = choose(segments.ends, sharper.parameters, float(gate), segments.least_sigma)
        if lines is None:
            return None
        used = (*people.evidence, lines)
        sharper = refine(sharper, people.prior, used, CONVERGED if gate == _FINAL_GATES[-1] else NEAR)
    loss = solution.value - _value_of_people(sharper, people.prior, people.evidence)
    won = _worth(segments, sharper.parameters) - _worth(segments, solution.parameters)
    standing = sharper.roles[:2].sum() >= _LEAST_STANDING * solution.roles[:2].sum()
    agreed = people.disagreement(sharper.parameters) < _AGREEMENT and standing and loss < min(_OBJECTION, max(won, _HARDLY))
    return (sharper, used) if agreed else None


def _value_of_people(solution: Solution, prior: Prior, evidence: tuple[Evidence, ...]) -> float:
    """Log posterior of the people alone at a solution that lines may have moved; comparable with `Solution.value`."""
    mixture = solution.mixture
    return float(log_posterior(mixture, prior, evidence, solution.parameters[None])[0]) + mixture.log_share_prior()


def _trust(solution: Solution, view: np.ndarray) -> np.ndarray:
    """Inverse covariance of those of focal length, tilt and roll that are free, as far as the people are trusted."""
    return np.linalg.inv(_DISTRUST**2 * solution.covariance[np.ix_(view, view)] + np.diag(_FLOOR[view] ** 2))


def _starts(solution: Solution, view: np.ndarray) -> list[np.ndarray]:
    """Cameras along the direction in which the focal length is least sure."""
    if view[0] != 0:
        return [solution.parameters]
    spread = np.sqrt(solution.covariance[0, 0])
    along = solution.covariance[:, 0] / spread
    return [solution.parameters + _DISTRUST * step * along for step in _STARTS]


def _settle(segments: _Segments, start: np.ndarray, people: _People) -> np.ndarray | None:
    """Gauss-Newton on lines and people while the gate narrows; None if too few lines pass it."""
    parameters, view = start.copy(), people.view
    for gate in _SEARCH_GATES:
        lines = choose(segments.some, parameters, float(gate), segments.least_sigma)
        if lines is None:
            return None
        for _ in range(_SETTLING):
            miss, slope = _linearised(lines, parameters, view)
            gradient = slope.T @ (lines.weight * miss) + people.trust @ people.change(parameters)
            curvature = slope.T @ (lines.weight[:, None] * slope) + people.trust
            parameters[view] -= np.linalg.solve(curvature, gradient)
    return parameters if np.isfinite(parameters).all() else None


def _linearised(lines: LineEvidence, parameters: np.ndarray, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Misses (L,) and their slopes (L, len(view)), directions of the families fitted along."""
    batch = np.concatenate([parameters[None], parameters + _STEP * np.eye(len(parameters))[view]])
    miss = lines.misses(batch, lines.fit_azimuth(batch))
    return miss[0], (miss[1:] - miss[0]).T / _STEP


def _worth(segments: _Segments, parameters: np.ndarray) -> float:
    """Log likelihood ratio of all lines at `parameters` against lines of any direction; −∞ if few agree on anything.

    A mixture of those that agree and of strangers; where few of many agree, chance explains them as well.
    """
    ends = segments.some
    lines = choose(ends, parameters, float(_SEARCH_GATES[-1]), segments.least_sigma)
    if lines is None:
        return -np.inf
    half = np.linalg.norm(lines.ends[:, 1] - lines.ends[:, 0], axis=1) / 2
    angle = lines.misses(parameters[None], lines.fit_azimuth(parameters[None]))[0] / half
    sigma = np.hypot(_LEAST_SIGMA_RAD, segments.least_sigma / half)
    density = np.exp(-0.5 * (angle / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    share = len(density) / len(ends)
    worth = np.log(share * np.pi * density + 1.0 - share).sum() + (len(ends) - len(density)) * np.log1p(-min(share, 0.99))
    return float(worth / REPEATS - _FRAME_COST * len(lines.azimuth))


def _carry_along(solution: Solution, view: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """The other parameters follow those of the view as the people's covariance says."""
    covariance = solution.covariance
    change = (parameters - solution.parameters)[view]
    return solution.parameters + covariance[:, view] @ np.linalg.solve(covariance[np.ix_(view, view)], change)
