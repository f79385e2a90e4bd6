"""What is known of human poses before looking: mean, covariance and limits of the 23 joints of the body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from crowd3d.files import write_npz

LEAST_SIGMA_RAD = 0.06
"""Directions in which poses vary less than this are left as they are."""


@dataclass(frozen=True)
class PosePrior:
    """Normal distribution of body poses, axis-angle without the global orientation.

    Attributes:
        mean_rad: (69,) float64.
        basis_rad: (69, K) float64 principal directions times their standard deviations: pose = mean + basis · N(0, 1).
        lean: standard deviation of the horizontal part of the pelvis' up vector.
    """

    mean_rad: np.ndarray
    basis_rad: np.ndarray
    lean: float

    def coefficients(self, pose_rad: np.ndarray) -> np.ndarray:
        """(N, 69) poses → (N, K) standard coordinates."""
        return (pose_rad - self.mean_rad) @ (self.basis_rad / (self.basis_rad**2).sum(0))


@cache
def load_pose_prior() -> PosePrior:
    """The prior of the people of public places that this package ships."""
    with resources.as_file(resources.files("crowd3d.optimise") / "data" / "pose_prior.npz") as path, np.load(path) as arrays:
        return PosePrior(arrays["mean_rad"].astype(np.float64), arrays["basis_rad"].astype(np.float64), float(arrays["lean"]))


def fit_pose_prior(pose_rad: np.ndarray) -> PosePrior:
    """From sample poses (N, 24, 3), the first row the lean of an upright person."""
    body = pose_rad[:, 1:].reshape(len(pose_rad), 69)
    mean = body.mean(0)
    variance, directions = np.linalg.eigh(np.cov(body.T))
    kept = np.flatnonzero(variance > LEAST_SIGMA_RAD**2)[::-1]
    basis = directions[:, kept] * np.sqrt(variance[kept])
    # the horizontal part of the rotated up vector is the lean's axis turned by a right angle, to first order
    lean = np.sqrt(np.median(pose_rad[:, 0, [0, 2]] ** 2) / 0.455)
    return PosePrior(mean, basis, float(lean))


def build(path: Path, samples: int = 20_000, seed: int = 3) -> None:
    """Write the shipped file from the poses of synthetic crowds: ``python -m crowd3d.optimise.pose_prior``."""
    # here, because the generator of crowds is needed only when the file is built
    from crowd3d.synthetic import sample_skeletons

    prior = fit_pose_prior(sample_skeletons(np.random.default_rng(seed), samples)[0])
    write_npz(path, mean_rad=prior.mean_rad.astype(np.float32), basis_rad=prior.basis_rad.astype(np.float32), lean=np.array(prior.lean))


if __name__ == "__main__":
    build(Path(__file__).parent / "data" / "pose_prior.npz")
