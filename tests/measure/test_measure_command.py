"""The command, on a made crowd and a made sequence: files that other programs read, and a page that loads nothing."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import cv2
import made_sequence
import numpy as np
import pytest

from crowd3d.cli import measure as command
from crowd3d.errors import BadConfig, UnsolvableGround
from crowd3d.measure import MeasureOptions, Recall, View, Zone, measure_scene
from crowd3d.measure.areas import Line
from crowd3d.measure.figures import Spread
from crowd3d.measure.page import NOT_ENOUGH, figure_text
from crowd3d.measure.sequence import crossings, measure_sequence, weidmann_m_s
from crowd3d.measure.simulate import RECALL, SQUARE, make
from crowd3d.scene.paths import Sequence

FAR = np.array([[-5.0, 300.0], [5.0, 300.0], [5.0, 310.0], [-5.0, 310.0]])
EMPTY = np.array([[8.0, 14.0], [11.0, 14.0], [11.0, 18.0], [8.0, 18.0]])


def run(folder: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(folder), "--draws", "20", *more]))


def feature(name: str, kind: str, points: np.ndarray) -> dict:
    ring = points.tolist()
    return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": kind, "coordinates": ring}}


def closed(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, points[:1]])[None]


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made crowd of one person per m², measured in three zones, tied to a map."""
    folder = tmp_path_factory.mktemp("crowd")
    made = make(1.0, np.random.default_rng(0), RECALL)
    made.scene().save(folder)
    areas = {"square": SQUARE, "empty": EMPTY, "far": FAR}
    zones = [feature(name, "Polygon", closed(made.view.to_pixels(ring))) for name, ring in areas.items()]
    (folder / "areas.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": zones}))
    corners = made.truth.to_pixels(SQUARE)
    table = np.column_stack([corners, 11.0 + SQUARE[:, 0] / 74630.0, 48.0 + SQUARE[:, 1] / 111200.0])
    np.savetxt(folder / "control.csv", table, "%.9f", delimiter=",", header="u_px,v_px,lon,lat", comments="")
    assert run(folder, "--areas", str(folder / "areas.geojson"), "--control", str(folder / "control.csv")) == 0
    return folder / "measure"


def test_zones_have_figures_or_say_that_not_enough_is_seen(photograph: Path) -> None:
    told = json.loads((photograph / "measure.json").read_text())
    whole, square, empty, far = told["zones"]
    assert whole["name"] == "observed ground"
    assert square["density_per_m2"]["interval95"][0] < 1.1 < square["density_per_m2"]["interval95"][1] + 0.5
    assert square["area_m2"]["value"] == pytest.approx(144.0, rel=0.03)
    assert sum(square["level_of_service"].values()) == pytest.approx(1.0, abs=0.01)
    assert empty["found"] == 0
    assert empty["enough_seen"]
    assert empty["people"]["interval95"][1] < 4
    assert not far["enough_seen"]
    assert far["people"] is None is far["density_per_m2"]
    assert told["assumptions"]["map"]["misfit_m"] < 1.0


def test_tables_and_geojson_hold_everybody(photograph: Path) -> None:
    with (photograph / "people.csv").open() as file:
        rows = list(csv.DictReader(file))
    document = json.loads((photograph / "measure.geojson").read_text())
    assert document["coordinates"].startswith("WGS 84")
    points = [one for one in document["features"] if one["properties"]["kind"] == "person"]
    assert len(points) == len(rows) > 100
    place = np.array([one["geometry"]["coordinates"] for one in points])
    assert np.abs(place - (11.0, 48.0)).max() < 0.001
    for row in rows:
        if row["density_per_m2"]:
            assert float(row["density_low"]) <= float(row["density_per_m2"]) <= float(row["density_high"])
    polygons = [one["geometry"]["coordinates"][0] for one in document["features"] if one["properties"]["kind"] == "zone"]
    assert all(ring[0] == ring[-1] for ring in polygons)
    with (photograph / "density.csv").open() as file:
        assert {row["level"] for row in csv.DictReader(file)} >= {"A", "C"}


