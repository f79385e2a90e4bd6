"""Train the keypoint lifter on simulated skeletons and on the keypoint network's predictions for rendered scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.bodies import COCO17_FROM_SMPL54, load_body
from crowd3d.evaluation.metrics import aligned_joint_errors_mm
from crowd3d.model.keypoint_net import KeypointNet
from crowd3d.model.lifter import Lifter, LifterInput
from crowd3d.training.lifter_data import LifterPairs, LifterTruth, PairMaker, predicted_pairs
from crowd3d.training.loop import fit, made_ahead
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import SceneStore
from crowd3d.training.supervision.losses import pa_mpjpe_loss

BATCH_SIMULATED, BATCH_REAL = 112, 400
SCENES = 2000
HELD_OUT_SCENES = 200
JOINTS = 49
"""The first of the 54 joints; the others lie between them."""
JUDGED = [*COCO17_FROM_SMPL54[5:], 47, 48]
"""Limbs, neck and crown: the joints by which poses are compared."""


def train_lifter(lifter: Lifter, keypoints: KeypointNet, scenes: Path, held_out: Path, folder: Path, recipe: Recipe) -> None:
    """Train `lifter` on the errors of `keypoints`, a trained network; other arguments as for the other networks."""
    keypoints.eval()
    store, validation = SceneStore.load(scenes), SceneStore.load(held_out, most=1)
    maker = PairMaker(predicted_pairs(keypoints, store, range(min(SCENES, len(store))), seed=1), seed=2)
    held = predicted_pairs(keypoints, validation, range(min(HELD_OUT_SCENES, len(validation))), seed=3)
    skeleton = load_body("free_low").restrict()
    judged = torch.zeros(JOINTS, dtype=torch.bool)
    judged[JUDGED] = True

    def make_batch(rng: np.random.Generator) -> tuple[LifterInput, LifterTruth]:
        return maker.batch(rng, BATCH_SIMULATED, BATCH_REAL)

    def joints(rotations: Tensor, betas: Tensor) -> Tensor:
        return skeleton.forward_rotations(rotations, betas).joints54[:, :JOINTS]

    def loss(network: nn.Module, batch: tuple[LifterInput, LifterTruth]) -> dict[str, Tensor]:
        measured, truth = batch
        found = network(measured)
        predicted, true = joints(found.rotations, found.betas), joints(truth.rotations, truth.betas)
        centred = predicted - predicted[:, :1], true - true[:, :1]
        return {
            "rotations": 2.0 * F.smooth_l1_loss(found.rotations, truth.rotations, beta=0.05),
            "joints": 10.0 * F.smooth_l1_loss(*centred, beta=0.05),
            "posture": 15.0 * pa_mpjpe_loss(predicted, true, judged.expand(len(true), -1)),
            "betas": 0.1 * F.smooth_l1_loss(found.betas, truth.betas, beta=0.05),
            "hvip": 3.0 * F.smooth_l1_loss(found.hvip_tangent_m, truth.hvip_tangent_m, beta=0.05),
            "torso": 3.0 * F.smooth_l1_loss(found.torso_tangent_m, truth.torso_tangent_m, beta=0.05),
        }

    metadata = {"network": "lifter", "body": "free"}
    fit(lifter, made_ahead(make_batch), loss, lambda trained: lifter_figures(trained, held, joints), recipe, folder, metadata)


def lifter_figures(lifter: nn.Module, held: LifterPairs, joints: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
    """Accuracy on held-out people: mpjpe_mm and pa_mpjpe_mm over SMPL-24 joints relative to the pelvis, hvip_m and hvip_in_m the
    median errors after and before, flipped the share of people who face more than 90° wrong."""
    found = lifter(held.measured)
    predicted, true = joints(found.rotations, found.betas)[:, :24], joints(held.truth.rotations, held.truth.betas)[:, :24]
    error = ((predicted - predicted[:, :1]) - (true - true[:, :1])).norm(dim=-1)
    facing = (found.rotations[:, 0, :, 2] * held.truth.rotations[:, 0, :, 2]).sum(-1)
    return {
        "mpjpe_mm": float(error.mean()) * 1000,
        "pa_mpjpe_mm": float(aligned_joint_errors_mm(predicted.double().numpy(), true.double().numpy()).mean()),
        "hvip_m": float((found.hvip_tangent_m - held.truth.hvip_tangent_m).norm(dim=1).median()),
        "hvip_in_m": float((held.measured.hvip_tangent_m - held.truth.hvip_tangent_m).norm(dim=1).median()),
        "flipped": float((facing < 0).float().mean()),
    }
