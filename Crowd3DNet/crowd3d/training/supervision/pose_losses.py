"""Losses of pose and shape, and the prior that keeps poses human."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crowd3d.bodies.unpickle import read_arrays
from crowd3d.errors import MissingAsset
from crowd3d.training.supervision.averages import Averaged, alone, masked_mean

HINGES = (52, 55, 9, 12)
HINGE_SIGNS = (1.0, -1.0, -1.0, -1.0)
"""Numbers of the 69 of a body pose that bend elbows and knees, and the sign in which they must not bend."""


def pose_loss(predicted: Tensor, target: Tensor, orientation: Tensor, pose: Tensor, averaged: Averaged = alone) -> Tensor:
    """Frobenius distance of rotations: the global one, plus the mean over the 21 body joints.

    Args:
        predicted, target: (N, 22, 3, 3), global rotation first.
        orientation, pose: (N,) bool, people whose global and whose body rotations are known.
    """
    distance = (predicted - target).flatten(2).norm(dim=-1)
    return masked_mean(distance[:, 0], orientation, averaged) + masked_mean(distance[:, 1:].mean(1), pose, averaged)


def shape_loss(predicted: Tensor, target: Tensor, known: Tensor, averaged: Averaged = alone) -> Tensor:
    """Distance of betas where they are known; where they are not, all but the first, which is stature, are drawn to zero.

    Args:
        predicted, target: (N, 10).
        known: (N,) bool.
    """
    distance = (predicted - target).norm(dim=-1)
    size = predicted[:, 1:].square().mean(1)
    return masked_mean(distance, known, averaged) / 20 + masked_mean(size, ~known, averaged) / 10


@dataclass(frozen=True, eq=False)
class PosePriorGmm:
    """Mixture of C normal distributions of body poses, 69 numbers of axis-angle without the global orientation.

    Attributes:
        means: (C, 69).
        precisions: (C, 69, 69) inverse covariances.
        costs: (C,) −log of the weights, each divided by the volume of its component.
    """

    means: Tensor
    precisions: Tensor
    costs: Tensor

    @classmethod
    def from_arrays(cls, means: np.ndarray, covariances: np.ndarray, weights: np.ndarray) -> PosePriorGmm:
        """From the arrays (C, 69), (C, 69, 69), (C,) of a mixture."""
        covariances = np.asarray(covariances, np.float64)
        # volumes relative to the smallest, as logarithms, because determinants of 69 dimensions underflow
        volume = np.linalg.slogdet(covariances)[1] / 2
        costs = volume - volume.min() + means.shape[1] / 2 * np.log(2 * np.pi) - np.log(weights)
        arrays = (np.asarray(means, np.float64), np.linalg.inv(covariances), costs)
        return cls(*(torch.from_numpy(array) for array in arrays))

    @classmethod
    def load(cls, path: Path) -> PosePriorGmm:
        """Read SMPLify's ``gmm_08.pkl``: a dictionary of means, covars and weights.

        Raises:
            MissingAsset: the file is absent or not such a mixture.
        """
        try:
            arrays = read_arrays(path, ("means", "covars", "weights"))
            if arrays["means"].shape[1:] != (69,) or arrays["covars"].shape != (len(arrays["means"]), 69, 69):
                raise ValueError(f"means {arrays['means'].shape}, covars {arrays['covars'].shape}")
            return cls.from_arrays(arrays["means"], arrays["covars"], arrays["weights"].reshape(-1))
        except (OSError, KeyError, ValueError, pickle.UnpicklingError, np.linalg.LinAlgError) as error:
            raise MissingAsset(f"{path} is no pose prior ({error}); put SMPLify's gmm_08.pkl there, or remove it") from error

    def to(self, like: Tensor) -> PosePriorGmm:
        """The same prior on the device and in the dtype of a tensor."""
        return PosePriorGmm(*(getattr(self, name).to(like) for name in ("means", "precisions", "costs")))

    def cost(self, body_pose_rad: Tensor) -> Tensor:
        """(N, 69) → (N,) cost of the likeliest component."""
        deviation = body_pose_rad[:, None] - self.means
        squared = torch.einsum("nci,cij,ncj->nc", deviation, self.precisions, deviation)
        return (squared / 2 + self.costs).amin(1)


def prior_loss(body_pose_rad: Tensor, prior: PosePriorGmm | None, people: Tensor, averaged: Averaged = alone) -> Tensor:
    """Cost of unlikely poses, and of elbows and knees that bend the wrong way.

    Args:
        body_pose_rad: (N, 69) axis-angle of joints 1…23.
        prior: None leaves the likelihood out.
        people: (N,) bool, those who count.
    """
    bend = body_pose_rad[:, HINGES] * body_pose_rad.new_tensor(HINGE_SIGNS)
    loss = masked_mean(bend.exp().square().sum(1), people, averaged) / 5
    if prior is None:
        return loss
    return loss + masked_mean(prior.to(body_pose_rad).cost(body_pose_rad), people, averaged) / 100
