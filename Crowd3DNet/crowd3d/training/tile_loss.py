"""Loss of Crowd3DNet on synthetic tiles, where everything is known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crowd3d.geometry.rotations import rot6d_to_matrix
from crowd3d.model import Maps
from crowd3d.model.place_maps import HVIP_REACH, TORSO_OFFSET_TILES

CENTER_WEIGHT, HVIP_WEIGHT, TORSO_WEIGHT, POSE_WEIGHT, BETAS_WEIGHT, OFFSET_WEIGHT = 1.0, 6.0, 10.0, 2.0, 0.1, 0.5


def center_loss(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Focal loss of CornerNet on raw centre maps (B, h, w), mean over images, cells that are not counted left out."""
    clipped = predicted.clamp(1e-4, 1 - 1e-4)
    positive = (target == 1).float()
    gain = positive * clipped.log() * (1 - predicted) ** 2
    loss = (1 - positive) * (1 - clipped).log() * predicted**2 * (1 - target) ** 4 * counted
    peaks = positive.sum((1, 2))
    return -((gain + loss).sum((1, 2)) / peaks.clamp(min=1.0)).mean()


def tile_loss(maps: Maps, batch: list[Tensor]) -> dict[str, Tensor]:
    """Terms of a batch, already weighted; `batch` is `TileBatch.tensors()`.

    Parameters are read at the cell of each person's true torso centre, half of the time at a neighbour: that is where
    predicted centres fall.
    """
    _, _, _, center_map, counted, tile, torso, hvip, rotations, betas = batch
    side = center_map.shape[-1]
    terms = {"center": CENTER_WEIGHT * center_loss(maps.center_map[:, 0], center_map, counted)}
    if not len(tile):
        return terms
    cell = (torso * side).long() + torch.randint(-1, 2, torso.shape) * (torch.rand(len(torso), 1) < 0.5)
    cell = cell.clamp(0, side - 1)
    numbers = maps.params_maps[tile, :, cell[:, 1], cell[:, 0]]
    torso_predicted = cell / side + TORSO_OFFSET_TILES * (2 * numbers[:, 1:3] - 1)
    length = (hvip - torso).norm(dim=1) * 2 / HVIP_REACH
    terms["hvip"] = HVIP_WEIGHT * ((numbers[:, 0] - length).abs() / length.clamp(min=0.1)).mean() / 4
    terms["torso"] = TORSO_WEIGHT * (torso_predicted - torso).norm(dim=1).mean()
    terms["offset"] = OFFSET_WEIGHT * (numbers[:, 3:6] - 0.5).abs().mean()
    predicted = rot6d_to_matrix(numbers[:, 6:138].reshape(-1, 22, 6))
    error = (predicted - rotations).abs().mean((2, 3))
    terms["pose"] = POSE_WEIGHT * (error[:, 0].mean() + error[:, 1:].mean())
    terms["betas"] = BETAS_WEIGHT * F.smooth_l1_loss(numbers[:, 138:], betas)
    return terms
