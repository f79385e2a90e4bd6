"""Densities against areas that are counted out on a fine raster, other libraries, and identities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import multivariate_normal

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.measure.density import kernel_density, seen_mass, voronoi_areas, voronoi_at, within
from crowd3d.measure.levels import THRESHOLDS, exceedance, level, level_probabilities, limits_per_m2
from crowd3d.measure.observed import area, inside, observed_pixels
from crowd3d.measure.recall import Recall, heights_px, visible_shares

OUTLINE = np.array([[0.0, 0.0], [10.0, 1.0], [9.0, 8.0], [1.0, 9.0]])


@pytest.fixture
def places() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(0.5, 8.5, (40, 2)), [[np.nan, 1.0], [30.0, 2.0]]])


def test_cells_are_what_a_raster_counts(places: np.ndarray) -> None:
    areas, cut = voronoi_areas(places, OUTLINE, reach_m=1.5)
    step = 0.01
    raster = np.stack(np.meshgrid(np.arange(0, 10, step), np.arange(0, 9, step)), -1).reshape(-1, 2) + step / 2
    raster = raster[inside([OUTLINE], raster)]
    rows = np.flatnonzero(np.isfinite(areas))
    distance, nearest = cKDTree(places[rows]).query(raster)
    counted = np.bincount(nearest[distance <= 1.5], minlength=len(rows)) * step**2
    np.testing.assert_allclose(areas[rows], counted, rtol=0.01, atol=0.01)
    assert np.isnan(areas[-2:]).all()
    assert 3 < cut.sum() < 30
    at = voronoi_at(places, areas, raster[::997], reach_m=1.5)
    assert at.max() == pytest.approx(1.0 / areas[rows].min(), rel=0.5)


def test_cells_agree_with_pedpy(places: np.ndarray) -> None:
    pedpy = pytest.importorskip("pedpy", reason="pip install pedpy compares Voronoi cells with it")
    import pandas as pd

    # PedPy wants people inside of the walkable area; its cut-off is a polygon of four segments per quarter.
    chosen = places[:40][inside([OUTLINE], places[:40])]
    frame = pd.DataFrame({"id": np.arange(len(chosen)), "frame": 0, "x": chosen[:, 0], "y": chosen[:, 1]})
    cells = pedpy.compute_individual_voronoi_polygons(
        traj_data=pedpy.TrajectoryData(data=frame, frame_rate=1.0),
        walkable_area=pedpy.WalkableArea(OUTLINE),
        cut_off=pedpy.Cutoff(radius=3.0, quad_segments=32),
    )
    theirs = cells.sort_values("id").polygon.apply(lambda cell: cell.area).to_numpy()
    np.testing.assert_allclose(voronoi_areas(chosen, OUTLINE, reach_m=3.0)[0], theirs, rtol=5e-3)


def test_few_people_have_cells_as_large_as_their_reach() -> None:
    wide = 100.0 * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for places in (np.zeros((1, 2)), np.array([[0.0, 0.0], [50.0, 0.0]])):
        areas, cut = voronoi_areas(places, wide, reach_m=2.0)
        np.testing.assert_allclose(areas, np.pi * 4.0, rtol=1e-3)
        assert not cut.any()
    assert len(voronoi_areas(np.zeros((0, 2)), wide)[0]) == 0


def test_kernel_is_the_sum_of_gaussians_and_its_integral_the_number_of_people() -> None:
    places = np.array([[0.0, 0.0], [0.7, 0.2], [np.nan, 0.0]])
    step = 0.1
    at = np.stack(np.meshgrid(np.arange(-6, 6, step), np.arange(-6, 6, step)), -1).reshape(-1, 2)
    density = kernel_density(places, at, 0.8)
    expected = sum(multivariate_normal(place, 0.64 * np.eye(2)).pdf(at) for place in places[:2])
    np.testing.assert_allclose(density, expected, atol=2e-4)
    assert density.sum() * step**2 == pytest.approx(2.0, abs=2e-3)


def test_seen_mass_is_a_half_at_an_edge() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    mass = seen_mass(np.array([[5.0, 5.0], [0.0, 5.0], [0.0, 0.0]]), square)
    np.testing.assert_allclose(mass, [1.0, 0.5, 0.25], atol=0.03)


@pytest.mark.parametrize("turn", [1, -1])
def test_inside_and_within(turn: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 11, (500, 2))
    np.testing.assert_array_equal(within(OUTLINE[::turn], points), inside([OUTLINE[::turn]], points))
    hole = np.array([[3.0, 3.0], [6.0, 3.0], [6.0, 6.0], [3.0, 6.0]])
    holed = inside([OUTLINE, hole], points)
    np.testing.assert_array_equal(holed, inside([OUTLINE], points) & ~inside([hole], points))
    assert area([OUTLINE, hole]) == pytest.approx(area([OUTLINE]) - 9.0)
    assert not inside([OUTLINE], np.array([[np.nan, 1.0]])).any()


def test_levels_of_service_have_fruins_limits() -> None:
    # 35, 25, 15, 10 and 5 square feet per person.
    np.testing.assert_allclose(1.0 / limits_per_m2("walking"), [3.25, 2.32, 1.39, 0.93, 0.46], atol=0.006)
    np.testing.assert_allclose(1.0 / limits_per_m2("queueing"), [1.21, 0.93, 0.65, 0.28, 0.19], atol=0.006)
    np.testing.assert_array_equal(level(np.array([0.1, 0.35, 0.5, 0.9, 1.5, 3.0]), "walking"), range(6))
    draws = np.array([[0.1, np.nan], [0.1, 1.0], [0.4, np.nan], [0.1, np.nan]])
    chances = level_probabilities(draws, "walking")
    np.testing.assert_allclose(chances[0], [0.75, 0.25, 0, 0, 0, 0])
    assert np.isnan(chances[1]).all()
    above = exceedance(np.array([1.0, 3.0, 4.0, np.nan]))
    assert above[2.0] == pytest.approx(2 / 3)
    assert list(above) == [one.per_m2 for one in THRESHOLDS]


def test_observed_ground_ends_where_people_become_too_small() -> None:
    camera, ground = Camera.from_focal(1000.0, (1600, 900)), GroundPlane.from_angles(np.deg2rad(12.0), 0.02, 6.0)
    outline = observed_pixels(camera, ground, least_px=40.0)
    far = outline[outline[:, 1] < 800.0]
    np.testing.assert_allclose(heights_px(camera, ground, far), 40.0, atol=0.5)
    assert (outline[outline[:, 1] > 800.0, 1] == 900.0).all()
    assert len(observed_pixels(camera, ground, least_px=5000.0)) == 0


def test_who_stands_behind_somebody_is_hidden() -> None:
    camera, ground = Camera.from_focal(1000.0, (1600, 900)), GroundPlane.from_angles(np.deg2rad(8.0), 0.0, 1.7)
    world = np.array([[0.0, 0.0, -10.0], [0.0, 0.0, -14.0], [3.0, 0.0, -14.0]])
    feet = camera.project(ground.from_world(world))
    shares = visible_shares(camera, ground, feet, feet)
    assert shares[0] == shares[2] == 1.0
    assert shares[1] < 0.3
    recall = Recall()
    chance = recall.probability(heights_px(camera, ground, feet), shares)
    assert chance[1] < chance[2]
    assert recall.among_found(np.array([60.0]), np.array([0.6])) < recall.probability(np.array([60.0]), np.array([0.6]))
    assert Recall.constant(0.8).probability(np.array([30.0]), np.array([0.1])) == pytest.approx(0.8)
    assert Recall.everybody().among_found(np.array([30.0]), np.array([0.1])) == 1.0
