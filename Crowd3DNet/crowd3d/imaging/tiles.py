"""Tile layouts: the release's, the one that a known ground asks for, and a pyramid for when nothing is known yet."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crowd3d.errors import BadImage, Crowd3DError, UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import NOMINAL_STATURE_M, TileLayout

RELEASE_TILE_PX = 512
"""Side of the release's tiles as they are stored, and of the input of its network."""

WIDTH_OF_HEIGHT = 0.4
"""Width of a standing person with swinging arms, as a part of the height."""

MARGIN = 0.03
"""Part of a tile's side left free above heads and below feet: hair, and shoes nearer to the camera than the foot point."""

SCALE_STEPS = (1.004, 1.25)
"""Least and largest ratio of depths between two rows of tiles: the first bounds their number, the second keeps people near half a tile."""

STEEP, LEAST_USABLE = 0.2, 0.25
"""Slope of rows from which on tiles are larger for what a row rises within them (else rows would crowd), and the least share of a side that
is left for people then."""

NEAREST_HEAD_M = 1.0
WIDEST_IDEAL = 2.75
"""A lens' image is covered up to this tangent of the angle from the axis, 70°: people farther out are drawn too oddly to be found."""


def plan_tiles_release(height_min: float, height_max: float, h_start: float, h_end: float, image_size: tuple[int, int]) -> TileLayout:
    """The layout of the 2023 release, integer for integer: rows in geometric progression, interleaved with rows shifted by half (spec §2).

    Args:
        height_min: height of the smallest person in pixels, at the top.
        height_max: height of the largest person in pixels, at the bottom.
        h_start: first image row to cover.
        h_end: row below the last one to cover.
        image_size: (width, height) in pixels.

    Raises:
        Crowd3DError: parameters out of order or outside the image, or a progression that has rows of no height or wider than the image.
    """
    width, height = image_size
    given = f"heights {height_min:g}…{height_max:g} px, rows {h_start:g}…{h_end:g} of a {width}×{height} image"
    if not (0 < height_min < height_max and 0 <= h_start < h_end <= height):
        raise Crowd3DError(f"bad tile parameters ({given}); need 0 < height_min < height_max and 0 ≤ h_start < h_end ≤ {height}")
    sides = _progression(2 * height_min, 2 * height_max, h_end - h_start)
    starts = h_start + np.concatenate([[0], np.cumsum(sides)])
    rows: list[tuple[float, float]] = []
    for i in range(len(sides) - 1):
        rows.append((starts[i], starts[i + 1]))
        rows.append((starts[i] + sides[i] // 2, starts[i + 1] + sides[i + 1] // 2))
    rows.append((starts[len(sides) - 1], h_end))
    if min(bottom - top for top, bottom in rows) < 2 or max(bottom - top for top, bottom in rows) > width:
        raise Crowd3DError(f"no tile rows fit the parameters ({given}); widen the range of rows, or leave them out for automatic tiling")
    return _square_rows([(top, bottom, _columns_release(bottom - top, width)) for top, bottom in rows], image_size)


def _progression(first: float, last: float, total: float) -> list[int]:
    """Truncated row heights: 2…16 terms from `first` that sum to `total`, with the last term as near to `last` as it can be."""
    # A fifth of a second, which only the release's rule is worth.
    from scipy.optimize import fsolve

    counts = np.arange(2, 17)
    ratios = np.array([fsolve(lambda q, n=n: first * (1 - q**n) - (1 - q) * total, 3.0, full_output=True)[0][0] for n in counts])
    best = int(np.argmin(np.abs(first * ratios ** (counts - 1) - last)))
    return [int(first * ratios[best] ** i) for i in range(counts[best])]


def _columns_release(side: float, width: int) -> np.ndarray:
    step = side // 2
    lefts = np.arange(0, width - side + 1e-9, step)
    if abs(lefts[-1] + 2 * step - width) > 2:
        lefts = np.append(lefts, width - side)
    return lefts


def _square_rows(rows: Sequence[tuple[float, float, np.ndarray]], image_size: tuple[int, int]) -> TileLayout:
    """Rows of (top, bottom, lefts) as a layout; floats are truncated as the release does it."""
    boxes = [np.stack([np.full(len(x), top), x, np.full(len(x), bottom), x + bottom - top], axis=1) for top, bottom, x in rows]
    row_col = [np.stack([np.full(len(x), i), np.arange(len(x))], axis=1) for i, (_, _, x) in enumerate(rows)]
    return TileLayout(np.concatenate(boxes).astype(np.int64), np.concatenate(row_col).astype(np.int64), image_size)


def plan_tiles(
    camera: Camera, ground: GroundPlane, image_size: tuple[int, int], smallest_person_px: float = 24.0, max_tiles: int = 4000
) -> TileLayout:
    """Tiles whose side is twice the height of a person standing there, so that every standing person is whole in at least one.

    A row of tiles belongs to one depth: all people at equal depth are equally tall, and their feet are on a line parallel to the horizon,
    so rows follow a rolled camera. From the nearest visible ground away, the next row is where heads leave the tiles of this one; columns
    overlap by half.

    Args:
        camera: intrinsics for the whole image.
        ground: the plane that people stand on.
        image_size: (width, height) in pixels.
        smallest_person_px: people farther than where this is their height are not covered.
        max_tiles: the farthest rows are left out beyond this number.

    Returns:
        Layout whose tiles may reach over the image's edges where a tile is larger than the image.

    Raises:
        UnsolvableGround: the plane is nowhere in the image.
    """
    if camera.distortion is not None:
        return _bent_tiles(camera, ground, image_size, smallest_person_px, max_tiles)
    rows = _DepthRows(camera, ground, image_size)
    depth = rows.nearest_m()
    planned: list[np.ndarray] = []
    while sum(map(len, planned)) <= max_tiles:
        side = rows.side_px(depth)
        farther = rows.next_depth_m(depth, side)
        planned.append(rows.boxes(depth, farther, side))
        depth = farther
        if side < 2 * smallest_person_px or rows.feet_px(depth) + abs(rows.slope) * image_size[0] / 2 < 0:
            break
    else:
        planned = planned[: max(1, len(planned) - 1)]
    planned.reverse()
    row_col = [np.stack([np.full(len(boxes), i), np.arange(len(boxes))], axis=1) for i, boxes in enumerate(planned)]
    return TileLayout(np.concatenate(planned), np.concatenate(row_col), image_size)


def _bent_tiles(camera: Camera, ground: GroundPlane, image_size: tuple[int, int], smallest_person_px: float, max_tiles: int) -> TileLayout:
    """Tiles planned on the ideal image (see `geometry.camera`) and put where the lens shows them, those inside the photograph."""
    width, height = image_size
    along = np.linspace(0.0, 1.0, 33)[:, None] * image_size
    none, whole = np.zeros(33), np.ones(33)
    border = [(along[:, 0], none), (along[:, 0], height * whole), (none, along[:, 1]), (width * whole, along[:, 1])]
    seen = camera.to_ideal_px(np.concatenate([np.stack(side, -1) for side in border]))
    centre, reach = np.array([camera.cx, camera.cy]), WIDEST_IDEAL * np.array([camera.fx, camera.fy])
    seen = np.where(np.isnan(seen), np.stack([centre - reach, centre + reach] * 66), seen)
    low, high = np.floor(np.maximum(seen.min(0), centre - reach)), np.ceil(np.minimum(seen.max(0), centre + reach))
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    flat = plan_tiles(camera.ideal.part(float(low[0]), float(low[1]), size), ground, size, smallest_person_px, max_tiles)
    side = (flat.boxes[:, 2] - flat.boxes[:, 0]).astype(np.float64)
    offsets = np.array([[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]]) / 2
    middle = (flat.boxes[:, [1, 0]] + flat.boxes[:, [3, 2]]) / 2 + low
    points = camera.from_ideal_px(middle[:, None] + offsets * side[:, None, None])
    known = np.isfinite(points).all((1, 2))
    first, last = points[known].min(1), points[known].max(1)
    # even sides, as everywhere; at least what the lens made of the square
    sides = np.maximum(2, 2 * np.ceil((last - first).max(1, keepdims=True) / 2))
    corner = np.rint((first + last - sides) / 2)
    corner = np.where(sides <= image_size, np.clip(corner, 0, np.maximum(image_size - sides, 0)), corner)
    inside = np.flatnonzero(((first < image_size) & (last > 0)).all(1))
    if len(inside) == 0:
        raise UnsolvableGround("the lens shows no ground where the plane is; check the camera file's distortion and ground")
    boxes = np.concatenate([corner[:, ::-1], (corner + sides)[:, ::-1]], 1)[inside].astype(np.int64)
    return TileLayout(boxes, flat.row_col[known][inside], image_size)


class _DepthRows:
    """Where people of one depth are in the image. Line heights are given at the principal point's column."""

    def __init__(self, camera: Camera, ground: GroundPlane, image_size: tuple[int, int]) -> None:
        self.camera, self.ground, self.image_size = camera, ground, image_size
        a, b, c = ground.normal
        self.normal = np.array([a, min(b, -0.05), c])
        self.slope = -self.normal[0] / self.normal[1] * camera.fy / camera.fx
        # What a row rises within a tile is lost for people. Where that is much tiles are larger, and as neighbours overlap by half, people
        # are asked to fit into the middle half of a tile, at the picture's border into three quarters.
        steep = abs(self.slope) > STEEP
        self.rise = (0.75 if steep else 1.0) * abs(self.slope)
        usable = 1 - self.rise - 2 * MARGIN
        self.usable = max(usable, LEAST_USABLE) if steep else usable
        self.enlarged = (1 - 2 * MARGIN) / self.usable if steep else 1.0

    def nearest_m(self) -> float:
        width, height = self.image_size
        corners = self.ground.intersect(self.camera, np.array([[0.0, height], [width, height]]))[:, 2]
        if np.isnan(corners).all():
            tilt, roll = np.rad2deg([self.ground.tilt_rad, self.ground.roll_rad])
            raise UnsolvableGround(
                f"the image shows no ground (camera tilt {tilt:.1f}°, roll {roll:.1f}°); give the camera or tile parameters"
            )
        return max(float(np.nanmin(corners)), NOMINAL_STATURE_M * max(-self.normal[2], 0.0) + NEAREST_HEAD_M)

    def feet_px(self, depth_m: float) -> float:
        _, b, c = self.normal
        return self.camera.fy * -(self.ground.offset_m + c * depth_m) / (b * depth_m) + self.camera.cy

    def side_px(self, depth_m: float) -> int:
        """Twice the height of the tallest person of this depth, or twice the width of one who leans at the edge of a wide image; more where
        rows are steep."""
        u = np.array([0.0, 0.5, 1.0]) * self.image_size[0]
        feet_px = np.stack([u, self.feet_px(depth_m) + self.slope * (u - self.camera.cx)], axis=1)
        heads_px = self.camera.project(self.camera.rays(feet_px) * depth_m + NOMINAL_STATURE_M * self.ground.normal)
        across, along = np.abs(heads_px - feet_px).T
        extent = np.maximum(along, across + WIDTH_OF_HEIGHT * np.hypot(across, along))
        return max(2, 2 * int(np.ceil(self.enlarged * extent.max())))

    def next_depth_m(self, depth_m: float, side: int) -> float:
        """Depth at which heads reach the tops of this row's tiles (linear: feet are linear in depth, and the tops are one line)."""
        a, b, c = self.normal * NOMINAL_STATURE_M
        fx, fy = self.camera.fx, self.camera.fy
        top = self.feet_px(depth_m) - side * self.usable - self.camera.cy
        ground_slope = -self.normal[2] / self.normal[1]
        rise = fy * (b - self.ground.offset_m / self.normal[1]) - self.slope * fx * a - top * c
        rate = top - fy * ground_slope
        reached = rise / rate if rate > 0 else np.inf
        return float(np.clip(reached, SCALE_STEPS[0] * depth_m, SCALE_STEPS[1] * depth_m))

    def boxes(self, depth_m: float, farther_m: float, side: int) -> np.ndarray:
        """(n, 4) tiles for people between two depths; those whose ground is not in the image are left out."""
        width, height = self.image_size
        lefts = _columns(side, width)
        middle = lefts + side / 2
        if self.enlarged > 1 and len(lefts) > 1:
            middle += side / 8 * ((lefts == lefts[-1]).astype(float) - (lefts == lefts[0]))
        shift = self.slope * (middle - self.camera.cx)
        shear = self.rise * side / 2
        bottoms = np.ceil(self.feet_px(depth_m) + shift + shear + MARGIN * side)
        tops = bottoms - side
        if side <= height:
            tops = np.clip(tops, 0, height - side)
        boxes = np.stack([tops, lefts, tops + side, lefts + side], axis=1).astype(np.int64)
        return boxes[(self.feet_px(farther_m) + shift - shear < height) & (bottoms > 0)]


def _columns(side: int, width: int, stride: float = 0.5) -> np.ndarray:
    """Left edges, evenly spaced, at most `stride` of a (whole, even) side apart, from the image's left edge to its right one."""
    if side >= width:
        return np.array([(width - side) // 2])
    count = int(np.ceil((width - side) / (stride * side))) + 1
    return np.floor(np.linspace(0, width - side, count) + 0.5).astype(np.int64)


LARGE_TILE = 8
"""Tiles of more than so many times the side that they are resized to are read strip by strip."""


def plan_pyramid(
    image_size: tuple[int, int],
    tile_px: int = 256,
    smallest_person_px: float = 24.0,
    ratio: float = 2.0,
    max_tiles: int = 1200,
    stride: float = 0.5,
    first_side: float | None = None,
) -> list[tuple[float, TileLayout]]:
    """Overlapping square tiles of several sizes, for finding people when neither camera nor ground is known.

    The largest tile is as wide as the image's shorter side; each level is `ratio` times finer, as long as people of half a tile are not
    smaller than `smallest_person_px` and the total stays within `max_tiles`. The first level is always there.

    Args:
        image_size: (width, height) in pixels.
        tile_px: side in pixels to which tiles are resized.
        smallest_person_px: height of the smallest person looked for.
        ratio: size of a level's tiles over the next one's.
        max_tiles: bound on the sum over levels.
        stride: distance of neighbouring tiles of a level, in sides, at most.
        first_side: side of the largest tile, by default the image's shorter side; the longer one shows the whole picture.

    Returns:
        Coarse to fine: (image pixels per resized pixel, layout in pixels of the whole image).
    """
    width, height = image_size
    if min(image_size) < 2:
        raise BadImage(f"image of {width}×{height} px is too small; use a photograph of at least a few dozen pixels each way")
    levels: list[tuple[float, TileLayout]] = []
    remaining, side = max_tiles, first_side or float(min(image_size))
    while True:
        whole = max(2, 2 * int(side / 2))
        if side > LARGE_TILE * tile_px:
            # What can be halved as often as it has to be is reduced exactly, fast, and strip by strip.
            step = 2 ** math.floor(math.log2(side / tile_px))
            whole = step * math.ceil(side / step)
        tops, lefts = _columns(whole, height, stride), _columns(whole, width, stride)
        remaining -= len(tops) * len(lefts)
        if levels and (remaining < 0 or side < 2 * smallest_person_px):
            return levels
        top, left = np.repeat(tops, len(lefts)), np.tile(lefts, len(tops))
        row, column = np.divmod(np.arange(len(top)), len(lefts))
        boxes = np.stack([top, left, top + whole, left + whole], axis=1)
        levels.append((whole / tile_px, TileLayout(boxes, np.stack([row, column], axis=1), image_size)))
        side /= ratio


class TileName(NamedTuple):
    """What the name of a tile's file says: ``<name>_<row>_<col>_<top>_<left>_<bottom>_<right>.jpg``, scene pixels."""

    name: str
    row: int
    column: int
    top: int
    left: int
    bottom: int
    right: int


TILE_NAME = re.compile(r"(.*)" + r"_(-?\d+)" * 6 + r"(?:\.[A-Za-z]{3,4})?", re.DOTALL)


def format_tile_name(name: str, row_col: Sequence[int], box: Sequence[int]) -> str:
    """File name of one tile, as the release writes it."""
    return "_".join([name, *(str(int(value)) for value in (*row_col, *box))]) + ".jpg"


def parse_tile_name(file_name: str) -> TileName | None:
    """Inverse of `format_tile_name`, with any image suffix or none; None for the name of anything else."""
    match = TILE_NAME.fullmatch(file_name)
    return TileName(match[1], *map(int, match.groups()[1:])) if match else None
