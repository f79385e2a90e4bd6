"""Samples of any kind to 8 bits: which value is black and which is white."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple

import pyvips

log = logging.getLogger(__name__)

BRIGHTNESS = ("b-w", "grey16", "rgb", "rgb16", "srgb", "scrgb", "multiband", "matrix", "histogram")
"""libvips's names of the colour spaces in which samples are brightnesses; others have ranges of their own."""
_FULL = {"ushort": (0.0, 65535.0), "uint": (0.0, 2.0**32 - 1)}
_CONTAINERS = (8, 10, 12, 14, 16, 24, 32)
_FLOAT_WHITE = (1.0, 255.0, 4095.0, 65535.0)


class Range(NamedTuple):
    """Values that become 0 and 255.

    Attributes:
        low: black.
        high: white.
        told: whether the file says so, by its kind of samples or by a tag; else it was concluded from the values.
        opaque: value of the transparency, if there is any, that is fully opaque.
    """

    low: float
    high: float
    told: bool
    opaque: float = 255.0


def needs_range(image: pyvips.Image) -> bool:
    """Whether samples are brightnesses in more or other than 8 bits."""
    return image.format != "uchar" and image.interpretation in BRIGHTNESS


def find_range(image: pyvips.Image, said: tuple[float | None, float | None], bits: int | None) -> Range:
    """The range of an image's brightnesses; reads all its pixels once.

    Args:
        image: one for which `needs_range`; opened for one pass.
        said: least and largest sample as the file says, None where it does not.
        bits: bits per sample as the file says, if it does.
    """
    numbers = (image == image).ifthenelse(image, 0.0) if image.format in ("float", "double") else image
    stats = numbers.stats().numpy().reshape(numbers.bands + 1, -1)
    bands = image.bands - int(image.hasalpha())
    least, largest = float(stats[1 : bands + 1, 0].min()), float(stats[1 : bands + 1, 1].max())
    span = _of_values(image.format, least, largest, said, bits)
    clear = float(stats[-1, 1]) if image.hasalpha() else 0.0
    whole = _FULL.get(image.format, (0.0, clear))[1]
    return span._replace(opaque=span.high if clear <= span.high * 1.001 else whole)


def _of_values(kind: str, least: float, largest: float, said: tuple[float | None, float | None], bits: int | None) -> Range:
    """The range by the least and the largest brightness, and by what the file says; `kind` is libvips's name of the samples."""
    low, high = said
    if high is not None and high > 1 and largest <= high * 1.001 and (low or 0.0) <= least and high > (low or 0.0):
        return Range(low or 0.0, high, True)
    if kind in ("float", "double"):
        return _float_range(least, largest)
    if bits is not None and bits not in (8, 16, 32) and largest < 2**bits and least >= 0:
        return Range(0.0, 2.0**bits - 1, True)
    if least < 0:
        reach = max(largest, -least - 1.0)
        span = next(2.0 ** (count - 1) for count in _CONTAINERS if reach < 2.0 ** (count - 1))
        return Range(-span, span - 1.0, True)
    if largest == 0 and kind in _FULL:
        return Range(*_FULL[kind], True)
    needed = next(2.0**count - 1 for count in _CONTAINERS if largest < 2.0**count)
    # Nothing brighter than a quarter of white in all the picture is no photograph, but one with fewer bits than its samples have.
    return Range(0.0, needed, kind in _FULL and needed >= _FULL[kind][1])


def to_8_bits(image: pyvips.Image, span: Range) -> pyvips.Image:
    """Brightnesses of a range as 8-bit sRGB with three bands; transparency over white."""
    colours = _colours(image)
    if image.format in ("float", "double"):
        colours = (colours == colours).ifthenelse(colours, span.low)
    scale = 255.0 / (span.high - span.low)
    eight = colours.linear(scale, -span.low * scale).rint().cast("uchar")
    eight = eight.extract_band(0, n=3) if eight.bands >= 3 else eight.extract_band(0).bandjoin([eight.extract_band(0)] * 2)
    eight = eight.copy(interpretation="srgb")
    if not image.hasalpha():
        return eight
    alpha = image.extract_band(image.bands - 1)
    return eight.bandjoin(alpha.linear(255.0 / span.opaque, 0.0).rint().cast("uchar")).flatten(background=[255.0] * 3)


def remark(path: Path, span: Range) -> None:
    """Say aloud that a range was concluded from the values."""
    if not span.told:
        log.warning("%s does not tell the range of its samples; %g is taken for black and %g for white", path, span.low, span.high)


def _colours(image: pyvips.Image) -> pyvips.Image:
    return image.extract_band(0, n=image.bands - 1) if image.hasalpha() else image


def _float_range(least: float, largest: float) -> Range:
    """Values between 1 and 16 with white at 1 are highlights that a filter or an HDR merge made brighter than white."""
    if not (math.isfinite(least) and math.isfinite(largest)):
        return Range(0.0, 1.0, False)
    reach = max(largest, -least)
    white = 1.0 if reach <= 16.0 else next((value for value in _FLOAT_WHITE[1:] if reach <= value * 1.01), reach)
    return Range(-white if least < -0.25 * white else 0.0, white, False)
