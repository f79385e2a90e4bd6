"""A picture as it is stored: opened by whichever reader knows it, turned into 8-bit sRGB, not yet upright."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pyvips

from crowd3d.errors import BadImage
from crowd3d.imaging.formats import BMP, HEIC, TIFF, Format, format_of, read_head
from crowd3d.imaging.other_readers import Decoded, decode
from crowd3d.imaging.ranges import Range, find_range, needs_range, remark, to_8_bits
from crowd3d.imaging.tiff_tags import TiffTags, read_tiff_tags

# Its warnings come as many lines; what matters in them becomes one error here.
logging.getLogger("pyvips").setLevel(logging.ERROR)

_LACKING = re.compile(
    r"compression|not (configured|implemented|built in|been built in)|whole number of bytes|out of range|labq|unsupported|not supported",
    re.IGNORECASE,
)
"""What libvips says of a sound file that this build cannot read."""
_VIPS_FORMATS = {np.dtype(name): kind for name, kind in (("u1", "uchar"), ("i1", "char"), ("u2", "ushort"), ("i2", "short"))}
_VIPS_FORMATS |= {np.dtype(name): kind for name, kind in (("u4", "uint"), ("i4", "int"), ("f4", "float"), ("f8", "double"))}
_UPRIGHT = 1


class StoredPicture:
    """The pixels of a file, in the file's own orientation.

    Attributes:
        path: the file.
        size: stored (width, height) in pixels.
        orientation: EXIF orientation 1…8.
        tags: EXIF tag name → value as text.

    Args:
        path: of the file.
        decoded: the picture, where a program has it and no file is read.

    Raises:
        BadImage: the file is missing, empty, no picture, or in a format that no installed reader knows, which the message names.
    """

    def __init__(self, path: Path, decoded: Decoded | None = None) -> None:
        self.path = path
        self._tiff: TiffTags | None = None
        self._array: pyvips.Image | None = None
        self.tags: Mapping[str, str] = {}
        if decoded is None:
            self._examine()
        else:
            self._array, self.tags = _from_decoded(decoded), decoded.tags
        header = self._open("sequential")
        self.size = (header.width, header.height)
        value = header.get("orientation") if header.get_typeof("orientation") else _UPRIGHT
        self.orientation = value if value in range(1, 9) else _UPRIGHT
        if self._array is None:
            self.tags = {name.rsplit("-", 1)[1]: str(header.get(name)) for name in header.get_fields() if name.startswith("exif-ifd")}

    def _examine(self) -> None:
        """Find out who can read the file."""
        path = self.path
        head = read_head(path)
        if not head:
            raise BadImage(f"image {path} is an empty file; copy or download it again")
        self._kind = format_of(head, path.suffix)
        if self._kind is not None and self._kind.kind != "picture":
            raise BadImage(f"cannot read image {path}: it is {self._kind.name}; {self._kind.remedy}")
        self._tiff = read_tiff_tags(path) if self._kind is TIFF else None
        if self._kind is BMP:
            self._array = _from_array(_decode_bmp(path))
        elif not self._libvips_reads():
            decoded = decode(path, self._kind, self._tiff.bits if self._tiff else None)
            if decoded is None:
                raise _unreadable(path, self._kind, self._tiff)
            self._array, self.tags = _from_decoded(decoded), decoded.tags

    def srgb(self, access: str) -> pyvips.Image:
        """8-bit sRGB with three bands, transparency over white; `access` as in libvips. Nothing is decoded before it is asked for."""
        image = self._open(access)
        if self._range is not None:
            return to_8_bits(image, self._range)
        image = image.colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=[255.0] * (image.bands - 1))
        return image.extract_band(0, n=3).cast("uchar")

    @cached_property
    def _range(self) -> Range | None:
        """Of brightnesses in more than 8 bits; None where the kind of samples tells it all."""
        image = self._open("sequential")
        if not needs_range(image):
            return None
        said = (self._tiff.low, self._tiff.high) if self._tiff else (None, None)
        span = find_range(image, said, self._tiff.bits if self._tiff else None)
        remark(self.path, span)
        return span

    def _libvips_reads(self) -> bool:
        """Whether libvips is the reader; other errors than a lacking codec come up when it is opened again."""
        try:
            image = self._open_by_libvips("sequential", "warning" if self._kind is TIFF else "truncated")
            if self._kind in (TIFF, HEIC):
                # A missing codec shows when the first pixels are decoded, in TIFF as a mere warning.
                image.crop(0, 0, min(8, image.width), min(8, image.height)).avg()
        except pyvips.Error as error:
            if self._kind is None or "known format" in error.detail:
                return False
            return self._kind not in (TIFF, HEIC) or not _LACKING.search(error.detail)
        return True

    def _open(self, access: str) -> pyvips.Image:
        if self._array is not None:
            return self._array
        with decoding(self.path):
            return self._open_by_libvips(access, "truncated")

    def _open_by_libvips(self, access: str, fail_on: str) -> pyvips.Image:
        return pyvips.Image.new_from_source(_source(self.path), "", access=access, fail_on=fail_on)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn the errors of libvips, which have many lines, into one."""
    try:
        yield
    except pyvips.Error as error:
        reason = next((line.strip() for line in error.detail.splitlines() if line.strip()), error.message)
        full = "space left" in error.detail
        remedy = "free space in the temporary folder or set TMPDIR" if full else "it is damaged or no image, save or download it again"
        raise BadImage(f"cannot read image {path}: {reason}; {remedy}") from error


