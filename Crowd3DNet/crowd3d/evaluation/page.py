"""The benchmark's report as one HTML file without any other: tables, and what accuracy depends on."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.evaluation.benchmark import BenchmarkScores, comparison_rows
from crowd3d.evaluation.report import format_table
from crowd3d.files import atomic_path

BINS = 8
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 340, 220, 46, 40, 14
_CAUSES = {
    "distance_m": "distance from the camera, m",
    "density_per_m2": "true people per m² around",
    "visible_share": "share of keypoints in sight",
    "height_px": "height in the picture, px",
}
_STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}pre{background:#f6f6f6;padding:1em;overflow-x:auto}"
    "svg{background:#fff;margin:.3em}text{font:11px system-ui,sans-serif;fill:#444}"
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
    scenes = [
        (name, str(scores.scene.count(name)), *(f"{of[key].mean:.{digits}f}" for key, digits in _SCENE_COLUMNS.items()))
        for name, of in scores.per_scene().items()
    ]
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p>{len(scores.frame)} pictures, {len(scores.people['found'])} people to be found. "
        "Means over pictures, in brackets 95 % bootstrap intervals.</p>",
        _table(header, rows),
        f"<h2>All figures</h2><pre>{html.escape(format_table(overall))}</pre>",
        "<h2>Scenes</h2>",
        _table(("scene", "pictures", *_SCENE_COLUMNS), scenes),
        "<h2>What it depends on</h2><p>Every point stands for an equal number of people; bars: 95 % of a share's sampling error, "
        "quartiles of an error.</p>",
        *(_pair(scores, cause, label) for cause, label in _CAUSES.items()),
        "</html>\n",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


_SCENE_COLUMNS = {
    "recall": 3,
    "precision": 3,
    "ppds": 1,
    "pa_ppds": 1,
    "pcod": 1,
    "oks": 1,
    "ground_error_median_m": 2,
    "fov_error_deg": 2,
    "normal_error_deg": 2,
    "camera_height_error_percent": 1,
}


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
    top = float(points[:, 3].max()) if y_end is None else y_end
    x_low, x_high = float(points[:, 0].min()), float(points[:, 0].max())
    span, top = (x_high - x_low) or 1.0, top or 1.0

    def u(x: float) -> float:
        return _LEFT + 14 + (x - x_low) / span * (_WIDTH - _LEFT - 30)

    def v(y: float) -> float:
        return _HEIGHT - _BOTTOM - min(max(y / top, 0.0), 1.0) * (_HEIGHT - _BOTTOM - _TOP)

    end = _WIDTH - 6
    marks = [f"<path d='M{_LEFT} {v(y):.1f}H{end}' stroke='#ddd'/><text x='4' y='{v(y) + 4:.1f}'>{y:.3g}</text>" for y in (0, top / 2, top)]
    marks += [f"<text x='{u(x):.1f}' y='{_HEIGHT - 22}' text-anchor='middle'>{x:.3g}</text>" for x in np.unique([x_low, x_high])]
    marks += [f"<path d='M{u(x):.1f} {v(low):.1f}V{v(high):.1f}' stroke='#8ab'/>" for x, _, low, high in points]
    marks += [f"<circle cx='{u(x):.1f}' cy='{v(y):.1f}' r='3.5' fill='#246'/>" for x, y, _, _ in points]
    line = " ".join(f"{u(x):.1f},{v(y):.1f}" for x, y, _, _ in points)
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='{y_label} by {x_label}'>{''.join(marks)}"
        f"<polyline points='{line}' fill='none' stroke='#246'/>"
        f"<text x='{_WIDTH / 2}' y='{_HEIGHT - 6}' text-anchor='middle'>{x_label}</text>"
        f"<text x='{_LEFT}' y='10'>{y_label}</text></svg>"
    )
