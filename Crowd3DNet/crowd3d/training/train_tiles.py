"""Train Crowd3DNet with the compact backbone on rendered scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from crowd3d.model import Crowd3DNet, decode_maps
from crowd3d.model.place_maps import HVIP_REACH, TORSO_OFFSET_TILES
from crowd3d.training.loop import fit, made_ahead
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import SceneStore
from crowd3d.training.tile_crops import TileBatch, sample_tiles
from crowd3d.training.tile_loss import tile_loss

BATCH = 16
MATCH_RADIUS = 0.18
"""A detection belongs to a person when their torso centres are closer than this share of their torso's height over the ground."""
THRESHOLD = 0.3


def train_tiles(network: Crowd3DNet, scenes: Path, held_out: Path, folder: Path, recipe: Recipe) -> None:
    """Train `network`, which has the compact backbone, on the scenes of one folder, validate on those of another, write to `folder`."""
    cv2.setNumThreads(1)
    store, validation = SceneStore.load(scenes), SceneStore.load(held_out, most=1)
    rng = np.random.default_rng(7)
    held = [sample_tiles(validation, rng.integers(len(validation), size=40), rng) for _ in range(5)]

    def make_batch(rng: np.random.Generator) -> TileBatch:
        return sample_tiles(store, rng.integers(len(store), size=BATCH), rng)

    def loss(network: nn.Module, batch: TileBatch) -> dict[str, Tensor]:
        tensors = batch.tensors()
        return tile_loss(network(*tensors[:3]), tensors)

    metadata = {"network": "crowd3dnet", "backbone": "compact"}
    fit(network, made_ahead(make_batch), loss, lambda network: tile_figures(network, held), recipe, folder, metadata)


def tile_figures(network: nn.Module, batches: list[TileBatch]) -> dict[str, float]:
    """precision, recall, f1 of centres at `THRESHOLD`; hvip: median error as a share of the true torso height."""
    right = found = wanted = 0
    hvip_errors: list[Tensor] = []
    for batch in batches:
        tensors = batch.tensors()
        maps = network(*tensors[:3])
        people = decode_maps(maps, threshold=THRESHOLD)
        side = maps.center_map.shape[-1]
        torso = people.centers / side + TORSO_OFFSET_TILES * (2 * people.torso_offset - 1)
        tile, true_torso, true_hvip = tensors[5], tensors[6], tensors[7]
        height = (true_hvip - true_torso).norm(dim=1)
        cells = (true_torso * side).long()
        peak = tensors[3][tile, cells[:, 1], cells[:, 0]] == 1
        wanted += int(peak.sum())
        if not len(torso):
            continue
        cost = (torso[:, None] - true_torso).norm(dim=2) / height
        cost[people.image_index[:, None] != tile] = torch.inf
        best, nearest = cost.min(1)
        mutual = (best < MATCH_RADIUS) & (cost.argmin(0)[nearest] == torch.arange(len(torso)))
        counted = tensors[4][people.image_index, people.centers[:, 1], people.centers[:, 0]]
        matched = mutual & peak[nearest]
        right += int(matched.sum())
        found += int((matched | (counted & ~mutual)).sum())
        down = (true_hvip - true_torso)[nearest] / height[nearest, None]
        hvip = torso + down * (people.hvip_length[:, None] * HVIP_REACH / 2)
        hvip_errors.append(((hvip - true_hvip[nearest]).norm(dim=1) / height[nearest])[mutual])
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "hvip": float(torch.cat(hvip_errors).median()) if hvip_errors else 1.0,
    }
