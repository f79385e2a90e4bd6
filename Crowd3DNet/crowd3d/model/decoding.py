"""From dense maps to people: peaks of the centre map, and the 148 numbers of each person split into what they mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from crowd3d.geometry.rotations import matrix_to_axis_angle, rot6d_to_matrix
from crowd3d.model.crowd3dnet import Maps

PEAK_WINDOW = 5


@dataclass(frozen=True)
class Detections:
    """m people found in a batch of tiles, ordered by tile, then by falling score.

    Attributes:
        centers: (m, 2) int64 map cells x, y.
        score: (m,) value of the centre map at the cell.
        image_index: (m,) int64 row of the batch.
        numbers: (m, 148) predictions at the cell, channels as in `Maps.params_maps`.
        map_size: cells along a side of the map.
    """

    centers: Tensor
    score: Tensor
    image_index: Tensor
    numbers: Tensor
    map_size: int

    def __len__(self) -> int:
        return len(self.centers)

    @property
    def hvip_length(self) -> Tensor:
        """(m,) distance from torso centre to HVIP in the tile, 0…1."""
        return self.numbers[:, 0]

    @property
    def torso_offset(self) -> Tensor:
        """(m, 2) torso centre relative to the cell, 0…1."""
        return self.numbers[:, 1:3]

    @property
    def space_offset(self) -> Tensor:
        """(m, 3) torso centre relative to the perpendicular on the HVIP, 0…1."""
        return self.numbers[:, 3:6]

    @property
    def rotations(self) -> Tensor:
        """(m, 24, 3, 3) SMPL joint rotations, global one first; the hands, which are not predicted, are the identity."""
        predicted = rot6d_to_matrix(self.numbers[:, 6:138].unflatten(1, (22, 6)))
        hands = torch.eye(3, dtype=predicted.dtype, device=predicted.device).expand(len(predicted), 2, 3, 3)
        return torch.cat([predicted, hands], dim=1)

    @property
    def pose_rad(self) -> Tensor:
        """(m, 24, 3) the same as axis-angle."""
        return matrix_to_axis_angle(self.rotations)

    @property
    def betas(self) -> Tensor:
        """(m, 10) SMPL shape coefficients."""
        return self.numbers[:, 138:148]


def decode_maps(maps: Maps, threshold: float, top_k: int = 64) -> Detections:
    """Find people in the maps of a batch.

    A person is a cell whose centre score is the largest in its 5×5 neighbourhood and above `threshold`.

    Args:
        maps: output of `Crowd3DNet`.
        threshold: the release uses 0.25 for inference and 0.2 in training.
        top_k: at most so many people per tile, the best ones.

    Returns:
        The people of all tiles; none at all is a valid result.
    """
    score, cell = peaks(maps.center_map, top_k)
    image_index, rank = (score > threshold).nonzero(as_tuple=True)
    cell = cell[image_index, rank]
    side = maps.center_map.shape[-1]
    x, y = cell % side, cell // side
    return Detections(
        centers=torch.stack([x, y], dim=1),
        score=score[image_index, rank],
        image_index=image_index,
        numbers=maps.params_maps[image_index, :, y, x],
        map_size=side,
    )


def peaks(center_map: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """(B, 1, H, W) → scores and flat cells (B, K) of the best local maxima, best first; K = min(top_k, H·W).

    Cells that are not a local maximum count as 0.
    """
    candidates = local_maxima(center_map).flatten(1)
    best = candidates.topk(min(top_k, candidates.shape[1]), dim=1)
    return best.values, best.indices


def local_maxima(center_map: Tensor) -> Tensor:
    """(B, 1, H, W), 0 in cells that are not the largest of their 5×5 neighbourhood."""
    highest = F.max_pool2d(center_map, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2)
    return torch.where(center_map == highest, center_map, 0.0)
