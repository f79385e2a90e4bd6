"""Reading the release's annotation files: pickles without code, entries one by one, pictures named by the square that they show."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.bodies.unpickle import read_pickle
from crowd3d.errors import BadImage, MissingAsset
from crowd3d.imaging import parse_tile_name

log = logging.getLogger(__name__)
Entry = TypeVar("Entry")


def read_entries(path: Path, parse: Callable[[Any, Any], Entry], images: Path) -> list[Entry]:
    """Entries of an annotation file whose picture is there; corrupt ones are left out, counted and reported.

    Args:
        path: a pickled dictionary from picture names to values, or a list of tuples that begin with the name.
        parse: turns name and value (of a list: the rest of the tuple) into an entry; KeyError, TypeError, ValueError and IndexError
            say that it is corrupt.
        images: folder of the pictures.

    Raises:
        MissingAsset: the file or the folder is absent, or nothing in the file is usable.
    """
    if not images.is_dir():
        raise MissingAsset(f"no folder {images}; it must hold the pictures that {path.name} names")
    try:
        content = read_pickle(path)
    except (OSError, pickle.UnpicklingError) as error:
        raise MissingAsset(f"cannot use {path}: {error}; put the data set's own file there") from error
    there = {file.name for file in images.iterdir()}
    entries: list[Entry] = []
    faults: list[str] = []
    for row in _rows(content, path):
        try:
            name, value = row
            if Path(name).name not in there:
                raise ValueError("no such picture")
            entries.append(parse(Path(name).name, value))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            faults.append(f"{row[0] if isinstance(row, tuple) and row else row!r:.80}: {error}")
    if faults:
        log.warning("%s: %d of %d annotations are corrupt and left out, first %s", path, len(faults), len(faults) + len(entries), faults[0])
    if faults and not entries:
        raise MissingAsset(f"no usable annotation in {path} (first {faults[0]}); put the data set's own file there")
    return entries


def _rows(content: Any, path: Path) -> Iterable[Any]:
    if isinstance(content, dict):
        return content.items()
    if isinstance(content, list | tuple):
        return [(row[0], row[1:]) if isinstance(row, list | tuple) and row else (row, None) for row in content]
    raise MissingAsset(f"{path} holds neither a dictionary nor a list; put the data set's own file there")


def numbers(value: Any, *shape: int) -> np.ndarray:
    """float64 array of the given shape, −1 for any length.

    Raises:
        ValueError: it has another shape, or not every number is finite.
    """
    array = np.asarray(value, np.float64)
    if array.ndim != len(shape) or any(wanted not in (-1, found) for wanted, found in zip(shape, array.shape, strict=True)):
        raise ValueError(f"shape {array.shape} instead of {shape}")
    if not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    return array


def upright_plane(value: Any) -> np.ndarray:
    """(4,) plane of any scale and sign → unit normal, camera above it."""
    plane = numbers(np.asarray(value, np.float64).reshape(-1), 4)
    length = np.linalg.norm(plane[:3])
    if length < 1e-12 or plane[3] == 0:
        raise ValueError(f"{plane.tolist()} is no ground below a camera")
    return plane * (np.sign(plane[3]) / length)


def intrinsics(value: Any) -> np.ndarray:
    """(3, 3) float64 intrinsics from (3, 3) or (3, 4)."""
    K = numbers(np.asarray(value, np.float64)[:3, :3], 3, 3)
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise ValueError("a focal length is not positive")
    return K


def named_square(name: str) -> tuple[np.ndarray, float]:
    """Origin (2,) x, y and side in scene pixels, from the name of a tile's picture.

    Raises:
        ValueError: the name says no square.
    """
    tile = parse_tile_name(name)
    if tile is None or tile.bottom <= tile.top or tile.bottom - tile.top != tile.right - tile.left:
        raise ValueError(f"{name} names no square")
    return np.array([tile.left, tile.top], np.float64), float(tile.bottom - tile.top)


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 red, green, blue.

    Raises:
        BadImage: the file cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise BadImage(f"cannot read {path}; copy it again or delete it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def coco_to_54(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 17, …) COCO-17 values → (N, 54, …), zeros elsewhere, and (54,) bool, which of them are given."""
    joints = np.zeros((len(keypoints), 54, *keypoints.shape[2:]))
    joints[:, COCO17_FROM_SMPL54] = keypoints
    given = np.zeros(54, bool)
    given[COCO17_FROM_SMPL54] = True
    return joints, given
