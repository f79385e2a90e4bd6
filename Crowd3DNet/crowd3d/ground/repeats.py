"""The same people in several pictures of one static camera: what their one stature tells, wherever they stand.

How much somebody differs from the mean stature is in all views of them; pixels, stride and lean are in each. The likelihood of everybody
(`likelihood`) with reduced weights (`observations.share_of_repeats`) holds what is common to these views. Here is the rest: what they
differ by, which does not depend on how statures vary. Who looks taller at the far end of their way shows that the camera is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crowd3d.ground.body import STANDING_SPREAD
from crowd3d.ground.prediction import PARAMETERS, Prediction, Shape, predict
from crowd3d.ground.sightings import Sightings
from crowd3d.ground.solver import Solution
from crowd3d.ground.stature import StaturePrior

_TRUST = 0.5
"""Views that follow each other share errors of pose and background, and detectors see near people a little shorter than far ones."""
_SURELY_STANDS = 0.8
_LEAST_STATURE_M = 0.3
_OUTLYING = 3.0
"""Views that differ from the person's others by more standard deviations count less and less."""
_ROLL = 2


@dataclass(frozen=True)
class RepeatEvidence:
    """Likelihood of how the statures that one person's views imply differ, by ratio (see `solver.Evidence`).

    Ratios, because a camera that makes everybody small would make their differences small, too.

    Attributes:
        people: (N,) views of people who stand, at least two of each.
        person: (N,) int, who is seen, 0…K − 1.
        certainty: (N,) inverse variance of the logarithm of an implied stature.
        mean_m: mean stature.
        roll_rad: as the people alone say it. How sizes change across the picture is the lens' doing, too, and not believed.
    """

    people: Sightings
    person: np.ndarray
    certainty: np.ndarray
    mean_m: float
    roll_rad: float
    which: ClassVar[tuple[int, ...]] = tuple(range(PARAMETERS))

    @classmethod
    def of(cls, solution: Solution, groups: np.ndarray, stature: StaturePrior) -> RepeatEvidence | None:
        """From who is who, (N,) int, negative for people seen once; None if nobody stands twice."""
        people = solution.mixture.observations
        standing = (solution.roles[:2].sum(0) > _SURELY_STANDS) & (groups >= 0)
        _, index, count = np.unique(np.where(standing, groups, -1), return_inverse=True, return_counts=True)
        rows = np.flatnonzero(standing & (count[index] > 1))
        if not len(rows):
            return None
        person = np.unique(index[rows], return_inverse=True)[1]
        plain = cls(people[rows], person, np.ones(len(rows)), stature.mean_m, float(solution.parameters[_ROLL]))
        seen = plain._seen(solution.parameters[None])
        tall = plain._log_statures(seen)
        variance = seen.plain[0, :, 0] / (seen.stature_step[0] * np.exp(tall[0])) ** 2
        miss = (tall - plain._own(tall, 1.0 / variance))[0] ** 2 / variance
        # what people's views differ by tells how much that is; it is never less than pixels and lean explain
        factor = max(1.0, float(np.median(miss) / _MEDIAN_OF_CHI2 * len(rows) / (len(rows) - person.max() - 1)))
        outlying = 1.0 / (1.0 + miss / factor / _OUTLYING**2) ** 2
        return cls(plain.people, person, outlying / (factor * variance), plain.mean_m, plain.roll_rad)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        tall = self._log_statures(self._seen(parameters))
        return -0.5 * _TRUST * (tall - self._own(tall, self.certainty)) ** 2 @ self.certainty

    def _seen(self, parameters: np.ndarray) -> Prediction:
        level = np.where(np.arange(parameters.shape[1]) == _ROLL, self.roll_rad, parameters)
        o = self.people
        return predict(level, o, Shape.of(o, o.proportions.heights, STANDING_SPREAD), self.mean_m)

    def _log_statures(self, seen: Prediction) -> np.ndarray:
        """(B, N) logarithms of the statures with which everybody's views would be as predicted."""
        return np.log(np.maximum(self.mean_m + seen.residual[..., 0] / seen.stature_step, _LEAST_STATURE_M))

    def _own(self, values: np.ndarray, certainty: np.ndarray) -> np.ndarray:
        """(B, N) everybody's own mean."""
        who = (self.person[:, None] == np.arange(self.person.max() + 1)) * certainty[:, None]
        return (values @ who / who.sum(0))[:, self.person]


_MEDIAN_OF_CHI2 = 0.455
"""With one degree of freedom."""
