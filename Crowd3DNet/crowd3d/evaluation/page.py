"""The benchmark's report as one HTML file without any other: tables, and what accuracy depends on."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.evaluation.benchmark import NOT_COMPARABLE, BenchmarkScores, comparison_rows, scene_rows
from crowd3d.evaluation.report import format_table
from crowd3d.files import atomic_path

BINS = 8
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 520, 300, 58, 24, 56, 32
_CAUSES = {
    "distance_m": "distance from the camera, m",
    "density_per_m2": "true people per m² around",
    "visible_share": "share of keypoints in sight",
    "height_px": "height in the picture, px",
}
_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:not(:first-child){white-space:nowrap}td:first-child,th:first-child{text-align:left}"
    "pre{background:#f6f6f6;padding:1em;overflow-x:auto}"
    "svg{background:#fff;margin:.5em .3em;max-width:100%}"
)


def write_page(path: Path, scores: BenchmarkScores, title: str) -> None:
    """Write the report: comparison with published figures, all figures, scenes, plots of recall and ground error.

    Args:
        path: HTML file.
        scores: what to report.
        title: heading.

    Raises:
        BadOutput: the file cannot be written.
    """
    overall = scores.overall()
    header, *rows = comparison_rows(overall)
    scene_header, *scenes = scene_rows(scores)
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p>{len(scores.frame)} pictures, {len(scores.people['found'])} people to be found. "
        "Means over pictures, in brackets 95 % bootstrap intervals.</p>",
        _table(header, rows),
        f"<p>{html.escape(NOT_COMPARABLE)}</p>",
        f"<h2>All figures</h2><pre>{html.escape(format_table(overall))}</pre>",
        "<h2>Scenes</h2>",
        _table(scene_header, scenes),
        "<h2>What it depends on</h2><p>Every point stands for an equal number of people; bars: 95 % of a share's sampling error, "
        "quartiles of an error.</p>",
        *(_pair(scores, cause, label) for cause, label in _CAUSES.items()),
        "</html>\n",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(header, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _pair(scores: BenchmarkScores, cause: str, label: str) -> str:
    """Recall, and the ground error of those who were found, against one cause."""
    x, found, error = (scores.people[name] for name in (cause, "found", "ground_error_m"))
    share = binned(x, found)
    middle, mean, count = share[:, 0], share[:, 1], share[:, 4]
    spread = 1.96 * np.sqrt(mean * (1 - mean) / np.maximum(count, 1))
    recall = np.column_stack([middle, mean, mean - spread, mean + spread])
    errors = binned(x[found > 0], error[found > 0])[:, [0, 5, 2, 3]]
    return _plot(recall, label, "recall", 1.0) + _plot(errors, label, "ground error, m", None)


def binned(x: np.ndarray, y: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Means of `y` in groups of equal size by `x`.

    Equal values of `x` stay together, so there may be fewer groups than `bins`.

    Returns:
        (B, 6): median of x; mean, lower quartile and upper quartile of y; number; median of y.
    """
    x, y = x[np.isfinite(x) & np.isfinite(y)], y[np.isfinite(x) & np.isfinite(y)]
    if len(x) == 0:
        return np.zeros((0, 6))
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)))
    group = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    rows = [
        (np.median(x[of]), y[of].mean(), *np.quantile(y[of], (0.25, 0.75)), of.sum(), np.median(y[of]))
        for of in (group == number for number in np.unique(group))
    ]
    return np.array(rows)


def _plot(points: np.ndarray, x_label: str, y_label: str, y_end: float | None) -> str:
    """SVG of (B, 4) x, y, low, high."""
    if len(points) == 0:
        return ""
    y_ticks = ticks(0.0, float(points[:, 3].max()) if y_end is None else y_end)
    x_ticks = ticks(float(points[:, 0].min()), float(points[:, 0].max()))
    x_low, x_high, top = x_ticks[0], x_ticks[-1], y_ticks[-1]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def u(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (right - _LEFT)

    def v(y: float) -> float:
        return bottom - min(max(y / top, 0.0), 1.0) * (bottom - _TOP)

    marks = [f"<path d='M{_LEFT} {v(y):.1f}H{right}' stroke='#ddd'/>" for y in y_ticks]
    marks += [f"<text x='{_LEFT - 8}' y='{v(y) + 4:.1f}' text-anchor='end'>{y:.4g}</text>" for y in y_ticks]
    marks += [f"<path d='M{u(x):.1f} {bottom}v5' stroke='#888'/>" for x in x_ticks]
    marks += [f"<text x='{u(x):.1f}' y='{bottom + 19}' text-anchor='middle'>{x:.4g}</text>" for x in x_ticks]
    marks += [f"<path d='M{u(x):.1f} {v(low):.1f}V{v(high):.1f}' stroke='#7aa6c8' stroke-width='3'/>" for x, _, low, high in points]
    line = " ".join(f"{u(x):.1f},{v(y):.1f}" for x, y, _, _ in points)
    marks.append(f"<polyline points='{line}' fill='none' stroke='#0072b2' stroke-width='1.5'/>")
    marks += [f"<circle cx='{u(x):.1f}' cy='{v(y):.1f}' r='4' fill='#0072b2'/>" for x, y, _, _ in points]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{_HEIGHT}' font-family='system-ui,sans-serif' font-size='12' "
        f"fill='#333' role='img' aria-label='{y_label} by {x_label}'>{''.join(marks)}"
        f"<text x='{(_LEFT + right) / 2}' y='{_HEIGHT - 10}' text-anchor='middle'>{x_label}</text>"
        f"<text x='{_LEFT - 8}' y='16' font-weight='bold'>{y_label}</text></svg>"
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` + 1 round numbers, 1, 2 or 5 times a power of ten apart, that span `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if span / (factor * power) <= most - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, max(last, first + 1) + 1)]
