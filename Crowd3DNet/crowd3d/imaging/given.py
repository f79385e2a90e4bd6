"""Photographs as programs have them: a path, the bytes of a file, an array, a picture of Pillow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from crowd3d.errors import BadImage
from crowd3d.imaging.other_readers import Decoded, from_pillow
from crowd3d.imaging.reader import GigapixelImage

Given = str | Path | bytes | np.ndarray | Image.Image
"""A photograph as programs give it: path, content of a file, (H, W, 3) uint8 RGB array, or picture of Pillow."""
NAME = "image"
"""What a photograph without a file is called."""


@contextmanager
def opened(given: Given) -> Iterator[GigapixelImage]:
    """A photograph, ready to be read; of bytes a temporary file is kept as long as this is entered.

    Args:
        given: path; content of a file in any format; (H, W, 3) uint8 RGB array; picture of Pillow in any mode.

    Raises:
        BadImage: see `GigapixelImage`; an array of another kind.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        with tempfile.TemporaryDirectory(prefix="crowd3d-") as folder:
            path = Path(folder) / NAME
            path.write_bytes(given)
            yield GigapixelImage(path)
    elif isinstance(given, np.ndarray):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or 0 in given.shape:
            raise BadImage(f"a photograph as an array is (height, width, 3) uint8 RGB, not {given.dtype} of shape {given.shape}")
        yield GigapixelImage(NAME, Decoded(given))
    elif isinstance(given, Image.Image):
        try:
            given.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise BadImage(f"cannot read the picture of Pillow: {error}; save or download it again") from error
        yield GigapixelImage(Path(getattr(given, "filename", "") or NAME).name, from_pillow(given))
    else:
        yield GigapixelImage(given)
