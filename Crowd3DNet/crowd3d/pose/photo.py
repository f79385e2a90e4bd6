"""Networks that were trained on photographs: NanoDet finds people, MoveNet sees their keypoints, the shipped keypoint network their depths.

``crowd3d fetch people`` gets the first two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.pose.candidates import Candidates, with_known_ground
from crowd3d.pose.crop_looks import CropLooks
from crowd3d.pose.nms import distinct, iou, near_pairs
from crowd3d.pose.observations import Observations, nobody, person_size_px
from crowd3d.pose.photo_decode import EXPECTED_MARGIN
from crowd3d.pose.photo_finder import (
    ALL_TILES,
    FIRST_TILES,
    LARGE_SHARE,
    NOMINAL_STATURE_M,
    SAME_BOX,
    Boxes,
    BoxFinder,
    pyramid,
    tiles_on_ground,
)
from crowd3d.pose.photo_keypoints import BoxKeypoints, KeypointsInBoxes, averaged, promise
from crowd3d.pose.source import ANNOTATED, Source
from crowd3d.pose.standing import without_invented_legs

PERSON_THRESHOLD, SURE_THRESHOLD = 0.7, 0.8
EVEN_PRODUCT, PRODUCT_SLOPE = 0.105, 2.2
"""Probability of being a person as a logistic function of the log of `promise`.

