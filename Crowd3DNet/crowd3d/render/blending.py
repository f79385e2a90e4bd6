"""Drawn bodies laid over the photograph."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def blend(photo, drawn, identity, rim, opacity, rim_opacity):
    """Lay bodies over `photo`, in place.

    Args:
        photo, drawn: (h, w, 3) uint8.
        identity: (h, w) whose body a pixel shows, 0 for nobody's.
        rim: (h, w) uint8, 255 inside the soft rim around bodies.
        opacity: of bodies.
        rim_opacity: of the rim, where it is 255.
    """
    for y in range(identity.shape[0]):
        for x in range(identity.shape[1]):
            if rim[y, x] == 0:
                continue
            cover = np.float32(opacity if identity[y, x] > 0 else rim_opacity * rim[y, x] / 255)
            for k in range(3):
                photo[y, x, k] = np.rint(photo[y, x, k] * (np.float32(1.0) - cover) + drawn[y, x, k] * cover)
