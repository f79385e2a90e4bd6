"""Zones and lines that the user draws, in pixels, metres or on a map, as GeoJSON (RFC 7946)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from crowd3d.errors import BadConfig
from crowd3d.files import read_json
from crowd3d.measure.view import Control, View

Units = Literal["pixels", "metres", "map"]


class Zone(NamedTuple):
    """A polygon on the ground, anchored in the picture.

    Attributes:
        name: for the reports.
        rings_px: outline and holes, (K, 2) pixels each.
    """

    name: str
    rings_px: list[np.ndarray]


class Line(NamedTuple):
    """A line that people cross; from its first to its last point, "left" is what lies to the left.

    Attributes:
        name: for the reports.
        points_px: (K, 2) pixels.
    """

    name: str
    points_px: np.ndarray


def read_areas(path: Path, view: View, units: Units) -> tuple[list[Zone], list[Line]]:
    """Zones (Polygon, MultiPolygon) and lines (LineString) of a GeoJSON file; ``name`` of their properties names them.

    Args:
        path: the file.
        view: of the scene.
        units: ``pixels`` of the photograph; ``metres`` to the right of and in front of the camera's foot, as in the map picture, or
            east and north if there are control points; ``map``: what the control points are given in.

    Raises:
        BadConfig: not GeoJSON, ``map`` without control points, or something lies at or above the horizon.
    """
    try:
        document = read_json(path)
        features = document["features"] if document["type"] == "FeatureCollection" else [document]
        parts = [part for number, feature in enumerate(features, 1) for part in _shapes(feature, number)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{path} cannot be read as GeoJSON with polygons and lines: {error}") from error
    zones: list[Zone] = []
    lines: list[Line] = []
    for name, kind, rings in parts:
        pixels = [_pixels(ring, view, units, f"{path}, {name}") for ring in rings]
        if kind == "line":
            lines.append(Line(name, pixels[0]))
        else:
            zones.append(Zone(name, pixels))
    if not zones and not lines:
        raise BadConfig(f"{path} has neither polygons nor lines; draw some (Polygon, MultiPolygon, LineString)")
    return zones, lines


def read_control(path: Path) -> Control:
    """Control points of a CSV file with a header: ``u_px,v_px,lon,lat`` or ``u_px,v_px,x_m,y_m`` (east and north).

    Raises:
        BadConfig: another header, or fewer than two rows of numbers.
    """
    try:
        header, *rows = path.read_text(encoding="utf-8-sig").split("\n")
        names = tuple(name.strip() for name in header.split(","))
        values = np.array([[float(cell) for cell in row.split(",")] for row in rows if row.strip()])
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path} cannot be read as control points: {error}") from error
    if names not in (("u_px", "v_px", "lon", "lat"), ("u_px", "v_px", "x_m", "y_m")) or values.ndim != 2 or len(values) < 2:
        raise BadConfig(f"{path} needs the header u_px,v_px,lon,lat or u_px,v_px,x_m,y_m and two or more rows of numbers")
    return Control(values[:, :2], values[:, 2:], names[2] == "lon")


def _shapes(feature: dict[str, Any], number: int) -> list[tuple[str, str, list[np.ndarray]]]:
    """Name, kind and rings of one feature."""
    shape = feature["geometry"] if feature["type"] == "Feature" else feature
    properties = feature.get("properties") or {}
    name = str(properties.get("name") or feature.get("id") or number)
    points = shape["coordinates"]
    if shape["type"] == "LineString":
        return [(name, "line", [_points(points)])]
    polygons = {"Polygon": [points], "MultiPolygon": points}[shape["type"]]
    several = len(polygons) > 1
    return [
        (f"{name} {part}" if several else name, "zone", [_points(ring)[:-1] for ring in rings]) for part, rings in enumerate(polygons, 1)
    ]


def _points(coordinates: list[list[float]]) -> np.ndarray:
    points = np.array([point[:2] for point in coordinates], np.float64)
    if len(points) < 2 or not np.isfinite(points).all():
        raise ValueError("a line or ring needs two or more finite points")
    return points


def _pixels(points: np.ndarray, view: View, units: Units, what: str) -> np.ndarray:
    if units == "map":
        if view.control is None:
            raise BadConfig(f"{what}: coordinates of a map need control points; give --control")
        points = view.control.from_map(points)
    pixels = points if units == "pixels" else view.to_pixels(points)
    if not np.isfinite(view.to_ground(pixels)).all():
        raise BadConfig(f"{what}: a point is not on the ground in front of the camera (behind it, or at the horizon)")
    return pixels
