"""Whether a crowd may be one of children alone.

Children of one age differ from adults by nothing that one photograph of unknown scale shows: a smaller crowd under a camera that is
lower in proportion gives the same picture. Proportions do not help: in the project's own bodies the ear stands 2.7 % higher over the
shoulder, in ankle-to-shoulder spans, at a stature of 1.25 m than in adults, while conventions of where the shoulder is differ by
20 %. What can be told is how much the statures vary, for children of several ages vary more than adults do: from that comes a
probability. The case itself is always said openly, as a range of heights that holds whether they are adults or children.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crowd3d.ground.solver import Solution
from crowd3d.ground.stature import StaturePrior

SHARE_OF_CROWDS = 0.05
"""Photographed crowds that are of children alone; an assumption."""
MEAN_SIGMA = 0.1
"""Relative standard deviation of the mean stature of a crowd of children around the prior's: a year of age is 5 %."""
PLAUSIBLE = 0.1
"""A crowd of children counts in the stated uncertainty from this probability on."""
_ADULT_LOG_SPREAD = 0.08
"""By how much more than expected adults may seem to vary, standard deviation of the logarithm: keypoints err in ways of their own."""
_CHILD_LOG_SPREAD = (0.26, 0.25)
"""Variation of children's statures over that of adults, mean and standard deviation of the logarithm: from one class of 8-year-olds to
those of 5 to 11 years together (5 to 10 % of the mean, against 6 %); with room for younger ones and for teenagers beside them."""
_FACTORS = np.exp(np.linspace(-0.26, 0.91, 10))
_SHARE_ROUNDS = 3
_MOST_PEOPLE = 400
_LEAST_SHIFT = 0.1
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Children:
    """The case that nobody in the crowd is an adult.

    Attributes:
        probability: of that case, 0…1.
        shift: log of the height of the camera if they are adults over the height if they are children.
        spread: relative standard deviation of the adults' statures as they seem.
    """

    probability: float
    shift: float
    spread: float

    @property
    def variance(self) -> float:
        """What the case adds to the variance of the log height around the height for adults."""
        return self.probability * (self.shift**2 + MEAN_SIGMA**2)

    def height_range(self, height_m: float, log_sigma: float) -> tuple[float, float]:
        """Bounds in metres that hold the height of the camera with 95 % certainty in either case.

        Args:
            height_m: the height if they are adults.
            log_sigma: standard deviation of its logarithm, in that case.
        """
        lower = self.shift + NORMAL_95 * float(np.hypot(log_sigma, MEAN_SIGMA))
        return height_m * float(np.exp(-lower)), height_m * float(np.exp(NORMAL_95 * log_sigma))


def children_alone(solution: Solution, stature: StaturePrior) -> Children | None:
    """How likely a crowd that was taken for adults is one of children; None where `stature` describes people of children's size.

    Bayes' rule on how much the statures vary: 1 or 2 % for a crowd that varies as adults do, half where they vary 1.4 times as much.
    Where `stature` has no children among the adults, as with several levels, they would pass for variation, so nothing is concluded.
    """
    shift = float(np.log(stature.mean_m / stature.child_mean_m))
    if shift < _LEAST_SHIFT:
        return None
    if stature.child_share == 0:
        return Children(SHARE_OF_CROWDS, shift, stature.sd_m / stature.mean_m)
    factor, log_error = _stature_spread(solution)
    # adults of one sex vary less than both sexes together, so only more variation than expected tells anything
    excess = max(float(np.log(factor)), 0.0)
    mean, sd = _CHILD_LOG_SPREAD
    children, adults = np.hypot(sd, log_error), np.hypot(_ADULT_LOG_SPREAD, log_error)
    ratio = np.exp(0.5 * ((excess / adults) ** 2 - ((excess - mean) / children) ** 2)) * adults / children
    odds = SHARE_OF_CROWDS / (1.0 - SHARE_OF_CROWDS) * ratio
    return Children(float(odds / (1.0 + odds)), shift, float(factor * stature.sd_m / stature.mean_m))


def _stature_spread(solution: Solution) -> tuple[float, float]:
    """Standard deviation of the adults' statures over the prior's, maximum likelihood for the camera found, and its relative error.

    The shares of children and of people who do not stand are fitted along for each of a scan of factors.
    """
    mixture = solution.mixture
    stride = max(1, -(-len(mixture.observations) // _MOST_PEOPLE))
    some = np.arange(0, len(mixture.observations), stride)
    mixture = replace(mixture, observations=mixture.observations[some], posture=mixture.posture[some])
    value = []
    for factor in _FACTORS:
        wider = replace(mixture, stature=replace(mixture.stature, sd_m=factor * mixture.stature.sd_m))
        predictions = wider.predict(solution.parameters[None])
        for _ in range(_SHARE_ROUNDS):
            wider = wider.with_shares(predictions)
        density = np.logaddexp.reduce(wider.log_terms(predictions)[:, 0], axis=0)
        value.append(float(density @ mixture.observations.weight) + wider.log_share_prior())
    best = int(np.clip(np.argmax(value), 1, len(_FACTORS) - 2))
    near = slice(best - 1, best + 2)
    curve, slope, _ = np.polyfit(np.log(_FACTORS[near]), value[near], 2)
    curve = min(curve, -0.5)  # at most 100 % error
    log_factor = np.clip(-slope / (2.0 * curve), *np.log(_FACTORS[[0, -1]]))
    return float(np.exp(log_factor)), float(1.0 / np.sqrt(-2.0 * curve))
