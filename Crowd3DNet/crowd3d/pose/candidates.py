"""Places where people may be, and the windows through which the keypoint network looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import turned
from crowd3d.model.crop_points import CROP_HEIGHT_M, CROP_SIZE, TORSO_OFFSET_M
from crowd3d.pose.nms import near_pairs, suppress
from crowd3d.types import Rows

TORSO_HEIGHT_M = 1.05
"""Mean height of torso centres over the ground, seated people and children included: turns lengths in pixels into a scale."""
SAME_PLACE = 0.16
"""Candidates whose torso centres are closer than this share of a torso's height are one."""
SCALE_DOUBT = 1.6
"""The ground may correct a candidate's own scale by this factor."""
LEAST_TURN_RAD = np.deg2rad(3.0)
"""People who lean less are shown to the networks as they are, which saves the turning."""
MOST_PER_MEGAPIXEL, LEAST_BOUND = 1000, 400
"""No more candidates than this are looked at, the best first: textures and noise can look like people everywhere."""


@dataclass(frozen=True)
class Candidates(Rows):
    """Places where people may be, scene pixels.

    Attributes:
        torso_px: (M, 2) torso centres.
        per_metre: (M,) pixels per metre there.
        score: (M,) of what found them.
        lean_rad: (M,) how far verticals lean to the right there, 0 where it is not known.
    """

    torso_px: np.ndarray
    per_metre: np.ndarray
    score: np.ndarray
    lean_rad: np.ndarray

    @classmethod
    def none(cls) -> Candidates:
        """Nobody."""
        return cls(np.zeros((0, 2)), *np.zeros((3, 0)))


def distinct_places(candidates: Candidates) -> Candidates:
    """Non-maximum suppression by place: the best of those that are near each other and of similar size, by falling score."""
    candidates = candidates[np.argsort(-candidates.score, kind="stable")]
    reach = SAME_PLACE * TORSO_HEIGHT_M * candidates.per_metre
    pairs = near_pairs(candidates.torso_px, 1.25 * reach)
    first, second = pairs.T
    apart = np.linalg.norm(candidates.torso_px[first] - candidates.torso_px[second], axis=1)
    near = apart < np.minimum(reach[first], reach[second]) * 1.25
    alike = np.abs(np.log(candidates.per_metre[first] / candidates.per_metre[second])) < np.log(2.0)
    return candidates[suppress(pairs, (near & alike).astype(float), candidates.score, 0.5)]


def bounded(candidates: Candidates, image_size: tuple[int, int]) -> Candidates:
    """The best of them, so many as the picture can hold people (`MOST_PER_MEGAPIXEL`)."""
    most = max(LEAST_BOUND, int(MOST_PER_MEGAPIXEL * image_size[0] * image_size[1] / 1e6))
    return candidates if len(candidates) <= most else candidates[np.sort(np.argsort(-candidates.score, kind="stable")[:most])]


def with_known_ground(candidates: Candidates, camera: Camera, ground: GroundPlane) -> Candidates:
    """Give each candidate scale and lean of a person who stands where the torso is seen, the scale within reason of what it looks like."""
    rays = camera.rays(candidates.torso_px)
    slope = rays @ ground.normal
    depth = (TORSO_HEIGHT_M - ground.offset_m) / np.where(slope < -1e-6, slope, np.nan)
    known = np.clip(camera.fx / depth, candidates.per_metre / SCALE_DOUBT, candidates.per_metre * SCALE_DOUBT)
    per_metre = np.where(depth > 0, known, candidates.per_metre)
    return replace(candidates, per_metre=per_metre, lean_rad=ground.lean_rad(camera, candidates.torso_px))


def worth_turning(lean_rad: np.ndarray) -> np.ndarray:
    """Leans that are worth turning a window for, others 0."""
    return np.where(np.abs(lean_rad) < LEAST_TURN_RAD, 0.0, lean_rad)


@dataclass(frozen=True)
class Windows(Rows):
    """Square windows around N candidates.

    Attributes:
        boxes: (N, 4) top, left, bottom, right before they are turned about their middles, pixels.
        turn_rad: (N,) clockwise.
    """

    boxes: np.ndarray
    turn_rad: np.ndarray

    @classmethod
    def around(cls, candidates: Candidates) -> Windows:
        """Those that the keypoint network is shown."""
        side = np.maximum(CROP_HEIGHT_M * candidates.per_metre, 8.0)
        turn = worth_turning(candidates.lean_rad)
        below = np.stack([np.zeros_like(side), TORSO_OFFSET_M * candidates.per_metre], 1)
        corner = candidates.torso_px + turned(below, turn) - side[:, None] / 2
        return cls.of_squares(np.c_[corner, side].round().astype(np.int64), turn)

    @classmethod
    def of_squares(cls, squares: np.ndarray, turn_rad: np.ndarray) -> Windows:
        """From (N, 3) left, top, side."""
        left, top, side = squares.T
        return cls(np.stack([top, left, top + side, left + side], 1), turn_rad)

    def to_image(self, crop_xy_px: np.ndarray) -> np.ndarray:
        """(N, K, 2) pixels of the square crops, resized to the height of `CROP_SIZE` → pixels of the image."""
        side = (self.boxes[:, 2] - self.boxes[:, 0])[:, None, None]
        middle = self.boxes[:, None, [1, 0]] + side / 2
        return middle + turned((crop_xy_px / CROP_SIZE[0] - 0.5) * side, self.turn_rad[:, None])
