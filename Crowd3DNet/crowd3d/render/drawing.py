"""Text and metric measures that the pictures share."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

GRID_STEPS_M = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SHIFT = 4
"""Fractional bits of the coordinates given to OpenCV, so that shapes are placed to 1/16 pixel."""

Colour = tuple[int, int, int]
Text = tuple[str, tuple[float, float], str, int, Colour]
"""The line itself, its position (x, y) in pixels, Pillow's two-letter anchor ("lm" = left middle), its height in pixels, its colour."""


def grid_step(extent_m: float, lines: int) -> int:
    """The finest step of `GRID_STEPS_M` that crosses `extent_m` metres with at most `lines` lines."""
    return next((step for step in GRID_STEPS_M if extent_m / step <= lines), GRID_STEPS_M[-1])


def text_size(text: str, height_px: int) -> tuple[int, int]:
    """Width and height in pixels of one line in Pillow's built-in font."""
    left, top, right, bottom = ImageFont.load_default(height_px).getbbox(text)
    return int(np.ceil(right - left)), int(np.ceil(bottom - top))


def draw_texts(image: np.ndarray, texts: Sequence[Text]) -> np.ndarray:
    """Write lines of text, antialiased.

    Args:
        image: (H, W, 3) uint8 RGB.
        texts: what to write where.

    Returns:
        (H, W, 3) uint8, a copy.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for text, position, anchor, height_px, colour in texts:
        draw.text(position, text, font=ImageFont.load_default(height_px), anchor=anchor, fill=colour)
    return np.array(picture)


def draw_shapes(image: np.ndarray, polygons_px: np.ndarray, colours: np.ndarray, outline: Colour | None = None) -> None:
    """Fill (P, K, 2) float polygons with (P, 3) colours, in place, antialiased, later ones over earlier ones."""
    for polygon, colour in zip(_fixed_point(polygons_px), colours.tolist(), strict=True):
        cv2.fillPoly(image, [polygon], colour, cv2.LINE_AA, _SHIFT)
        if outline is not None:
            cv2.polylines(image, [polygon], True, outline, 1, cv2.LINE_AA, _SHIFT)


def draw_polylines(image: np.ndarray, lines_px: np.ndarray, colour: Colour, width_px: int, closed: bool = False) -> None:
    """Draw (P, K, 2) float polylines, in place, antialiased."""
    cv2.polylines(image, list(_fixed_point(lines_px)), closed, colour, width_px, cv2.LINE_AA, _SHIFT)


def _fixed_point(points_px: np.ndarray) -> np.ndarray:
    # Half a pixel less, since OpenCV's integer coordinates are pixel centres.
    scaled = np.rint((np.asarray(points_px, np.float64) - 0.5) * (1 << _SHIFT))
    return np.clip(scaled, -(2**30), 2**30).astype(np.int32)
