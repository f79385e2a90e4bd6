"""What was measured as one web page that loads nothing: to be sent to whoever asked."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.files import atomic_path
from crowd3d.measure.charts import Series, chart
from crowd3d.measure.figures import Spread
from crowd3d.measure.levels import FRUIN, LETTERS, THRESHOLDS, limits_per_m2
from crowd3d.measure.scene import NEIGHBOUR_M, WHOLE, MeasureOptions, SceneMeasures, ZoneMeasures
from crowd3d.measure.sequence import SLOW_M_S, SequenceMeasures, speed_by_density, weidmann_m_s
from crowd3d.measure.view import View

NOT_ENOUGH = "not enough seen here"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#20262e;background:#fff}"
    "h1{font-size:1.7em;line-height:1.2;margin-bottom:.2em}h2{margin-top:1.8em;font-size:1.25em}"
    ".key{display:flex;flex-wrap:wrap;gap:1em;margin:1.2em 0}"
    ".key div{border:1px solid #c4ccd4;border-radius:6px;padding:.6em 1em;flex:1;min-width:9em}"
    ".key b{display:block;font-size:1.25em}.key span{color:#545c66;font-size:.9em}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;margin:.8em 0;font-size:.95em}"
    "th,td{padding:.35em .8em;border-bottom:1px solid #d8dde3;text-align:right;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left}th{border-bottom:2px solid #8a94a0}"
    "td.text,th.text{text-align:left;min-width:9em}.small{color:#545c66;font-size:.9em}"
    "img,svg{max-width:100%;height:auto}@media print{body{margin:0}h2{break-after:avoid}table,img,svg{break-inside:avoid}}"
)


def figure_text(figure: Spread, unit: str = "", digits: int = 3) -> str:
    """``0.43 (0.37–0.52)``, as many digits as the 68 % interval warrants, at most `digits`; says so where not enough is seen."""
    if not np.isfinite(figure.value):
        return NOT_ENOUGH
    tail = f" {unit}" if unit else ""
    width = float(figure.high - figure.low)
    if width <= 0:
        exact = float(figure.value)
        return (f"{exact:.0f}" if abs(exact) >= 100.0 or digits == 0 else f"{exact:.3g}") + tail
    digits = min(max(0, 1 - math.floor(math.log10(width))), digits)
    value, low, high = (f"{float(part):.{digits}f}" for part in (figure.value, figure.low, figure.high))
    return f"{value}{tail}" if low == value == high else f"{value} ({low}–{high}){tail}"


def write_scene_page(path: Path, measures: SceneMeasures, image: str, remarks: Sequence[str], map_png: bytes) -> None:
    """Write the page of a photograph.

    Args:
        path: HTML file.
        measures: what was measured.
        image: name of the photograph.
        remarks: what camera, ground and all lengths rest on.
        map_png: the map picture.

    Raises:
        BadOutput: the file cannot be written.
    """
    whole = measures.zones[0]
    dense = measures.people.density.value[np.isfinite(measures.people.density.value)]
    key = [
        ("people", figure_text(whole.people, digits=0), f"{whole.found} of them found in the picture"),
        ("ground that was seen", figure_text(whole.area_m2, "m²"), "of the camera's field of view"),
        ("highest density", figure_text(whole.peak, "/m²"), f"averaged over about {4 * np.pi * measures.options.kernel_m**2:.0f} m²"),
        ("density around a person", f"{np.median(dense):.2f} /m²" if len(dense) else NOT_ENOUGH, "median of everybody's own Voronoi cell"),
    ]
    _write(
        path,
        f"How dense the crowd of {image} stands",
        [
            _lead(measures.options),
            _key(key),
            _picture(map_png, "Map of the density on the ground, people and zones"),
            "<h2>Zones</h2>",
            _zones(measures.zones),
            "<h2>Thresholds</h2>",
            _thresholds(measures.zones),
            "<h2>Local density</h2>",
            _density_chart(measures),
            "<h2>Distances and groups</h2>",
            _distances(measures),
            _notes(measures.view, measures.options, remarks),
        ],
    )


def write_sequence_page(path: Path, measures: SequenceMeasures, name: str, remarks: Sequence[str], map_png: bytes | None) -> None:
    """Write the page of a sequence; arguments as `write_scene_page`, the map is that of its fullest picture.

    Raises:
        BadOutput: the file cannot be written.
    """
    walks = measures.walks
    seconds = float(walks.times_s[-1] - walks.times_s[0])
    key = [
        ("people in all", figure_text(measures.people, digits=0), f"{len(walks.ids)} ways were followed"),
        ("time", f"{seconds:.0f} s", f"{len(walks.times_s)} pictures"),
        ("mean speed", figure_text(measures.overall_speed, "m/s"), "over everybody and all pictures"),
    ]
    body = [_lead(measures.options), _key(key)]
    if map_png is not None:
        body.append(_picture(map_png, "Map of the fullest picture"))
    if measures.flows:
        body += ["<h2>Flow across lines</h2>", _flows(measures)]
    if measures.stays:
        body += ["<h2>Zones over time</h2>", _stays(measures)]
    body += ["<h2>Density over time</h2>", _crowding(measures)]
    body += ["<h2>Speed and density</h2>", _fundamental(measures), _notes(walks.view, measures.options, remarks)]
    _write(path, f"How the crowd of {name} moves", body)


def _write(path: Path, title: str, body: Sequence[str]) -> None:
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{html.escape(title)}</h1>"
    )
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([head, *body, "</main></body></html>\n"]), encoding="utf-8")


def _lead(options: MeasureOptions) -> str:
    corrected = "no correction for people who were missed" if np.isinf(options.recall.base) else "corrected for people who were missed"
    return (
        "<p>Every figure is followed by its 68 % interval: two times out of three the true value lies in it. "
        f"It holds the uncertainty of camera, ground and positions; counts and densities are {corrected}.</p>"
    )


def _key(entries: Sequence[tuple[str, str, str]]) -> str:
    cells = (f"<div><span>{html.escape(a)}</span><b>{html.escape(b)}</b><span>{html.escape(c)}</span></div>" for a, b, c in entries)
    return f"<div class='key'>{''.join(cells)}</div>"


def _picture(png: bytes, text: str) -> str:
    return f"<p><img alt='{html.escape(text)}' src='data:image/png;base64,{base64.b64encode(png).decode('ascii')}'></p>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        marks = (" class='text'" if number in text else "" for number in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True)) + "</tr>"

    return "<div class='wide'><table>" + line(header, "th") + "".join(line(row, "td") for row in rows) + "</table></div>"


def _level_text(chances: np.ndarray) -> str:
    if np.isnan(chances).any():
        return "–"
    likely = [f"{letter} {chance:.0%}" for letter, chance in zip(LETTERS, chances, strict=True) if chance >= 0.05]
    return ", ".join(likely)


def _zones(zones: Sequence[ZoneMeasures]) -> str:
    header = ["zone", "people", "found", "area, m²", "seen", "people/m²", "highest, people/m²", "level of service"]
    rows = []
    for zone in zones:
        figures = [figure_text(zone.people, digits=0), str(zone.found), figure_text(zone.area_m2), f"{zone.seen:.0%}"]
        rows.append([zone.name, *figures, figure_text(zone.density), figure_text(zone.peak), _level_text(zone.level)])
    note = "Counts and densities are those of the part that was seen. Level of service: probabilities of 5 % and more."
    return _table(header, rows, text=(7,)) + f"<p class='small'>{note}</p>"


def _thresholds(zones: Sequence[ZoneMeasures]) -> str:
    names = [zone.name for zone in zones if zone.above]
    header = ["people/m²", "what changes above", "source", *names]
    rows = []
    for one in THRESHOLDS:
        chances = [f"{zone.above[one.per_m2]:.0%}" for zone in zones if zone.above]
        rows.append([f"{one.per_m2:g}", one.meaning, one.source, *chances])
    note = "Probability that the mean density is above; spots in a zone may be denser."
    return _table(header, rows, text=(1, 2)) + f"<p class='small'>{note}</p>"


def _density_chart(measures: SceneMeasures) -> str:
    field = measures.field
    known = field.density.value[np.isfinite(field.density.value)]
    limits = np.concatenate([[0.0], limits_per_m2(measures.options.activity), [np.inf]])
    cell = field.step_m**2
    rows = [
        [
            letter,
            f"{low:.2f}–{high:.2f}" if np.isfinite(high) else f"over {low:.2f}",
            f"{cell * ((known >= low) & (known < high)).sum():.0f}",
            f"{np.nansum(np.nan_to_num(measures.people.level[:, number])):.0f}",
        ]
        for number, (letter, low, high) in enumerate(zip(LETTERS, limits[:-1], limits[1:], strict=True))
    ]
    unseen = cell * float(np.isnan(field.density.value).sum())
    note = (
        f"Level of service for {measures.options.activity} ({FRUIN}). Ground around the crowd by Gaussian kernel "
        f"(σ = {measures.options.kernel_m:g} m); people by the area of their own Voronoi cell, expected number. "
        f"Of {unseen:.0f} m² of ground in the picture not enough is seen to say how many people are there."
    )
    return _table(["level", "people/m²", "ground, m²", "people"], rows) + f"<p class='small'>{html.escape(note)}</p>"


def _distances(measures: SceneMeasures) -> str:
    near = [[f"nearer than {limit:g} m", figure_text(_percent(measures.near.row(row)), "%")] for row, limit in enumerate(NEIGHBOUR_M)]
    group = measures.people.group
    sizes = np.bincount(np.bincount(group[group >= 0])) if (group >= 0).any() else np.zeros(0, int)
    parts = [f"{count} of {size}" for size, count in enumerate(sizes) if count and size > 1]
    text = f"Groups by distance, more likely together than not: {', '.join(parts) or 'none'}; {int((group < 0).sum())} people alone."
    order = figure_text(measures.order)
    facing = f"Common direction of facing (0 none, 1 all the same): {order}."
    return _table(["nearest neighbour", "people"], near) + f"<p>{html.escape(text)} {html.escape(facing)}</p>"


def _percent(figure: Spread) -> Spread:
    return Spread(*(100.0 * np.asarray(part) for part in figure))


def _flows(measures: SequenceMeasures) -> str:
    header = ["line", "length, m", "to the right", "to the left", "right, /min", "left, /min", "both, /min/m"]
    rows, charts = [], []
    for flow in measures.flows:
        ways = [figure_text(flow.to_right, digits=0), figure_text(flow.to_left, digits=0)]
        rates = [figure_text(flow.per_minute.row(0)), figure_text(flow.per_minute.row(1)), figure_text(flow.per_metre)]
        rows.append([flow.name, figure_text(flow.length_m), *ways, *rates])
        times = measures.walks.times_s
        series = [
            Series(name, times, one.value, one.low, one.high)
            for way, name in enumerate(("to the right", "to the left"))
            for one in [flow.cumulative.row((slice(None), way))]
        ]
        charts.append(chart(f"people across {flow.name}", "seconds", "people so far", series))
    note = "Right and left as seen from the first point of the line towards the last. Bands hold 68 %."
    return _table(header, rows) + "".join(charts) + f"<p class='small'>{note}</p>"


def _crowding(measures: SequenceMeasures) -> str:
    figure = measures.crowding
    series = Series("everybody in the picture", measures.walks.times_s, figure.value, figure.low, figure.high)
    note = "People per area of all their Voronoi cells: ground on which nobody is near does not count. The band holds 68 %."
    return chart("density around people", "seconds", "people per m²", [series]) + f"<p class='small'>{note}</p>"


def _stays(measures: SequenceMeasures) -> str:
    header = ["zone", "present, mean", "most", "densest, people/m²", f"slower than {SLOW_M_S} m/s, mean", "time spent, s"]
    header.append("people seen to come and go")
    rows, charts = [], []
    for stay in measures.stays:
        present = stay.present
        fullest = int(np.argmax(present.value))
        rows.append(
            [
                stay.name,
                figure_text(stay.mean_present),
                figure_text(present.row(fullest), digits=0),
                figure_text(stay.density.row(fullest)),
                figure_text(stay.slow),
                figure_text(stay.mean_dwell_s),
                str(stay.whole.sum()),
            ]
        )
        series = [Series("people", measures.walks.times_s, present.value, present.low, present.high)]
        charts.append(chart(f"people in {stay.name}", "seconds", "people", series))
    return _table(header, rows) + "".join(charts)


def _fundamental(measures: SequenceMeasures) -> str:
    found = speed_by_density(measures)
    rows = [[level, str(count), f"{density:.2f}", f"{speed:.2f} ± {error:.2f}"] for level, count, density, speed, error in found]
    densities = np.array([row[2] for row in found])
    speeds, errors = np.array([row[3] for row in found]), np.array([row[4] for row in found])
    theory = np.linspace(0.0, max(1.0, float(densities.max(initial=0.0)) * 1.2), 60)
    lines = [
        Series("measured", densities, speeds, speeds - errors, speeds + errors, points=True),
        Series("Weidmann 1993", theory, weidmann_m_s(theory), None, None),
    ]
    table = _table(["level", "sightings", "people/m², median", "speed, m/s"], rows)
    return table + chart("speed and density", "people per m²", "m/s", lines)


def _notes(view: View, options: MeasureOptions, remarks: Sequence[str]) -> str:
    if view.control is None:
        ties = "Positions are metres to the right of and in front of the camera's foot."
    else:
        misfit = view.misfit_m()
        ties = f"Places and lengths are tied to a map by {len(view.control.pixels)} control points"
        ties += f", which they miss by {misfit:.2f} m (root mean square)." if np.isfinite(misfit) else "."
    method = (
        f"Camera, ground and positions were drawn {options.draws} times from their distribution, the camera alike for everybody, noise for "
        "each; added noise is undone by simulation-extrapolation. People who were missed follow from the chance of being found, by size "
        f"in the picture and by what others hide. Where fewer than three in ten would be found, or people would be less than "
        f"{options.least_px:.0f} pixels tall, the answer is “{NOT_ENOUGH}”, not zero. Only people in sight of the camera can be counted: "
        "what walls, trees or cars hide is not known."
    )
    whole = f"“{WHOLE.capitalize()}” is all ground that the camera sees."
    items = "".join(f"<li>{html.escape(remark)}</li>" for remark in [*remarks, ties, method, whole])
    return f"<h2>What this rests on</h2><ul class='small'>{items}</ul>"
