"""The pose prior of the network's training and fine-tuning: SMPLify's mixture where it is, else the project's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd3d.optimise.pose_prior import LEAST_SIGMA_RAD, load_pose_prior
from crowd3d.training.supervision import PosePriorGmm

GMM_FILE = "gmm_08.pkl"


def load_network_prior(smpl_folder: Path | None) -> PosePriorGmm:
    """``gmm_08.pkl`` of the folder with the SMPL files; without it one normal distribution of the poses of synthetic crowds.

    Raises:
        MissingAsset: the file is there and is no mixture.
    """
    if smpl_folder is not None and (Path(smpl_folder) / GMM_FILE).is_file():
        return PosePriorGmm.load(Path(smpl_folder) / GMM_FILE)
    own = load_pose_prior()
    covariance = own.basis_rad @ own.basis_rad.T + LEAST_SIGMA_RAD**2 * np.eye(69)
    return PosePriorGmm.from_arrays(own.mean_rad[None], covariance[None], np.ones(1))
