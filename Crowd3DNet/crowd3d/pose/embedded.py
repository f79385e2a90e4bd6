"""The shipped networks, trained on synthetic crowds: Crowd3DNet's centre head finds people, the keypoint network looks at each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, plan_pyramid, plan_tiles
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.pose.candidates import Candidates, bounded, distinct_places, with_known_ground
from crowd3d.pose.crop_looks import CropLooks
from crowd3d.pose.nms import distinct
from crowd3d.pose.observations import Observations, nobody, person_size_px
from crowd3d.pose.place_finder import PlaceFinder
from crowd3d.pose.source import Source
from crowd3d.types import Proportions, TileLayout

FIRST_STRIDE = 2 / 3
"""Tiles of the first look overlap by a third: it need not find everybody."""
MOST_TILES = 1500
"""Where camera and ground are known: wide lenses show far more far ground than near; the farthest rows are not looked at."""
PERSON_THRESHOLD, SURE_THRESHOLD = 0.35, 0.5
"""Certainty of people, and of those who camera and ground are estimated from. The first is lower than even, because somebody who is
missed counts more than one too many; see `benchmarks/certainty.py`."""
WORTH_CLOSE_LOOK = 0.005
"""Candidates below this certainty after one view do not become people by being looked at again."""
CERTAINTY_OFFSET, CERTAINTY_WEIGHTS = -9.882, (1.193, 0.982, -2.001)
PROPORTIONS = Proportions(ankle=0.082, knee=0.303, hip=0.526, shoulder=0.795, eye=0.923)
"""What the shipped networks have learned: means over 1451 free bodies that stand or walk in five synthetic crowds."""
ERROR_FACTOR, ERROR_POWER = 4.37, 1.84
"""Fitted to six random synthetic crowds (`benchmarks/certainty.py`): spreads of 4, 10 and 20 % of a stature are errors of 1, 6 and 23 %."""
HIDDEN_FACTOR = 5.0
"""What is hidden in a crowd is hidden of many, and guessed alike, legs some 5 % of a stature too short: that does not average out.

By camera and ground of ten large and four small synthetic crowds: 2 and 3 are worse, without what is hidden 20 people tell too little.
"""
NEVER_SEEN_A_PHOTOGRAPH = "people were found by networks that have never seen a photograph: crowd3d fetch people gets better ones"


def embedded_source(version: str = "") -> Source:
    """Calibration of the shipped networks."""
    return Source(
        "embedded",
        version,
        PROPORTIONS,
        error_factor=ERROR_FACTOR,
        error_power=ERROR_POWER,
        hidden_factor=HIDDEN_FACTOR,
        scores_are_probabilities=True,
        sure=SURE_THRESHOLD,
        lifter_knows_errors=True,
        remark=NEVER_SEEN_A_PHOTOGRAPH,
    )


@dataclass(frozen=True)
class Seen:
    """Candidates of the looks so far, and what one view shows of them where they were looked at."""

    candidates: Candidates
    observed: Observations | None = None


class EmbeddedSeeker:
    """Both networks behind `crowd3d.pose.search.Seeker`.

    Args:
        detector: weights of a Crowd3DNet with the compact backbone.
        keypoints: weights of a `KeypointNet`.
        engines: what runs them.
        version: of the weights.
    """

    def __init__(self, detector: Path, keypoints: Path, engines: Engines = AUTO, version: str = "") -> None:
        self.source = embedded_source(version)
        self.finder = PlaceFinder(detector, engines)
        self.looks = CropLooks(keypoints, self.source, engines)

    def first_look(self, image: GigapixelImage) -> Seen:
        """By a pyramid of tiles, and one view of every candidate."""
        boxes = np.concatenate([layout.boxes for _, layout in plan_pyramid(image.size, stride=FIRST_STRIDE)])
        coarse = self.finder.find(image, boxes, np.zeros(len(boxes)), "looking for people")
        if len(coarse) == 0:
            return Seen(coarse)
        observed = _scored(self.looks.look(image, coarse, "first look at everybody").observed, coarse)
        likely = _distinct_above(observed, WORTH_CLOSE_LOOK)
        return Seen(coarse[likely], observed[likely])

    def sure(self, image: GigapixelImage, found: Seen) -> Observations:
        """By one view."""
        if found.observed is None:
            return nobody(self.source)
        return found.observed[_distinct_above(found.observed, SURE_THRESHOLD)]

    def look_again(self, image: GigapixelImage, found: Seen, camera: Camera, ground: GroundPlane) -> Seen:
        """By the ground's tiles, in which everybody is about half as tall as a tile, as far as the first look saw anything there."""
        tiles = with_candidates(plan_tiles(camera, ground, image.size), found.candidates)
        fine = self.finder.find(image, tiles.boxes, lean_of(tiles, camera, ground), "looking again in tiles of the right size")
        both = distinct_places(Candidates.joined([found.candidates, fine]))
        return Seen(with_known_ground(bounded(both, image.size), camera, ground))

    def only_look(self, image: GigapixelImage, camera: Camera, ground: GroundPlane) -> Seen:
        """A third of the work of two looks."""
        tiles = plan_tiles(camera, ground, image.size, max_tiles=MOST_TILES)
        found = self.finder.find(image, tiles.boxes, lean_of(tiles, camera, ground), "looking for people")
        return Seen(with_known_ground(found, camera, ground))

    def people(self, image: GigapixelImage, found: Seen) -> Observations:
        """Likely people are looked at closely; those who are certain enough remain."""
        candidates, seen = self.close_looks(image, found)
        if len(candidates) == 0:
            return nobody(self.source)
        observed = _scored(seen, candidates)
        return observed[_distinct_above(observed, PERSON_THRESHOLD)]

    def close_looks(self, image: GigapixelImage, found: Seen) -> tuple[Candidates, Observations]:
        """Likely candidates and what all views show of them, people or not; scores say how present each seems."""
        candidates = found.candidates
        if len(candidates) == 0:
            return candidates, nobody(self.source)
        seen = self.looks.look(image, candidates, "looking at everybody")
        rows = _distinct_above(_scored(seen.observed, candidates), WORTH_CLOSE_LOOK)
        if len(rows) == 0:
            return candidates[rows], nobody(self.source)
        return candidates[rows], self.looks.look_closely(image, candidates[rows], seen[rows], "keypoints")


