"""Pixels of a picture that is too large to be held: in a temporary file, of which only what is asked for is in memory."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import pyvips

from crowd3d.errors import BadImage
from crowd3d.imaging.stored import StoredPicture, decoding

ORIENTED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF orientation → upright view of the stored pixels; a view, so that no second copy of a gigapixel image exists."""
_FLIPPED_DOWN, _FLIPPED_ACROSS, _TRANSPOSED = (3, 4, 7, 8), (2, 3, 6, 7), (5, 6, 7, 8)
STRIP_BYTES = 32_000_000
_DECODED_BYTES = 3_000_000
"""Of what is decoded at once, libvips's steps keep some 25 copies."""


class DiskPixels:
    """8-bit sRGB, upright. The file is in the temporary folder (``TMPDIR``) and goes away with this object.

    Why not a file mapped into memory: its pages count as memory of the process, up to 3 bytes for every pixel.

    Attributes:
        size: upright (width, height) in pixels.

    Raises:
        BadImage: the picture is damaged, or the temporary folder is full.
    """

    def __init__(self, stored: StoredPicture) -> None:
        self._orientation = stored.orientation
        self._stored_size = stored.size
        self.size = stored.size[::-1] if self._orientation in _TRANSPOSED else stored.size
        self._lock = Lock()
        try:
            self._file = tempfile.TemporaryFile(prefix="crowd3d-", buffering=0)  # noqa: SIM115 - open as long as this object
            for strip in _strips(stored):
                self._file.write(strip)
        except OSError as error:
            where = f"{error.strerror or error}, in {tempfile.gettempdir()}"
            raise BadImage(f"cannot read image {stored.path}: {where}; free space in the temporary folder or set TMPDIR") from error

    def region(self, box: tuple[int, int, int, int]) -> np.ndarray:
        """(bottom − top, right − left, 3) uint8 of a box top, left, bottom, right inside the picture."""
        top, left, bottom, right = box
        width, height = self.size
        if self._orientation in _FLIPPED_DOWN:
            top, bottom = height - bottom, height - top
        if self._orientation in _FLIPPED_ACROSS:
            left, right = width - right, width - left
        if self._orientation in _TRANSPOSED:
            top, left, bottom, right = left, top, right, bottom
        return ORIENTED[self._orientation](self._read(top, left, bottom, right))

    def padded(self, box: tuple[int, int, int, int], fill: int) -> np.ndarray:
        """`region` of a box that may reach over the edges; `fill` is grey outside."""
        top, left, bottom, right = box
        low_v, high_v = np.clip([top, bottom], 0, self.size[1]).tolist()
        low_u, high_u = np.clip([left, right], 0, self.size[0]).tolist()
        if (low_v, low_u, high_v, high_u) == box:
            return np.ascontiguousarray(self.region(box))
        canvas = np.full((bottom - top, right - left, 3), fill, np.uint8)
        if low_v < high_v and low_u < high_u:
            canvas[low_v - top : high_v - top, low_u - left : high_u - left] = self.region((low_v, low_u, high_v, high_u))
        return canvas

    def reduced(self, size: tuple[int, int]) -> np.ndarray:
        """The whole picture, area-averaged to (width, height), neither larger than its own."""
        width, height = self.size
        down = height / size[1]
        target = np.empty((size[1], size[0], 3), np.uint8)
        at_once = max(1, int(STRIP_BYTES / (3 * width * down)))
        for first in range(0, size[1], at_once):
            last = min(first + at_once, size[1])
            top, bottom = int(first * down), min(height, math.ceil(last * down - 1e-9))
            strip = np.ascontiguousarray(self.region((top, 0, bottom, width)))
            across = cv2.resize(strip, (size[0], bottom - top), interpolation=cv2.INTER_AREA).astype(np.float32)
            # How much of every row lies in every row of the result.
            edge, row = np.arange(first, last)[:, None] * down, np.arange(top, bottom)
            share = np.clip(np.minimum(edge + down, row + 1) - np.maximum(edge, row), 0.0, None) / down
            mean = share.astype(np.float32) @ across.reshape(len(across), -1)
            target[first:last] = np.rint(mean).clip(0, 255).reshape(last - first, size[0], 3)
        return target

    def _read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """A box of the stored picture: whole rows at once where that is not much more than what is wanted."""
        width = self._stored_size[0]
        with self._lock:
            if 2 * (right - left) >= width:
                whole = np.empty((bottom - top, width, 3), np.uint8)
                self._fill(whole, 3 * width * top)
                return whole[:, left:right]
            part = np.empty((bottom - top, right - left, 3), np.uint8)
            for row, line in enumerate(part, top):
                self._fill(line, 3 * (width * row + left))
            return part

    def _fill(self, target: np.ndarray, start: int) -> None:
        self._file.seek(start)
        rest = target.data.cast("B")
        while rest:
            count = self._file.readinto(rest)
            if not count:
                raise BadImage("the temporary file of a picture was cut off; free space in the temporary folder or set TMPDIR")
            rest = rest[count:]


def shrunk(
    padded: Callable[[tuple[int, int, int, int], int], np.ndarray], box: tuple[int, int, int, int], factor: int, fill: int
) -> np.ndarray:
    """A box that may reach over a picture's edges, averaged in blocks of `factor`² pixels, strip by strip.

    Args:
        padded: reads a box top, left, bottom, right with a fill.
        box: of the same kind.
        factor: divides the box's sides.
        fill: grey outside of the picture.
    """
    top, left, bottom, right = box
    rows, columns = (bottom - top) // factor, (right - left) // factor
    target = np.full((rows, columns, 3), fill, np.uint8)
    at_once = max(1, STRIP_BYTES // (3 * factor * max(1, right - left)))
    for first in range(0, rows, at_once):
        last = min(first + at_once, rows)
        strip = padded((top + first * factor, left, top + last * factor, left + columns * factor), fill)
        target[first:last] = strip if factor == 1 else cv2.resize(strip, (columns, last - first), interpolation=cv2.INTER_AREA)
    return target


def _strips(stored: StoredPicture) -> Iterator[memoryview]:
    """The stored picture from top to bottom."""
    width, height = stored.size
    rows = max(1, min(height, _DECODED_BYTES // (3 * width)))
    with decoding(Path(stored.path)):
        pixels = pyvips.Region.new(stored.srgb("sequential"))
        for top in range(0, height, rows):
            yield memoryview(pixels.fetch(0, top, width, min(rows, height - top)))
