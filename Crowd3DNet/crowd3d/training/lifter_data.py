"""Training pairs of the lifter: endless posed skeletons with the errors of 2D sources, and what these really measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crowd3d.bodies import COCO17_FLIP, COCO17_FROM_SMPL54, SMPL_POSE_FLIP, TORSO54, load_body
from crowd3d.bodies.joints import TORSO17
from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.model.crop_points import HVIP, TORSO
from crowd3d.model.lifter_values import LOG_SIGMA_UNKNOWN, LifterInput
from crowd3d.synthetic import sample_skeletons
from crowd3d.training.lifter_pairs import LifterPairs, LifterTruth

UNKNOWN_DEPTH_SHARE = 0.3
OTHER_BACKEND_SHARE = 0.2
SCALE_SIGMA = 0.04
"""Relative error of the assumed distance, from camera and ground."""


class PairMaker:
    """Draws batches: simulated skeletons with errors taken from the predictions of several sources, and the predictions themselves.

    Every source counts alike, whatever the number of its predictions.
    """

    def __init__(self, sources: Sequence[LifterPairs], seed: int, skeletons: int = 60_000) -> None:
        self.predictions = predictions = LifterPairs.joined(sources)
        self.sizes = np.array([len(source.true_depth_m) for source in sources])
        measured = predictions.measured
        self.residual = measured.tangent_m - predictions.true_tangent_m
        self.depth_residual = measured.depth_m - predictions.true_depth_m
        self.hvip_residual = measured.hvip_tangent_m - predictions.truth.hvip_tangent_m
        poses, betas, lowest = sample_skeletons(np.random.default_rng(seed), skeletons)
        joints = load_body("free_low").restrict().pose(poses, betas)[1]
        joints[..., 1] -= lowest[:, None]
        torso = joints[:, TORSO54].mean(1, keepdims=True)
        points = np.concatenate([joints[:, COCO17_FROM_SMPL54], torso, torso * [1.0, 0.0, 1.0]], 1)
        self.points = _float(points - torso)
        self.rotations = axis_angle_to_matrix(_float(poses))
        self.betas = _float(betas)

    def batch(self, rng: np.random.Generator, simulated: int, real: int) -> tuple[LifterInput, LifterTruth]:
        """`simulated` + `real` people."""
        parts = [self._simulated(rng, simulated), self._real(rng, real)]
        measured = LifterInput(*map(torch.cat, zip(*(part[0] for part in parts), strict=True)))
        truth = LifterTruth(*map(torch.cat, zip(*(part[1] for part in parts), strict=True)))
        return without_depth(measured, rng.random(simulated + real) < UNKNOWN_DEPTH_SHARE), truth

    def _rows(self, rng: np.random.Generator, count: int) -> Tensor:
        """Somebody of a source, `count` times."""
        source = rng.integers(len(self.sizes), size=count)
        return torch.from_numpy(np.cumsum(np.r_[0, self.sizes])[source] + rng.integers(self.sizes[source]))

    def _real(self, rng: np.random.Generator, count: int) -> tuple[LifterInput, LifterTruth]:
        rows = self._rows(rng, count)
        measured = LifterInput(*(field[rows] for field in self.predictions.measured))
        truth = LifterTruth(*(field[rows] for field in self.predictions.truth))
        measured, truth = _mirrored(measured, truth, torch.from_numpy(rng.random(count) < 0.5))
        return _rescaled(measured, truth, _float(np.exp(rng.normal(0, SCALE_SIGMA, count))))

    def _simulated(self, rng: np.random.Generator, count: int) -> tuple[LifterInput, LifterTruth]:
        body = torch.from_numpy(rng.integers(len(self.points), size=count))
        yaw = _float(rng.uniform(-np.pi, np.pi, count))
        turn = axis_angle_to_matrix(torch.stack([torch.zeros(count), yaw, torch.zeros(count)], 1))
        points = torch.einsum("nij,nkj->nki", turn, self.points[body])
        rotations = self.rotations[body].clone()
        rotations[:, 0] = turn @ rotations[:, 0]
        elevation = _float(np.deg2rad(np.abs(rng.uniform(1, 50, count) * rng.choice([0.3, 1.0], count))))
        distance = _float(np.exp(rng.uniform(np.log(3.5), np.log(200), count)))
        sine, cosine = elevation.sin()[:, None], elevation.cos()[:, None]
        depth = -points[..., 1] * sine - points[..., 2] * cosine
        tangent = torch.stack([points[..., 0], points[..., 1] * cosine - points[..., 2] * sine], -1)
        tangent = tangent * (distance[:, None] / (distance[:, None] + depth).clamp(min=1.0))[..., None]
        errors = self._rows(rng, count)
        predicted = self.predictions.measured
        foreign = torch.from_numpy(rng.random(count) < OTHER_BACKEND_SHARE)
        sigma = _float(np.exp(rng.uniform(np.log(0.008), np.log(0.15), (count, 17)) * rng.uniform(0.9, 1.1, (count, 1))))
        noise = sigma[..., None] * _float(rng.normal(size=(count, 17, 2)))
        log_sigma = predicted.log_sigma[errors].clone()
        log_sigma[foreign] = torch.stack([sigma.log(), torch.full_like(sigma, LOG_SIGMA_UNKNOWN)], -1)[foreign]
        measured = LifterInput(
            tangent_m=tangent[:, :TORSO] + torch.where(foreign[:, None, None], noise, self.residual[errors]),
            depth_m=torch.where(foreign[:, None], 0.0, depth[:, :TORSO] + self.depth_residual[errors]),
            log_sigma=log_sigma,
            visible=torch.where(foreign[:, None], (1.3 - 8 * sigma).clamp(0, 1), predicted.visible[errors]),
            other_m=torch.where(foreign[:, None, None], 0.0, predicted.other_m[errors]),
            other_share=torch.where(foreign[:, None], 0.0, predicted.other_share[errors]),
            elevation_rad=elevation,
            distance_m=distance,
            hvip_tangent_m=tangent[:, HVIP] + self.hvip_residual[errors],
        )
        truth = LifterTruth(rotations, self.betas[body], tangent[:, HVIP], tangent[:, TORSO])
        measured, truth = _recentred(measured, truth)
        slip = 1 + (measured.hvip_tangent_m - truth.hvip_tangent_m)[:, 1] / elevation.tan() / distance
        return _rescaled(measured, truth, slip.clamp(0.8, 1.25) * _float(np.exp(rng.normal(0, SCALE_SIGMA, count))))


def _recentred(measured: LifterInput, truth: LifterTruth) -> tuple[LifterInput, LifterTruth]:
    """Move the tangent plane's origin to where the measured shoulders and hips put the torso centre, as `measure` does."""
    shift = measured.tangent_m[:, TORSO17].mean(1)
    moved = measured._replace(tangent_m=measured.tangent_m - shift[:, None], hvip_tangent_m=measured.hvip_tangent_m - shift)
    return moved, truth._replace(hvip_tangent_m=truth.hvip_tangent_m - shift, torso_tangent_m=truth.torso_tangent_m - shift)


