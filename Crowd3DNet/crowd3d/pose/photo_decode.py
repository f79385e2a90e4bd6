"""From the maps of the networks that were trained on photographs to boxes and keypoints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crowd3d.model.photo_nets import FINDER_STRIDES, KEYPOINT_STRIDE

LEAST_CENTRE = 0.03
"""A peak of the centre map below this is nobody's."""
PEAKS = 12
"""So many of the strongest peaks are compared."""
OWN_REACH_CELLS = 3.0
"""Heat counts inversely to this plus its distance from where the person's centre expects the keypoint."""
EXPECTED_MARGIN = 0.06
"""A box is larger than the keypoints in it by this share of their extent."""
FALLBACK_FIT = 0.1
"""What a centre counts whose joints miss the box."""
APART_CELLS = 3
"""A second place is at least so far from the first."""


def decode_boxes(maps: tuple[Tensor, ...], threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """People's boxes of a batch of tiles (NanoDet: generalised focal loss, distances as distributions over bins).

    Args:
        maps: for each stride (B, 1 + 4·K, h, w): person logit, then logits of K distances to left, top, right, bottom in strides.
        threshold: least probability.

    Returns:
        (N,) rows of the batch, (N, 4) left, top, right, bottom in pixels of the tile, (N,) probabilities.
    """
    rows, boxes, scores = [], [], []
    for stride, level in zip(FINDER_STRIDES, maps, strict=True):
        probability = level[:, 0].sigmoid()
        row, y, x = (probability > threshold).nonzero(as_tuple=True)
        bins = level[row, 1:, y, x].unflatten(1, (4, -1))
        distance = (bins.softmax(-1) * torch.arange(bins.shape[-1], dtype=bins.dtype)).sum(-1) * stride
        centre = (torch.stack([x, y], 1) + 0.5) * stride
        rows.append(row)
        boxes.append(torch.cat([centre - distance[:, :2], centre + distance[:, 2:]], 1))
        scores.append(probability[row, y, x])
    return torch.cat(rows), torch.cat(boxes), torch.cat(scores)


def decode_keypoints(maps: tuple[Tensor, ...], half_px: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Keypoints of the one person of each crop whom its box means (MoveNet, decoded with the box known).

    Of all peaks of the centre map the person is the one whose expected joints fit the box best: in a crowd the strongest centre may be a
    neighbour's.

    Args:
        maps: of `model.photo_nets.MoveNet`: centre (B, 1, h, w) and keypoints (B, 17, h, w) as probabilities; from each centre cell to the
            person's keypoints, and from a cell to the keypoint in it, (B, 17, 2, h, w) x, y in cells.
        half_px: (B, 2) half the box's width and height in crop pixels; its middle is the crop's.

    Returns:
        (B, 17, 2) crop pixels, (B, 17) scores; (B, 17, 2) second places and (B, 17) their scores; (B,) score of the centre.
    """
    centre, heat, regress, offset = maps
    height, width = centre.shape[2:]
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")).to(heat.dtype)
    peak = torch.where((centre == F.max_pool2d(centre, 3, 1, 1)) & (centre > LEAST_CENTRE), centre, -1.0).flatten(1)
    peak[:, height // 2 * width + width // 2].clamp_(min=1e-6)  # without any peak the middle counts
    strength, cells = peak.topk(PEAKS, 1)
    index = cells[:, None, None].expand(-1, *regress.shape[1:3], -1)
    expected = grid.flatten(1)[:, cells].transpose(0, 1)[:, None] + regress.flatten(3).gather(3, index)
    fit = _fit(expected, half_px / KEYPOINT_STRIDE, torch.tensor([width, height]) / 2)
    chosen = torch.where(strength > 0, strength.clamp_min(0).sqrt() * (fit + FALLBACK_FIT), -1.0).argmax(1)
    own = expected[torch.arange(len(chosen)), :, :, chosen]
    across = (torch.arange(width) - own[:, :, :1]).square()[:, :, None]
    down = (torch.arange(height) - own[:, :, 1:]).square()[..., None]
    weighted = heat / ((across + down).sqrt_() + OWN_REACH_CELLS)
    first = weighted.flatten(2).argmax(-1)
    near = (torch.arange(width) - (first % width)[..., None]).abs() < APART_CELLS
    near_down = (torch.arange(height) - (first // width)[..., None]).abs() < APART_CELLS
    second = weighted.masked_fill(near_down[..., :, None] & near[..., None, :], 0.0).flatten(2).argmax(-1)
    xy, score = _place(first, heat, offset)
    other, other_score = _place(second, heat, offset)
    return xy, score, other, other_score, strength[torch.arange(len(chosen)), chosen]


def _place(cell: Tensor, heat: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 17) flat cells → crop pixels and heat there."""
    width = heat.shape[-1]
    index = cell[..., None]
    inner = offset.flatten(3).gather(3, index[:, :, None].expand(-1, -1, 2, -1))[..., 0]
    corner = torch.stack([cell % width, cell // width], -1)
    return (corner + inner) * KEYPOINT_STRIDE, heat.flatten(2).gather(2, index)[..., 0]


def _fit(expected: Tensor, half: Tensor, middle: Tensor) -> Tensor:
    """(B, K) IoU of the box and the boxes around the joints (B, 17, 2, K) that K cells expect."""
    low, high = expected.amin(1), expected.amax(1)
    margin = EXPECTED_MARGIN * (high - low).amax(1, keepdim=True)
    low, high = low - margin, high + margin
    half, middle = half[..., None], middle[:, None]
    inner = (torch.minimum(high, middle + half) - torch.maximum(low, middle - half)).clamp_min(0).prod(1)
    return inner / ((high - low).prod(1) + (2 * half).prod(1) - inner).clamp_min(1e-6)
