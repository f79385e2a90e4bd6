"""The release's parameter files: the heights of people and the rows of the image that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from crowd3d.errors import MissingAsset
from crowd3d.files import read_json


class PartParams(NamedTuple):
    """Arguments of `plan_tiles_release`, all in pixels of the original image.

    Attributes:
        height_min: height of the smallest (farthest) person.
        height_max: height of the largest (nearest) person.
        h_start: first image row that holds people.
        h_end: row below the last one that holds people.
    """

    height_min: float
    height_max: float
    h_start: float
    h_end: float


def read_part_params(path: str | Path, key: str) -> PartParams | None:
    """One entry of ``single_image_part_params.json`` (key: file name with suffix) or ``part_params_crowd.json`` (key: scene).

    Returns:
        The entry, or None when the file has none for `key`.

    Raises:
        MissingAsset: the file is absent, no JSON object, or its entry is not four numbers.
    """
    try:
        table = read_json(Path(path))
    except OSError as error:
        raise MissingAsset(f"cannot open parameter file {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise MissingAsset(f"parameter file {path} is not JSON: {error}; correct it") from error
    if not isinstance(table, dict):
        raise MissingAsset(f"parameter file {path} holds a {type(table).__name__}, not an object of name: [hmin, hmax, h_start, h_end]")
    if key not in table:
        return None
    entry = table[key]
    if not isinstance(entry, list) or len(entry) != 4 or not all(isinstance(value, int | float) for value in entry):
        raise MissingAsset(f"entry {key!r} of {path} is {entry!r}; it must be [hmin, hmax, h_start, h_end] in pixels")
    return PartParams(*entry)
