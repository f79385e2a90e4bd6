"""How tall people are, and where their joints sit, from published anthropometry."""

from __future__ import annotations

from dataclasses import dataclass, replace

ANKLE_FRACTION = 0.039
"""Height of the ankle joint above the sole, as a fraction of stature (Drillis and Contini 1966)."""
SHOULDER_FRACTION = 0.818
"""Height of the shoulder joint above the sole, as a fraction of stature (Drillis and Contini 1966)."""
EYE_FRACTION = 0.936
"""Height of the eyes above the sole, as a fraction of stature (Drillis and Contini 1966)."""
KNEE_FRACTION = 0.285
"""Height of the knee joint above the sole, as a fraction of stature (Drillis and Contini 1966)."""
HIP_FRACTION = 0.530
"""Height of the hip joint above the sole, as a fraction of stature (Drillis and Contini 1966)."""
JOINT_CENTRE_SPAN = 0.745
"""Ankle to shoulder midpoints of detected keypoints in a crowd of which half walks, in statures.

Annotators and detectors mark joint centres. That of the shoulder is about a tenth of the upper arm below the acromion, whose 0.818 is
the anthropometric landmark: 0.798 (de Leva 1996, J. Biomech. 29:1231). Somebody who stands straight spans 0.798 − 0.039 = 0.759.
In a walking person one heel is off the ground most of the time and the trunk is 1 to 2 cm lower than in standing (Murray et al. 1964,
J. Bone Joint Surg. 46:335): with the ankles' midpoint an estimated 3 to 4 cm higher on average, about 0.73 is left.
"""
POPULATION_SIGMA = 0.035
"""Relative standard deviation of a crowd's mean stature around the prior's: countries differ by 2.7 %, the shares of the sexes add about
1 % (NCD-RisC 2016), and what a detector takes for shoulder and ankle about 2 %."""


@dataclass(frozen=True)
class StaturePrior:
    """Distribution of the statures in a crowd: adults and a share of children, both normal.

    The mean sets the scale of the scene: a crowd that is 3 % taller than assumed comes out with a camera 3 % too low.
    The defaults are the world's adults of both sexes (NCD-RisC 2016) and children of 3 to 13 years (WHO 2007).

    Attributes:
        mean_m: mean stature of adults in metres.
        sd_m: standard deviation among adults in metres.
        child_share: expected share of children, 0…1.
        child_mean_m: mean stature of children in metres.
        child_sd_m: standard deviation among children in metres.
        mean_sigma: relative standard deviation of all these lengths together: 0 if the crowd is a sample of the population described,
            about `POPULATION_SIGMA` if it may be any crowd. What is measured besides (height, distance) outweighs a mean that is unsure.
        span_ratio: ankle-to-shoulder span of the keypoints over the published one; the lengths above are multiplied by it already.
    """

    mean_m: float = 1.70
    sd_m: float = 0.10
    child_share: float = 0.03
    child_mean_m: float = 1.25
    child_sd_m: float = 0.13
    mean_sigma: float = 0.0
    span_ratio: float = 1.0

    def for_span(self, span: float) -> StaturePrior:
        """The prior for keypoints whose ankle and shoulder midpoints are `span` statures apart instead of the published 0.779.

        Detectors put shoulders below the acromion and, in people who walk, ankles above the standing one's; a prior of
        proportionally shorter people says the same to the estimator.
        """
        ratio = span / (SHOULDER_FRACTION - ANKLE_FRACTION)
        lengths = {name: getattr(self, name) * ratio for name in ("mean_m", "sd_m", "child_mean_m", "child_sd_m", "span_ratio")}
        return replace(self, **lengths)
