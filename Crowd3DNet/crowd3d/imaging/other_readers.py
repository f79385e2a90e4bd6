"""Pictures that libvips cannot read: through Pillow and its plugins, and through tifffile, where they are installed."""

from __future__ import annotations

import importlib
import logging
import math
import struct
import warnings
from collections.abc import Mapping
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from crowd3d.errors import BadImage
from crowd3d.imaging.formats import HEIC, JPEG_XL, TIFF, Format

log = logging.getLogger(__name__)

MOST_PILLOW_PX = 300_000_000
"""Pillow holds a whole picture in memory."""
_PLUGINS = {HEIC: "pillow_heif", JPEG_XL: "pillow_jxl"}
_BRIGHT, _WHITE_IS_ZERO, _CIELAB = (1, 2), 0, 8
_TIFFFILE_ERRORS = (ValueError, RuntimeError, ImportError, OSError, LookupError, TypeError, ArithmeticError, MemoryError, struct.error)
"""Its own error is a ValueError; those of its codecs are RuntimeErrors, or an ImportError where imagecodecs is absent."""
_NAMES = {0x9291: "SubSecTimeOriginal", 0xA002: "PixelXDimension", 0xA003: "PixelYDimension"}
"""Names of the EXIF standard where Pillow has others."""
_pillow = Lock()


class Decoded(NamedTuple):
    """A picture as another reader gives it.

    Attributes:
        pixels: (H, W), (H, W, 3) or (H, W, 4) of any number type; may be a file mapped into memory.
        lab: whether they are L* 0…100, a*, b* rather than brightnesses.
        orientation: EXIF orientation that is still to be applied.
        tags: EXIF tag name → value as text.
    """

    pixels: np.ndarray
    lab: bool = False
    orientation: int = 1
    tags: Mapping[str, str] = MappingProxyType({})


def decode(path: Path, kind: Format | None, bits: int | None = None) -> Decoded | None:
    """The whole picture, or None when no installed reader knows it.

    Args:
        path: the file.
        kind: its format, None when unknown.
        bits: bits per sample of a TIFF.

    Raises:
        BadImage: a reader knows it, but it is damaged, or too large for that reader.
    """
    if kind is TIFF and find_spec("tifffile") is not None:
        decoded = _by_tifffile(path)
        if decoded is not None:
            return decoded
    decoded = _by_pillow(path, kind)
    if decoded is not None and kind is TIFF and (bits or 8) > 8 and decoded.pixels.ndim == 3:
        # Pillow keeps the upper 8 bits of 16, in which 12-bit data are black.
        return None if decoded.pixels.max(initial=0) < 64 else decoded
    return decoded


def _by_pillow(path: Path, kind: Format | None) -> Decoded | None:
    plugin = _PLUGINS.get(kind) if kind is not None else None
    if plugin is not None:
        if find_spec(plugin) is None:
            return None
        module = importlib.import_module(plugin)
        if plugin == "pillow_heif":
            module.register_heif_opener()
    # The limit is global, and ours is another one.
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(path) as image:
                if image.width * image.height > MOST_PILLOW_PX:
                    told = f"{image.width}×{image.height} pixels"
                    raise BadImage(f"cannot read image {path}: {told} of this format need too much memory; save it as JPEG or tiled TIFF")
                image.load()
                return from_pillow(image)
        except UnidentifiedImageError:
            return None
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, TypeError, IndexError, RuntimeError) as error:
            if kind is TIFF:
                return None
            reason = str(error).split("\n")[0].strip() or type(error).__name__
            raise BadImage(f"cannot read image {path}: {reason}; it is damaged, save or download it again") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def from_pillow(image: Image.Image) -> Decoded:
    """A picture that Pillow has loaded."""
    exif = image.getexif()
    named = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    tags = {_NAMES.get(tag) or ExifTags.TAGS.get(tag, str(tag)): _text(value) for tag, value in named.items()}
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    lab = image.mode == "LAB"
    if lab:
        pixels = _lab(np.array(image))
    elif image.mode.startswith(("I", "F")):
        pixels = np.asarray(image)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    else:
        clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        pixels = np.asarray(image.convert("RGBA" if clear else "RGB"))
    return Decoded(pixels, lab, orientation if isinstance(orientation, int) else 1, tags)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(Fraction(value).limit_denominator(1_000_000))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return str(value)


def _lab(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as in a TIFF: L* of 255, then a* and b* as signed bytes → float32."""
    signed = pixels.view(np.int8).astype(np.float32)
    return np.stack([pixels[..., 0] * np.float32(100 / 255), signed[..., 1], signed[..., 2]], -1)


def _by_tifffile(path: Path) -> Decoded | None:
    """Any codec that imagecodecs knows; pictures of any size, decoded into a temporary file."""
    import tifffile

    # Its warnings come besides the one error that is told.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            photometric = int(page.photometric)
            if photometric not in (*_BRIGHT, _WHITE_IS_ZERO, _CIELAB) or "".join(page.axes) not in ("YX", "YXS", "SYX"):
                return None
            # A damaged header may ask for millions of strips, each of which would be looked for.
            if len(page.dataoffsets) != math.prod(page.chunked):
                return None
            pixels = page.asarray(out="memmap")
            pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
            orientation = page.tags["Orientation"].value if "Orientation" in page.tags else 1
    except _TIFFFILE_ERRORS as error:
        log.debug("tifffile cannot read %s: %s", path, error)
        return None
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        return None
    if photometric == _WHITE_IS_ZERO:
        pixels = ~pixels if pixels.dtype.kind in "bu" else -pixels
    if photometric == _CIELAB:
        if pixels.dtype != np.uint8:
            return None
        return Decoded(_lab(np.array(pixels)), True, int(orientation))
    return Decoded(pixels, False, int(orientation))
