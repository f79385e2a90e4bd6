"""Map of how dense a crowd stands: levels of service on the ground, people, zones and lines, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from crowd3d.imaging import write_png
from crowd3d.render.drawing import Colour, Text, draw_polylines, draw_shapes, draw_texts, grid_step, text_size
from crowd3d.render.metric_map import INK, LEFT, RIGHT, TOP, MapWindow, draw_grid, draw_scale_bar, mask_margins, tick_texts

LEVEL_COLOURS = np.array([[247, 243, 226], [233, 214, 148], [222, 172, 84], [196, 116, 62], [142, 58, 74], [66, 22, 76]], np.uint8)
"""(6, 3) RGB of the levels A to F: ever darker, so that they keep their order for colour-blind readers and in print."""
_OUTSIDE: Colour = (226, 230, 234)
_UNSEEN: Colour = (206, 212, 218)
_HATCH: Colour = (140, 148, 156)
_GRID: Colour = (190, 196, 202)
_FAINT: Colour = (84, 92, 102)
_PERSON: Colour = (0, 114, 178)
_AREA: Colour = (0, 92, 148)
_WHITE: Colour = (255, 255, 255)
_BOTTOM = 210
_MOST_PX, _LEAST_PX = (1800, 1400), (1250, 560)
_HATCH_PX = 14
_NO_CELL = -2


@dataclass(frozen=True)
class Marking:
    """A zone or line on the map.

    Attributes:
        label: what is written at it, a line per entry.
        rings: (K, 2) metres each.
        closed: a zone; else a line that people cross.
        framed: whether the map reaches so far; what lies beyond it otherwise is named above it.
    """

    label: tuple[str, ...]
    rings: list[np.ndarray]
    closed: bool
    framed: bool = True


@dataclass(frozen=True)
class DensityMap:
    """What the map shows; metres as in `crowd3d.measure`.

    Attributes:
        title, subtitle: above the map.
        axes: names of the two axes.
        outline: (K, 2) observed ground.
        at: (M, 2) middles of square cells.
        step_m: their size.
        level: (M,) int 0 (A) to 5 (F), −1 where not enough is seen.
        level_names: (6,) what the legend says of the levels.
        people: (N, 2) places.
        shapes: zones and lines.
    """

    title: str
    subtitle: str
    axes: tuple[str, str]
    outline: np.ndarray
    at: np.ndarray
    step_m: float
    level: np.ndarray
    level_names: Sequence[str]
    people: np.ndarray
    shapes: Sequence[Marking]


def draw_density_map(content: DensityMap, output: Path) -> None:
    """Write the map as PNG.

    Raises:
        BadOutput: `output` cannot be written.
    """
    window = _window(content)
    image = _cells(content, window)
    step = grid_step(float(window.size_m.max()), 16)
    draw_grid(image, window, step, _GRID)
    _people(image, window, content.people)
    for shape in content.shapes:
        lines = [window.to_px(ring) for ring in shape.rings]
        for colour, width in ((_WHITE, 7), (_AREA, 4)):
            for line in lines:
                draw_polylines(image, line[None], colour, width, closed=shape.closed)
    mask_margins(image, window, _FAINT)
    image = _labels(image, window, content.shapes)
    image = draw_texts(image, [*_axis_texts(window, step, content.axes), *_titles(content, window, image.shape[1])])
    image = _legend(image, window, step, content.level_names)
    write_png(output, image)


def _window(content: DensityMap) -> MapWindow:
    shown = [content.at, *(ring for shape in content.shapes if shape.framed for ring in shape.rings)]
    points = np.concatenate([one for one in shown if len(one)] or [content.outline])
    low, high = points.min(0), points.max(0)
    pad = max(1.0, 0.03 * float((high - low).max()))
    low, high = low - pad, high + pad
    scale = float(min(*(np.array(_MOST_PX) / (high - low)), 120.0))
    size = np.maximum(high - low, np.array(_LEAST_PX) / scale)
    return MapWindow((low + high - size) / 2.0, size, scale)


def _cells(content: DensityMap, window: MapWindow) -> np.ndarray:
    """The blank picture with the levels; ground of which not enough is seen is hatched."""
    width, height = window.size_px
    image = np.full((height + TOP + _BOTTOM, width + LEFT + RIGHT, 3), 255, np.uint8)
    part = image[TOP : TOP + height, LEFT : LEFT + width]
    part[:] = _OUTSIDE
    row, column = np.mgrid[0:height, 0:width]
    hatch = np.where(((row + column) % _HATCH_PX < 2)[..., None], _HATCH, _UNSEEN).astype(np.uint8)
    observed = np.zeros((height, width), np.uint8)
    corner = np.rint(np.clip(window.to_px(content.outline) - (LEFT, TOP), -1e5, 1e5)).astype(np.int32)
    cv2.fillPoly(observed, [corner], 1)
    part[observed > 0] = hatch[observed > 0]
    if len(content.at):
        metres = window.low + np.stack([column + 0.5, height - row - 0.5], -1) / window.scale
        start = content.at.min(0)
        index = np.rint((content.at - start) / content.step_m).astype(int)
        table = np.full(index.max(0) + 1, _NO_CELL)
        table[tuple(index.T)] = content.level
        # Up to the edge of the observed ground the nearest cell goes on.
        table = table[tuple(distance_transform_edt(table == _NO_CELL, return_distances=False, return_indices=True))]
        pick = np.clip(np.rint((metres - start) / content.step_m).astype(int), 0, np.array(table.shape) - 1)
        level = np.where(observed > 0, table[pick[..., 0], pick[..., 1]], -1)
        part[level >= 0] = LEVEL_COLOURS[level[level >= 0]]
    return image


def _people(image: np.ndarray, window: MapWindow, people: np.ndarray) -> None:
    centre = window.to_px(people[np.isfinite(people).all(1)])
    angle = np.linspace(0.0, 2.0 * np.pi, 17)[:-1]
    apart = float(np.median(cKDTree(centre).query(centre, k=2)[0][:, 1])) if len(centre) > 1 else np.inf
    radius = float(np.clip(min(0.2 * window.scale, 0.2 * apart), 2.0, 9.0))
    for size, colour in ((radius + 1.5, _WHITE), (radius, _PERSON)):
        discs = centre[:, None] + size * np.stack([np.cos(angle), np.sin(angle)], -1)
        draw_shapes(image, discs, np.tile(colour, (len(discs), 1)))


def _labels(image: np.ndarray, window: MapWindow, shapes: Sequence[Marking]) -> np.ndarray:
    """Names and figures of zones, in boxes as near as can be that stay inside the map and do not lie on one another."""
    texts: list[Text] = []
    taken: list[tuple[float, float, float, float]] = []
    width, height = window.size_px
    for shape in shapes:
        if not shape.label or _beyond(shape, window):
            continue
        wide, high = max(text_size(line, 24)[0] for line in shape.label) + 20, 31 * len(shape.label) + 12
        points = window.to_px(shape.rings[0])
        x, y = (points.min(0) + points.max(0)) / 2.0 - (wide / 2.0, high / 2.0)
        x, y = float(np.clip(x, LEFT + 4, LEFT + width - wide - 4)), float(np.clip(y, TOP + 4, TOP + height - high - 4))
        tried = [y + sign * number * (high / 2.0 + 2.0) for number in range(6 * len(taken) + 1) for sign in (1, -1)]
        inner = [one for one in tried if TOP + 4 <= one <= TOP + height - high - 4]
        y = next((one for one in inner if not any(_overlap((x, one, x + wide, one + high), box) for box in taken)), y)
        taken.append((x, y, x + wide, y + high))
        box = np.array([[[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]]])
        draw_shapes(image, box, np.array([_WHITE]), _AREA)
        texts += [(line, (x + 10, y + 21 + 31 * number), "lm", 24, INK) for number, line in enumerate(shape.label)]
    return draw_texts(image, texts)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _beyond(shape: Marking, window: MapWindow) -> bool:
    """Whether nothing of a shape is on the map."""
    low, high = (end(np.concatenate(shape.rings), axis=0) for end in (np.min, np.max))
    return bool((high < window.low).any() or (low > window.low + window.size_m).any())


def _axis_texts(window: MapWindow, step: int, axes: tuple[str, str]) -> list[Text]:
    under = (LEFT + window.size_px[0] / 2.0, TOP + window.size_px[1] + 46)
    return [*tick_texts(window, step), (axes[0], under, "mt", 24, _FAINT), (axes[1], (LEFT, TOP - 14), "ls", 24, _FAINT)]


def _titles(content: DensityMap, window: MapWindow, width_px: int) -> list[Text]:
    room = width_px - LEFT - RIGHT
    beyond = ", ".join(shape.label[0] for shape in content.shapes if shape.label and _beyond(shape, window))
    subtitle = content.subtitle + (f" · beyond this map: {beyond}" if beyond else "")
    lines = ((content.title, 36, 40, INK), (subtitle, 86, 26, _FAINT))
    return [(text, (LEFT, y), "lm", min(size, size * room // max(text_size(text, size)[0], 1)), colour) for text, y, size, colour in lines]


def _legend(image: np.ndarray, window: MapWindow, step: int, names: Sequence[str]) -> np.ndarray:
    """Below the map: levels, then what else is drawn and the scale bar."""
    first, second = TOP + window.size_px[1] + 112, TOP + window.size_px[1] + 164
    texts: list[Text] = []
    share = window.size_px[0] / len(names)
    for number, name in enumerate(names):
        x = LEFT + share * number
        swatch = np.array([[[x, first - 13], [x + 34, first - 13], [x + 34, first + 13], [x, first + 13]]])
        draw_shapes(image, swatch, LEVEL_COLOURS[number : number + 1], INK)
        texts.append((name, (x + 44, first), "lm", 22, INK))
    x = float(LEFT)
    row, column = np.mgrid[0:26, 0:34]
    hatch = np.where(((row + column) % _HATCH_PX < 2)[..., None], _HATCH, _UNSEEN)
    image[second - 13 : second + 13, LEFT : LEFT + 34] = hatch
    texts.append(("not enough seen here", (x + 44, second), "lm", 22, INK))
    x += 44 + text_size("not enough seen here", 22)[0] + 46
    _people(image, MapWindow(np.array([0.0, 0.0]), np.array([0.0, 0.0]), 45.0), np.array([[x - LEFT, TOP - second]]) / 45.0)
    texts.append(("person found", (x + 20, second), "lm", 22, INK))
    texts.append(draw_scale_bar(image, window, step, second))
    return draw_texts(image, texts)
