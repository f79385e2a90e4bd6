"""What the maps of the ground share: a window in metres, its grid, tick marks, margins and scale bar."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crowd3d.render.drawing import Colour, Text, draw_polylines

LEFT, RIGHT, TOP = 120, 46, 150
"""Margins in pixels; each map has its own below."""
INK: Colour = (38, 44, 52)


@dataclass(frozen=True)
class MapWindow:
    """Part of the ground that a map shows.

    Attributes:
        low: (2,) metres at the lower left corner.
        size_m: (2,) width and depth in metres.
        scale: pixels per metre.
    """

    low: np.ndarray
    size_m: np.ndarray
    scale: float

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the map without its margins."""
        return round(self.size_m[0] * self.scale), round(self.size_m[1] * self.scale)

    def to_px(self, points_m: np.ndarray) -> np.ndarray:
        """(..., 2) metres → (..., 2) pixels of the whole picture."""
        offset = (np.asarray(points_m, np.float64) - self.low) * self.scale
        return np.stack([LEFT + offset[..., 0], TOP + self.size_px[1] - offset[..., 1]], axis=-1)

    def ticks(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Multiples of `step` metres inside the window, across and up."""
        first, last = np.ceil(self.low / step), np.floor((self.low + self.size_m) / step)
        # Adding zero makes no difference but to minus zero.
        x, y = (np.arange(a, b + 1.0) * step + 0.0 for a, b in zip(first, last, strict=True))
        return x, y


def draw_grid(image: np.ndarray, window: MapWindow, step: int, colour: Colour) -> None:
    """A line at every tick, in place."""
    low, high = window.low, window.low + window.size_m
    x, y = window.ticks(step)
    lines = [[[at, low[1]], [at, high[1]]] for at in x] + [[[low[0], at], [high[0], at]] for at in y]
    # Rounded to pixel centres: lines one pixel wide stay equally dark.
    draw_polylines(image, np.floor(window.to_px(np.reshape(lines, (-1, 2, 2)))) + 0.5, colour, 1)


def mask_margins(image: np.ndarray, window: MapWindow, colour: Colour) -> None:
    """White around the map, and a frame, in place."""
    width, height = window.size_px
    image[:TOP] = image[TOP + height :] = 255
    image[:, :LEFT] = image[:, LEFT + width :] = 255
    cv2.rectangle(image, (LEFT - 1, TOP - 1), (LEFT + width, TOP + height), colour, 1)


def tick_texts(window: MapWindow, step: int, unit: str = "") -> list[Text]:
    """Figures below and at the left of the map; `unit` stands behind those at the left."""
    bottom = TOP + window.size_px[1]
    x, y = window.ticks(step)
    across: list[Text] = [(f"{v:.0f}", (window.to_px(np.array([v, 0.0]))[0], bottom + 12), "mt", 24, INK) for v in x]
    return [*across, *((f"{v:.0f}{unit}", (LEFT - 14, window.to_px(np.array([0.0, v]))[1]), "rm", 24, INK) for v in y)]


def draw_scale_bar(image: np.ndarray, window: MapWindow, step: int, y: float) -> Text:
    """A bar of `step` metres at the right end of row `y`, in place; returns what is written beside it."""
    right = LEFT + window.size_px[0]
    bar = np.array([[right - step * window.scale, y], [right, y]])
    draw_polylines(image, np.concatenate([bar[None], bar[:, None] + np.array([[0.0, -7.0], [0.0, 7.0]])]), INK, 3)
    return f"{step} m", (bar[0, 0] - 16, y), "rm", 26, INK