def _scored(observed: Observations, candidates: Candidates) -> Observations:
    return replace(observed, score=certainty(observed, candidates))


def _distinct_above(observed: Observations, threshold: float) -> np.ndarray:
    rows = np.flatnonzero(observed.score > threshold)
    return rows[distinct(observed[rows])]


def lean_of(layout: TileLayout, camera: Camera, ground: GroundPlane) -> np.ndarray:
    """(T,) how far people in the middle of each tile lean to the right."""
    return ground.lean_rad(camera, (layout.boxes[:, [1, 0]] + layout.boxes[:, [3, 2]]) / 2)


def with_candidates(layout: TileLayout, candidates: Candidates) -> TileLayout:
    """The tiles in which the first look saw anything; far ground has hundreds in which there is nobody."""
    down, right = candidates.torso_px[:, 1], candidates.torso_px[:, 0]
    top, left, bottom, end = layout.boxes.T[:, :, None]
    rows = np.flatnonzero(((down >= top) & (down < bottom) & (right >= left) & (right < end)).any(1))
    return TileLayout(layout.boxes[rows], layout.row_col[rows], layout.image_size)


def certainty_features(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N, 3) what `certainty` looks at: log odds of presence, log detection score, log of the keypoints' spread over the person's size."""
    presence = np.clip(observed.score, 1e-4, 1 - 1e-4)
    relative_sigma = np.median(observed.sigma_px / person_size_px(observed.xy_px)[:, None], axis=1)
    return np.log(np.stack([presence / (1 - presence), np.clip(candidates.score, 0.05, 1.0), relative_sigma], 1))


def certainty(observed: Observations, candidates: Candidates) -> np.ndarray:
    """(N,) probability that a candidate is a person, seen once and framed well: a logistic regression (`benchmarks/certainty.py`).

    It is right for close looks; a single view knows less, and what it says is lower.

    Args:
        observed: what the keypoint network saw of N candidates; its scores say how present they seem.
        candidates: the same N.
    """
    return 1.0 / (1.0 + np.exp(-(CERTAINTY_OFFSET + certainty_features(observed, candidates) @ CERTAINTY_WEIGHTS)))
