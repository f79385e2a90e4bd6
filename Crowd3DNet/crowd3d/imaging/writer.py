"""Writing pictures: small ones as JPEG, those of any size strip by strip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyvips

from crowd3d.errors import BadOutput
from crowd3d.files import atomic_path
from crowd3d.imaging.strip_source import StripSource

LARGEST_JPEG_PX = 65535
"""Neither side of a JPEG may be longer."""
_TILE_PX = 256
_BIG_TIFF_BYTES = 2**32
"""TIFF counts bytes in 32 bits; above this the file is a BigTIFF. Uncompressed size, to be on the safe side."""


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


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8 without loss, atomically; see `write_jpeg`."""
    encoded = pyvips.Image.new_from_array(np.ascontiguousarray(image)).pngsave_buffer()
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(encoded)


def path_for_size(path: Path, size: tuple[int, int]) -> Path:
    """The name of a picture of (width, height) pixels: as given, or ``.tif`` where JPEG does not reach."""
    return path if max(size) <= LARGEST_JPEG_PX else path.with_suffix(".tif")


def write_strips(path: Path, size: tuple[int, int], strips: Iterable[np.ndarray], quality: int = 92) -> None:
    """Write a picture of any size atomically, one strip in memory at a time.

    Args:
        path: a JPEG; or where the name ends in ``.tif``, a tiled pyramid in a TIFF or BigTIFF, JPEG-compressed, which QGIS, QuPath,
            vipsdisp and tile servers show without reading all of it. See `path_for_size`.
        size: (width, height) in pixels.
        strips: (h, width, 3) uint8 RGB, from top to bottom, together as high as the picture.
        quality: JPEG quality 1…100; from 90 on, colours are kept at full resolution.

    Raises:
        BadOutput: the folder is read-only, the disk is full, or the path is unusable.
        Exception: whatever went wrong while a strip was made.
    """
    source = StripSource(size, strips)
    try:
        with atomic_path(path) as temporary:
            _to_file(temporary, _tiff(source.image, quality) if path.suffix == ".tif" else _jpeg(source.image, quality))
    except pyvips.Error as error:
        if source.error is not None:
            raise source.error from error
        reason = next((line.strip() for line in error.detail.splitlines() if line.strip()), error.message)
        raise BadOutput(f"cannot write {path}: {reason}; free space or choose another folder") from error


def _jpeg(image: pyvips.Image, quality: int) -> Callable[[pyvips.Target], None]:
    return lambda target: image.jpegsave_target(target, Q=quality)


def _tiff(image: pyvips.Image, quality: int) -> Callable[[pyvips.Target], None]:
    options = {"compression": "jpeg", "Q": quality, "tile": True, "tile_width": _TILE_PX, "tile_height": _TILE_PX, "pyramid": True}
    big = 3 * image.width * image.height >= _BIG_TIFF_BYTES
    return lambda target: image.tiffsave_target(target, bigtiff=big, **options)


def _to_file(path: Path, save: Callable[[pyvips.Target], None]) -> None:
    """By an open file rather than by name: libvips knows only names in UTF-8."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        save(pyvips.Target.new_to_descriptor(handle))
    finally:
        os.close(handle)
