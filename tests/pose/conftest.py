"""A photograph, tiles over it and people in them, for the tests of the 2D backends."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.imaging import GigapixelImage
from crowd3d.types import TileLayout


@pytest.fixture
def layout() -> TileLayout:
    """Five tiles of two sizes, one of them reaching over the image's edge."""
    boxes = np.array([[0, 0, 320, 320], [0, 160, 320, 480], [80, 580, 480, 980], [0, 320, 320, 640], [200, 0, 480, 280]])
    return TileLayout(boxes, np.array([[0, 0], [0, 1], [1, 0], [0, 2], [2, 0]]), (900, 480))


@pytest.fixture
def photograph(tmp_path: Path) -> GigapixelImage:
    """Grey, with white squares of 9 × 9 pixels around (100.5, 90.5), (400.5, 250.5) and (750.5, 300.5)."""
    pixels = np.full((480, 900, 3), 90, np.uint8)
    for u, v in [(100, 90), (400, 250), (750, 300)]:
        pixels[v - 4 : v + 5, u - 4 : u + 5] = 255
    path = tmp_path / "a crowd.v2_b.png"
    cv2.imwrite(str(path), pixels)
    return GigapixelImage(path)
