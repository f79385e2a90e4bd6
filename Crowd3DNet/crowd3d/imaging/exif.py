"""The focal length that a camera wrote into its photograph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
MM_PER_RESOLUTION_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


def focal_px(fields: Mapping[str, str], image_size: tuple[int, int]) -> float | None:
    """Focal length in pixels of the image at hand, or None when EXIF does not tell.

    The focal length with the resolution of the focal plane comes first: it is exact. ``FocalLengthIn35mmFilm`` is a whole number of
    millimetres by which the diagonal field of view equals that of a 36 × 24 mm frame (CIPA DCG-001). Both follow a later resize.

    Args:
        fields: EXIF tag name → its value as text, a number or a ratio first.
        image_size: (width, height) in pixels, as stored or rotated.
    """
    longer = max(image_size)
    focal_mm = _number(fields, "FocalLength")
    resolution = _number(fields, "FocalPlaneXResolution")
    unit_mm = MM_PER_RESOLUTION_UNIT.get(int(_number(fields, "FocalPlaneResolutionUnit") or 2))
    if focal_mm and resolution and unit_mm:
        taken = max(_number(fields, "PixelXDimension") or 0.0, _number(fields, "PixelYDimension") or 0.0) or longer
        return focal_mm * resolution / unit_mm * longer / taken
    equivalent_mm = _number(fields, "FocalLengthIn35mmFilm")
    if equivalent_mm:
        return equivalent_mm * math.hypot(*image_size) / FULL_FRAME_DIAGONAL_MM
    return None


def _number(fields: Mapping[str, str], tag: str) -> float | None:
    try:
        return float(Fraction(fields[tag].split(" ")[0]))
    except (KeyError, ValueError, ZeroDivisionError):
        return None
