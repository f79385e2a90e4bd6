"""Curves over logarithmic axes as a picture: how costs grow. Shared by the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from crowd3d.render.drawing import Colour, Text, draw_polylines, draw_texts, text_size

COLOURS: tuple[Colour, ...] = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))
"""Of Okabe and Ito (2008), told apart by colour-blind people."""
INK: Colour = (32, 38, 46)
_GRID: Colour = (216, 221, 227)
_GUIDE: Colour = (138, 148, 160)
_WIDTH, _HEIGHT = 900, 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 40, 110, 90
_SMALL, _LARGE, _KEY_PX = 20, 25, 34
_MARKS = (cv2.MARKER_SQUARE, cv2.MARKER_TRIANGLE_UP, cv2.MARKER_DIAMOND, cv2.MARKER_CROSS)


class Panel(NamedTuple):
    """Curves with something in common.

    Attributes:
        title, x_label: with units.
        x: (M,) positive, rising.
        curves: name → (M,) values; what is not positive is left out.
        slope: of the dashed guide through the first curve's first point: 1 is linear growth.
    """

    title: str
    x_label: str
    x: Sequence[float]
    curves: dict[str, Sequence[float]]
    slope: float = 1.0


def log_plot(panels: Sequence[Panel], columns: int = 2) -> np.ndarray:
    """(H, W, 3) uint8 RGB: panels from left to right, then down."""
    rows = math.ceil(len(panels) / columns)
    picture = np.full((rows * _HEIGHT, columns * _WIDTH, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        picture[row * _HEIGHT : (row + 1) * _HEIGHT, column * _WIDTH : (column + 1) * _WIDTH] = draw_panel(panel)
    return picture


def draw_panel(panel: Panel) -> np.ndarray:
    """(600, 900, 3) uint8 RGB."""
    image = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = np.array(list(panel.curves.values()), np.float64)
    values = np.where(values > 0, values, np.nan)
    x = np.asarray(panel.x, np.float64)
    low, high = float(np.nanmin(values)) / 1.3, float(np.nanmax(values)) * 1.3
    first, last = math.log(x[0] / 1.15), math.log(x[-1] * 1.15)

    def at(across: np.ndarray, up: np.ndarray | float) -> np.ndarray:
        right, above = np.broadcast_arrays((np.log(across) - first) / (last - first), np.log(np.asarray(up) / low) / math.log(high / low))
        return np.stack([_LEFT + right * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - above * (_HEIGHT - _TOP - _BOTTOM)], -1)

    ticks = log_ticks(low, high)
    ends = np.exp([first, last])
    draw_polylines(image, np.array([at(ends, tick) for tick in ticks]).reshape(-1, 2, 2), _GRID, 1)
    guide = np.geomspace(x[0], x[-1], 60)
    straight = values[0, 0] * (guide / guide[0]) ** panel.slope
    shown = np.flatnonzero((straight < high) & (straight > low))
    for one, two in zip(shown[:-1:2], shown[1::2], strict=False):
        draw_polylines(image, at(guide[[one, two]], straight[[one, two]])[None], _GUIDE, 2)
    texts: list[Text] = [(panel.title, (_LEFT, 14), "lt", _LARGE, INK), (panel.x_label, (_WIDTH / 2, _HEIGHT - 14), "ms", _SMALL, INK)]
    texts += [(f"{tick:,.10g}", (_LEFT - 12, at(ends, tick)[0, 1]), "rm", _SMALL, INK) for tick in ticks]
    texts += [(f"{one:,.10g}", (place[0], _HEIGHT - _BOTTOM + 12), "mt", _SMALL, INK) for one, place in zip(x, at(x, low), strict=True)]
    left = float(_LEFT)
    for name, curve, colour, mark in zip(panel.curves, values, COLOURS, _MARKS, strict=False):
        points = at(x, curve)
        points = points[np.isfinite(points).all(1)]
        draw_polylines(image, points[None], colour, 3)
        key = np.array([[left + 12, 72]])
        for place in np.rint(np.concatenate([points, key])).astype(int):
            cv2.drawMarker(image, place.tolist(), colour, mark, 14, 3, cv2.LINE_AA)
        texts.append((name, (left + _KEY_PX, 72), "lm", _SMALL, INK))
        left += _KEY_PX + text_size(name, _SMALL)[0] + 24
    return draw_texts(image, texts)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, the fewer of a decade the more decades there are."""
    factors = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 8 else (1, 2, 5) if high / low < 1000 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high]
