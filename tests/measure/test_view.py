"""Places on the ground and on a map, and how sure they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import BadConfig
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import ground_position_covariance
from crowd3d.measure import Control, View, read_areas, read_control
from crowd3d.measure.figures import reflect, spread

CAMERA, GROUND = Camera.from_focal(2000.0, (3000, 2000)), GroundPlane.from_angles(0.35, 0.02, 9.0)
COVARIANCE = np.diag([0.02, 0.006, 0.004, 0.03]) ** 2
PIXELS = np.array([[400.0, 1500.0], [1500.0, 900.0], [2600.0, 1700.0], [1200.0, 1900.0]])


def test_pixels_and_places_are_inverse() -> None:
    view = View(CAMERA, GROUND, COVARIANCE)
    np.testing.assert_allclose(view.to_pixels(view.to_ground(PIXELS)), PIXELS)
    assert np.isnan(view.to_ground(np.array([[1500.0, -5000.0]]))).all()


def test_draws_spread_as_the_covariance_says() -> None:
    view = View(CAMERA, GROUND, COVARIANCE)
    draws = np.array([one.to_ground(PIXELS) for one in view.draws(4000, np.random.default_rng(0))])
    off = draws - draws.mean(0)
    expected = ground_position_covariance(CAMERA, GROUND, COVARIANCE, PIXELS, np.zeros(4)) * [[1, -1], [-1, 1]]
    found = np.einsum("sni,snj->nij", off, off) / len(draws)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, atol=0.1 * np.trace(two))


def test_control_points_tie_places_and_lengths_to_the_map() -> None:
    plain = View(CAMERA, GROUND, COVARIANCE)
    turn = 1.25 * np.exp(0.7j)
    metres = plain.to_ground(PIXELS) @ np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]) + (500.0, 9000.0)
    view = View(CAMERA, GROUND, COVARIANCE, Control(PIXELS[:3], metres[:3], False))
    np.testing.assert_allclose(view.to_ground(PIXELS), metres, atol=1e-6)
    np.testing.assert_allclose(view.to_pixels(metres), PIXELS, atol=1e-6)
    assert view.scale() == pytest.approx(1.25)
    assert view.misfit_m() == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(view.turned(np.array([[1.0, 0.0]])), [[np.cos(0.7), np.sin(0.7)]])
    # Between the control points camera and ground no longer matter much: the scale is known.
    lengths = {}
    for one in (plain, view):
        ends = (draw.to_ground(PIXELS[:2]) for draw in one.draws(200, np.random.default_rng(1)))
        lengths[one.control is None] = np.std([np.hypot(*np.subtract(*pair)) for pair in ends])
    assert lengths[False] < 0.4 * lengths[True]


def test_longitude_and_latitude_become_metres() -> None:
    # A degree at 48° north: 111.20 km along the meridian, 74.63 km along the parallel.
    control = Control(PIXELS[:2], np.array([[11.0, 48.0], [11.01, 48.01]]), True)
    np.testing.assert_allclose(control.metres()[1], [746.3, 1112.0], atol=0.5)
    np.testing.assert_allclose(control.from_map(control.to_map(np.array([12.0, 34.0]))), [12.0, 34.0])
    view = View(CAMERA, GROUND, COVARIANCE, Control(PIXELS[:2], control.to_map(np.array([[0.0, 0.0], [7.0, 2.0]])), True))
    np.testing.assert_allclose(view.to_ground(PIXELS[:2]), [[0, 0], [7, 2]], atol=1e-6)


def test_control_points_that_determine_nothing_are_refused(tmp_path: Path) -> None:
    for pixels in (PIXELS[:1], np.array([[1500.0, -900.0], [400.0, 1500.0]])):
        with pytest.raises(BadConfig, match="control points"):
            View(CAMERA, GROUND, COVARIANCE, Control(pixels, np.zeros((len(pixels), 2)), False))
    with pytest.raises(BadConfig, match="one place"):
        View(CAMERA, GROUND, COVARIANCE, Control(PIXELS[:2], np.zeros((2, 2)), False))
    for text in ("u,v,x,y\n1,2,3,4\n1,2,3,5\n", "u_px,v_px,lon,lat\n1,2,3,4\n", "u_px,v_px,lon,lat\n1,2,3,north\n"):
        (tmp_path / "control.csv").write_text(text)
        with pytest.raises(BadConfig, match=r"control\.csv"):
            read_control(tmp_path / "control.csv")


@pytest.mark.parametrize("text", ["{}", '{"type": "FeatureCollection", "features": []}', '{"type": "Point", "coordinates": [1, 2]}', "["])
def test_files_without_areas_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "areas.geojson").write_text(text)
    with pytest.raises(BadConfig, match=r"areas\.geojson"):
        read_areas(tmp_path / "areas.geojson", View(CAMERA, GROUND, COVARIANCE), "pixels")


def test_areas_in_all_units_are_the_same_place(tmp_path: Path) -> None:
    plain = View(CAMERA, GROUND, COVARIANCE)
    view = View(CAMERA, GROUND, COVARIANCE, Control(PIXELS[:2], np.array([[11.0, 48.0], [11.0001, 48.0001]]), True))
    path = tmp_path / "areas.geojson"
    metres = view.to_ground(PIXELS)
    for units, points, of in (("pixels", PIXELS, plain), ("metres", metres, view), ("map", view.control.to_map(metres), view)):
        ring = [*points.tolist(), points[0].tolist()]
        path.write_text(str({"type": "Polygon", "coordinates": [ring]}).replace("'", '"'))
        zones, lines = read_areas(path, of, units)
        assert not lines
        np.testing.assert_allclose(zones[0].rings_px[0], PIXELS, atol=1e-3)
    with pytest.raises(BadConfig, match="control"):
        read_areas(path, plain, "map")
    path.write_text('{"type": "LineString", "coordinates": [[1500, -4000], [1500, 1500]]}')
    with pytest.raises(BadConfig, match="not on the ground"):
        read_areas(path, plain, "pixels")


def test_spread_gives_quantiles_and_knows_what_it_does_not_know() -> None:
    draws = np.random.default_rng(0).normal(5.0, 2.0, (20000, 1)) * [1.0, np.nan]
    figure = spread(draws)
    np.testing.assert_allclose([part[0] for part in figure], [5.0, 3.0, 7.0, 1.08, 8.92], atol=0.1)
    assert np.isnan([part[1] for part in figure]).all()
    assert figure.row(1).json() is None
    assert figure.row(0).json(1)["interval68"] == [pytest.approx(3.0, abs=0.1), pytest.approx(7.0, abs=0.1)]
    assert reflect(np.array([2.0]), np.array([4.0]), positive=True) == pytest.approx(1.0)
    np.testing.assert_allclose(reflect(np.array([2.0, 1.0]), np.array([3.0, 4.0])), [1.0, 0.0])
