"""How tall people are, and where their joints sit.

Heights of joints are those of Drillis and Contini (Body Segment Parameters, New York University, TR 1166-03, 1966), as drawn in
Winter, Biomechanics and Motor Control of Human Movement, figure 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from crowd3d.errors import BadConfig
from crowd3d.ground.body import SEATED_HIP, SEATED_KNEE
from crowd3d.types import NOMINAL_STATURE_M, Proportions


def seated_heights(proportions: Proportions) -> np.ndarray:
    """(5,) heights of ankle, knee, hip, shoulder and head (`body`) in people who sit, as `Proportions.heights` in those who stand."""
    down = SEATED_HIP - proportions.hip
    return np.array([proportions.ankle, SEATED_KNEE, SEATED_HIP, proportions.shoulder + down, proportions.eye + down])


LANDMARKS = Proportions(ankle=0.039, knee=0.285, hip=0.530, shoulder=0.818, eye=0.936)
"""The published anthropometric landmarks of somebody who stands straight."""
JOINT_CENTRE_SPAN = 0.745
"""Ankle to shoulder midpoints of detected keypoints in a crowd of which half walks, in statures.

Annotators and detectors mark joint centres. That of the shoulder is about a tenth of the upper arm below the acromion (de Leva, Joint
center longitudinal positions computed from a selected subset of Chandler's data, J. Biomech. 29:1231, 1996), whose 0.818 is the
anthropometric landmark: 0.798. Somebody who stands straight spans 0.798 − 0.039 = 0.759. In a walking person one heel is off the ground
most of the time and the trunk is lower than in standing; 0.73 for them is this project's estimate, no published figure.
"""
POPULATION_SIGMA = 0.035
"""Relative standard deviation of a crowd's mean stature around the prior's, the root of three squares.

The tallest and the shortest country lie 19 to 20 cm apart for either sex (NCD Risk Factor Collaboration, A century of trends in adult
human height, eLife 5:e13410, 2016), which among 200 countries are 4 to 5 standard deviations: 2.7 %. The shares of the sexes add about
1 %, and what a detector takes for shoulder and ankle about 2 %, both estimates of this project.
"""


@dataclass(frozen=True)
class StaturePrior:
    """Distribution of the statures in a crowd: adults and a share of children, both normal.

    The mean sets the scale of the scene: a crowd that is 3 % taller than assumed comes out with a camera 3 % too low.
    The defaults are the specification's adults of both sexes and children of about 5 to 11 years: medians from 1.10 to 1.43 m in the WHO
    growth reference for 5 to 19 years (2007). `POPULATION_SIGMA` says how far other crowds are from that.

    Attributes:
        mean_m: mean stature of adults in metres.
        sd_m: standard deviation among adults in metres.
        child_share: expected share of children, 0…1.
        child_mean_m: mean stature of children in metres.
        child_sd_m: standard deviation among children in metres.
        mean_sigma: relative standard deviation of all these lengths together: 0 if the crowd is a sample of the population described,
            about `POPULATION_SIGMA` if it may be any crowd. What is measured besides (height, distance) outweighs a mean that is unsure.
        proportions: where the keypoints sit.
    """

    mean_m: float = NOMINAL_STATURE_M
    sd_m: float = 0.10
    child_share: float = 0.03
    child_mean_m: float = 1.25
    child_sd_m: float = 0.13
    mean_sigma: float = 0.0
    proportions: Proportions = LANDMARKS

    def __post_init__(self) -> None:
        lengths = (self.mean_m, self.sd_m, self.child_mean_m, self.child_sd_m)
        if not all(0 < length < inf for length in lengths):
            raise BadConfig(f"statures {lengths} m: they and their spreads must be positive, finite numbers")

    def for_span(self, span: float) -> StaturePrior:
        """The prior for keypoints whose ankle and shoulder midpoints are `span` statures apart instead of the published 0.779.

        Detectors put shoulders below the acromion and, in people who walk, ankles above the standing one's.
        """
        return replace(self, proportions=self.proportions.for_span(span))
