"""Detectors that work inside this process: tiles are cut from the photograph in memory, batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crowd3d.imaging import GigapixelImage
from crowd3d.progress import progress_bar
from crowd3d.types import TileLayout

Detector = Callable[[np.ndarray], list[np.ndarray]]
"""(B, S, S, 3) uint8 RGB tiles → for each of them (n, 17, 3) u, v, score in pixels of the tile."""


def detect_in_tiles(
    image: GigapixelImage, layout: TileLayout, detector: Detector, tile_px: int, batch_size: int, describe: str
) -> tuple[np.ndarray, np.ndarray]:
    """Run a detector on all tiles of a layout.

    Args:
        image: the photograph.
        layout: the tiles.
        detector: finds people in a batch of tiles.
        tile_px: side in pixels to which tiles are resized.
        batch_size: tiles per call of `detector`.
        describe: label of the progress bar.

    Returns:
        (M, 17, 3) float64 u, v, score in scene pixels; (M,) int64 rows of `layout`.
    """
    people: list[np.ndarray] = [np.zeros((0, 17, 3))]
    tiles: list[np.ndarray] = [np.zeros(0, np.int64)]
    with progress_bar(total=len(layout), desc=describe, unit="tile") as bar:
        for rows, crops in image.crops(layout.boxes, tile_px, batch_size):
            found = detector(crops)
            people += found
            tiles += [np.full(len(keypoints), row) for row, keypoints in zip(rows, found, strict=True)]
            bar.update(len(rows))
    keypoints, tile_index = np.concatenate(people).astype(np.float64), np.concatenate(tiles)
    return in_scene(keypoints, layout.boxes[tile_index], tile_px), tile_index


def in_scene(keypoints: np.ndarray, boxes: np.ndarray, tile_px: int) -> np.ndarray:
    """(M, 17, 3) u, v, score in pixels of resized tiles, whose `boxes` (M, 4) are given → u, v in scene pixels."""
    top, left, bottom = boxes[:, :3].T
    moved = np.array(keypoints, np.float64)
    moved[..., :2] *= ((bottom - top) / tile_px)[:, None, None]
    moved[..., :2] += np.stack([left, top], axis=1)[:, None]
    return moved
