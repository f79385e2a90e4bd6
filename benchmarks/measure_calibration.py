"""How often do the 68 % intervals of `crowd3d measure` hold the truth? Made crowds of known density, level of service and flow.

Usage: python benchmarks/measure_calibration.py [--scenes 10] [--densities 0.2 0.5 1 2 3.5 5] [--found 1 0.9 0.5]

The crowds are seen through a camera that is known as well as a good estimate is, with noise of the places and with people who are missed.
Of every density there are so many crowds, of every share of people found so many sequences. Camera and recall err alike for a whole crowd:
ten crowds tell the coverage of a zone to ±0.15, a hundred to ±0.05.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from crowd3d.measure import MeasureOptions, Recall, Zone, measure_scene, measure_sequence
from crowd3d.measure.areas import Line
from crowd3d.measure.density import kernel_density, voronoi_areas
from crowd3d.measure.levels import level
from crowd3d.measure.simulate import CAMERA, GROUND, RECALL, SQUARE, make, walkers

DENSITIES = (0.2, 0.5, 1.0, 2.0, 3.5, 5.0)
FOUND = (1.0, 0.9, 0.5)
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


def density_coverage(density: float, scenes: int, draws: int = DRAWS) -> Coverage:
    """Of so many crowds with so many people per m²."""
    rows = []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        made = make(density, rng, RECALL)
        zone = Zone("square", [made.truth.to_pixels(SQUARE)])
        measures = measure_scene(made.scene(), [zone], MeasureOptions(recall=RECALL, draws=draws, seed=seed))
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


class FlowCoverage(NamedTuple):
    """Of the numbers of people who cross a line.

    Attributes:
        across: share of the true numbers, each way, that lie in their interval.
        ratio: mean of number over truth.
        speed: share of the true mean speeds that lie in their interval.
    """

    across: float
    ratio: float
    speed: float


def flow_coverage(sequences: int, recall: Recall, draws: int = DRAWS) -> FlowCoverage:
    """Of so many sequences."""
    held, ratio, speed = [], [], []
    for seed in range(sequences):
        walk = walkers(np.random.default_rng(seed), recall)
        ends = walk.truth.to_pixels(np.array([[0.0, 13.0], [0.0, 27.0]]))
        measures = measure_sequence(walk.sequence, [], [Line("gate", ends)], MeasureOptions(recall=recall, draws=draws, seed=seed))
        flow = measures.flows[0]
        for way, number in ((flow.to_right, walk.to_right), (flow.to_left, walk.to_left)):
            held.append(_holds(way, np.array(number)))
            ratio.append(way.value / number)
        speed.append(_holds(measures.overall_speed, np.array(walk.speed)))
    return FlowCoverage(float(np.mean(held)), float(np.mean(ratio)), float(np.mean(speed)))


def _holds(figure, truth: np.ndarray) -> np.ndarray:
    # Half a unit in the last place: counts are whole numbers, and so are many ends of their intervals.
    return (figure.low - 1e-9 <= truth) & (truth <= figure.high + 1e-9)


def _row(of: float, figures: Coverage | FlowCoverage) -> str:
    """Below the names of the figures."""
    return f"{of:9.1f}  " + "  ".join(f"{value:{len(name)}.2f}" for name, value in zip(figures._fields, figures, strict=True))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--densities", type=float, nargs="*", default=DENSITIES, help="people per m²")
    parser.add_argument("--found", type=float, nargs="*", default=FOUND, help="share of the people found in every picture of a sequence")
    args = parser.parse_args()
    print(f"camera {CAMERA.fx:.0f} px, {GROUND.offset_m:.0f} m up; {args.scenes} scenes each; shares of truths in their 68 % interval")
    print("people/m²  " + "  ".join(Coverage._fields))
    for density in args.densities:
        print(_row(density, density_coverage(density, args.scenes)), flush=True)
    print("    found  " + "  ".join(FlowCoverage._fields))
    for share in args.found:
        print(_row(share, flow_coverage(args.scenes, Recall.constant(share))), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
