"""What a sequence tells about how people move: speed, flow, dwell time, groups, every figure with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence as Several
from typing import NamedTuple

import numpy as np

from crowd3d.errors import NoPeopleFound
from crowd3d.measure.areas import Line, Zone
from crowd3d.measure.crowd import ground_outline
from crowd3d.measure.density import voronoi_areas
from crowd3d.measure.figures import Spread, reflect, spread
from crowd3d.measure.groups import PAIR_M, Pairs, candidate_pairs, groups_of, pair_odds, probabilities, strangers_per_m2, velocity_odds
from crowd3d.measure.levels import limits_per_m2
from crowd3d.measure.observed import area, inside, observed_pixels
from crowd3d.measure.scene import MeasureOptions
from crowd3d.measure.view import Control, View
from crowd3d.measure.walks import WalkDraw, Walks
from crowd3d.scene.paths import Sequence

SLOW_M_S = 0.4
"""Slower people stand or queue."""
WEIDMANN = (1.34, 1.913, 5.4)
"""Speed by density after Weidmann, Transporttechnik der Fussgänger, 1993: v₀ = 1.34 m/s, γ = 1.913 /m², jam at 5.4 /m²."""
_DENSITY_DRAWS = 15
"""Voronoi cells of all pictures take their time; so many are enough for the ends of 68 %."""
_LEAST_TOGETHER = 2
_LEAST_SIGHTINGS = 5
_UP = np.array([1.0, -1.0])
"""Turns pixels so that v grows upwards, like the distance from the camera."""


class Flow(NamedTuple):
    """People across a line; "left" and "right" as seen from its first point towards its last.

    Attributes:
        name: of the line.
        points: (K, 2) metres.
        length_m: of the line.
        to_right, to_left: people who crossed from left to right, and the other way.
        per_minute: (2,) to the right, to the left.
        per_metre: people per minute and metre of the line, both ways together.
        cumulative: (T, 2) people so far, to the right and to the left.
    """

    name: str
    points: np.ndarray
    length_m: Spread
    to_right: Spread
    to_left: Spread
    per_minute: Spread
    per_metre: Spread
    cumulative: Spread


class Stay(NamedTuple):
    """People in a zone over time.

    Attributes:
        name: of the zone.
        rings: outline and holes in metres.
        present: (T,) people there in each picture.
        density: (T,) the same per square metre of the zone.
        mean_present: mean over time.
        slow: people there slower than `SLOW_M_S`, mean over time.
        dwell_s: (K,) seconds that each person spent there, 0 for those who never did.
        whole: (K,) bool, people whose coming and going were both seen; the others stayed at least so long.
        mean_dwell_s: mean over those of `whole`.
    """

    name: str
    rings: list[np.ndarray]
    present: Spread
    density: Spread
    mean_present: Spread
    slow: Spread
    dwell_s: Spread
    whole: np.ndarray
    mean_dwell_s: Spread


class SequenceMeasures(NamedTuple):
    """Everything that was measured in a sequence.

    Attributes:
        walks: smooth ways; rows of the arrays (R,) below are its sightings, (K,) its people.
        options: what was assumed.
        outline: (L, 2) metres, the observed ground.
        speed: (R,) metres per second.
        density: (R,) Voronoi density at every sighting, people per m².
        crowding: (T,) people of each picture per area of all their cells; NaN in pictures of nobody.
        mean_speed: (K,) of everybody.
        overall_speed: mean over all sightings.
        people: everybody who was there, found or missed.
        group, together: (K,) as in `PeopleMeasures`.
        flows, stays: of lines and zones.
    """

    walks: Walks
    options: MeasureOptions
    outline: np.ndarray
    speed: Spread
    density: Spread
    crowding: Spread
    mean_speed: Spread
    overall_speed: Spread
    people: Spread
    group: np.ndarray
    together: np.ndarray
    flows: list[Flow]
    stays: list[Stay]


def measure_sequence(
    sequence: Sequence,
    zones: Several[Zone] = (),
    lines: Several[Line] = (),
    options: MeasureOptions | None = None,
    control: Control | None = None,
) -> SequenceMeasures:
    """Measure how a crowd moves.

    Args:
        sequence: what was reconstructed.
        zones: polygons to count in.
        lines: lines to count across.
        options: what is assumed.
        control: points of a map; lengths then rest on the map.

    Raises:
        NoPeopleFound: nobody was seen.
        BadConfig: the control points do not determine a place.
    """
    options = options or MeasureOptions()
    if len(sequence.sightings) == 0:
        raise NoPeopleFound("nobody was seen in the whole sequence")
    rng = np.random.default_rng(options.seed)
    view = View(sequence.camera, sequence.ground, sequence.ground_covariance, control)
    walks = Walks.of(sequence, view, options.recall, rng)
    outline_px = observed_pixels(view.camera, view.ground, options.least_px)
    share = _shares_of_time(walks)
    kept: dict[str, list] = {name: [] for name in ("speed", "people", "density", "crossed", "stayed")}
    for number, draw in enumerate(walks.draws(options.draws, rng)):
        kept["speed"].append(reflect(draw.plain.speed, draw.noisy.speed))
        kept["people"].append(draw.weight.sum())
        kept["crossed"].append([_crossed(line, walks, draw) for line in lines])
        kept["stayed"].append([_stayed(zone, walks, draw, share) for zone in zones])
        if number < _DENSITY_DRAWS:
            kept["density"].append(_densities(walks, draw, outline_px, options))
    group, together = _groups(walks, view)
    counts = np.maximum(np.bincount(walks.row), 1)
    return SequenceMeasures(
        walks,
        options,
        view.to_ground(outline_px),
        spread(np.array(kept["speed"])),
        spread(np.array(kept["density"])),
        spread(np.array([_crowding(walks, one) for one in kept["density"]])),
        spread(np.array([np.bincount(walks.row, one) / counts for one in kept["speed"]])),
        spread(np.array([one.mean() for one in kept["speed"]])),
        spread(np.array(kept["people"])),
        group,
        together,
        [_flow(line, walks, [draw[row] for draw in kept["crossed"]]) for row, line in enumerate(lines)],
        [_stay(zone, walks, [draw[row] for draw in kept["stayed"]]) for row, zone in enumerate(zones)],
    )


def _densities(walks: Walks, draw: WalkDraw, outline_px: np.ndarray, options: MeasureOptions) -> np.ndarray:
    """(R,) Voronoi densities, each picture by itself, divided by the chance of being found."""
    outline = ground_outline(draw.view, outline_px)
    result = np.full(len(walks.row), np.nan)
    for here in walks.pictures:
        both = [1.0 / voronoi_areas(walk.place[here], outline, options.reach_m)[0] for walk in (draw.plain, draw.noisy)]
        result[here] = reflect(*both, positive=True) / walks.chance[here]
    return result


def _crowding(walks: Walks, density: np.ndarray) -> np.ndarray:
    """(T,) people per area of all their cells in each picture, from their densities (R,); NaN where none is known."""
    fine = np.isfinite(density)
    many, ground = (np.bincount(walks.frame[fine], part, len(walks.times_s)) for part in (np.ones(fine.sum()), 1.0 / density[fine]))
    return np.where(many > 0, many / np.maximum(ground, 1e-9), np.nan)


def _steps(walks: Walks) -> np.ndarray:
    """(E,) rows whose next row is the same person."""
    return np.flatnonzero(walks.row[1:] == walks.row[:-1])


def crossings(places: np.ndarray, steps: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Who crosses a line where.

    Args:
        places: (R, 2) of sightings, x to the right and y ahead: metres, or pixels with v upwards.
        steps: (E,) rows whose next row is the same person.
        line: (K, 2) polyline.

    Returns:
        (E,) times that the step from a row to the next crosses the line, +1 from its left to its right, −1 back.
    """
    start, end = places[steps][:, None], places[steps + 1][:, None]
    first, last = line[None, :-1], line[None, 1:]

    def side(a: np.ndarray, b: np.ndarray, of: np.ndarray) -> np.ndarray:
        along, off = b - a, of - a
        return along[..., 0] * off[..., 1] - along[..., 1] * off[..., 0]

    before, after = side(first, last, start), side(first, last, end)
    within = (side(start, end, first) > 0) != (side(start, end, last) > 0)
    return (within * ((before > 0).astype(int) - (after > 0).astype(int))).sum(1)


