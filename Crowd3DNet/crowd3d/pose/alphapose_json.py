"""Result files of AlphaPose and of those who use its formats, and the release's files about tiles and the people in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import atomic_path, write_json
from crowd3d.imaging import format_tile_name, parse_tile_name
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.pose.keypoint_files import read_keypoint_file
from crowd3d.pose.tile_batches import in_scene
from crowd3d.types import TileLayout

LEAST_SCORE = 0.4


def read_alphapose(
    path: str | Path, layout: TileLayout, tile_px: int = RELEASE_TILE_PX, least_score: float = LEAST_SCORE
) -> tuple[np.ndarray, np.ndarray]:
    """Detections in ``alphapose-results.json``, whose images are tiles named by `format_tile_name`; formats default, cmu and open.

    Args:
        path: the file.
        layout: the tiles that AlphaPose was run on.
        tile_px: side of the tile images in pixels.
        least_score: detections with a lower mean keypoint score are left out.

    Returns:
        (M, 17, 3) float64 u, v, score in scene pixels; (M,) int64 rows of `layout`.

    Raises:
        MissingAsset: the file is absent, not of these formats, or names tiles that are not in `layout`.
    """
    table = read_keypoint_file(Path(path))
    named = [picture.name for picture in table.pictures]
    row_of = {(*map(int, where), *map(int, box)): row for row, (where, box) in enumerate(zip(layout.row_col, layout.boxes, strict=True))}
    # AlphaPose may have seen the hidden files of a network drive.
    own = np.array([".fuse_hidden" not in name for name in named], bool)[table.picture]
    rows = [row_of.get(parsed[1:]) if (parsed := parse_tile_name(name)) else None for name in named]
    strangers = [named[row] for row in np.unique(table.picture[own]) if rows[row] is None]
    if strangers:
        raise MissingAsset(f"{path} holds results of {strangers[0]!r}, which is no tile of this run; delete it and run AlphaPose again")
    tile_index = np.array([-1 if row is None else row for row in rows], np.int64)[table.picture[own]]
    keypoints = table.keypoints[own]
    confident = keypoints[..., 2].mean(axis=1) >= least_score
    keypoints, tile_index = keypoints[confident], tile_index[confident]
    return in_scene(keypoints, layout.boxes[tile_index], tile_px), tile_index


def write_alphapose(
    path: str | Path, keypoints: np.ndarray, tile_index: np.ndarray, layout: TileLayout, name: str, tile_px: int = RELEASE_TILE_PX
) -> None:
    """Write detections in AlphaPose's default format, as ``alphapose-results-scale.json`` of the release; inverse of `read_alphapose`.

    Args:
        path: the file.
        keypoints: (M, 17, 3) u, v, score in scene pixels.
        tile_index: (M,) rows of `layout`.
        layout: the tiles.
        name: first part of the tile names.
        tile_px: side of the tile images in pixels.
    """
    keypoints, tile_index = np.asarray(keypoints, np.float64), np.asarray(tile_index, np.int64)
    boxes = layout.boxes[tile_index]
    in_tile = keypoints.copy()
    in_tile[..., :2] -= boxes[:, None, [1, 0]]
    in_tile[..., :2] *= (tile_px / (boxes[:, 2] - boxes[:, 0]))[:, None, None]
    low, high = in_tile[..., :2].min(axis=1), in_tile[..., :2].max(axis=1)
    score = in_tile[..., 2].mean(axis=1) + 1.25 * in_tile[..., 2].max(axis=1)
    names = _tile_names(layout, name)
    entries = [
        {
            "image_id": names[tile_index[row]],
            "category_id": 1,
            "keypoints": in_tile[row].ravel().round(4).tolist(),
            "score": round(float(score[row]), 4),
            "box": [*low[row].round(2).tolist(), *(high[row] - low[row]).round(2).tolist()],
            "idx": [0.0],
        }
        for row in np.argsort(tile_index, kind="stable")
    ]
    write_json(Path(path), entries)


def tile_sightings(keypoints: np.ndarray, layout: TileLayout) -> tuple[np.ndarray, np.ndarray]:
    """Which tiles hold whom completely: (P,) rows of `keypoints` (N, 17, 3) in scene pixels and (P,) rows of `layout`."""
    low, high = keypoints[..., :2].min(1)[:, None], keypoints[..., :2].max(1)[:, None]
    inside = (low >= layout.boxes[None, :, [1, 0]]) & (high <= layout.boxes[None, :, [3, 2]])
    person, tile = np.nonzero(inside.all(-1))
    return person, tile


def tiles_with_people(keypoints: np.ndarray, layout: TileLayout) -> np.ndarray:
    """(T,) bool: the tile overlaps the keypoints' bounding box of anybody (spec §4.3). `keypoints` is (N, 17, 3) in scene pixels."""
    return (_shared_sides(keypoints, layout).min(axis=-1) > 0).any(axis=1)


def write_tiles_with_people(path: str | Path, keypoints: np.ndarray, layout: TileLayout, name: str) -> None:
    """Write ``have_people_image_name.json``: the names of the tiles of `tiles_with_people`."""
    has_people = tiles_with_people(keypoints, layout)
    write_json(Path(path), [tile for tile, has in zip(_tile_names(layout, name), has_people, strict=True) if has])


def write_optim_annotations(path: str | Path, keypoints: np.ndarray, layout: TileLayout, name: str, tile_px: int = RELEASE_TILE_PX) -> None:
    """Write ``optim_annots_scale.pkl``: a list of [tile name, [(17, 3) float64 in pixels of the resized tile, …]] (spec §4.4).

    A tile is listed when somebody is in it completely. It holds everybody who is, and whoever has more than 0.4 of their bounding box and
    at least five keypoints in it. Scores are multiplied like coordinates, as the release does it.

    Args:
        path: the file.
        keypoints: (N, 17, 3) u, v, score in scene pixels of the people who stand.
        layout: the tiles.
        name: first part of the tile names.
        tile_px: side of the tile images in pixels.
    """
    keypoints = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)
    area = np.ptp(keypoints[..., :2], axis=1).prod(axis=-1)
    fraction = np.maximum(_shared_sides(keypoints, layout), 0).prod(axis=-1) / np.maximum(area, 1e-9)
    tops, lefts, bottoms, rights = layout.boxes.T[..., None, None]
    u, v = np.moveaxis(keypoints[None, ..., :2].astype(np.int64), -1, 0)
    points = ((u >= lefts) & (u <= rights) & (v >= tops) & (v <= bottoms)).sum(axis=-1)
    whole = fraction >= 1 - 1e-9
    listed = whole | ((fraction > 0.4) & (points >= 5))
    names = _tile_names(layout, name)
    annotations: list[list[Any]] = []
    for tile in np.flatnonzero(whole.any(axis=1)):
        top, left, bottom, _ = layout.boxes[tile]
        annotations.append([names[tile], list((keypoints[listed[tile]] - [left, top, 0.0]) * (tile_px / (bottom - top)))])
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(pickle.dumps(annotations))


def _shared_sides(keypoints: np.ndarray, layout: TileLayout) -> np.ndarray:
    """(T, N, 2) width and height of what tiles and people's boxes share, negative where they are apart."""
    xy = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)[..., :2]
    low, high = np.maximum(layout.boxes[:, None, [1, 0]], xy.min(axis=1)), np.minimum(layout.boxes[:, None, [3, 2]], xy.max(axis=1))
    return high - low


def _tile_names(layout: TileLayout, name: str) -> list[str]:
    return [format_tile_name(name, where, box) for where, box in zip(layout.row_col, layout.boxes, strict=True)]
