"""Where 2D measurements come from, and what such measurements are worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from crowd3d.types import Proportions


@dataclass(frozen=True)
class Source:
    """Calibration of one 2D pose estimator; it travels with its measurements.

    Attributes:
        name: as users choose it.
        version: of its weights or package; empty where nobody tells.
        proportions: where its keypoints sit on people who stand.
        sigma_at_full_score: spread per axis of a keypoint with score 1, as a share of the person's size; for plain scores only.
        sigma_per_missing_score: how much that spread grows until the score is 0.
        sigma_power: with which power of the missing score it grows.
        error_factor, error_power: keypoints err by the first times the spread raised to the second, root mean square per axis, both as
            shares of the person's size.
        hidden_factor: so many times larger the errors of keypoints count that are probably hidden; 1 if their spreads say all.
        common_lean_rad: how far all people of one picture lean to the same side, in the keypoints or in truth, beyond what chance explains.
        calibrated_spreads: whether spreads were measured on photographs; else the optimisation believes them half.
        scores_are_probabilities: whether `Observations.score` is the calibrated probability that this is a person; else it is a mean of
            keypoint scores, which tells nothing of the kind.
        sure: score from which on people count for camera and ground.
        lifter_knows_errors: whether the lifter was trained on this source's own errors in the pictures that it is for, so that its people
            already contain all that the keypoints say; errors in rendered pictures are not those in photographs.
        remark: what users of results should know; empty for nothing.
    """

    name: str
    version: str
    proportions: Proportions
    sigma_at_full_score: float = 0.012
    sigma_per_missing_score: float = 0.15
    sigma_power: float = 2.0
    error_factor: float = 1.0
    error_power: float = 1.0
    hidden_factor: float = 1.0
    common_lean_rad: float = 0.0
    calibrated_spreads: bool = False
    scores_are_probabilities: bool = False
    sure: float = 0.0
    lifter_knows_errors: bool = False
    remark: str = ""

    def sigma(self, score: np.ndarray) -> np.ndarray:
        """Keypoint scores 0…1 → spread per axis as a share of the person's size."""
        return self.sigma_at_full_score + self.sigma_per_missing_score * (1.0 - np.clip(score, 0.0, 1.0)) ** self.sigma_power

    def score(self, sigma: np.ndarray) -> np.ndarray:
        """Inverse of `sigma`, never quite 0, which would mean unknown: for files that hold scores only."""
        missing = np.clip((sigma - self.sigma_at_full_score) / self.sigma_per_missing_score, 0.0, 1.0)
        return np.clip(1.0 - missing ** (1.0 / self.sigma_power), 0.01, 1.0)

    def error_per_sigma(self, sigma: np.ndarray) -> np.ndarray:
        """What keypoints err by over their spreads (...), which are shares of the person's size."""
        return self.error_factor * sigma ** (self.error_power - 1.0)

    def as_dict(self) -> dict[str, object]:
        """JSON values, inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Source:
        """From what `as_dict` gave."""
        return cls(**{**values, "proportions": Proportions(**values["proportions"])})


ANNOTATED = Proportions(ankle=0.039, knee=0.274, hip=0.509, shoulder=0.784, eye=0.936)
"""Keypoints as annotators of photographs set them, and networks trained on such annotations: joint centres.

Ankle to shoulder midpoints span 0.745 statures in a crowd of which half walks. The centre of the shoulder is about a tenth of the upper
arm below the acromion (de Leva, Joint center longitudinal positions computed from a selected subset of Chandler's data, J. Biomech.
29:1231, 1996), whose height is 0.818 (Drillis and Contini, Body Segment Parameters, New York University, TR 1166-03, 1966): 0.798.
Standing straight spans 0.759; in a walking person one heel is off the ground most of the time and the trunk is lower: 0.73, an estimate
of this project.
"""


def plain(name: str, version: str = "") -> Source:
    """A source of which nothing is known but that its keypoints have scores."""
    return Source(name, version, ANNOTATED)