class _Crossed(NamedTuple):
    """A line in one draw: its length, and (T, 2) people so far, to the right and to the left."""

    length_m: float
    counted: np.ndarray


def _crossed(line: Line, walks: Walks, draw: WalkDraw) -> _Crossed:
    steps = _steps(walks)
    length = np.hypot(*np.diff(draw.view.to_ground(line.points_px), axis=0).T).sum()
    signs = (crossings(walk.pixel * _UP, steps, line.points_px * _UP) for walk in (draw.plain, draw.noisy))
    return _Crossed(float(length), reflect(*(_counts(sign, steps, walks, draw.crossing) for sign in signs)))


def _flow(line: Line, walks: Walks, draws: list[_Crossed]) -> Flow:
    minutes = max(float(walks.times_s[-1] - walks.times_s[0]), 1e-9) / 60.0
    counted, length = np.array([draw.counted for draw in draws]), np.array([draw.length_m for draw in draws])
    last = counted[:, -1]
    return Flow(
        line.name,
        walks.view.to_ground(line.points_px),
        spread(length),
        spread(last[:, 0]),
        spread(last[:, 1]),
        spread(last / minutes),
        spread(last.sum(1) / minutes / length),
        spread(counted),
    )


def _counts(signs: np.ndarray, steps: np.ndarray, walks: Walks, weight: np.ndarray) -> np.ndarray:
    """(T, 2) people so far, to the right and to the left: of everybody the net crossings, at the picture after the crossing."""
    frame = walks.frame[steps + 1]
    many = signs * weight[walks.row[steps]]
    # Who goes back to where they came from cancels out, whichever way they went first.
    net = np.bincount(walks.row[steps], signs, len(walks.ids))
    ways = [np.where((net[walks.row[steps]] * sign > 0) & (signs != 0), sign * many, 0) for sign in (1, -1)]
    return np.stack([np.cumsum(np.bincount(frame, way, len(walks.times_s))) for way in ways], -1)


