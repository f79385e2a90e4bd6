"""How dense the crowd stands where, in every picture of a sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crowd3d.measure.density import grid_around, kernel_density, seen_mass
from crowd3d.measure.levels import level
from crowd3d.measure.recall import ENOUGH, heights_px, visible_shares
from crowd3d.measure.scene import ENOUGH_SEEN
from crowd3d.measure.sequence import SequenceMeasures

_MOST_PLACES = 5_000


class LevelsOverTime(NamedTuple):
    """Levels of service of the ground.

    Attributes:
        at: (M, 2) metres, middles of a grid.
        step_m: distance of neighbours.
        level: (T, M) int8, Fruin's level 0 (A) to 5 (F) in each picture, −1 where not enough is seen.
    """

    at: np.ndarray
    step_m: float
    level: np.ndarray


def levels_over_time(measures: SequenceMeasures) -> LevelsOverTime:
    """Kernel densities of the smoothed ways, with those who were missed.

    They are drawn as a picture, so there is one figure per place, no interval: `SequenceMeasures.crowding` has intervals.
    """
    walks, options = measures.walks, measures.options
    walk = walks.seen_as(walks.view, walks.state)
    at, step = grid_around(walk.place, measures.outline, 0.5 * options.kernel_m, _MOST_PLACES)
    camera, ground = walks.view.camera, walks.view.ground
    pixels = walks.view.to_pixels(at)
    tall, mass = heights_px(camera, ground, pixels), seen_mass(at, measures.outline, options.kernel_m)
    # In pictures of nobody, everybody who stood there would have been seen.
    found = np.zeros((len(walks.times_s), len(at)), np.int8)
    found[:, (mass < ENOUGH_SEEN) | (options.recall.among_found(tall, np.ones(len(at))) < ENOUGH)] = -1
    for here in walks.pictures:
        recall = options.recall.among_found(tall, visible_shares(camera, ground, walk.pixel[here], pixels))
        density = kernel_density(walk.place[here], at, options.kernel_m, 1.0 / walks.chance[here]) / np.maximum(mass, 1e-9)
        enough = (mass >= ENOUGH_SEEN) & (recall >= ENOUGH)
        found[walks.frame[here[0]]] = np.where(enough, level(density, options.activity), -1)
    return LevelsOverTime(at, step, found)
