"""NanoDet over tiles of several sizes: boxes of people in a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, plan_pyramid, turned
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import Engine
from crowd3d.model.photo_maps import FINDER_CUT
from crowd3d.pose.candidates import LEAST_BOUND, MOST_PER_MEGAPIXEL, worth_turning
from crowd3d.pose.nms import box_distinct, near_pairs
from crowd3d.pose.photo_decode import decode_boxes
from crowd3d.progress import progress_bar
from crowd3d.types import NOMINAL_STATURE_M, Rows

if TYPE_CHECKING:
    from crowd3d.model.photo_nets import Finder

TILE_PX = FINDER_CUT.size
BATCH = 8
FILL = 114
"""Grey outside of the picture."""
FIRST_TILES = 150
"""The first look stops at the level of the pyramid that would exceed so many tiles."""
ALL_TILES = 4000
LEVEL_RATIO, TILE_STEP = 1.75, 0.7
"""Side of a level's tiles over that of the next; distance of neighbours over their side."""
LEAST_SIDE_PX = 230
"""Side of the smallest tiles: people of 24 pixels are 43 pixels tall in the finder's input."""
SHARE_OF_TILE = (0.08, 0.8)
"""Boxes of these heights over a tile's side count; others are another level's, except that the largest tiles show the whole picture."""
WANTED_SHARE = (0.11, 0.32)
"""Where the ground tells how tall people are, tiles in which they take such a share are looked at."""
CUT_PX = 4
"""A box that ends so near to a tile's border inside the picture is cut off."""
LEAST_SCORE, LEAST_SCORE_OF_LARGE = 0.28, 0.15
"""Of boxes; the second of those that take `LARGE_SHARE` of the picture's shorter side: the finder, made for small people, doubts them."""
INSIDE, LEAST_SCORE_INSIDE = 0.7, 0.35
"""A box that lies by the first share inside a better one is mostly part of the same person and needs the second. With `LEAST_SCORE` this
leaves out two of five boxes of 0.25 and more in 63 photographs, and six of 902 people."""
LARGE_SHARE = 0.35
SAME_BOX = 0.55
TURNS_RAD = np.pi / 2 * np.array([0, 1, 2, 3])
EVIDENT, BEYOND, TIMES = 0.7, 0.35, 2.0
"""A picture is turned if boxes, each by what its score exceeds the second, sum up to the first in a turned look at the whole of it, and to
so many times what the upright look gives. Of 63 photographs none seemed turned: looks that gave more than the upright one gave 0.4 at most.
Three of them turned by 90°, 180° and 270° gave 0.72 and more, everyone the right turn."""


@dataclass(frozen=True)
class Boxes(Rows):
    """Boxes of N people, upright in windows that lean with them.

    Attributes:
        middle_px: (N, 2) scene pixels.
        size_px: (N, 2) width and height.
        score: (N,) of the finder.
        lean_rad: (N,) by which each is turned about its middle, clockwise.
    """

    middle_px: np.ndarray
    size_px: np.ndarray
    score: np.ndarray
    lean_rad: np.ndarray

    @classmethod
    def none(cls) -> Boxes:
        """Nobody's."""
        return cls(*np.zeros((2, 0, 2)), *np.zeros((2, 0)))

    @property
    def corners(self) -> np.ndarray:
        """(N, 4) left, top, right, bottom, as if nothing leaned."""
        return np.concatenate([self.middle_px - self.size_px / 2, self.middle_px + self.size_px / 2], 1)


def distinct_boxes(boxes: Boxes, image_size: tuple[int, int]) -> Boxes:
    """Non-maximum suppression, and no more than the picture can hold people."""
    kept = boxes[box_distinct(boxes.corners, boxes.score, SAME_BOX)]
    large = kept.size_px[:, 1] > LARGE_SHARE * min(image_size)
    kept = kept[large | (kept.score > LEAST_SCORE_INSIDE) | (_share_in_better(kept) < INSIDE)]
    most = max(LEAST_BOUND, int(MOST_PER_MEGAPIXEL * image_size[0] * image_size[1] / 1e6))
    return kept if len(kept) <= most else kept[np.sort(np.argsort(-kept.score, kind="stable")[:most])]


def _share_in_better(boxes: Boxes) -> np.ndarray:
    """(N,) largest share of each box that lies in one of a higher score."""
    corners, area = boxes.corners, boxes.size_px.prod(1)
    first, second = near_pairs(boxes.middle_px, boxes.size_px.max(1)).T
    better = boxes.score[first] >= boxes.score[second]
    first, second = np.where(better, first, second), np.where(better, second, first)
    inner = np.minimum(corners[first, 2:], corners[second, 2:]) - np.maximum(corners[first, :2], corners[second, :2])
    share = np.zeros(len(boxes))
    np.maximum.at(share, second, np.maximum(inner, 0.0).prod(1) / area[second])
    return share


def pyramid(image_size: tuple[int, int], most: int) -> list[np.ndarray]:
    """Tiles (T, 4) of each level, the whole picture first, as many levels as `most` tiles allow."""
    levels = plan_pyramid(
        image_size, TILE_PX, LEAST_SIDE_PX / 2, ratio=LEVEL_RATIO, max_tiles=most, stride=TILE_STEP, first_side=float(max(image_size))
    )
    return [layout.boxes for _, layout in levels]


