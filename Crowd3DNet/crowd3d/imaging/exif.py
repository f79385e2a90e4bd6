"""What a camera wrote into its photograph: the focal length, and when it was taken."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from fractions import Fraction
from typing import NamedTuple

FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
MM_PER_RESOLUTION_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SAME_FRAME, _USUAL_FRAME, _ODD_FRAME, _OTHER_FRAME = 0.93, 0.85, 0.4, 0.1
_SAME_SHAPE = 0.02
_USUAL_ASPECTS = (4 / 3, 3 / 2, 16 / 9, 1.0)


class Moment(NamedTuple):
    """When a photograph was taken: seconds by the camera's clock, since some moment, and how finely these are told."""

    time_s: float
    step_s: float


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


def trust(fields: Mapping[str, str], image_size: tuple[int, int]) -> float:
    """Probability that the image at hand shows the whole frame that the camera took, so that its focal length holds, 0…1.

    Programs that crop leave the focal length as it was. A shape that is not that of the frame, or of any usual camera where EXIF does not
    tell the frame, gives a crop away; the probabilities are estimates.

    Args:
        fields: EXIF tag name → its value as text.
        image_size: (width, height) in pixels.
    """
    frame = [_number(fields, "PixelXDimension") or 0.0, _number(fields, "PixelYDimension") or 0.0]
    shape = max(image_size) / min(image_size)
    if min(frame) > 0:
        return _SAME_FRAME if abs(shape / (max(frame) / min(frame)) - 1.0) < _SAME_SHAPE else _OTHER_FRAME
    usual = min(abs(shape / aspect - 1.0) for aspect in _USUAL_ASPECTS) < _SAME_SHAPE
    return _USUAL_FRAME if usual else _ODD_FRAME


def taken(fields: Mapping[str, str]) -> Moment | None:
    """When the shutter opened, by ``DateTimeOriginal`` and ``SubSecTimeOriginal``, or None when EXIF does not tell."""
    told = re.match(r"(\d{4}:\d\d:\d\d \d\d:\d\d:\d\d)", fields.get("DateTimeOriginal", ""))
    if told is None:
        return None
    try:
        whole_s = datetime.strptime(told[1], "%Y:%m:%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    digits = re.match(r"\d+", fields.get("SubSecTimeOriginal", ""))
    if digits is None:
        return Moment(whole_s, 1.0)
    return Moment(whole_s + float(f"0.{digits[0]}"), 10.0 ** -len(digits[0]))


def _number(fields: Mapping[str, str], tag: str) -> float | None:
    try:
        return float(Fraction(fields[tag].split(" ")[0]))
    except (KeyError, ValueError, ZeroDivisionError):
        return None
