"""Curves with bands as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 340, 60, 24, 44, 56
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_DASHES = ("none", "7 4", "2 4")


class Series(NamedTuple):
    """A curve: name, x and y (M,), ends of its band (M,) or None; `points` for marks with bars instead of a line."""

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    points: bool = False


def chart(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """Curves from zero; told apart by dashes as well as by colour.

    Args:
        title: read out by screen readers, written above.
        x_label, y_label: with units.
        series: up to three.
    """
    ends = [np.asarray(part, float) for one in series for part in (one.y, one.high) if part is not None and len(part)]
    top = max([1e-6, *(float(np.nanmax(part)) for part in ends if np.isfinite(part).any())])
    right = max([1e-6, *(float(one.x.max()) for one in series if len(one.x))])
    x_ticks, y_ticks = ticks(right), ticks(top)
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        return np.stack([_LEFT + np.asarray(x) / x_ticks[-1] * across, _HEIGHT - _BOTTOM - np.asarray(y) / y_ticks[-1] * down], -1)

    base = _HEIGHT - _BOTTOM
    marks = [f"<path d='M{_LEFT} {at(0, y)[1]:.1f}h{across}' stroke='#d8dde3'/>" for y in y_ticks]
    marks += [f"<text x='{_LEFT - 8}' y='{at(0, y)[1] + 4:.1f}' text-anchor='end'>{y:.4g}</text>" for y in y_ticks]
    marks += [f"<path d='M{at(x, 0)[0]:.1f} {base}v5' stroke='#8a94a0'/>" for x in x_ticks]
    marks += [f"<text x='{at(x, 0)[0]:.1f}' y='{base + 20}' text-anchor='middle'>{x:.4g}</text>" for x in x_ticks]
    legend = float(_LEFT)
    for one, colour, dash in zip(series, _COLOURS, _DASHES, strict=False):
        marks += _drawn(one, at, colour, dash)
        marks.append(f"<path d='M{legend} {_TOP - 16}h26' stroke='{colour}' stroke-width='2.5' stroke-dasharray='{dash}'/>")
        marks.append(f"<text x='{legend + 32}' y='{_TOP - 12}'>{html.escape(one.name)}</text>")
        legend += 52 + 7.2 * len(one.name)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' height='{_HEIGHT}' role='img' "
        f"font-family='system-ui,sans-serif' font-size='12' fill='#20262e' aria-label='{html.escape(title, quote=True)}'>"
        f"<text x='{_LEFT}' y='14' font-weight='bold'>{html.escape(title)}</text>{''.join(marks)}"
        f"<text x='{_LEFT + across / 2}' y='{_HEIGHT - 12}' text-anchor='middle'>{html.escape(x_label)}</text>"
        f"<text x='16' y='{_TOP + down / 2}' text-anchor='middle' transform='rotate(-90 16 {_TOP + down / 2})'>"
        f"{html.escape(y_label)}</text></svg>"
    )


def _drawn(one: Series, at, colour: str, dash: str) -> list[str]:
    """The marks of one curve."""
    fine = np.isfinite(one.y)
    points = at(one.x[fine], one.y[fine])
    parts: list[str] = []
    if one.points:
        if one.low is not None and one.high is not None:
            ends = zip(at(one.x[fine], one.low[fine]), at(one.x[fine], one.high[fine]), strict=True)
            parts += [f"<path d='M{a[0]:.1f} {a[1]:.1f}V{b[1]:.1f}' stroke='{colour}' stroke-width='2'/>" for a, b in ends]
        return parts + [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4.5' fill='{colour}'/>" for x, y in points]
    if one.low is not None and one.high is not None:
        band = np.concatenate([at(one.x[fine], one.low[fine]), at(one.x[fine], one.high[fine])[::-1]])
        parts.append(f"<polygon points='{_path(band)}' fill='{colour}' fill-opacity='.18'/>")
    return parts + [f"<polyline points='{_path(points)}' fill='none' stroke='{colour}' stroke-width='2.2' stroke-dasharray='{dash}'/>"]


def _path(points: np.ndarray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def ticks(high: float, most: int = 6) -> list[float]:
    """Up to `most` + 1 round numbers from 0 that reach `high`."""
    power = 10.0 ** math.floor(math.log10(high / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if high / (factor * power) <= most)
    return [float(f"{number * step:.12g}") for number in range(math.ceil(high / step - 1e-9) + 1)]
