"""Train the top-down keypoint network on rendered scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from crowd3d.model.crop_points import CROP_HEIGHT_M, CROP_SIZE, HVIP, TORSO, decode_crop_points
from crowd3d.model.keypoint_net import KeypointNet
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
    images = crops.tensors()[0]
    heat, attributes = (torch.cat(parts).cpu().numpy() for parts in zip(*map(network, images.split(128)), strict=True))
    found = decode_crop_points(heat, attributes)
    present = crops.present
    error = np.linalg.norm(found.xy_px - crops.xy_px, axis=-1)
    share = error / STATURE_PX
    joints = share[present][:, :TORSO]
    seen = (crops.visibility[present] == 2)[:, :TORSO]
    return {
        "pck5": float((joints < 0.05).mean()),
        "pck5_seen": float((joints[seen] < 0.05).mean()),
        "pck10": float((joints < 0.10).mean()),
        "hvip": float(np.median(share[present][:, HVIP])),
        "torso": float(np.median(share[present][:, TORSO])),
        "depth_m": float(np.median(np.abs(found.depth_m - crops.depth_m)[present][:, :TORSO])),
        "coverage": float((error < found.sigma_px)[present][:, :TORSO].mean()),
        "presence": float(((found.visible[:, TORSO] > 0.5) == present).mean()),
    }
