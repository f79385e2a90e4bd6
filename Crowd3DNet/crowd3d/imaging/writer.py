"""Writing JPEG images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips

from crowd3d.files import atomic_path


def write_jpeg(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an RGB image atomically.

    Args:
        path: any suffix; the content is JPEG.
        image: (H, W, 3) uint8 RGB, each side ≤ 65535 pixels.
        quality: JPEG quality 1…100; from 90 on, colours are kept at full resolution.

    Raises:
        BadOutput: the folder is read-only, the disk is full, or the path is unusable.
    """
    encoded = pyvips.Image.new_from_array(np.ascontiguousarray(image)).jpegsave_buffer(Q=quality)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(encoded)