Fitted by bins on annotated photographs of streets and squares (1340 candidates; surveillance, street crowds, everyday pictures): in crowds
a promise of 0.1 is a person in three of four cases, on an empty square in none.
"""
WORTH_MIRRORING = 0.5
"""Certainty after one view below which a second is not worth its time: of 238 people in nine photographs nobody with less than 0.53 became
a person."""
LEAN_AGAIN_RAD = np.deg2rad(8.0)
"""People who lean more than this in the picture are looked at again, upright, once the ground is known."""
DEPTH_DISSENT_M = 1.0
"""Spread of depths grows by so much per metre between what both keypoint networks say."""

ALONE, MOST_BETTER = 8.0, 4.0
"""The odds of being a person are so many times better as there are more sure people than the first, up to the second. On street crowds with
13 to 22 sure people all 8 candidates of 0.6 to 0.7 were people, on a square with 3 to 8 none of 4."""

FEW = 5
"""Of a picture with fewer people it is checked whether it has to be turned: of those who lie or stand on their heads few are found."""
LARGE_ODDS = 2.0
"""By so much the odds of those who fill `LARGE_SHARE` of a picture are better than their scores say: they are what it was taken of."""


def photo_source(version: str = "") -> Source:
    """Calibration of MoveNet in NanoDet's boxes: spreads fitted to 423 annotated keypoints of 25 people in everyday photographs, the common
    lean to the rolls of 15 photographs by six calibrated cameras."""
    return Source(
        "movenet",
        version,
        ANNOTATED,
        sigma_at_full_score=0.011,
        sigma_per_missing_score=0.14,
        sigma_power=3.0,
        common_lean_rad=float(np.deg2rad(1.0)),
        calibrated_spreads=True,
        scores_are_probabilities=True,
        sure=PERSON_THRESHOLD,
    )


EXPLAINED, RIVALS = 0.6, 3
"""A box is explained by one of so many nearest people, known already, whose keypoints' bounds overlap it by that IoU. On one made-up crowd
of 400 an IoU of 0.45, 0.5, 0.6 and 0.7 found 11, 13, 17 and 16 people more, with 75, 117, 172 and 195 looks."""


@dataclass(frozen=True)
class Seen:
    """Boxes of the looks so far, the keypoints in them, and what is known of camera and ground.

    Attributes:
        boxes: N of them.
        keypoints: N; None if there are no boxes.
        world: camera and ground, if they are known.
    """

    boxes: Boxes
    keypoints: BoxKeypoints | None
    world: tuple[Camera, GroundPlane] | None = None


class PhotoSeeker:
    """The three networks behind `crowd3d.pose.search.Seeker`.

    Args:
        finder, movenet: weights as `crowd3d fetch people` stores them.
        keypoints: weights of a `KeypointNet`, which tells depths.
        engines: what runs them.
        version: of the weights.
    """

    def __init__(self, finder: Path, movenet: Path, keypoints: Path, engines: Engines = AUTO, version: str = "") -> None:
        self.source = photo_source(version)
        self.finder = BoxFinder(finder, engines)
        self.keypoints = KeypointsInBoxes(movenet, engines)
        self.depths = CropLooks(keypoints, self.source, engines)

    def first_look(self, image: GigapixelImage) -> Seen:
        """By a pyramid of tiles that begins with the whole picture."""
        tiles = np.concatenate(pyramid(image.size, FIRST_TILES))
        boxes = self.finder.find(image, tiles, np.zeros(len(tiles)), "looking for people")
        return self._seen(image, boxes, "first look at everybody")

    def sure(self, image: GigapixelImage, found: Seen) -> Observations:
        """Those whom the finder is sure of."""
        if found.keypoints is None:
            return nobody(self.source)
        observed = _measured(found.boxes, found.keypoints, self.source, image.size)
        return _distinct_above(observed, SURE_THRESHOLD)

    def look_again(self, image: GigapixelImage, found: Seen, camera: Camera, ground: GroundPlane) -> Seen:
        """By those levels of the pyramid that the first look left out, where the ground shows people of their size."""
        world = (camera, ground)
        upright = self._upright(image, found, camera, ground)
        seen = len(pyramid(image.size, FIRST_TILES))
        finer = pyramid(image.size, ALL_TILES)[seen:]
        if not finer:
            return replace(upright, world=world)
        new = _unseen(self._find_on_ground(image, finer, camera, ground), upright.boxes)
        return replace(_joined(upright, self._seen(image, new, "another look")), world=world)

    def only_look(self, image: GigapixelImage, camera: Camera, ground: GroundPlane) -> Seen:
        """By those tiles of the pyramid in which the ground shows people of their size."""
        return self.look_in(image, self._find_on_ground(image, pyramid(image.size, ALL_TILES), camera, ground), camera, ground)

    def look_in(self, image: GigapixelImage, boxes: Boxes, camera: Camera, ground: GroundPlane) -> Seen:
        """Into given boxes."""
        return replace(self._seen(image, boxes, "looking at everybody"), world=(camera, ground))

    def people(self, image: GigapixelImage, found: Seen) -> Observations:
        """Everybody likely enough, with depths by the keypoint network; where the picture seems to be turned, that is said."""
        observed = self._people(image, found)
        turn = self.finder.turned_deg(image) if len(observed) < FEW else 0
        if turn == 0:
            return observed
        remark = f"the picture seems to be turned: its people are upright once it is turned by {turn}° clockwise; do that and run again"
        return replace(observed, source=replace(observed.source, remark=remark))

    def _people(self, image: GigapixelImage, found: Seen) -> Observations:
        found = self._with_hidden(image, found)
        if found.keypoints is None:
            return nobody(self.source)
        observed = _measured(found.boxes, found.keypoints, self.source, image.size)
        observed = _distinct_above(observed, _threshold_among(len(_distinct_above(observed, SURE_THRESHOLD))))
        if len(observed) == 0:
            return observed
        scale = person_size_px(observed.xy_px) / NOMINAL_STATURE_M
        places = Candidates(observed.torso_px, scale, observed.score, np.zeros(len(observed)))
        if found.world is not None:
            places = with_known_ground(places, *found.world)
        return _with_depths(observed, self.depths.observe(image, places, "depths"), places.per_metre)

    def _with_hidden(self, image: GigapixelImage, found: Seen) -> Seen:
        """Those, too, in whose boxes somebody in front of them was seen.

        The keypoint network shows the most conspicuous person of a window. A box in which it saw somebody who is known already is looked
        at alone, and counts if what is seen then fits it better than anybody known.
        """
        if found.keypoints is None:
            return found
        observed = _measured(found.boxes, found.keypoints, self.source, image.size)
        likely = np.flatnonzero(observed.score > PERSON_THRESHOLD)
        known = likely[distinct(observed[likely])]
        again = np.setdiff1d(likely, known)
        if len(again) == 0:
            return found
        boxes = found.boxes[again]
        near = cKDTree(found.boxes.middle_px[known]).query(boxes.middle_px, k=[*range(1, min(RIVALS, len(known)) + 1)])[1]
        explained = np.max([_fit(boxes, observed.xy_px[known[one]]) for one in near.T], axis=0)
        boxes, explained = boxes[explained < EXPLAINED], explained[explained < EXPLAINED]
        if len(boxes) == 0:
            return found
        hidden = self._look(image, boxes, "looking behind others", alone=True)
        better = _fit(boxes, hidden.xy_px) > explained
        return replace(_joined(found, Seen(boxes[better], hidden[better])), world=found.world)

    def _find_on_ground(self, image: GigapixelImage, levels: list[np.ndarray], camera: Camera, ground: GroundPlane) -> Boxes:
        tiles = tiles_on_ground(levels, camera, ground)
        lean = ground.lean_rad(camera, (tiles[:, [1, 0]] + tiles[:, [3, 2]]) / 2)
        return self.finder.find(image, tiles, lean, "looking again in tiles of the right size")

    def _upright(self, image: GigapixelImage, found: Seen, camera: Camera, ground: GroundPlane) -> Seen:
        """The same people, those who lean looked at again in windows that lean with them."""
        if found.keypoints is None:
            return found
        lean = ground.lean_rad(camera, found.boxes.middle_px)
        rows = np.flatnonzero(np.abs(lean - found.boxes.lean_rad) > LEAN_AGAIN_RAD)
        if len(rows) == 0:
            return found
        leaning = found.boxes[rows]
        size = np.abs(np.cos(lean[rows]))[:, None] * leaning.size_px
        boxes = replace(leaning, lean_rad=lean[rows], size_px=np.maximum(size, leaning.size_px / 2))
        others = np.setdiff1d(np.arange(len(lean)), rows)
        again = self._seen(image, boxes, "looking again, upright")
        return _joined(Seen(found.boxes[others], found.keypoints[others] if len(others) else None), again)

    def _seen(self, image: GigapixelImage, boxes: Boxes, describe: str) -> Seen:
        return Seen(boxes, self._look(image, boxes, describe) if len(boxes) else None)

    def _look(self, image: GigapixelImage, boxes: Boxes, describe: str, alone: bool = False) -> BoxKeypoints:
        """Keypoints in all boxes, at least one; whoever may be a person, and nobody else, is seen mirrored, too."""
        found = self.keypoints.look(image, boxes, describe, alone)
        twice = np.zeros(len(boxes), bool)
        while True:
            observed = _measured(boxes, found, self.source, image.size)
            likely = np.flatnonzero(observed.score > WORTH_MIRRORING)
            rows = likely[distinct(observed[likely])]
            rows = rows[~twice[rows]]
            if len(rows) == 0:
                return found
            mirrored = self.keypoints.look(image, boxes[rows], describe, alone, mirrored=True)
            found = found.with_rows(rows, averaged(found[rows], mirrored, boxes[rows]))
            twice[rows] = True


def _joined(first: Seen, second: Seen) -> Seen:
    parts = [part.keypoints for part in (first, second) if part.keypoints is not None]
    return Seen(Boxes.joined([first.boxes, second.boxes]), BoxKeypoints.joined(parts) if parts else None)


def _fit(boxes: Boxes, xy_px: np.ndarray) -> np.ndarray:
    """(N,) IoU of boxes and of the bounds of keypoints (N, 17, 2), by the margin wider that a box has around its person's."""
    place = turned(xy_px - boxes.middle_px[:, None], -boxes.lean_rad[:, None])
    low, high = place.min(1), place.max(1)
    margin = EXPECTED_MARGIN * (high - low).max(1, keepdims=True)
    return iou(np.c_[-boxes.size_px / 2, boxes.size_px / 2], np.c_[low - margin, high + margin])


