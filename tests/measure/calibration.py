"""How often the 68 % intervals hold the truth, on crowds of known density and flow.

Usage: python tests/measure/calibration.py [SCENES]     prints the table; the tests run fewer scenes
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from made_crowds import CAMERA, GROUND, SQUARE, Made, make, walkers

from crowd3d.measure import MeasureOptions, Recall, Zone, measure_scene, measure_sequence
from crowd3d.measure.areas import Line
from crowd3d.measure.density import kernel_density, voronoi_areas
from crowd3d.measure.levels import level
from crowd3d.types import People, Scene

RECALL = Recall(base=3.0, by_size=0.8, by_hidden=-5.0, sigma=0.5)
DENSITIES = (0.2, 0.5, 1.0, 2.0, 3.5, 5.0)
DRAWS = 40


class Coverage(NamedTuple):
    """Shares of the truths that lie in their 68 % interval, biases, and how sure levels of service are said and found to be.

    Attributes:
        field, cells, zone: of kernel density, Voronoi density, density of the zone.
        field_bias, cells_bias: geometric mean of figure over truth.
        said, right: mean probability of the likeliest level, and how often it is the true one.
        recall: share of people found.
        unseen: share of the places in the crowd of which not enough was seen.
    """

    field: float
    cells: float
    zone: float
    field_bias: float
    cells_bias: float
    said: float
    right: float
    recall: float
    unseen: float


def scene_of(made: Made) -> Scene:
    """A reconstruction that knows only where people stand."""
    count = len(made.foot_px)
    people = People(
        np.zeros((count, 24, 3), np.float32),
        np.zeros((count, 10), np.float32),
        np.zeros((count, 3)),
        made.foot_px,
        made.view.ground.intersect(made.view.camera, made.foot_px),
        np.ones(count),
        np.zeros((count, 17, 3)),
    )
    return Scene(made.view.camera, made.view.ground, people, "free", "made.jpg", made.view.covariance)


def density_coverage(density: float, scenes: int, draws: int = DRAWS) -> Coverage:
    """Of so many crowds with so many people per m²."""
    rows = []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        made = make(density, rng, RECALL)
        zone = Zone("square", [made.truth.to_pixels(SQUARE)])
        measures = measure_scene(scene_of(made), [zone], MeasureOptions(recall=RECALL, draws=draws, seed=seed))
        at = made.truth.to_ground(made.view.to_pixels(measures.field.at))
        inner = (np.abs(at - SQUARE.mean(0)) < 5.0).all(1)
        true, figure = kernel_density(made.places, at), measures.field.density
        known = inner & np.isfinite(figure.value) & (true > 0.02)
        outline = made.truth.to_ground(made.view.to_pixels(measures.outline))
        cell = 1.0 / voronoi_areas(made.places, outline)[0][made.rows]
        of = (np.abs(made.places[made.rows] - SQUARE.mean(0)) < 5.0).all(1) & np.isfinite(measures.people.density.value)
        square, size = measures.zones[1].density, float(np.prod(np.ptp(SQUARE, axis=0)))
        likely = np.nan_to_num(measures.field.level[known])
        rows.append(
            [
                _holds(figure.row(known), true[known]).mean(),
                _holds(measures.people.density.row(of), cell[of]).mean(),
                _holds(square, np.array(len(made.places) / size)) if np.isfinite(square.value) else np.nan,
                np.log(np.maximum(figure.value[known], 1e-3) / true[known]).mean(),
                np.log(measures.people.density.value[of] / cell[of]).mean(),
                likely.max(1).mean(),
                (likely.argmax(1) == level(true[known], "walking")).mean(),
                len(made.rows) / len(made.places),
                np.isnan(figure.value[inner]).mean(),
            ]
        )
    mean = np.nanmean(rows, axis=0)
    mean[3:5] = np.exp(mean[3:5])
    return Coverage(*(float(value) for value in mean))


def flow_coverage(sequences: int, draws: int = DRAWS) -> tuple[float, float, float]:
    """Shares of 68 % intervals that hold the true number across a line, and the true mean speed; mean ratio of numbers."""
    held, ratio, speed = [], [], []
    for seed in range(sequences):
        walk = walkers(np.random.default_rng(seed), RECALL)
        ends = walk.truth.to_pixels(np.array([[0.0, 13.0], [0.0, 27.0]]))
        measures = measure_sequence(walk.sequence, [], [Line("gate", ends)], MeasureOptions(recall=RECALL, draws=draws, seed=seed))
        flow = measures.flows[0]
        for way, number in ((flow.to_right, walk.to_right), (flow.to_left, walk.to_left)):
            held.append(_holds(way, np.array(number)))
            ratio.append(way.value / number)
        speed.append(_holds(measures.overall_speed, np.array(walk.speed)))
    return float(np.mean(held)), float(np.mean(speed)), float(np.mean(ratio))


def _holds(figure, truth: np.ndarray) -> np.ndarray:
    # Half a unit in the last place: counts are whole numbers, and so are many ends of their intervals.
    return (figure.low - 1e-9 <= truth) & (truth <= figure.high + 1e-9)


def main() -> None:
    """Print the table."""
    scenes = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"camera {CAMERA.fx:.0f} px, {GROUND.offset_m:.0f} m up; {scenes} scenes each")
    print("people/m²  " + "  ".join(Coverage._fields))
    for density in DENSITIES:
        row = density_coverage(density, scenes, DRAWS)
        cells = (f"{value:{len(name)}.2f}" for name, value in zip(Coverage._fields, row, strict=True))
        print(f"{density:9.1f}  " + "  ".join(cells), flush=True)
    print("flow: held {:.2f}, speed held {:.2f}, ratio {:.2f}".format(*flow_coverage(scenes, DRAWS)))


if __name__ == "__main__":
    main()