def tiles_on_ground(levels: list[np.ndarray], camera: Camera, ground: GroundPlane) -> np.ndarray:
    """(T, 4) those tiles of all levels in which people who stand there have a good size."""
    boxes = np.concatenate(levels)
    shares = np.stack(np.meshgrid([0.1, 0.5, 0.9], [0.3, 0.5, 0.75, 1.0]), -1).reshape(-1, 2)
    side = (boxes[:, 2] - boxes[:, 0]).astype(np.float64)
    feet = boxes[:, None, [1, 0]] + shares * side[:, None, None]
    height = NOMINAL_STATURE_M * ground.pixels_per_metre(camera, feet.reshape(-1, 2)).reshape(len(boxes), -1)
    share = np.where(np.isfinite(ground.intersect(camera, feet.reshape(-1, 2))).all(1).reshape(height.shape), height, 0.0) / side[:, None]
    return boxes[((share > WANTED_SHARE[0]) & (share < WANTED_SHARE[1])).any(1)]


def _read(weights: Path) -> Finder:
    from crowd3d.model.photo_nets import load_finder

    return load_finder(weights)


class BoxFinder:
    """The network, loaded once.

    Args:
        weights: of the finder, as `crowd3d fetch people` stores them.
        engines: what runs it.
    """

    def __init__(self, weights: Path, engines: Engines = AUTO) -> None:
        self.network: Engine = engines.load(_read, weights, [np.zeros((2, TILE_PX, TILE_PX, 3), np.uint8)], "bf16")

    def find(self, image: GigapixelImage, tiles: np.ndarray, lean_rad: np.ndarray, describe: str) -> Boxes:
        """People in tiles (T, 4) that lean by (T,); one person may be found several times, cut off by a tile's border never."""
        lean_rad = worth_turning(lean_rad)
        found: list[Boxes] = [Boxes.none()]
        with progress_bar(total=len(tiles), desc=describe, unit="tile") as bar:
            for rows, crops in image.crops(tiles, TILE_PX, BATCH, fill=FILL, turn_rad=lean_rad):
                row, corners, score = self._boxes(crops, LEAST_SCORE_OF_LARGE)
                found.append(_in_image(tiles[rows[row]], lean_rad[rows[row]], corners, score, image.size))
                bar.update(len(rows))
        return distinct_boxes(Boxes.joined(found), image.size)

    def turned_deg(self, image: GigapixelImage) -> int:
        """By how much the picture would have to be turned, clockwise, for its people to be upright: 0, 90, 180 or 270."""
        whole = np.repeat(pyramid(image.size, 1)[0][:1], len(TURNS_RAD), 0)
        _, crops = next(iter(image.crops(whole, TILE_PX, BATCH, fill=FILL, turn_rad=TURNS_RAD)))
        turn, corners, score = self._boxes(crops, BEYOND)
        kept = box_distinct(corners + 4 * TILE_PX * turn[:, None], score, SAME_BOX)
        evidence = np.bincount(turn[kept], score[kept] - BEYOND, len(TURNS_RAD))
        best = int(evidence.argmax())
        # What a window leans by clockwise is what its picture must be turned back.
        return -90 * best % 360 if evidence[best] > max(EVIDENT, TIMES * evidence[0]) else 0

    def _boxes(self, crops: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(T, side, side, 3) → of N boxes (N,) rows of the crops, (N, 4) left, top, right, bottom in their pixels, (N,) scores."""
        row, corners, score = decode_boxes(self.network(crops), threshold)
        return row, corners.astype(np.float64), score


def _in_image(tiles: np.ndarray, lean_rad: np.ndarray, corners: np.ndarray, score: np.ndarray, image_size: tuple[int, int]) -> Boxes:
    """Boxes (N, 4) in pixels of the network's input → pixels of the photograph, without those that a tile's border cuts off."""
    side = (tiles[:, 2] - tiles[:, 0]).astype(np.float64)
    whole = side >= max(image_size)
    share = np.ptp(corners[:, [1, 3]], axis=1) / TILE_PX
    large = share * side > LARGE_SHARE * min(image_size)
    right, bottom = image_size[0] - tiles[:, 3], image_size[1] - tiles[:, 2]
    inner = np.stack([tiles[:, 1] > 0, tiles[:, 0] > 0, right > 0, bottom > 0], 1)
    near = np.concatenate([corners[:, :2] < CUT_PX, corners[:, 2:] > TILE_PX - CUT_PX], 1)
    kept = ~(near & inner).any(1) & (large | (score > LEAST_SCORE)) & (share > SHARE_OF_TILE[0]) & ((share < SHARE_OF_TILE[1]) | whole)
    tiles, side, corners, lean = tiles[kept], side[kept, None], corners[kept] / TILE_PX, lean_rad[kept]
    low, high = corners[:, :2], corners[:, 2:]
    flat = lean == 0
    # What lies outside of the picture is not seen; a leaning box is left as it is.
    origin = tiles[:, [1, 0]]
    low = np.where(flat[:, None], np.clip(low * side + origin, 0, image_size), low * side + origin)
    high = np.where(flat[:, None], np.clip(high * side + origin, 0, image_size), high * side + origin)
    about = origin + side / 2
    middle = about + turned((low + high) / 2 - about, lean)
    return Boxes(middle, np.maximum(high - low, 1.0), score[kept].astype(np.float64), lean)
