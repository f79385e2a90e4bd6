"""Keypoints that the user already has, in the formats of AlphaPose, COCO results, OpenPose and this project."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import file_digest
from crowd3d.imaging import GigapixelImage, parse_tile_name
from crowd3d.pose.alphapose_json import LEAST_SCORE, TILE_PX, read_detections
from crowd3d.pose.merging import merge_keypoints
from crowd3d.pose.observations import Observations
from crowd3d.pose.search import Surroundings
from crowd3d.pose.source import plain
from crowd3d.pose.tile_batches import in_scene
from crowd3d.types import Keypoints, TileLayout

log = logging.getLogger(__name__)

SHOULDERS, HIPS = [5, 6], [11, 12]
STANDING = np.array(
    [
        *([0.0, -0.93], [0.02, -0.95], [-0.02, -0.95], [0.045, -0.94], [-0.045, -0.94]),
        *([0.11, -0.82], [-0.11, -0.82], [0.14, -0.63], [-0.14, -0.63], [0.15, -0.48], [-0.15, -0.48]),
        *([0.07, -0.53], [-0.07, -0.53], [0.07, -0.28], [-0.07, -0.28], [0.07, -0.05], [-0.07, -0.05]),
    ]
)
"""(17, 2) COCO-17 keypoints right and down of a standing adult who faces the camera, in statures, over the feet."""


@dataclass(frozen=True)
class FileBackend:
    """Keypoints of the whole photograph or of its tiles.

    Attributes:
        path: ``.npy`` with (N, 17, 3) u, v, score in pixels of the photograph; ``.json`` of AlphaPose (all three formats), in the format
            of COCO results, or of OpenPose; or a folder of OpenPose's ``NAME_keypoints.json``. Images in them are the photograph, or its
            512² tiles by the names that `process` gives them.
    """

    path: Path
    name: ClassVar[str] = "file"
    wants_tiles: ClassVar[bool] = False

    def key(self) -> list[str]:
        """Digests of all that is read."""
        return [file_digest(file) for file in self.files()]

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """The people of the file."""
        return Observations.from_keypoints(self.people(image.path, image.size), plain(self.name))

    def check(self) -> None:
        """Raise MissingAsset unless the file or folder is there."""
        if not self.path.exists():
            raise MissingAsset(f"no keypoints at {self.path}; check the path given as --keypoints")

    def files(self) -> list[Path]:
        """What `people` reads."""
        return sorted(self.path.glob("*.json")) if self.path.is_dir() else [self.path]

    def people(self, image_path: Path, image_size: tuple[int, int]) -> Keypoints:
        """Everybody once, in scene pixels.

        What came from tiles is merged; what came from the whole photograph is taken as it is. Keypoints with score 0 are unknown: their
        place is guessed from the others. People without a known shoulder or a known hip are left out.

        Args:
            image_path: the photograph, whose name tells its results from those of others.
            image_size: its width and height in pixels.

        Raises:
            MissingAsset: the file is absent, in no known format, or about other images.
        """
        self.check()
        if self.path.suffix == ".npy":
            keypoints = read_npy(self.path)
            return complete(keypoints[has_torso(keypoints)])
        found = [detection for file in self.files() for detection in read_detections(file)]
        keypoints = np.nan_to_num(np.array([values for _, values in found], np.float64).reshape(-1, 17, 3))
        usable = has_torso(keypoints) & (_mean_known_score(keypoints) >= LEAST_SCORE)
        names = np.array([name for name, _ in found], np.object_)
        return self._in_photograph(names[usable], complete(keypoints[usable]), image_path, image_size)

    def _in_photograph(self, names: np.ndarray, found: Keypoints, image_path: Path, image_size: tuple[int, int]) -> Keypoints:
        """Those detections that belong to the photograph, in its pixels, everybody once; `names` are those of their images."""
        distinct = sorted(set(names))
        whole = [name for name in distinct if image_path.stem in (name, Path(name).stem)]
        tiles = {name: tile for name in distinct if (tile := parse_tile_name(name)) is not None}
        if not whole and len(distinct) == 1 and not tiles:
            whole = distinct
        if whole or not distinct:
            return found[np.isin(names, whole)]
        stems = (image_path.stem, image_path.stem.split(".")[0])
        own = [name for name in distinct if name in tiles and tiles[name].name in stems]
        if not own:
            raise MissingAsset(
                f"{self.path} is about {len(distinct)} other images such as {distinct[0]!r}; "
                f"give keypoints of {image_path.name} or of its tiles"
            )
        layout = TileLayout(np.array([tiles[name][3:] for name in own]), np.array([tiles[name][1:3] for name in own]), image_size)
        row_of = {name: row for row, name in enumerate(own)}
        rows = np.array([row_of.get(name, -1) for name in names], np.int64)
        tile_index = rows[rows >= 0]
        return merge_keypoints(in_scene(found[rows >= 0].array, layout.boxes[tile_index], TILE_PX), tile_index, layout)[1]


def has_torso(keypoints: np.ndarray) -> np.ndarray:
    """(N, 17, 3) → (N,) bool: a shoulder and a hip are known, which is the least that places a person."""
    known = keypoints[..., 2] > 0
    placed = np.logical_and(known[:, SHOULDERS].any(axis=1), known[:, HIPS].any(axis=1))
    if not placed.all():
        log.info("%d of %d people left out: neither shoulder or neither hip is known", len(placed) - np.count_nonzero(placed), len(placed))
    return placed


def complete(keypoints: np.ndarray) -> Keypoints:
    """Unknown keypoints are where a standing person of that place and size has them, with score 0.

    Args:
        keypoints: (N, 17, 3) u, v, score (0 = unknown) of people who satisfy `has_torso`.
    """
    known = (keypoints[..., 2] > 0)[..., None]
    count = known.sum(axis=1, keepdims=True)
    middle = (keypoints[..., :2] * known).sum(axis=1, keepdims=True) / count
    model = STANDING - (STANDING * known).sum(axis=1, keepdims=True) / count
    across, stature = ((known * model * (keypoints[..., :2] - middle)).sum(axis=1) / (known * model**2).sum(axis=1)).T
    # A person seen from behind is mirrored, one from the side is narrow; nobody is wider than from the front, or upside down.
    stature = np.maximum(stature, 0.0)
    guess = middle + model * np.stack([np.clip(across, -stature, stature), stature], axis=-1)[:, None]
    return Keypoints(np.where(known, keypoints[..., :2], guess), np.where(known[..., 0], keypoints[..., 2], 0.0))


def _mean_known_score(keypoints: np.ndarray) -> np.ndarray:
    return keypoints[..., 2].sum(axis=1) / np.maximum((keypoints[..., 2] > 0).sum(axis=1), 1)


def read_npy(path: Path) -> np.ndarray:
    """(N, 17, 3) float64 u, v, score of an ``.npy`` file; what is not finite is unknown: score 0.

    Raises:
        MissingAsset: the file is absent, unreadable or of another shape.
    """
    try:
        keypoints = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise MissingAsset(f"cannot read keypoints {path}: {error}; save them with numpy.save as an array (N, 17, 3)") from error
    if keypoints.ndim != 3 or keypoints.shape[1:] != (17, 3):
        raise MissingAsset(f"keypoints {path} have the shape {keypoints.shape}, not (N, 17, 3) u, v, score in COCO order")
    keypoints = keypoints.astype(np.float64)
    keypoints[~np.isfinite(keypoints).all(-1)] = 0.0
    return keypoints
