"""Train the top-down keypoint network on rendered scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from crowd3d.model.keypoint_net import CROP_HEIGHT_M, CROP_SIZE, HVIP, TORSO, KeypointNet, decode_crop_points
from crowd3d.training.keypoint_loss import keypoint_loss
from crowd3d.training.loop import fit, made_ahead
from crowd3d.training.person_crops import PersonBatch, sample_person_crops
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import SceneStore
from crowd3d.types import NOMINAL_STATURE_M

BATCH = 64
SCENES_PER_BATCH = 9
HELD_OUT_SCENES = 120
STATURE_PX = NOMINAL_STATURE_M / CROP_HEIGHT_M * CROP_SIZE[0]


def train_keypoints(network: KeypointNet, scenes: Path, held_out: Path, folder: Path, recipe: Recipe) -> None:
    """Train `network` on the scenes of one folder, validate on those of another, write to `folder`."""
    cv2.setNumThreads(1)
    store, validation = SceneStore.load(scenes), SceneStore.load(held_out, most=1)
    held = range(min(HELD_OUT_SCENES, len(validation)))
    crops = gather([sample_person_crops(validation, scene, np.random.default_rng([7, scene])) for scene in held])

    def make_batch(rng: np.random.Generator) -> PersonBatch:
        chosen = rng.integers(len(store), size=SCENES_PER_BATCH)
        batch = gather([sample_person_crops(store, scene, rng) for scene in chosen])
        rows = rng.permutation(len(batch.images))[:BATCH]
        return PersonBatch(*(field[rows] for field in batch))

    def loss(network: nn.Module, batch: PersonBatch) -> dict[str, Tensor]:
        images, *labels = batch.tensors()
        return keypoint_loss(*network(images), *labels)

    metadata = {"network": "keypoints"}
    fit(network, made_ahead(make_batch), loss, lambda network: keypoint_figures(network, crops), recipe, folder, metadata)


def gather(batches: list[PersonBatch]) -> PersonBatch:
    """One batch of several."""
    return PersonBatch(*(np.concatenate(field) for field in zip(*batches, strict=True)))


def keypoint_figures(network: nn.Module, crops: PersonBatch) -> dict[str, float]:
    """Accuracy on `crops`; distances as shares of the stature.

    pck5: keypoints within 5 %, pck5_seen: of those that are visible; hvip, torso: median error; depth_m: median;
    coverage: share of keypoints within their stated standard deviation (0.39 for a calibrated round Gaussian);
    presence: accuracy of telling people from background.
    """
    images, xy, visibility, depth, present = crops.tensors()
    outputs = [network(chunk) for chunk in images.split(128)]
    found = decode_crop_points(torch.cat([o[0] for o in outputs]), torch.cat([o[1] for o in outputs]))
    error = (found.xy_px - xy).norm(dim=-1)
    share = error / STATURE_PX
    joints = share[present][:, :TORSO]
    seen = (visibility[present] == 2)[:, :TORSO]
    return {
        "pck5": float((joints < 0.05).float().mean()),
        "pck5_seen": float((joints[seen] < 0.05).float().mean()),
        "pck10": float((joints < 0.10).float().mean()),
        "hvip": float(share[present][:, HVIP].median()),
        "torso": float(share[present][:, TORSO].median()),
        "depth_m": float((found.depth_m - depth)[present][:, :TORSO].abs().median()),
        "coverage": float((error < found.sigma_px)[present][:, :TORSO].float().mean()),
        "presence": float(((found.visible[:, TORSO] > 0.5) == present).float().mean()),
    }