def _mirrored(measured: LifterInput, truth: LifterTruth, chosen: Tensor) -> tuple[LifterInput, LifterTruth]:
    """The `chosen` (N,) people as a mirror shows them: right becomes left."""
    swap, joint_swap = torch.from_numpy(COCO17_FLIP), torch.from_numpy(np.asarray(SMPL_POSE_FLIP))
    across, beside = torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0, 1.0])

    def pick(field: Tensor, other: Tensor) -> Tensor:
        return torch.where(chosen.reshape(-1, *[1] * (field.ndim - 1)), other, field)

    measured = measured._replace(
        tangent_m=pick(measured.tangent_m, measured.tangent_m[:, swap] * across),
        depth_m=pick(measured.depth_m, measured.depth_m[:, swap]),
        log_sigma=pick(measured.log_sigma, measured.log_sigma[:, swap]),
        visible=pick(measured.visible, measured.visible[:, swap]),
        other_m=pick(measured.other_m, measured.other_m[:, swap] * across),
        other_share=pick(measured.other_share, measured.other_share[:, swap]),
        hvip_tangent_m=pick(measured.hvip_tangent_m, measured.hvip_tangent_m * across),
    )
    truth = LifterTruth(
        rotations=pick(truth.rotations, beside[:, None] * truth.rotations[:, joint_swap] * beside),
        betas=truth.betas,
        hvip_tangent_m=pick(truth.hvip_tangent_m, truth.hvip_tangent_m * across),
        torso_tangent_m=pick(truth.torso_tangent_m, truth.torso_tangent_m * across),
    )
    return measured, truth


def _rescaled(measured: LifterInput, truth: LifterTruth, scale: Tensor) -> tuple[LifterInput, LifterTruth]:
    """The same picture with distances assumed `scale` times as large."""
    log_sigma = measured.log_sigma.clone()
    log_sigma[..., 0] += scale.log()[:, None]
    measured = measured._replace(
        tangent_m=measured.tangent_m * scale[:, None, None],
        log_sigma=log_sigma,
        other_m=measured.other_m * scale[:, None, None],
        distance_m=measured.distance_m * scale,
        hvip_tangent_m=measured.hvip_tangent_m * scale[:, None],
    )
    truth = truth._replace(hvip_tangent_m=truth.hvip_tangent_m * scale[:, None], torso_tangent_m=truth.torso_tangent_m * scale[:, None])
    return measured, truth


def without_depth(measured: LifterInput, chosen: np.ndarray) -> LifterInput:
    """The same where nobody tells the depths of the `chosen` (N,) people, as with some backends."""
    hidden = torch.from_numpy(chosen)
    log_sigma = measured.log_sigma.clone()
    log_sigma[hidden, :, 1] = LOG_SIGMA_UNKNOWN
    return measured._replace(depth_m=torch.where(hidden[:, None], 0.0, measured.depth_m), log_sigma=log_sigma)


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))