def _source(path: Path) -> pyvips.Source:
    """A source rather than a name, because libvips takes "[…]" at the end of a name for options, and knows only names in UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return pyvips.Source.new_from_descriptor(handle)
        finally:
            os.close(handle)
    return pyvips.Source.new_from_file(str(path))


def _unreadable(path: Path, kind: Format | None, tiff: TiffTags | None) -> BadImage:
    if kind is None:
        return BadImage(f"cannot read image {path}: it begins like no picture format that is known; it is damaged or no image")
    if tiff is not None:
        told = f"TIFF with {tiff.bits} bits per sample and {tiff.codec} compression"
        return BadImage(
            f"cannot read image {path}: {told} is not supported by the installed readers, or it is damaged; "
            "pip install tifffile imagecodecs, or save it with 8 bits and LZW, Deflate or JPEG compression"
        )
    return BadImage(f"cannot read image {path}: {kind.name} is not supported by the installed readers; {kind.remedy}")


def _from_decoded(decoded: Decoded) -> pyvips.Image:
    image = _from_array(decoded.pixels)
    image = image.copy(interpretation="lab") if decoded.lab else image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", decoded.orientation)
    return image


def _from_array(pixels: np.ndarray) -> pyvips.Image:
    """(H, W) or (H, W, bands) of any number type; the memory is shared."""
    if pixels.dtype not in _VIPS_FORMATS:
        pixels = pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == bool else pixels.astype(np.float32)
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = pyvips.Image.new_from_memory(pixels.data.cast("B"), width, height, bands, _VIPS_FORMATS[pixels.dtype])
    wide = pixels.dtype == np.uint16
    return image.copy(interpretation=("grey16" if wide else "b-w") if bands < 3 else "rgb16" if wide else "srgb")


def _decode_bmp(path: Path) -> np.ndarray:
    """libvips has no loader for Windows bitmaps."""
    encoded = np.fromfile(path, np.uint8)
    declared = int.from_bytes(encoded[2:6].tobytes(), "little")
    try:
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) >= declared else None
    except cv2.error:
        bgr = None
    if bgr is None:
        size = f"{len(encoded)} of {declared} bytes"
        raise BadImage(f"cannot read image {path}: damaged or truncated BMP ({size}); save it again, as PNG or JPEG")
    return bgr[..., ::-1]
