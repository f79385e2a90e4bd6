"""``crowd3d view``: a reconstructed scene or sequence as one page for the browser."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Sequence as ListOf
from dataclasses import replace
from pathlib import Path

import numpy as np

from crowd3d.imaging import GigapixelImage
from crowd3d.measure import MeasureOptions, SceneMeasures, SequenceMeasures, levels_over_time, measure_scene, measure_sequence
from crowd3d.measure.levels import level_names
from crowd3d.measure.page import figure_text
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pipeline.network import body_of
from crowd3d.render import person_colours
from crowd3d.render.colours import HUES
from crowd3d.render.density_map import LEVEL_COLOURS
from crowd3d.scene.lifting import position_covariance
from crowd3d.scene.paths import Sequence, is_sequence_result
from crowd3d.settings import load_settings
from crowd3d.types import SCENE_ARRAYS, Scene, result_folder
from crowd3d.view import Curve, Layers, Moment, Way, write_viewer

_PHOTOGRAPH_PX = 3072
_OPACITY = 190
_TO_VIEWER = np.array([[1.0, -1.0], [-1.0, 1.0]])
"""Turns covariances of places to the right and ahead into those of the page's x and z, which points at the viewer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=result_folder, help="folder with scene.npz and scene.json, or with trajectories.csv of a sequence")
    parser.add_argument("--output", type=Path, default=None, help="HTML file to write (default: viewer.html in the scene's folder)")
    parser.add_argument("--photograph", type=Path, help="the picture, to show behind the crowd and on the ground")
    parser.add_argument("--measure", action="store_true", help="densities, and figures of everybody (takes a minute or more)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path."""
    output = args.output or args.scene / "viewer.html"
    photograph = None
    if args.photograph is not None:
        image = GigapixelImage(args.photograph)
        photograph = image.reduced(max(1.0, max(image.size) / _PHOTOGRAPH_PX))
    before = None
    if is_sequence_result(args.scene):
        sequence = Sequence.load(args.scene)
        timeline, layers = _pictures(args.scene, sequence), Layers(photograph, paths=_paths(sequence))
        if args.measure:
            timeline, layers = _measured(sequence, timeline, layers)
        title = f"{len(np.unique(sequence.sightings.id))} people in {len(timeline)} pictures of {args.scene.resolve().name}"
    else:
        now = _photograph(Scene.load(args.scene))
        before, layers, count = _before(args.scene, now), Layers(photograph), len(now.ids)
        if args.measure:
            measures = measure_scene(now.scene)
            now = replace(now, covariance=measures.people.covariance * _TO_VIEWER, figures=_figures(measures))
            layers = _with_density(layers, measures)
        timeline, title = [now], f"{count} {'person' if count == 1 else 'people'} of {now.scene.image}"
    # Both levels of detail of the free body share their betas; the low one keeps the page small.
    name = timeline[0].scene.body
    body = body_of("free_low" if name.startswith("free") else name, load_settings())
    write_viewer(output, title, timeline, body, layers, before)
    print(output)
    if args.open:
        webbrowser.open(output.resolve().as_uri())
    return 0


def _photograph(scene: Scene) -> Moment:
    return Moment(scene, np.arange(len(scene.people)), person_colours(scene.people), covariance=_covariance(scene))


def _covariance(scene: Scene) -> np.ndarray | None:
    spread = position_covariance(scene)
    return None if spread is None else spread * _TO_VIEWER


def _before(folder: Path, now: Moment) -> Moment | None:
    """The scene before the optimisation, if the folder has it and it differs; the same keypoints are the same person."""
    lifted = ResultFolder(folder).lifted
    if not (lifted / SCENE_ARRAYS).is_file():
        return None
    scene = Scene.load(lifted)
    if all(np.array_equal(one, other) for one, other in zip(vars(scene.people).values(), vars(now.scene.people).values(), strict=True)):
        return None
    row_of = {keypoints.tobytes(): row for row, keypoints in enumerate(now.scene.people.keypoints_px) if keypoints[:, 2].any()}
    fresh = len(now.ids)
    rows = np.array([row_of.get(keypoints.tobytes(), fresh + k) for k, keypoints in enumerate(scene.people.keypoints_px)], np.int64)
    same = rows < fresh
    colours = person_colours(scene.people)
    colours[same] = now.colours[rows[same]]
    return Moment(scene, rows, colours, covariance=_covariance(scene))


def _pictures(folder: Path, sequence: Sequence) -> list[Moment]:
    """All pictures with the people that have an id."""
    moments = []
    for frame, (image, time) in enumerate(zip(sequence.images, sequence.times_s, strict=True)):
        scene = Scene.load(folder / "frames" / Path(image).stem)
        seen = sequence.sightings[sequence.sightings.frame == frame]
        found = replace(scene, people=scene.people[seen.person])
        moments.append(Moment(found, seen.id, _colour_of(seen.id), float(time), _covariance(found)))
    return moments


def _colour_of(ids: np.ndarray) -> np.ndarray:
    return HUES[ids % len(HUES)]


def _paths(sequence: Sequence) -> list[Way]:
    """Everybody's smoothed way."""
    seen = sequence.sightings
    seen = seen[np.isfinite(seen.smooth_m).all(1)]
    seen = seen[np.argsort(seen.time_s, kind="stable")]
    ways = [(id_, seen[seen.id == id_]) for id_ in np.unique(seen.id)]
    return [Way(way.time_s, way.smooth_m * [1.0, -1.0], _colour_of(id_)) for id_, way in ways]


def _figures(measures: SceneMeasures) -> ListOf[ListOf[tuple[str, str]]]:
    """Of everybody, for the panel."""
    people = measures.people
    return [
        [
            ("density", figure_text(people.density.row(row), "/m²")),
            ("nearest", figure_text(people.nearest_m.row(row), "m")),
            ("group", f"{people.group[row]} ({people.together[row]:.0%})" if people.group[row] >= 0 else "alone"),
        ]
        for row in range(len(people.place))
    ]


def _measured(sequence: Sequence, timeline: ListOf[Moment], layers: Layers) -> tuple[list[Moment], Layers]:
    """Densities of every picture, and how they change; figures of everybody."""
    measures = measure_sequence(sequence)
    walks, ground = measures.walks, levels_over_time(measures)
    row_of = {(frame, id_): row for row, (frame, id_) in enumerate(zip(walks.frame.tolist(), walks.ids[walks.row].tolist(), strict=True))}
    figures = [
        [_walking(measures, row_of.get((frame, id_))) for id_ in moment.ids.tolist()] for frame, moment in enumerate(timeline)
    ]
    told = [replace(moment, figures=one) for moment, one in zip(timeline, figures, strict=True)]
    crowding = measures.crowding
    curve = Curve("density around people", "/m²", crowding.value, crowding.low, crowding.high)
    return told, replace(_on_the_ground(layers, ground.at, ground.step_m, ground.level, measures.options), curve=curve)


def _walking(measures: SequenceMeasures, row: int | None) -> ListOf[tuple[str, str]]:
    """Of one sighting."""
    if row is None:
        return []
    who = measures.walks.row[row]
    return [
        ("density", figure_text(measures.density.row(row), "/m²")),
        ("speed", figure_text(measures.speed.row(row), "m/s")),
        ("group", f"{measures.group[who]} ({measures.together[who]:.0%})" if measures.group[who] >= 0 else "alone"),
    ]


def _with_density(layers: Layers, measures: SceneMeasures) -> Layers:
    """Levels of service of a photograph."""
    field = measures.field
    likely = np.where(np.isfinite(field.level).all(1), np.nan_to_num(field.level).argmax(1), -1)
    return _on_the_ground(layers, field.at, field.step_m, likely[None], measures.options)


def _on_the_ground(layers: Layers, at: np.ndarray, step_m: float, levels: np.ndarray, options: MeasureOptions) -> Layers:
    """Levels of service (T, M), −1 unknown, at (M, 2) places; the page's z points at the viewer, their second axis away from them."""
    low, high = at.min(0), at.max(0)
    index = np.rint((at - low) / step_m).astype(int)
    columns, rows = index.max(0) + 1
    colour = np.vstack([np.column_stack([LEVEL_COLOURS, np.full(len(LEVEL_COLOURS), _OPACITY)]), np.zeros(4)]).astype(np.uint8)
    pictures = np.zeros((len(levels), rows, columns, 4), np.uint8)
    pictures[:, rows - 1 - index[:, 1], index[:, 0]] = colour[levels]
    low, high = low - step_m / 2.0, high + step_m / 2.0
    box = (float(low[0]), float(-high[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    legend = [("rgb({}, {}, {})".format(*one), name) for one, name in zip(LEVEL_COLOURS, level_names(options.activity), strict=True)]
    return replace(layers, density=list(pictures), density_box=box, legend=legend)
