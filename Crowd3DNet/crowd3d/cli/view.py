"""``crowd3d view``: a reconstructed scene as one page for the browser."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

import numpy as np

from crowd3d.bodies import load_body
from crowd3d.imaging import GigapixelImage
from crowd3d.measure import MeasureOptions, SceneMeasures, measure_scene
from crowd3d.measure.levels import level_names
from crowd3d.measure.page import figure_text
from crowd3d.render import person_colours
from crowd3d.render.density_map import LEVEL_COLOURS
from crowd3d.settings import load_settings
from crowd3d.types import Scene
from crowd3d.view import Layers, write_viewer

_PHOTOGRAPH_PX = 3072
_OPACITY = 190


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=Path, help="folder with scene.npz and scene.json")
    parser.add_argument("--output", type=Path, default=None, help="HTML file to write (default: viewer.html in the scene's folder)")
    parser.add_argument("--photograph", type=Path, help="the picture, to show behind the crowd and on the ground")
    parser.add_argument("--measure", action="store_true", help="layers of density and uncertainty, figures of everybody (takes a minute)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path."""
    scene = Scene.load(args.scene)
    # Both levels of detail of the free body share their betas; the low one keeps the page small.
    name = "free_low" if scene.body.startswith("free") else scene.body
    body = load_body(name, smpl_folder=load_settings().smpl_model_root)
    output = args.output or args.scene / "viewer.html"
    photograph = None
    if args.photograph is not None:
        image = GigapixelImage(args.photograph)
        photograph = image.reduced(max(1.0, max(image.size) / _PHOTOGRAPH_PX))
    layers = _measured(measure_scene(scene, options=MeasureOptions()), photograph) if args.measure else Layers(photograph)
    write_viewer(scene, body, person_colours(scene.people), output, layers)
    print(output)
    if args.open:
        webbrowser.open(output.resolve().as_uri())
    return 0


def _measured(measures: SceneMeasures, photograph: np.ndarray | None) -> Layers:
    """Layers of what was measured; the page's z points at the viewer, the measures' second axis away from them."""
    field, people = measures.field, measures.people
    index = np.rint((field.at - field.at.min(0)) / field.step_m).astype(int)
    columns, rows = index.max(0) + 1
    picture = np.zeros((rows, columns, 4), np.uint8)
    known = np.isfinite(field.level).all(1)
    colour = LEVEL_COLOURS[np.nan_to_num(field.level).argmax(1)]
    at = (rows - 1 - index[known, 1], index[known, 0])
    picture[at] = np.column_stack([colour[known], np.full(known.sum(), _OPACITY)])
    low, high = field.at.min(0) - field.step_m / 2.0, field.at.max(0) + field.step_m / 2.0
    figures = [
        [
            ("density", figure_text(people.density.row(row), "/m²")),
            ("nearest", figure_text(people.nearest_m.row(row), "m")),
            ("group", f"{people.group[row]} ({people.together[row]:.0%})" if people.group[row] >= 0 else "alone"),
        ]
        for row in range(len(people.place))
    ]
    names = level_names(measures.options.activity)
    box = (float(low[0]), float(-high[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    legend = [("rgb({}, {}, {})".format(*colour), name) for colour, name in zip(LEVEL_COLOURS, names, strict=True)]
    return Layers(photograph, picture, box, legend, people.covariance * [[1.0, -1.0], [-1.0, 1.0]], figures)
