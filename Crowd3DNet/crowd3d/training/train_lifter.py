"""Train the keypoint lifter on simulated skeletons and on what 2D sources measure in rendered scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.bodies import COCO17_FROM_SMPL54, load_body
from crowd3d.evaluation.metrics import aligned_joint_errors_mm
from crowd3d.model.lifter import Lifter
from crowd3d.model.lifter_values import LifterInput
from crowd3d.training.lifter_data import PairMaker, without_depth
from crowd3d.training.lifter_pairs import LifterPairs, LifterTruth, PairSource, predicted_pairs
from crowd3d.training.loop import fit_in_rounds
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import scene_shards
from crowd3d.training.supervision.losses import pa_mpjpe_loss

BATCH_SIMULATED, BATCH_REAL = 112, 400
JOINTS = 49
"""The first of the 54 joints; the others lie between them."""
JUDGED = [*COCO17_FROM_SMPL54[5:], 47, 48]
"""Limbs, neck and crown: the joints by which poses are compared."""


def train_lifter(lifter: Lifter, sources: Sequence[PairSource], scenes: Path, held_out: Path, folder: Path, recipe: Recipe) -> None:
    """Train `lifter` on the errors of the `sources`; other arguments as for the other networks."""
    kept = folder / "pairs"
    maker = PairMaker([predicted_pairs(source, scene_shards(scenes), kept) for source in sources], seed=2)
    held = {source.name: predicted_pairs(source, scene_shards(held_out), kept) for source in sources}
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

    def figures(trained: nn.Module) -> dict[str, float]:
        return {f"{name}_{key}": value for name, pairs in held.items() for key, value in lifter_figures(trained, pairs, joints).items()}

    metadata = {"network": "lifter", "body": "free", "sources": " ".join(f"{source.name}-{source.version}" for source in sources)}
    fit_in_rounds(lifter, make_batch, loss, figures, recipe, folder, metadata)


def lifter_figures(lifter: nn.Module, held: LifterPairs, joints: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
    """Accuracy on held-out people: mpjpe_mm and pa_mpjpe_mm over SMPL-24 joints relative to the pelvis, hvip_m and hvip_in_m the
    median errors after and before, flipped the share of people who face more than 90° wrong; flat_pa_mpjpe_mm with depths hidden."""
    found = lifter(held.measured)
    flat = lifter(without_depth(held.measured, np.ones(len(held.true_depth_m), bool)))
    predicted, true = joints(found.rotations, found.betas)[:, :24], joints(held.truth.rotations, held.truth.betas)[:, :24]
    error = ((predicted - predicted[:, :1]) - (true - true[:, :1])).norm(dim=-1)
    facing = (found.rotations[:, 0, :, 2] * held.truth.rotations[:, 0, :, 2]).sum(-1)
    return {
        "mpjpe_mm": float(error.mean()) * 1000,
        "pa_mpjpe_mm": float(aligned_joint_errors_mm(predicted.double().numpy(), true.double().numpy()).mean()),
        "flat_pa_mpjpe_mm": float(
            aligned_joint_errors_mm(joints(flat.rotations, flat.betas)[:, :24].double().numpy(), true.double().numpy()).mean()
        ),
        "hvip_m": float((found.hvip_tangent_m - held.truth.hvip_tangent_m).norm(dim=1).median()),
        "hvip_in_m": float((held.measured.hvip_tangent_m - held.truth.hvip_tangent_m).norm(dim=1).median()),
        "flipped": float((facing < 0).float().mean()),
    }