def _unseen(boxes: Boxes, known: Boxes) -> Boxes:
    """Those of `boxes` that overlap none of the known ones."""
    both = np.concatenate([known.corners, boxes.corners])
    pairs = near_pairs((both[:, :2] + both[:, 2:]) / 2, (both[:, 2:] - both[:, :2]).max(1))
    pairs = pairs[(pairs[:, 0] < len(known)) & (pairs[:, 1] >= len(known))]
    same = iou(both[pairs[:, 0]], both[pairs[:, 1]]) > SAME_BOX
    return boxes[np.setdiff1d(np.arange(len(boxes)), pairs[same, 1] - len(known))]


def _distinct_above(observed: Observations, threshold: float) -> Observations:
    likely = observed[np.flatnonzero(observed.score > threshold)]
    return likely[distinct(likely)]


def _threshold_among(sure: int) -> float:
    """Certainty from which on somebody is a person in a picture of so many `sure` people.

    What is mistaken for people does not become more with the crowd, so everybody's odds are better in proportion.
    """
    odds = PERSON_THRESHOLD / (1.0 - PERSON_THRESHOLD) / float(np.clip(sure / ALONE, 1.0, MOST_BETTER))
    return odds / (1.0 + odds)


def _measured(boxes: Boxes, seen: BoxKeypoints, source: Source, image_size: tuple[int, int]) -> Observations:
    """Keypoints with their calibrated spreads; depths unknown."""
    seen_score = np.clip(seen.score, 0.0, 1.0)
    whole = without_invented_legs(seen.xy_px, seen_score, boxes.lean_rad)
    score, invented = whole.score, whole.score < seen_score
    size = person_size_px(whole.xy_px)[:, None]
    unknown = np.full(score.shape, np.nan)
    second = np.clip(seen.other_score / np.maximum(seen.other_score + score, 1e-6), 0.0, 0.5)
    return Observations(
        xy_px=whole.xy_px,
        sigma_px=np.hypot(size * source.sigma(score), np.where(invented, 0.0, seen.apart_px / 2)),
        other_px=np.where(invented[..., None], whole.xy_px, seen.other_px),
        other_share=np.where(invented, 0.0, second),
        visible=score,
        depth_m=unknown,
        depth_sigma_m=unknown,
        hvip_px=np.full((len(boxes), 2), np.nan),
        score=_certainty(boxes.score, seen_score, boxes.size_px[:, 1] / min(image_size)),
        source=source,
    )