class Page(HTMLParser):
    """Whether tags match, and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "path", "circle", "polyline", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle", "polyline", "polygon"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Page:
    page = Page()
    text = path.read_text(encoding="utf-8")
    page.feed(text)
    assert page.open == []
    assert all(source.startswith("data:") for source in page.sources)
    assert not re.search(r"<script|@import|url\(", text)
    return page


def test_page_loads_nothing_and_names_zones(photograph: Path) -> None:
    page = read_page(photograph / "measure.html")
    assert NOT_ENOUGH in page.text
    assert "square" in page.text
    assert "Fruin" in page.text
    picture = cv2.imread(str(photograph / "density.png"))
    assert picture.shape[0] > 600
    assert picture.shape[1] > 1200


def test_a_sequence_has_speed_flow_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made_sequence.write_sequence(tmp_path)
    view = View(made_sequence.CAMERA, made_sequence.GROUND, np.zeros((4, 4)))
    line = view.to_pixels(np.array([[0.0, 8.0], [0.0, 20.0]]))
    zone = view.to_pixels(np.array([[0.0, 14.0], [2.0, 14.0], [2.0, 16.0], [0.0, 16.0]]))
    areas = {"type": "FeatureCollection", "features": [feature("gate", "LineString", line), feature("stand", "Polygon", closed(zone))]}
    (tmp_path / "areas.geojson").write_text(json.dumps(areas))
    assert run(folder, "--areas", str(tmp_path / "areas.geojson"), "--recall", "none") == 0
    assert "gate: 1 to the right, 1 to the left" in capsys.readouterr().out
    told = json.loads((folder / "measure" / "measure.json").read_text())
    assert told["people"]["value"] == 4
    assert told["lines"][0]["to_right"]["value"] == 1
    assert told["lines"][0]["to_left"]["value"] == 1
    assert told["zones"][0]["present"][0]["value"] == 1
    with (folder / "measure" / "people.csv").open() as file:
        speeds = {int(row["id"]): float(row["speed_m_s"]) for row in csv.DictReader(file)}
    for id_, pace in enumerate(made_sequence.PACE_M_S):
        assert speeds[id_] == pytest.approx(np.hypot(*pace), abs=0.25)
    page = read_page(folder / "measure" / "measure.html")
    assert "Flow across lines" in page.text
    document = json.loads((folder / "measure" / "measure.geojson").read_text())
    assert {one["properties"]["kind"] for one in document["features"]} == {"way", "line", "zone"}


def test_crossings_have_a_direction() -> None:
    place = np.array([[-1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, 9.0], [1.0, 9.0]])
    line = np.array([[0.0, 0.0], [0.0, 5.0]])
    signs = crossings(place, np.arange(4), line)
    # Looking along the line, which goes ahead, x < 0 is its left; beyond its end nobody crosses.
    np.testing.assert_array_equal(signs, [1, -1, 0, 0])
    np.testing.assert_array_equal(crossings(place, np.arange(4), line[::-1]), [-1, 1, 0, 0])


def test_people_together_are_a_group_in_a_sequence(tmp_path: Path) -> None:
    sequence = Sequence.load(made_sequence.write_sequence(tmp_path))
    line = Line("gate", np.array([[1200.0, 1500.0], [1200.0, 800.0]]))
    measures = measure_sequence(sequence, lines=[line], options=MeasureOptions(draws=20))
    assert (measures.group == -1).all()
    assert weidmann_m_s(np.array([0.1, 5.5]))[1] == 0.0
    assert weidmann_m_s(np.array([0.1]))[0] == pytest.approx(1.34, abs=0.01)


def test_nobody_and_nowhere() -> None:
    made = make(1.0, np.random.default_rng(0), RECALL)
    scene = made.scene()
    empty = type(scene)(scene.camera, scene.ground, scene.people[:0], scene.body, scene.image, scene.ground_covariance)
    zone = Zone("square", [made.truth.to_pixels(SQUARE)])
    measures = measure_scene(empty, [zone], MeasureOptions(draws=20, recall=Recall.everybody()))
    assert measures.zones[1].people.value == 0
    assert np.isnan(measures.near.value).all()
    with pytest.raises(UnsolvableGround, match="px on all ground"):
        measure_scene(scene, [], MeasureOptions(draws=20, least_px=1e5))


def test_a_camera_that_hardly_knows_its_horizon_still_counts_everybody() -> None:
    made = make(1.0, np.random.default_rng(0), RECALL)
    covariance = np.diag([0.25, np.deg2rad(6.0), np.deg2rad(2.0), 0.25]) ** 2
    scene = dataclasses.replace(made.scene(), ground_covariance=covariance)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measures = measure_scene(scene, [], MeasureOptions(draws=40, recall=Recall.everybody(), least_px=10.0))
    whole = measures.zones[0]
    assert whole.people.low == whole.people.value == whole.people.high == whole.found == len(made.foot_px)
    assert not whole.area_m2.value < 1000.0


@pytest.mark.parametrize("given", ["--recall many", "--recall 0", "--recall 1.5", "--draws 3", "--kernel_m 0", "--least_px tall"])
def test_a_wrong_value_is_refused(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, *given.split())
    assert given.split()[0] in capsys.readouterr().err


def test_map_units_without_control_points_are_refused(tmp_path: Path) -> None:
    make(0.5, np.random.default_rng(0), RECALL).scene().save(tmp_path)
    (tmp_path / "areas.geojson").write_text(json.dumps(feature("a", "Polygon", closed(SQUARE))))
    with pytest.raises(BadConfig, match="control"):
        run(tmp_path, "--areas", str(tmp_path / "areas.geojson"), "--units", "map")


def test_figures_are_written_with_the_digits_that_they_deserve() -> None:
    def text(*values: float) -> str:
        return figure_text(Spread(*(np.array(value) for value in values)), "m")

    assert text(0.4321, 0.371, 0.518, 0.3, 0.6) == "0.43 (0.37–0.52) m"
    assert text(257.3, 236.2, 322.4, 230, 400) == "257 (236–322) m"
    assert figure_text(Spread(*map(np.array, (64.2, 62.1, 69.3, 60.0, 70.0))), digits=0) == "64 (62–69)"
    assert text(104.615, 104.615, 104.615, 104.0, 105.0) == "105 m"
    assert text(3.0, 3.0, 3.0, 3.0, 3.0) == "3 m"
    assert text(np.nan, np.nan, np.nan, np.nan, np.nan) == NOT_ENOUGH
