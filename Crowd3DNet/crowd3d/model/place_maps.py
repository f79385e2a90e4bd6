"""What the shipped Crowd3DNet is shown, and how its maps tell where people are; see `place_net`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TILE_PX = 256
"""Side of the tiles that the compact backbone was made for."""
TORSO_OFFSET_TILES = 0.25
"""Reach of the torso centre's offset from its cell, in tile sides."""
HVIP_REACH = 1.5
"""Longest HVIP line in half tile sides."""
MOST_IN_TILE = 64


class Peaks(NamedTuple):
    """m people found in a batch of tiles, ordered by tile, then by falling score.

    Attributes:
        tile: (m,) rows of the batch.
        y, x: (m,) cells of the map.
        score: (m,) confidence.
    """

    tile: np.ndarray
    y: np.ndarray
    x: np.ndarray
    score: np.ndarray


def find_peaks(maxima: np.ndarray, threshold: float) -> Peaks:
    """The best `MOST_IN_TILE` of every tile, above `threshold`, of maps (B, 1, H, W) that are 0 beside their local maxima."""
    tile, _, y, x = np.nonzero(maxima > threshold)
    score = maxima[tile, 0, y, x]
    order = np.lexsort((-score, tile))
    first = np.searchsorted(tile, tile)
    order = order[np.arange(len(tile)) - first < MOST_IN_TILE]
    return Peaks(tile[order], y[order], x[order], score[order])


def torso_and_reach(peaks: Peaks, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, 2) torso centres and (m,) distances from there to HVIPs, in tile sides, from `Places.place_maps` (B, 3, H, W)."""
    numbers = places[peaks.tile, :, peaks.y, peaks.x]
    cell = np.stack([peaks.x, peaks.y], 1) / places.shape[-1]
    return cell + TORSO_OFFSET_TILES * (2 * numbers[:, 1:3] - 1), numbers[:, 0] * HVIP_REACH / 2