def _certainty(finder_score: np.ndarray, keypoint_score: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(N,) probability of being a person, from the scores of the finder (N,) and of the keypoints (N, 17), and the `share` (N,) of the
    picture's shorter side that they are tall."""
    against = (EVEN_PRODUCT / np.maximum(promise(finder_score, keypoint_score), 1e-6)) ** PRODUCT_SLOPE
    return 1.0 / (1.0 + np.where(share > LARGE_SHARE, against / LARGE_ODDS, against))


def _with_depths(observed: Observations, other: Observations, per_metre: np.ndarray) -> Observations:
    """Depths, and HVIPs relative to torso centres, as the other network tells them where it sees the same person.

    A HVIP counts where both ankles are sure. On 142 people in surveillance and sports photographs with known places it is then 0.05
    statures off in the median, the middle of the ankles 0.12; of others it is 0.08 off, standing height over the ground 0.06.
    """
    apart_m = np.linalg.norm(observed.xy_px - other.xy_px, axis=-1) / per_metre[:, None]
    beside = other.hvip_px + observed.torso_px - other.torso_px
    return replace(
        observed,
        depth_m=other.depth_m,
        depth_sigma_m=np.hypot(other.depth_sigma_m, DEPTH_DISSENT_M * apart_m),
        hvip_px=np.where(observed.sure_ankles[:, None], beside, np.nan),
    )
