"""Which prediction is taught whose labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from crowd3d.model.decoding import peaks


class Matches(NamedTuple):
    """N pairs of an annotated person and the prediction nearest to them in their image.

    Attributes:
        image_index, person_index: (N,) int64 row of the batch and of its people.
        cell: (N, 2) int64 x, y of the predicted centre in the map.
        score: (N,) value of the centre map there.
    """

    image_index: Tensor
    person_index: Tensor
    cell: Tensor
    score: Tensor


def match(center_map: Tensor, person_centers: Tensor, present: Tensor, threshold: float, top_k: int = 64) -> Matches:
    """Give every annotated person the nearest predicted centre of their image.

    Several people may share a prediction; predictions without a person teach nothing, images without predictions neither.

    Args:
        center_map: (B, 1, H, H) raw centre maps.
        person_centers: (B, P, 2) x, y in tile coordinates, −1…1.
        present: (B, P) bool, rows that hold a person.
        threshold: predictions above it count.
        top_k: at most so many predictions per image.
    """
    side = center_map.shape[-1]
    score, flat = peaks(center_map.detach(), top_k)
    predicted = torch.stack([flat % side, flat // side], dim=-1)
    wanted = ((person_centers + 1) / 2 * side).long().clamp(0, side - 1)
    distance = torch.cdist(wanted.float(), predicted.float(), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distance.masked_fill((score <= threshold)[:, None], torch.inf).min(dim=2)
    image_index, person_index = (present & nearest.values.isfinite()).nonzero(as_tuple=True)
    rank = nearest.indices[image_index, person_index]
    return Matches(image_index, person_index, predicted[image_index, rank], score[image_index, rank])
