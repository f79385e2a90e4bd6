"""From light to pixels: tone curve, white balance and sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

_LEVELS = 640


@dataclass(frozen=True)
class Development:
    """How a camera develops a picture.

    Attributes:
        curve: (640, 3) float32 output level per input level and channel.
        noise: standard deviation of the noise in mid-tones, levels.
    """

    curve: np.ndarray
    noise: float


def sample_development(rng: np.random.Generator, noise: float, strength: float = 1.0) -> Development:
    """Random exposure, white balance, gamma, contrast and offset; `strength` 0…1 scales how far they may go."""
    gain = np.exp(strength * rng.normal(0, 0.16)) * np.exp(strength * rng.normal(0, 0.04, 3))
    levels = (np.arange(_LEVELS)[:, None] * gain / 255.0).clip(0, 1.6)
    gamma = np.exp(strength * rng.uniform(-0.25, 0.25))
    contrast = 1 + strength * rng.uniform(-0.2, 0.15)
    curve = (255 * levels**gamma - 128) * contrast + 128 + strength * rng.normal(0, 8)
    return Development(curve.astype(np.float32), noise)


@njit(cache=True, nogil=True, fastmath=True)
def develop(image, curve, noise, amount, row_begin, row_end, out):
    """Develop rows of (H, W, 3) float32 light into uint8 `out`; `noise` (H, W, C) standard normal, C 1 for grey noise or 3."""
    coloured = noise.shape[2] == 3
    for y in range(row_begin, row_end):
        for x in range(image.shape[1]):
            for k in range(3):
                level = min(max(image[y, x, k], 0.0), curve.shape[0] - 2.0)
                i = int(level)
                value = curve[i, k] + (curve[i + 1, k] - curve[i, k]) * (level - i)
                value += noise[y, x, k if coloured else 0] * amount * (0.6 + 0.4 / 255.0 * value)
                out[y, x, k] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
