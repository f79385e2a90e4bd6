"""Everything that one photograph tells about its crowd, in metres, every figure with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.errors import UnsolvableGround
from crowd3d.measure.areas import Zone
from crowd3d.measure.crowd import Draw, Found, draw_crowds
from crowd3d.measure.density import KERNEL_M, REACH_M, grid_around, kernel_density, seen_mass, voronoi_areas, within
from crowd3d.measure.figures import Spread, reflect, spread
from crowd3d.measure.groups import Pairs, candidate_pairs, groups_of, pair_odds, probabilities, strangers_per_m2
from crowd3d.measure.levels import Activity, exceedance, level_probabilities
from crowd3d.measure.observed import LEAST_PX, area, inside
from crowd3d.measure.recall import ENOUGH, Recall, heights_px, visible_shares
from crowd3d.measure.view import Control, View
from crowd3d.scene.heading import facing_deg
from crowd3d.types import Scene

NEIGHBOUR_M = (0.5, 1.0, 1.5, 2.0)
"""Distances of which the share of people with somebody nearer is told."""
FACING_SIGMA_DEG = 16.0
"""Spread of the directions that people face, on synthetic crowds with what ``auto`` takes (``benchmarks/recall.py``)."""
_MOST_PLACES = 20_000
ENOUGH_SEEN = 0.5
"""A zone of which less was observed, or a place of whose kernel less was, has no density."""


@dataclass(frozen=True)
class MeasureOptions:
    """What is assumed, and how finely it is measured.

    Attributes:
        recall: chances of being found; `Recall.everybody()` for no correction.
        activity: which of Fruin's levels of service.
        kernel_m: standard deviation of the Gaussian that local densities average over.
        reach_m: farthest reach of a Voronoi cell.
        least_px: people less tall in the picture are not found: ends the observed ground.
        draws: number of crowds that are drawn.
        seed: of the draws.
    """

    recall: Recall = field(default_factory=Recall)
    activity: Activity = "walking"
    kernel_m: float = KERNEL_M
    reach_m: float = REACH_M
    least_px: float = LEAST_PX
    draws: int = 100
    seed: int = 0


class PeopleMeasures(NamedTuple):
    """Figures of N people.

    Attributes:
        place: (N, 2) metres.
        covariance: (N, 2, 2) square metres, camera and ground included.
        density: Voronoi density (N,), people per m²: 1/area of everybody's cell.
        level: (N, 6) probabilities of Fruin's levels by that.
        cut: (N,) bool, the cell ends where the observed ground does.
        nearest_m: distance (N,) to the nearest neighbour.
        facing: (N, 2) unit vectors.
        group: (N,) number, −1 alone.
        together: (N,) probability of that.
        recall: (N,) chance with which such a person is found.
    """

    place: np.ndarray
    covariance: np.ndarray
    density: Spread
    level: np.ndarray
    cut: np.ndarray
    nearest_m: Spread
    facing: np.ndarray
    group: np.ndarray
    together: np.ndarray
    recall: np.ndarray


class FieldMeasures(NamedTuple):
    """Density of the ground, at the middles of a grid.

    Attributes:
        at: (M, 2) metres.
        step_m: distance of neighbours.
        density: kernel density (M,), people per m²; NaN where not enough is seen.
        level: (M, 6) probabilities of Fruin's levels.
        recall: (M,) chance of finding somebody who stands there.
    """

    at: np.ndarray
    step_m: float
    density: Spread
    level: np.ndarray
    recall: np.ndarray


class ZoneMeasures(NamedTuple):
    """Figures of a zone.

    Attributes:
        name: of the zone.
        rings: outline and holes in metres.
        area_m2: its size.
        seen: share of it that was observed well enough.
        found: people found in it.
        count: people in its observed part.
        density: people per m² of the observed part.
        peak: highest kernel density in it.
        level: (6,) probabilities of Fruin's levels by density.
        above: threshold per m² → probability that the density is above.
    """

    name: str
    rings: list[np.ndarray]
    area_m2: Spread
    seen: float
    found: int
    people: Spread
    density: Spread
    peak: Spread
    level: np.ndarray
    above: dict[float, float]


class SceneMeasures(NamedTuple):
    """Everything that was measured in one photograph.

    Attributes:
        view: camera and ground.
        options: what was assumed.
        outline: (K, 2) metres, the observed ground.
        people, field: of everybody and of the ground.
        zones: first the observed ground, then those that were asked for.
        near: (4,) share of people with somebody nearer than `NEIGHBOUR_M`.
        order: length of the mean direction that people face: 1 all the same way, 0 no common direction.
    """

    view: View
    options: MeasureOptions
    outline: np.ndarray
    people: PeopleMeasures
    field: FieldMeasures
    zones: list[ZoneMeasures]
    near: Spread
    order: Spread


WHOLE = "observed ground"


def measure_scene(
    scene: Scene, zones: Sequence[Zone] = (), options: MeasureOptions | None = None, control: Control | None = None
) -> SceneMeasures:
    """Measure the crowd of a photograph.

    Every figure is computed for `MeasureOptions.draws` crowds that may be true (see `crowd`); their quantiles are its intervals.

    Args:
        scene: what was reconstructed.
        zones: polygons to count in.
        options: what is assumed.
        control: points of a map; lengths then rest on the map.

    Raises:
        UnsolvableGround: nowhere on the ground would people be large enough to be found.
        BadConfig: the control points do not determine a place.
    """
    options = options or MeasureOptions()
    covariance = np.zeros((4, 4)) if scene.ground_covariance is None else scene.ground_covariance
    view = View(scene.camera, scene.ground, covariance, control)
    # of people on other levels the point of the ground below them
    found = Found.of(view, scene.camera.project(scene.ground.foot(scene.people.hvip_cam_m)), options.least_px)
    if len(found.outline_px) < 3:
        raise UnsolvableGround(f"people would be smaller than {options.least_px:.0f} px on all ground of {scene.image}: nothing to measure")
    grid = _Grid.of(found, options)
    asked = [_Asked.of(zone, found, grid, options) for zone in [Zone(WHOLE, [found.outline_px]), *zones]]
    angle = np.deg2rad(facing_deg(scene))
    facing = view.turned(np.stack([np.sin(angle), -np.cos(angle)], -1))
    return _collect(found, grid, asked, facing, options)


class _Grid(NamedTuple):
    """Places whose density is asked, anchored in the picture: pixels (M, 2), metres (M, 2), the kernel's share on observed ground (M,),
    recall (M,), step in metres."""

    pixels: np.ndarray
    at: np.ndarray
    mass: np.ndarray
    recall: np.ndarray
    step_m: float

    @classmethod
    def of(cls, found: Found, options: MeasureOptions) -> _Grid:
        """A grid over the observed ground, around the people if there are any."""
        view, outline = found.view, found.outline
        at, step = grid_around(found.places, outline, 0.5 * options.kernel_m, _MOST_PLACES)
        pixels = view.to_pixels(at)
        visible = visible_shares(view.camera, view.ground, found.foot_px, pixels)
        recall = options.recall.among_found(heights_px(view.camera, view.ground, pixels), visible)
        return cls(pixels, at, seen_mass(at, outline, options.kernel_m), recall, step)

    @property
    def enough(self) -> np.ndarray:
        """(M,) bool, where a density can be told."""
        return (self.mass >= ENOUGH_SEEN) & (self.recall >= ENOUGH)

    def densities(self, draw: Draw, options: MeasureOptions) -> tuple[np.ndarray, np.ndarray]:
        """(M,) kernel densities of a draw, without and with added noise."""
        at = draw.view.to_ground(self.pixels)
        plain, noisy = (kernel_density(places, at, options.kernel_m) / self.mass for places in (draw.plain, draw.noisy))
        return plain, noisy


class _Asked(NamedTuple):
    """A zone with what does not change from draw to draw: the share that is observed, mean recall there, its rows of the grid."""

    zone: Zone
    seen: float
    recall: float
    rows: np.ndarray

    @classmethod
    def of(cls, zone: Zone, found: Found, grid: _Grid, options: MeasureOptions) -> _Asked:
        view = found.view
        rings = [view.to_ground(ring) for ring in zone.rings_px]
        low, high = rings[0].min(0), rings[0].max(0)
        probes = low + (high - low) * np.stack(np.meshgrid(*2 * [(np.arange(48) + 0.5) / 48]), -1).reshape(-1, 2)
        probes = probes[inside(rings, probes)]
        pixels = view.to_pixels(probes)
        visible = visible_shares(view.camera, view.ground, found.foot_px, pixels)
        recall = options.recall.among_found(heights_px(view.camera, view.ground, pixels), visible)
        good = within(found.outline, probes) & (recall >= ENOUGH)
        rows = np.flatnonzero(inside(rings, grid.at) & grid.enough)
        return cls(zone, float(good.mean()) if len(good) else 0.0, float(recall[good].mean()) if good.any() else 0.0, rows)


class _Counted(NamedTuple):
    """A zone in one draw: area, people of its observed part, highest density."""

    area: float
    people: float
    peak: float


def _collect(found: Found, grid: _Grid, asked: list[_Asked], facing: np.ndarray, options: MeasureOptions) -> SceneMeasures:
    rng = np.random.default_rng(options.seed)
    people = len(found.foot_px)
    rows = candidate_pairs(found.places)
    strangers = strangers_per_m2(found.places, found.outline)
    kept: dict[str, list] = {name: [] for name in ("field", "cells", "nearest", "near", "place", "odds", "zones", "order")}
    for draw in draw_crowds(found, options.recall, options.draws, rng):
        plain, noisy = grid.densities(draw, options)
        kept["field"].append(reflect(plain, noisy))
        kept["zones"].append([_count(one, draw, found.outline_px, plain, noisy, rng) for one in asked])
        own = [1.0 / voronoi_areas(places, draw.outline, options.reach_m)[0][:people] for places in (draw.plain, draw.noisy)]
        kept["cells"].append(reflect(*own, positive=True))
        near = [_nearest(places)[:people] for places in (draw.plain, draw.noisy)]
        kept["nearest"].append(reflect(*near, positive=True))
        kept["near"].append(_shares(*near))
        kept["place"].append(draw.noisy[:people])
        off = draw.noisy[rows[:, 0]] - draw.noisy[rows[:, 1]]
        kept["odds"].append(np.nan_to_num(pair_odds(np.hypot(*off.T), strangers[rows].mean(1))))
        kept["order"].append(_order(facing, rng))
    cells = np.array(kept["cells"])
    _, cut = voronoi_areas(found.places, found.outline, options.reach_m)
    pairs = Pairs(rows, probabilities(np.array(kept["odds"]), people).mean(0))
    group, together = groups_of(pairs, people)
    recall = options.recall.among_found(found.height_px, found.visible)
    density = np.where(grid.enough, np.array(kept["field"]), np.nan)
    return SceneMeasures(
        found.view,
        options,
        found.outline,
        PeopleMeasures(
            found.places,
            _covariance(np.array(kept["place"])),
            spread(cells),
            level_probabilities(cells, options.activity),
            cut,
            spread(np.array(kept["nearest"])),
            facing,
            group,
            together,
            recall,
        ),
        FieldMeasures(grid.at, grid.step_m, spread(density), level_probabilities(density, options.activity), grid.recall),
        [_zone(one, [draw[row] for draw in kept["zones"]], found, options) for row, one in enumerate(asked)],
        spread(np.array(kept["near"])),
        spread(np.array(kept["order"])),
    )


def _count(
    asked: _Asked, draw: Draw, outline_px: np.ndarray, plain: np.ndarray, noisy: np.ndarray, rng: np.random.Generator
) -> _Counted:
    """In the picture, where zones are anchored; only areas need the ground, NaN if a corner is above this draw's horizon."""
    rings = [draw.view.to_ground(ring) for ring in asked.zone.rings_px]
    inner = (inside(asked.zone.rings_px, pixels) & inside([outline_px], pixels) for pixels in (draw.plain_px, draw.noisy_px))
    count = reflect(*(one.sum(keepdims=True) for one in inner))[0]
    # Jeffreys' half person: of an empty zone where half of the people are found, nobody knows that it is empty.
    count = count + (rng.negative_binomial(0.5, min(asked.recall, 1.0 - 1e-9)) if asked.recall > 0 else 0.0)
    peaks = (part[asked.rows].max(keepdims=True) if len(asked.rows) else np.full(1, np.nan) for part in (plain, noisy))
    return _Counted(area(rings), float(count), float(reflect(*peaks)[0]))


