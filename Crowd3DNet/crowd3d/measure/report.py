"""What was measured as JSON, CSV and GeoJSON."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.files import atomic_path, write_json
from crowd3d.measure.figures import Spread
from crowd3d.measure.levels import FRUIN, LETTERS, THRESHOLDS, limits_per_m2
from crowd3d.measure.scene import NEIGHBOUR_M, MeasureOptions, SceneMeasures, ZoneMeasures
from crowd3d.measure.sequence import SequenceMeasures, Stay, speed_by_density
from crowd3d.measure.view import View


def _number(value: float, digits: int = 3) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _list(values: np.ndarray, digits: int = 3) -> Any:
    if np.ndim(values) == 0:
        return _number(float(values), digits)
    return [_list(value, digits) for value in values]


def _levels(chances: np.ndarray) -> dict[str, float] | None:
    return None if np.isnan(chances).any() else dict(zip(LETTERS, _list(chances), strict=True))


def assumptions(view: View, options: MeasureOptions, remarks: Sequence[str]) -> dict[str, Any]:
    """What the figures rest on."""
    recall = options.recall
    return {
        "intervals": "interval68 and interval95 hold the truth with 68 % and 95 % probability if the assumptions do",
        "places": "metres east and north (map)" if view.control else "metres right of and in front of the camera's foot",
        "recall": {"base": _number(recall.base), "by_size": recall.by_size, "by_hidden": recall.by_hidden, "sigma": recall.sigma},
        "least_height_px": options.least_px,
        "kernel_m": options.kernel_m,
        "voronoi_reach_m": options.reach_m,
        "draws": options.draws,
        "level_of_service": {"activity": options.activity, "source": FRUIN, "limits_per_m2": _list(limits_per_m2(options.activity))},
        "thresholds": [one._asdict() for one in THRESHOLDS],
        "map": None if view.control is None else {"scale": _number(view.scale(), 4), "misfit_m": _number(view.misfit_m())},
        "remarks": list(remarks),
    }


def zone_json(zone: ZoneMeasures) -> dict[str, Any]:
    """One zone; figures of a zone of which not enough is seen are null."""
    return {
        "name": zone.name,
        "enough_seen": zone.people.json() is not None,
        "seen_share": _number(zone.seen),
        "area_m2": zone.area_m2.json(1),
        "found": zone.found,
        "people": zone.people.json(1),
        "density_per_m2": zone.density.json(),
        "peak_density_per_m2": zone.peak.json(),
        "level_of_service": _levels(zone.level),
        "probability_above_per_m2": {f"{limit:g}": _number(chance) for limit, chance in zone.above.items()},
        "outline_m": [_list(ring) for ring in zone.rings],
    }


def scene_json(measures: SceneMeasures, image: str, remarks: Sequence[str]) -> dict[str, Any]:
    """Everything but the arrays over people and ground, which are in the tables."""
    sizes = np.bincount(measures.people.group[measures.people.group >= 0])
    return {
        "image": image,
        "assumptions": assumptions(measures.view, measures.options, remarks),
        "zones": [zone_json(zone) for zone in measures.zones],
        "share_with_neighbour_nearer_than_m": {f"{limit:g}": measures.near.row(row).json() for row, limit in enumerate(NEIGHBOUR_M)},
        "facing_order": measures.order.json(),
        "groups": {"people_alone": int((measures.people.group < 0).sum()), "sizes": sizes.tolist()},
    }


def _narrow(figure: Spread) -> dict[str, Any] | None:
    """Of figures with too few draws for an interval of 95 %."""
    told = figure.json()
    return None if told is None else {"value": told["value"], "interval68": told["interval68"]}


def _stay_json(stay: Stay) -> dict[str, Any]:
    present = stay.present
    return {
        "name": stay.name,
        "mean_present": stay.mean_present.json(2),
        "present": [present.row(row).json(2) for row in range(len(present.value))],
        "density_per_m2": [stay.density.row(row).json() for row in range(len(present.value))],
        "slow": stay.slow.json(2),
        "people_seen_to_come_and_go": int(stay.whole.sum()),
        "mean_dwell_s": stay.mean_dwell_s.json(1),
    }


def sequence_json(measures: SequenceMeasures, remarks: Sequence[str]) -> dict[str, Any]:
    """Everything but the arrays over people and sightings."""
    walks = measures.walks
    flows = [
        {
            "name": flow.name,
            "length_m": flow.length_m.json(2),
            "to_right": flow.to_right.json(1),
            "to_left": flow.to_left.json(1),
            "to_right_per_minute": flow.per_minute.row(0).json(2),
            "to_left_per_minute": flow.per_minute.row(1).json(2),
            "both_per_minute_and_metre": flow.per_metre.json(3),
        }
        for flow in measures.flows
    ]
    names = ("level", "sightings", "density_per_m2", "speed_m_s", "speed_sigma_m_s")
    return {
        "assumptions": assumptions(walks.view, measures.options, remarks),
        "pictures": len(walks.times_s),
        "seconds": _number(float(walks.times_s[-1] - walks.times_s[0])),
        "people_found": len(walks.ids),
        "people": measures.people.json(1),
        "mean_speed_m_s": measures.overall_speed.json(),
        "speed_by_density": [dict(zip(names, row, strict=True)) for row in speed_by_density(measures)],
        "groups": {
            "people_alone": int((measures.group < 0).sum()),
            "sizes": np.bincount(measures.group[measures.group >= 0]).tolist(),
        },
        "lines": flows,
        "zones": [_stay_json(stay) for stay in measures.stays],
        "times_s": _list(walks.times_s),
        "density_around_people_per_m2": [_narrow(measures.crowding.row(row)) for row in range(len(walks.times_s))],
    }


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow(["" if isinstance(cell, float) and not np.isfinite(cell) else cell for cell in row])


def _cells(figure: Spread, digits: int = 3) -> list[np.ndarray]:
    return [np.round(part, digits) for part in (figure.value, figure.low, figure.high)]


def _letter(chances: np.ndarray) -> np.ndarray:
    """(M, 6) → (M,) the most probable level, empty where unknown."""
    known = np.isfinite(chances).all(-1)
    return np.where(known, np.array(list(LETTERS))[np.nan_to_num(chances).argmax(-1)], "")


def write_people_table(path: Path, measures: SceneMeasures) -> None:
    """A line per person; empty where not enough is seen."""
    people = measures.people
    sigma = np.sqrt(np.diagonal(people.covariance, axis1=1, axis2=2))
    facing = np.rad2deg(np.arctan2(people.facing[:, 0], people.facing[:, 1])) % 360.0
    header = ["id", "x_m", "y_m", "sigma_x_m", "sigma_y_m", "density_per_m2", "density_low", "density_high", "level", "cell_cut_off"]
    header += ["nearest_m", "nearest_low", "nearest_high", "facing_deg", "group", "group_probability", "recall"]
    columns = [
        np.arange(len(people.place)),
        *np.round(people.place.T, 3),
        *np.round(sigma.T, 3),
        *_cells(people.density),
        _letter(people.level),
        people.cut.astype(int),
        *_cells(people.nearest_m),
        np.round(facing, 1),
        people.group,
        np.round(people.together, 3),
        np.round(people.recall, 3),
    ]
    _write_csv(path, header, zip(*(column.tolist() for column in columns), strict=True))


def write_field_table(path: Path, measures: SceneMeasures) -> None:
    """A line per place of the density grid; empty where not enough is seen."""
    grid = measures.field
    columns = [*np.round(grid.at.T, 2), *_cells(grid.density), _letter(grid.level), np.round(grid.recall, 3)]
    header = ["x_m", "y_m", "density_per_m2", "density_low", "density_high", "level", "recall"]
    _write_csv(path, header, zip(*(column.tolist() for column in columns), strict=True))


def write_walks_table(path: Path, measures: SequenceMeasures) -> None:
    """A line per person of a sequence."""
    walks = measures.walks
    first, last = walks.spans
    columns = [
        walks.ids,
        np.round(walks.time_s[first], 3),
        np.round(walks.time_s[last], 3),
        *_cells(measures.mean_speed),
        measures.group,
        np.round(measures.together, 3),
        np.round(walks.followed, 3),
    ]
    header = ["id", "first_s", "last_s", "speed_m_s", "speed_low", "speed_high", "group", "group_probability", "recall"]
    for stay in measures.stays:
        columns += [*_cells(stay.dwell_s, 2), stay.whole.astype(int)]
        header += [f"{stay.name}: dwell_s", "dwell_low", "dwell_high", "seen_to_come_and_go"]
    _write_csv(path, header, zip(*(column.tolist() for column in columns), strict=True))


def write_crowding_table(path: Path, measures: SequenceMeasures) -> None:
    """A line per picture: how many people were seen, and how dense it was around them; empty in pictures of nobody."""
    walks = measures.walks
    seen = np.bincount(walks.frame, minlength=len(walks.times_s))
    columns = [np.round(walks.times_s, 3), seen, *_cells(measures.crowding)]
    header = ["time_s", "people_found", "density_per_m2", "density_low", "density_high"]
    for stay in measures.stays:
        columns += _cells(stay.density)
        header += [f"{stay.name}: density_per_m2", "density_low", "density_high"]
    _write_csv(path, header, zip(*(column.tolist() for column in columns), strict=True))


def write_flow_table(path: Path, measures: SequenceMeasures) -> None:
    """N–t curves: a line per picture and line, people so far."""
    header = ["line", "time_s", "to_right", "to_right_low", "to_right_high", "to_left", "to_left_low", "to_left_high"]
    rows = []
    for flow in measures.flows:
        columns = [cell for way in (0, 1) for cell in _cells(flow.cumulative.row((slice(None), way)), 2)]
        rows += [[flow.name, round(float(time), 3), *cells] for time, *cells in zip(measures.walks.times_s, *columns, strict=True)]
    _write_csv(path, header, rows)


def write_geojson(path: Path, view: View, features: Iterable[tuple[str, Any, dict[str, Any]]]) -> None:
    """Shapes in the coordinates of the map: longitude and latitude (RFC 7946), or metres as ``coordinates`` says.

    Args:
        path: file to write.
        view: of the scene.
        features: kind (``Point``, ``LineString``, ``Polygon``), metres ((2,), (K, 2), or list of rings), properties.
    """
    control = view.control
    digits = 8 if control is not None and control.degrees else 3

    def place(points: np.ndarray, closed: bool) -> list:
        points = np.concatenate([points, points[:1]]) if closed else points
        return _list(points if control is None else control.to_map(points), digits)

    written = []
    for kind, points, properties in features:
        shape = [place(ring, True) for ring in points] if kind == "Polygon" else place(points, False)
        written.append({"type": "Feature", "geometry": {"type": kind, "coordinates": shape}, "properties": properties})
    said = "metres right of and in front of the camera's foot; not georeferenced: give control points"
    if control is not None:
        said = "WGS 84 longitude and latitude" if control.degrees else "metres east and north, as the control points"
    write_json(path, {"type": "FeatureCollection", "coordinates": said, "features": written})


def scene_features(measures: SceneMeasures) -> list[tuple[str, Any, dict[str, Any]]]:
    """Zones and people of a photograph for `write_geojson`."""
    people = measures.people
    letters = _letter(people.level)
    features: list[tuple[str, Any, dict[str, Any]]] = []
    for zone in measures.zones:
        properties = zone_json(zone)
        properties.pop("outline_m")
        features.append(("Polygon", zone.rings, {"kind": "zone", **properties}))
    for row in np.flatnonzero(np.isfinite(people.place).all(1)):
        figures = {"density_per_m2": people.density.row(row).json(), "nearest_m": people.nearest_m.row(row).json()}
        more = {"level": letters[row] or None, "group": int(people.group[row]), "group_probability": _number(people.together[row])}
        features.append(("Point", people.place[row], {"kind": "person", "id": int(row), **figures, **more}))
    return features


def sequence_features(measures: SequenceMeasures) -> list[tuple[str, Any, dict[str, Any]]]:
    """Ways and lines of a sequence for `write_geojson`."""
    walks = measures.walks
    walk = walks.seen_as(walks.view, walks.state)
    features: list[tuple[str, Any, dict[str, Any]]] = []
    for number, (first, last) in enumerate(zip(*walks.spans, strict=True)):
        if last > first:
            speed = measures.mean_speed.row(number).json()
            who = {"kind": "way", "id": int(walks.ids[number]), "mean_speed_m_s": speed, "group": int(measures.group[number])}
            features.append(("LineString", walk.place[first : last + 1], who))
    for flow in measures.flows:
        counts = {"to_right": flow.to_right.json(1), "to_left": flow.to_left.json(1)}
        features.append(("LineString", flow.points, {"kind": "line", "name": flow.name, **counts}))
    for stay in measures.stays:
        dwell = {"mean_dwell_s": stay.mean_dwell_s.json(1), "slow": stay.slow.json(2)}
        features.append(("Polygon", stay.rings, {"kind": "zone", "name": stay.name, **dwell}))
    return features
