"""How tall people are, and where their joints sit, from published anthropometry."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    mean_m: float = 1.70
    sd_m: float = 0.10
    child_share: float = 0.03
    child_mean_m: float = 1.25
    child_sd_m: float = 0.13

    def for_span(self, span: float) -> StaturePrior:
        """The prior for keypoints whose ankle and shoulder midpoints are `span` statures apart instead of the published 0.779.

        Detectors put shoulders below the acromion and, in people who walk, ankles above the standing one's; a prior of
        proportionally shorter people says the same to the estimator.
        """
        ratio = span / (SHOULDER_FRACTION - ANKLE_FRACTION)
        return StaturePrior(
            self.mean_m * ratio, self.sd_m * ratio, self.child_share, self.child_mean_m * ratio, self.child_sd_m * ratio
        )
