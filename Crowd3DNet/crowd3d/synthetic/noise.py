"""Hash and value noise for procedural textures."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, inline="always")
def hash01(i, j, seed):
    """Pseudo-random number in 0…1 of a lattice point."""
    n = (np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(seed) * 974634777) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@njit(cache=True, nogil=True, fastmath=True)
def noise2(x, y, seed):
    """Smooth value noise in 0…1 with features of about one unit."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx), int(fy)
    u, v = x - fx, y - fy
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    low = hash01(i, j, seed) * (1.0 - u) + hash01(i + 1, j, seed) * u
    high = hash01(i, j + 1, seed) * (1.0 - u) + hash01(i + 1, j + 1, seed) * u
    return low * (1.0 - v) + high * v


@njit(cache=True, nogil=True, fastmath=True)
def fractal(x, y, frequency, footprint, gain, seed):
    """Sum of octaves of `noise2` in 0…1; octaves finer than the `footprint` of a pixel (same unit as x) are left out."""
    total, weight, amplitude = 0.0, 1e-6, 1.0
    for octave in range(4):
        if frequency * footprint > 0.6:
            break
        total += amplitude * noise2(x * frequency, y * frequency, seed + octave)
        weight += amplitude
        amplitude *= gain
        frequency *= 3.1
    return total / weight if weight > 1e-3 else 0.5
