"""One colour per person, the same in every picture: told apart by colour-blind readers, and never shared by neighbours."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.types import People

HUES = np.array(
    [
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
    ],
    np.uint8,
)
"""(7, 3) RGB, the palette of Okabe and Ito (2008), without its black."""

_TONES = (0.0, 0.28, -0.22)
"""Towards white or, negative, towards black."""
_PALETTE = np.concatenate([np.rint(HUES + (255.0 - HUES) * tone if tone > 0 else HUES * (1.0 + tone)) for tone in _TONES]).astype(np.uint8)
"""(21, 3) RGB, row = 7 · tone + hue."""
_NEIGHBOURS = 5
_ROUNDS = 80


def person_colours(people: People) -> np.ndarray:
    """A colour for everybody, deterministic; neighbours on the ground and in the picture differ, mostly in hue.

    Args:
        people: N people.

    Returns:
        (N, 3) uint8 RGB.
    """
    count = len(people)
    if count == 0:
        return np.zeros((0, 3), np.uint8)
    # A person's height in pixels falls with 1/depth, so this makes picture distances comparable near and far.
    relative_px = people.hvip_px * people.hvip_cam_m[:, 2:] / max(float(np.median(people.hvip_cam_m[:, 2])), 1e-6)
    pairs = np.concatenate([_neighbour_pairs(people.hvip_cam_m), _neighbour_pairs(relative_px)])
    return _PALETTE[_colour_graph(count, pairs)]


def _neighbour_pairs(points: np.ndarray) -> np.ndarray:
    """(N, D) → (E, 2) indices of each point with its nearest neighbours, both directions."""
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(finite) < 2:
        return np.zeros((0, 2), np.int64)
    k = min(_NEIGHBOURS + 1, len(finite))
    _, nearest = cKDTree(points[finite]).query(points[finite], k=k)
    first = np.repeat(np.arange(len(finite)), k)
    pairs = finite[np.stack([first, nearest.reshape(-1)], axis=1)]
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.concatenate([pairs, pairs[:, ::-1]])


def _colour_graph(count: int, pairs: np.ndarray) -> np.ndarray:
    """Recolouring in rounds: a random half of those in conflict takes the colour that costs least among their neighbours.

    Equal hues are avoided as long as that works; equal colours, hue and tone, count as much worse.
    """
    rng = np.random.default_rng(1)
    colour = rng.integers(0, len(_PALETTE), count)
    for attempt in range(_ROUNDS):
        key = colour % len(HUES) if attempt < _ROUNDS // 2 else colour
        clash = np.zeros(count, bool)
        clash[pairs[key[pairs[:, 0]] == key[pairs[:, 1]], 0]] = True
        if not clash.any():
            break
        used = np.zeros((count, len(_PALETTE)))
        np.add.at(used, (pairs[:, 0], colour[pairs[:, 1]]), 1.0)
        hues = used.reshape(count, len(_TONES), len(HUES)).sum(axis=1)
        cost = np.tile(hues, len(_TONES)) + 8.0 * used + rng.uniform(0.0, 0.5, used.shape)
        colour = np.where(clash & (rng.random(count) < 0.5), np.argmin(cost, axis=1), colour)
    return colour