def _zone(asked: _Asked, draws: list[_Counted], found: Found, options: MeasureOptions) -> ZoneMeasures:
    size, count, peak = np.array(draws).T
    enough = asked.seen >= ENOUGH_SEEN
    density = count / (size * max(asked.seen, 1e-9)) if enough else np.full(len(count), np.nan)
    rings = [found.view.to_ground(ring) for ring in asked.zone.rings_px]
    return ZoneMeasures(
        asked.zone.name,
        rings,
        spread(size),
        asked.seen,
        int((inside(asked.zone.rings_px, found.foot_px) & inside([found.outline_px], found.foot_px)).sum()),
        spread(count if enough else np.full(len(count), np.nan)),
        spread(density),
        spread(peak),
        level_probabilities(density, options.activity),
        exceedance(density),
    )


def _nearest(places: np.ndarray) -> np.ndarray:
    """(N,) distance to the nearest other, NaN for people who do not count or are alone."""
    known = np.flatnonzero(np.isfinite(places).all(1))
    result = np.full(len(places), np.nan)
    if len(known) > 1:
        result[known] = np.maximum(cKDTree(places[known]).query(places[known], k=2)[0][:, 1], 1e-3)
    return result


def _shares(plain: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """(4,) share of people whose nearest neighbour is nearer than `NEIGHBOUR_M`."""
    if not (np.isfinite(plain) & np.isfinite(noisy)).any():
        return np.full(len(NEIGHBOUR_M), np.nan)
    of = [np.nanmean(np.where(np.isfinite(one)[:, None], one[:, None] < NEIGHBOUR_M, np.nan), 0) for one in (plain, noisy)]
    return np.minimum(reflect(*of), 1.0)


def _order(facing: np.ndarray, rng: np.random.Generator) -> float:
    """Length of the mean direction, from directions that err by `FACING_SIGMA_DEG`, which shortens it by a known factor."""
    if len(facing) == 0:
        return float("nan")
    sigma = np.deg2rad(FACING_SIGMA_DEG)
    chosen = facing[rng.integers(len(facing), size=len(facing))].mean(0) * np.exp(0.5 * sigma**2)
    return float(min(np.hypot(*chosen), 1.0))


def _covariance(places: np.ndarray) -> np.ndarray:
    """(S, N, 2) → (N, 2, 2)."""
    off = places - places.mean(0)
    return np.einsum("sni,snj->nij", off, off) / max(len(places) - 1, 1)
