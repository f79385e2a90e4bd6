"""Crowd3DNet's centre head over tiles: places where people may be in a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import Engine
from crowd3d.model.place_maps import TILE_PX, find_peaks, torso_and_reach
from crowd3d.pose.candidates import TORSO_HEIGHT_M, Candidates, bounded, distinct_places, worth_turning
from crowd3d.pose.crop_looks import BATCH
from crowd3d.progress import progress_bar

if TYPE_CHECKING:
    from crowd3d.model.place_net import PlaceNet

FIRST_THRESHOLD = 0.2
"""Candidates above this score are looked at; the keypoint network decides who is a person."""


def _read(weights: Path) -> PlaceNet:
    from crowd3d.model.place_net import load_place_net

    return load_place_net(weights)


class PlaceFinder:
    """Crowd3DNet's centre head on tiles, loaded once.

    Args:
        weights: of a Crowd3DNet with the compact backbone.
        engines: what runs it.
    """

    def __init__(self, weights: Path, engines: Engines = AUTO) -> None:
        self.network: Engine = engines.load(_read, weights, [np.zeros((2, TILE_PX, TILE_PX, 3), np.uint8)], "bf16")

    def find(self, image: GigapixelImage, boxes: np.ndarray, lean_rad: np.ndarray, describe: str) -> Candidates:
        """Look for people in tiles; one person may be found several times.

        Args:
            image: the photograph.
            boxes: (T, 4) top, left, bottom, right of the tiles.
            lean_rad: (T,) how far verticals lean to the right in each, 0 where it is not known.
            describe: for the progress bar.
        """
        lean_rad = worth_turning(lean_rad)
        found: list[Candidates] = [Candidates.none()]
        with progress_bar(total=len(boxes), desc=describe, unit="tile") as bar:
            for rows, tiles in image.crops(boxes, TILE_PX, BATCH, turn_rad=lean_rad):
                bar.update(len(rows))
                maxima, places = self.network(tiles)
                peaks = find_peaks(maxima, FIRST_THRESHOLD)
                torso, reach = torso_and_reach(peaks, places)
                tile = rows[peaks.tile]
                side = (boxes[tile, 2] - boxes[tile, 0]).astype(np.float64)
                torso_px = boxes[tile][:, [1, 0]] + side[:, None] / 2 + turned((torso - 0.5) * side[:, None], lean_rad[tile])
                found.append(Candidates(torso_px, reach * side / TORSO_HEIGHT_M, peaks.score, lean_rad[tile]))
        return bounded(distinct_places(Candidates.joined(found)), image.size)
