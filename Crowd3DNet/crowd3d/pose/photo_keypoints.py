"""MoveNet on the boxes of people, seen as they are or mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.bodies.joints import COCO17_FLIP
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import Engine
from crowd3d.model.photo_maps import MOVENET_STEM
from crowd3d.pose.photo_decode import decode_keypoints
from crowd3d.pose.photo_finder import FILL, Boxes
from crowd3d.progress import progress_bar
from crowd3d.types import Rows

if TYPE_CHECKING:
    from crowd3d.model.photo_nets import MoveNet

CROP_SIZE = (256, 192)
"""Height and width of the input; square crops bring nothing more."""
CROP_SHARE = 1.15
"""Height of a window over that of the box in it."""
ALONE_MARGIN = 0.1
"""By this share of its size a box is enlarged before everything around it is painted grey; none to 0.15 find as many people."""
BATCH = 4
SEEN_BEST = 8
SAME_KEYPOINT = 0.06
"""Places in two views nearer than this share of the window's height are averaged, else the surer one counts."""


@dataclass(frozen=True)
class BoxKeypoints(Rows):
    """Keypoints in the boxes of N people.

    Attributes:
        xy_px: (N, 17, 2) scene pixels.
        score: (N, 17) heat there, the mean of all views.
        other_px: (N, 17, 2) second places.
        other_score: (N, 17) their heat.
        apart_px: (N, 17) distance between what two views say, 0 after one.
        centre: (N,) probability of a person's centre.
    """

    xy_px: np.ndarray
    score: np.ndarray
    other_px: np.ndarray
    other_score: np.ndarray
    apart_px: np.ndarray
    centre: np.ndarray


def _read(weights: Path) -> MoveNet:
    from crowd3d.model.photo_nets import load_movenet

    return load_movenet(weights)


class KeypointsInBoxes:
    """The network, loaded once.

    Args:
        weights: of MoveNet, as `crowd3d fetch people` stores them.
        engines: what runs it.
    """

    def __init__(self, weights: Path, engines: Engines = AUTO) -> None:
        self.network: Engine = engines.load(_read, weights, [np.zeros((2, *CROP_SIZE, 3), np.uint8)], "bf16", MOVENET_STEM)

    def look(self, image: GigapixelImage, boxes: Boxes, describe: str, alone: bool = False, mirrored: bool = False) -> BoxKeypoints:
        """Keypoints in every box, seen once; at least one box.

        Args:
            image: the photograph.
            boxes: of N people.
            describe: for the progress bar.
            alone: everything around a box is painted grey first.
            mirrored: the network is shown mirrored crops.
        """
        windows = _windows(boxes)
        margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
        found: list[BoxKeypoints] = []
        with progress_bar(total=len(boxes), desc=describe, unit="person") as bar:
            for rows, crops in image.crops(windows, CROP_SIZE[0], BATCH, fill=FILL, turn_rad=boxes.lean_rad):
                images = crops[:, :, margin : margin + CROP_SIZE[1]]
                side = (windows[rows, 2] - windows[rows, 0]).astype(np.float64)
                half = boxes.size_px[rows] / 2 * (CROP_SIZE[0] / side)[:, None]
                if alone:
                    _paint_around(images, half)
                if mirrored:
                    seen = _unmirrored(decode_keypoints(self.network(images[:, :, ::-1]), half))
                else:
                    seen = decode_keypoints(self.network(images), half)
                found.append(_in_image(seen, windows[rows], side, boxes.lean_rad[rows], margin))
                bar.update(len(rows))
        return BoxKeypoints.joined(found)


def promise(finder_score: np.ndarray, keypoint_score: np.ndarray) -> np.ndarray:
    """(N,) score of the finder (N,) times the mean of the best keypoint scores (N, 17): what tells people from background.

    Everybody shows `SEEN_BEST` keypoints, also those whom the picture's border cuts off.
    """
    return finder_score * np.sort(keypoint_score, axis=1)[:, -SEEN_BEST:].mean(1)


def averaged(plain: BoxKeypoints, mirrored: BoxKeypoints, boxes: Boxes) -> BoxKeypoints:
    """One answer from two views of N boxes (test-time augmentation): the mean where they agree, else the surer one, with the other as
    second place."""
    score = (plain.score + mirrored.score) / 2
    apart = np.linalg.norm(plain.xy_px - mirrored.xy_px, axis=-1)
    weight = plain.score / np.maximum(2 * score, 1e-6)
    first, dissent = weight >= 0.5, apart >= SAME_KEYPOINT * _sides(boxes)[:, None]
    share = np.where(dissent, first, weight)[..., None]
    return BoxKeypoints(
        xy_px=plain.xy_px * share + mirrored.xy_px * (1 - share),
        score=score,
        other_px=np.where(dissent[..., None], np.where(first[..., None], mirrored.xy_px, plain.xy_px), plain.other_px),
        other_score=np.where(dissent, np.minimum(plain.score, mirrored.score), (plain.other_score + mirrored.other_score) / 2),
        apart_px=apart,
        centre=(plain.centre + mirrored.centre) / 2,
    )


def _paint_around(images: np.ndarray, half_px: np.ndarray) -> None:
    """Grey over all of the crops (B, h, w, 3) but the boxes in their middles, (B, 2) half as wide and high, in place."""
    reach = (1 + ALONE_MARGIN) * half_px
    down, across = (np.abs(np.arange(size) + 0.5 - size / 2) for size in images.shape[1:3])
    around = (across > reach[:, :1])[:, None, :] | (down > reach[:, 1:])[:, :, None]
    np.copyto(images, np.uint8(FILL), where=around[..., None])


def _unmirrored(seen: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """What mirrored crops show where the crops themselves have it."""
    xy, score, other, other_score, centre = seen
    swap = np.asarray(COCO17_FLIP)
    turn, shift = np.array([-1.0, 1.0]), np.array([float(CROP_SIZE[1]), 0.0])
    return xy[:, swap] * turn + shift, score[:, swap], other[:, swap] * turn + shift, other_score[:, swap], centre


def _sides(boxes: Boxes) -> np.ndarray:
    """(N,) heights of the windows, pixels of the photograph."""
    side = CROP_SHARE * np.maximum(boxes.size_px[:, 1], boxes.size_px[:, 0] * CROP_SIZE[0] / CROP_SIZE[1])
    return np.maximum(2 * np.round(side / 2), 8.0)


def _windows(boxes: Boxes) -> np.ndarray:
    """(N, 4) squares as high as the windows."""
    side = _sides(boxes)
    left_top = np.round(boxes.middle_px - side[:, None] / 2)
    return np.stack([left_top[:, 1], left_top[:, 0], left_top[:, 1] + side, left_top[:, 0] + side], 1).astype(np.int64)


def _in_image(seen: tuple[np.ndarray, ...], windows: np.ndarray, side: np.ndarray, lean_rad: np.ndarray, margin: int) -> BoxKeypoints:
    xy, score, other, other_score, centre = (part.astype(np.float64) for part in seen)
    scale = (side / CROP_SIZE[0])[:, None]
    middle = (windows[:, [1, 0]] + side[:, None] / 2)[:, None]

    def place(points: np.ndarray) -> np.ndarray:
        return middle + turned((points + [margin, 0] - CROP_SIZE[0] / 2) * scale[:, None], lean_rad[:, None])

    return BoxKeypoints(place(xy), score, place(other), other_score, np.zeros(score.shape), centre)