class _Stayed(NamedTuple):
    """A zone in one draw: its area, people there in each picture (T,), slow ones in the mean, seconds of everybody there (K,)."""

    area_m2: float
    present: np.ndarray
    slow: float
    dwell_s: np.ndarray


def _stayed(zone: Zone, walks: Walks, draw: WalkDraw, share: np.ndarray) -> _Stayed:
    both = [(inside(zone.rings_px, walk.pixel), walk) for walk in (draw.plain, draw.noisy)]
    weight, pictures = draw.weight[walks.row], len(walks.times_s)
    slow = reflect(*((inner * weight * (walk.speed < SLOW_M_S)).sum(keepdims=True) / pictures for inner, walk in both))
    return _Stayed(
        area([draw.view.to_ground(ring) for ring in zone.rings_px]),
        reflect(*(np.bincount(walks.frame, inner * weight, pictures) for inner, _ in both)),
        float(slow[0]),
        reflect(*(np.bincount(walks.row, inner * share, len(walks.ids)) for inner, _ in both)),
    )


def _stay(zone: Zone, walks: Walks, draws: list[_Stayed]) -> Stay:
    inner = inside(zone.rings_px, walks.seen_as(walks.view, walks.state).pixel)
    first, last = walks.spans
    whole = (np.bincount(walks.row, inner, len(walks.ids)) > 0) & ~inner[first] & ~inner[last]
    seconds = np.array([draw.dwell_s for draw in draws])
    mean = seconds[:, whole].mean(1) if whole.any() else np.full(len(seconds), np.nan)
    # The way in and the way out each fall somewhere between two pictures.
    step = np.median(np.diff(walks.times_s)) if len(walks.times_s) > 1 else 0.0
    noise = np.random.default_rng(0).normal(size=len(seconds)) * step * np.sqrt(2.0 / 12.0 / max(whole.sum(), 1))
    there = np.array([draw.present for draw in draws])
    return Stay(
        zone.name,
        [walks.view.to_ground(ring) for ring in zone.rings_px],
        spread(there),
        spread(there / np.array([[draw.area_m2] for draw in draws])),
        spread(there.mean(1)),
        spread(np.array([draw.slow for draw in draws])),
        spread(seconds),
        whole,
        spread(mean + noise),
    )


