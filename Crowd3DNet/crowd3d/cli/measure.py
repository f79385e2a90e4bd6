"""``crowd3d measure``: densities, zones, groups and flows of a reconstructed photograph or sequence, with their uncertainty."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from crowd3d.files import read_json, write_json
from crowd3d.measure import (
    Control,
    MeasureOptions,
    Recall,
    SceneMeasures,
    Spread,
    View,
    Zone,
    measure_scene,
    measure_sequence,
    read_areas,
    read_control,
)
from crowd3d.measure.areas import Line, Units
from crowd3d.measure.levels import level_names
from crowd3d.measure.page import figure_text, write_scene_page, write_sequence_page
from crowd3d.measure.report import (
    scene_features,
    scene_json,
    sequence_features,
    sequence_json,
    write_crowding_table,
    write_field_table,
    write_flow_table,
    write_geojson,
    write_people_table,
    write_walks_table,
)
from crowd3d.render.density_map import DensityMap, Marking, draw_density_map
from crowd3d.scene.paths import Sequence, is_sequence_result
from crowd3d.types import SCENE_ARRAYS, Scene, result_folder

_LEAST_DRAWS = 20


def recall(text: str) -> Recall:
    """``model``, ``none``, or the share of people that is found."""
    if text == "model":
        return Recall()
    if text == "none":
        return Recall.everybody()
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.05 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not model, none, or a share between 0.05 and 1")
    return Recall.constant(share)


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def draws(text: str) -> int:
    """Enough draws for the ends of a 68 % interval."""
    value = int(text) if text.isdecimal() else 0
    if value < _LEAST_DRAWS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {_LEAST_DRAWS} or more")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=result_folder, help="folder with scene.npz and scene.json, or with trajectories.csv of a sequence")
    parser.add_argument("--areas", type=Path, help="GeoJSON with zones (polygons) to count in and lines to count across")
    parser.add_argument("--units", choices=("pixels", "metres", "map"), default="pixels", help="of --areas; map: those of --control")
    parser.add_argument("--control", type=Path, help="CSV u_px,v_px,lon,lat or u_px,v_px,x_m,y_m: two or more points of a map")
    parser.add_argument("--activity", choices=("walking", "queueing"), default="walking", help="which of Fruin's levels of service")
    parser.add_argument(
        "--recall", type=recall, default="model", help="share of people found: model (size and visibility), none (no correction), a number"
    )
    parser.add_argument("--kernel_m", type=positive, default=MeasureOptions.kernel_m, help="standard deviation of the Gaussian, metres")
    parser.add_argument("--least_px", type=positive, default=MeasureOptions.least_px, help="people less tall in the picture are not found")
    parser.add_argument("--draws", type=draws, default=MeasureOptions.draws, help="crowds that are drawn for the intervals")
    parser.add_argument("--output", type=Path, help="folder to write into (default: measure/ in the scene's)")


def run(args: argparse.Namespace) -> int:
    """Measure and print what was written."""
    options = MeasureOptions(
        recall=args.recall, activity=args.activity, kernel_m=args.kernel_m, least_px=args.least_px, draws=args.draws
    )
    control = None if args.control is None else read_control(args.control)
    output = args.output or args.scene / "measure"
    if is_sequence_result(args.scene):
        return _run_sequence(args, options, control, output)
    scene = Scene.load(args.scene)
    zones, _ = _areas(args, scene, control)
    measures = measure_scene(scene, zones, options, control)
    png = output / "density.png"
    draw_density_map(density_map(measures, f"Density of the crowd of {scene.image}"), png)
    write_json(output / "measure.json", scene_json(measures, scene.image, scene.remarks))
    write_people_table(output / "people.csv", measures)
    write_field_table(output / "density.csv", measures)
    write_geojson(output / "measure.geojson", measures.view, scene_features(measures))
    write_scene_page(output / "measure.html", measures, scene.image, scene.remarks, png.read_bytes())
    for zone in measures.zones:
        print(f"{zone.name}: {figure_text(zone.people, 'people', 0)}, {figure_text(zone.density, 'people/m²')}, {zone.seen:.0%} seen")
    print(output / "measure.html")
    return 0


def _areas(args: argparse.Namespace, scene: Scene | Sequence, control: Control | None) -> tuple[list[Zone], list[Line]]:
    if args.areas is None:
        return [], []
    units: Units = args.units
    return read_areas(args.areas, View(scene.camera, scene.ground, np.zeros((4, 4)), control), units)


def _run_sequence(args: argparse.Namespace, options: MeasureOptions, control: Control | None, output: Path) -> int:
    sequence = Sequence.load(args.scene)
    zones, lines = _areas(args, sequence, control)
    measures = measure_sequence(sequence, zones, lines, options, control)
    # The fullest picture stands for how dense it became.
    fullest = int(np.bincount(sequence.sightings.frame).argmax())
    frame = args.scene / "frames" / Path(sequence.images[fullest]).stem
    png: Path | None = None
    told = read_json(args.scene / "camera_ground.json")
    remarks = tuple(filter(None, (told.get("weak"), told.get("assumption"))))
    if (frame / SCENE_ARRAYS).is_file():
        scene = Scene.load(frame)
        still = measure_scene(scene, zones, options, control)
        png = output / "density.png"
        shapes = [Marking((flow.name,), [flow.points], False) for flow in measures.flows]
        draw_density_map(density_map(still, f"Density in the fullest picture, {scene.image}", shapes), png)
        write_json(output / "fullest_picture.json", scene_json(still, scene.image, scene.remarks))
        write_field_table(output / "density.csv", still)
    write_json(output / "measure.json", sequence_json(measures, remarks))
    write_walks_table(output / "people.csv", measures)
    write_flow_table(output / "flow.csv", measures)
    write_crowding_table(output / "over_time.csv", measures)
    write_geojson(output / "measure.geojson", measures.walks.view, sequence_features(measures))
    write_sequence_page(output / "measure.html", measures, args.scene.resolve().name, remarks, None if png is None else png.read_bytes())
    print(f"{figure_text(measures.people, 'people', 0)}, {figure_text(measures.overall_speed, 'm/s')}")
    for flow in measures.flows:
        print(f"{flow.name}: {figure_text(flow.to_right, digits=0)} to the right, {figure_text(flow.to_left, digits=0)} to the left")
    print(output / "measure.html")
    return 0


def density_map(measures: SceneMeasures, title: str, shapes: list[Marking] | None = None) -> DensityMap:
    """What the map shows of the figures of a photograph."""
    level = np.where(np.isfinite(measures.field.level).all(1), np.nan_to_num(measures.field.level).argmax(1), -1)
    asked = measures.zones[1:]
    zones = [Marking((zone.name, _plain(zone.density)), zone.rings, True, bool(np.isfinite(zone.density.value))) for zone in asked]
    mapped = measures.view.control is not None
    whole = measures.zones[0]
    return DensityMap(
        title,
        f"people per square metre, Fruin's levels for {measures.options.activity} · {_plain(whole.people, 0)} people (68 % interval)",
        ("metres east", "metres north") if mapped else ("metres to the right of the camera", "metres in front of the camera"),
        measures.outline,
        measures.field.at,
        measures.field.step_m,
        level,
        level_names(measures.options.activity),
        measures.people.place,
        [*zones, *(shapes or [])],
    )


def _plain(figure: Spread, digits: int = 3) -> str:
    return figure_text(figure, digits=digits).replace("–", " - ")
