"""From the maps of the networks that were trained on photographs to boxes and keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import expit, softmax

from crowd3d.model.photo_maps import FINDER_STRIDES, KEYPOINT_STRIDE

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


def decode_boxes(maps: Sequence[np.ndarray], threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People's boxes of a batch of tiles (NanoDet: generalised focal loss, distances as distributions over bins).

    Args:
        maps: for each stride (B, 1 + 4·K, h, w): person logit, then logits of K distances to left, top, right, bottom in strides.
        threshold: least probability.

    Returns:
        (N,) rows of the batch, (N, 4) left, top, right, bottom in pixels of the tile, (N,) probabilities.
    """
    rows, boxes, scores = [], [], []
    for stride, level in zip(FINDER_STRIDES, maps, strict=True):
        probability = expit(level[:, 0])
        row, y, x = np.nonzero(probability > threshold)
        bins = level[row, 1:, y, x].reshape(-1, 4, level.shape[1] // 4)
        distance = softmax(bins, axis=-1) @ np.arange(bins.shape[-1], dtype=bins.dtype) * stride
        centre = (np.stack([x, y], 1) + np.float32(0.5)) * stride
        rows.append(row)
        boxes.append(np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], 1))
        scores.append(probability[row, y, x])
    return np.concatenate(rows), np.concatenate(boxes), np.concatenate(scores)


def decode_keypoints(maps: Sequence[np.ndarray], half_px: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    highest = sliding_window_view(np.pad(centre, ((0, 0), (0, 0), (1, 1), (1, 1)), "edge"), (3, 3), (2, 3)).max((-1, -2))
    peak = np.where((centre == highest) & (centre > LEAST_CENTRE), centre, np.float32(-1.0)).reshape(len(centre), -1)
    middle = height // 2 * width + width // 2
    peak[:, middle] = np.maximum(peak[:, middle], 1e-6)  # without any peak the middle counts
    cells = np.argsort(-peak, axis=1, kind="stable")[:, :PEAKS]
    strength = np.take_along_axis(peak, cells, 1)
    at_cells = np.take_along_axis(regress.reshape(*regress.shape[:3], -1), cells[:, None, None], 3)
    expected = np.stack([cells % width, cells // width], 1)[:, None] + at_cells
    fit = _fit(expected, half_px / KEYPOINT_STRIDE, np.array([width, height]) / 2)
    chosen = np.where(strength > 0, np.sqrt(np.maximum(strength, 0)) * (fit + FALLBACK_FIT), -1.0).argmax(1)
    batch = np.arange(len(chosen))
    own = expected[batch, :, :, chosen].astype(np.float32)[..., None, None]
    weighted = heat / (np.sqrt((across - own[:, :, 0]) ** 2 + (down - own[:, :, 1]) ** 2) + np.float32(OWN_REACH_CELLS))
    first = weighted.reshape(*heat.shape[:2], -1).argmax(-1)
    column, row = first[..., None, None] % width, first[..., None, None] // width
    near = (np.abs(across - column) < APART_CELLS) & (np.abs(down - row) < APART_CELLS)
    second = np.where(near, 0.0, weighted).reshape(*heat.shape[:2], -1).argmax(-1)
    return *_place(first, heat, offset), *_place(second, heat, offset), strength[batch, chosen]


def _place(cell: np.ndarray, heat: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, 17) flat cells → crop pixels and heat there."""
    width = heat.shape[-1]
    inner = np.take_along_axis(offset.reshape(*offset.shape[:3], -1), cell[:, :, None, None], 3)[..., 0]
    corner = np.stack([cell % width, cell // width], -1).astype(np.float32)
    score = np.take_along_axis(heat.reshape(*heat.shape[:2], -1), cell[..., None], 2)[..., 0]
    return (corner + inner) * KEYPOINT_STRIDE, score


def _fit(expected: np.ndarray, half: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(B, K) IoU of the box and the boxes around the joints (B, 17, 2, K) that K cells expect."""
    low, high = expected.min(1), expected.max(1)
    margin = EXPECTED_MARGIN * (high - low).max(1, keepdims=True)
    low, high = low - margin, high + margin
    half, middle = half[..., None], middle[:, None]
    inner = np.maximum(np.minimum(high, middle + half) - np.maximum(low, middle - half), 0).prod(1)
    return inner / np.maximum((high - low).prod(1) + (2 * half).prod(1) - inner, 1e-6)