def _shares_of_time(walks: Walks) -> np.ndarray:
    """(R,) seconds that every sighting stands for: half the way to the one before and half the way to the next."""
    gap = np.where(walks.row[1:] == walks.row[:-1], np.diff(walks.time_s), 0.0)
    return 0.5 * (np.append(gap, 0.0) + np.append(0.0, gap))


def _groups(walks: Walks, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Groups by mean distance and mean difference of velocity while two people are both in sight."""
    walk = walks.seen_as(view, walks.state)
    count = len(walks.ids)
    outline = view.to_ground(observed_pixels(view.camera, view.ground))
    found: list[np.ndarray] = []
    for here in walks.pictures:
        pair = np.sort(here[candidate_pairs(walk.place[here])], axis=1)
        around = np.full(len(walks.row), np.nan)
        around[here] = strangers_per_m2(walk.place[here], outline)
        off, turn = (values[pair[:, 0]] - values[pair[:, 1]] for values in (walk.place, walk.velocity))
        who = np.sort(walks.row[pair], axis=1)
        # The rows are sorted by person, so the first of a sorted pair is always the same one of the two.
        found.append(np.column_stack([who, np.hypot(*off.T), turn, around[pair].mean(1)]))
    rows = np.concatenate(found) if found else np.zeros((0, 6))
    key = rows[:, 0].astype(np.int64) * count + rows[:, 1].astype(np.int64)
    pairs, back, seen = np.unique(key, return_inverse=True, return_counts=True)
    distance, x, y, around = (np.bincount(back, rows[:, column], len(pairs)) / np.maximum(seen, 1) for column in (2, 3, 4, 5))
    both = np.stack([pairs // count, pairs % count], -1)
    first, last = walks.spans
    overlap = np.minimum(walks.time_s[last][both], 1e18).min(1) - walks.time_s[first][both].max(1)
    frames = overlap / max(float(np.median(np.diff(walks.times_s))) if len(walks.times_s) > 1 else 1.0, 1e-9) + 1.0
    # Near each other for most of the time that both are in sight, not only in passing.
    fine = (seen >= _LEAST_TOGETHER) & (seen > 0.6 * frames) & (distance < PAIR_M)
    if not fine.any():
        return np.full(count, -1), np.ones(count)
    odds = pair_odds(distance, around) * velocity_odds(np.stack([x, y], -1), float(walk.velocity.std(0).mean()))
    return groups_of(Pairs(both[fine], probabilities(np.nan_to_num(odds[fine]), count)), count)


def weidmann_m_s(per_m2: np.ndarray) -> np.ndarray:
    """(...) people per m² → (...) walking speed after `WEIDMANN`; 0 beyond its jam density."""
    free, gamma, jam = WEIDMANN
    return np.where(per_m2 < jam, free * (1.0 - np.exp(-gamma * (1.0 / np.maximum(per_m2, 1e-3) - 1.0 / jam))), 0.0)


def speed_by_density(measures: SequenceMeasures) -> list[tuple[str, int, float, float, float]]:
    """Rows of the speed–density diagram: level of service, sightings, median density, median speed, and its 68 % half-width.

    Levels of fewer sightings than `_LEAST_SIGHTINGS` are left out: noise of two places makes any density.
    """
    limits = np.concatenate([[0.0], limits_per_m2(measures.options.activity), [np.inf]])
    rows = []
    for letter, low, high in zip("ABCDEF", limits[:-1], limits[1:], strict=True):
        of = (measures.density.value >= low) & (measures.density.value < high)
        if of.sum() >= _LEAST_SIGHTINGS:
            speed = measures.speed.value[of]
            error = 1.2533 * speed.std() / np.sqrt(max(len(np.unique(measures.walks.row[of])), 1))
            error = float(np.hypot(error, np.median(measures.speed.high[of] - measures.speed.low[of]) / 2.0 / np.sqrt(of.sum())))
            rows.append((letter, int(of.sum()), float(np.median(measures.density.value[of])), float(np.median(speed)), error))
    return rows
