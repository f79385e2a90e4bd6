"""Keypoints that the user already has, in a file of any tool: which are those of a photograph."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from crowd3d.bodies.joints import HIPS17, SHOULDERS17
from crowd3d.errors import MissingAsset
from crowd3d.files import file_digest
from crowd3d.imaging import GigapixelImage, parse_tile_name
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.pose.alphapose_json import LEAST_SCORE
from crowd3d.pose.keypoint_files import SUFFIXES, KeypointTable, NamedPicture, everybody
from crowd3d.pose.keypoint_files.plausible import doubt, fault
from crowd3d.pose.observations import Observations
from crowd3d.pose.search import Surroundings
from crowd3d.pose.source import plain
from crowd3d.pose.standing import complete
from crowd3d.pose.tile_batches import in_scene
from crowd3d.pose.tile_merging import merge_keypoints
from crowd3d.types import Keypoints, TileLayout

log = logging.getLogger(__name__)

@dataclass(frozen=True)
class FileBackend:
    """Keypoints of the whole photograph or of its tiles.

    Attributes:
        path: a file in one of the formats of `crowd3d.pose.keypoint_files`, in pixels of the photograph or of its 512² tiles by the names
            that `process` gives them; or a folder of files, each named after its photograph.
        of_sequence: whether the file speaks of several pictures of this run, so that one that it does not name has nobody; see
            `for_pictures`.
    """

    path: Path
    of_sequence: bool = False
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
        """What `people` may read."""
        if not self.path.is_dir():
            return [self.path]
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))

    def for_pictures(self, paths: Sequence[Path]) -> FileBackend:
        """The same for the pictures of a sequence, checked to speak of them.

        Args:
            paths: the pictures, in their order.

        Raises:
            MissingAsset: it is absent, cannot be read, names none of the pictures, or is about one picture that it does not name.
        """
        self.check()
        if len(paths) < 2:
            return self
        # Of a folder only the names matter here; reading all files can wait.
        pictures = [NamedPicture(file.stem) for file in self.files()] if self.path.is_dir() else _table(tuple(self.files())).pictures
        if any(_names(picture, path) for path in paths for picture in pictures) or _tiles_of(pictures, paths):
            return replace(self, of_sequence=True)
        if len(pictures) == 1 and (pictures[0].by_file or not pictures[0].name):
            raise MissingAsset(
                f"{self.path} holds the people of one picture and cannot speak of {len(paths)}; give a folder of files named after the "
                f"pictures ({paths[0].stem}.npy or .json), or one JSON that names them"
            )
        raise MissingAsset(f"{self.path} is about {_list(pictures)}, and about none of the {len(paths)} pictures such as {paths[0].name}")

    def people(self, image_path: Path, image_size: tuple[int, int]) -> Keypoints:
        """Everybody once, in scene pixels.

        What came from tiles is merged; what came from the whole photograph is taken as it is. Keypoints with score 0 are unknown: their
        place is guessed from the others. People without a known shoulder or a known hip are left out.

        Args:
            image_path: the photograph, whose name tells its results from those of others.
            image_size: its width and height in pixels.

        Raises:
            MissingAsset: the file is absent, in no known format, about other images or another size, or its keypoints cannot be those of
                this photograph.
        """
        self.check()
        table = _table(tuple(self._files_about(image_path)))
        rows = self._rows(table, image_path)
        if rows is None:
            return self._from_tiles(table, image_path, image_size)
        for row in rows:
            self._check_size(table.pictures[row], image_path, image_size)
        keypoints = table.keypoints[np.isin(table.picture, rows)]
        wrong = fault(keypoints, image_size)
        if wrong is not None:
            raise MissingAsset(f"{self.path}: {wrong}")
        strange = doubt(keypoints, image_size)
        if strange is not None:
            log.warning("%s: %s", self.path, strange)
        unsure = np.count_nonzero(_mean_known_score(keypoints) < LEAST_SCORE)
        if unsure:
            log.warning("%d of %d have a mean keypoint score below %g; they are kept", unsure, len(keypoints), LEAST_SCORE)
        return complete(keypoints[has_torso(keypoints)])

    def _files_about(self, image_path: Path) -> list[Path]:
        """Of a folder those files that are named after the photograph, or all when none is."""
        files = self.files()
        named = [file for file in files if file.name.startswith(image_path.stem)]
        return named if self.path.is_dir() and named else files

    def _rows(self, table: KeypointTable, image_path: Path) -> list[int] | None:
        """Rows of the pictures of `table` that are the photograph; None when it may be in tiles."""
        pictures = table.pictures
        exact = [row for row, picture in enumerate(pictures) if picture.name == image_path.name]
        found = exact or [row for row, picture in enumerate(pictures) if _names(picture, image_path)]
        if found or not pictures:
            named = pictures[found[0]].name if found else ""
            if Path(named).suffix and not exact and not pictures[found[0]].by_file and Path(named).stem == image_path.stem:
                log.warning("%s names %s; it is taken for %s, whose ending differs", self.path, named, image_path.name)
            return found
        # What names no picture is about the one that it is given for.
        if len(pictures) == 1 and not self.path.is_dir() and (pictures[0].by_file or not pictures[0].name):
            if pictures[0].number is not None:
                log.warning("%s is about picture %d; it is taken for %s", self.path, pictures[0].number, image_path.name)
            return [0]
        if any(parse_tile_name(picture.name) for picture in pictures):
            return None
        if self.of_sequence:
            return []
        raise self._about_others(pictures, image_path)

    def _about_others(self, pictures: Sequence[NamedPicture], image_path: Path) -> MissingAsset:
        return MissingAsset(f"{self.path} is about {_list(pictures)}; give keypoints of {image_path.name} or of its tiles")

    def _check_size(self, picture: NamedPicture, image_path: Path, image_size: tuple[int, int]) -> None:
        if picture.size is None or picture.size == image_size:
            return
        told = "{}×{}".format(*picture.size), "{}×{}".format(*image_size)
        turned = "; it was turned by 90°" if picture.size == image_size[::-1] else ""
        raise MissingAsset(
            f"{self.path} speaks of {picture} with {told[0]} pixels, but {image_path.name} has {told[1]}{turned}; "
            "give the keypoints of this picture, or that picture"
        )

    def _from_tiles(self, table: KeypointTable, image_path: Path, image_size: tuple[int, int]) -> Keypoints:
        """Those detections that were made in tiles of the photograph, in its pixels, everybody once."""
        tiles = {row: tile for row, picture in enumerate(table.pictures) if (tile := parse_tile_name(picture.name)) is not None}
        own = [row for row, tile in tiles.items() if tile.name in (image_path.stem, image_path.stem.split(".")[0])]
        if not own:
            if self.of_sequence:
                return complete(np.zeros((0, 17, 3)))
            raise self._about_others(table.pictures, image_path)
        layout = TileLayout(np.array([tiles[row][3:] for row in own]), np.array([tiles[row][1:3] for row in own]), image_size)
        tile_of = np.full(len(table.pictures), -1)
        tile_of[own] = np.arange(len(own))
        seen = tile_of[table.picture] >= 0
        keypoints, tile_index = table.keypoints[seen], tile_of[table.picture[seen]]
        sure = _mean_known_score(keypoints) >= LEAST_SCORE
        if not sure.all():
            told = len(sure) - np.count_nonzero(sure), len(sure), LEAST_SCORE
            log.warning("%d of %d sightings in tiles have a mean keypoint score below %g: left out, as in the release", *told)
        usable = sure & has_torso(keypoints)
        found, tile_index = complete(keypoints[usable]), tile_index[usable]
        return merge_keypoints(in_scene(found.array, layout.boxes[tile_index], RELEASE_TILE_PX), tile_index, layout)[1]


@lru_cache(maxsize=2)
def _remembered(files: tuple[tuple[Path, int, int], ...]) -> KeypointTable:
    return everybody([path for path, _, _ in files])


def _table(files: tuple[Path, ...]) -> KeypointTable:
    """What the files say; the same ones are not read anew for every picture of a sequence."""
    try:
        states = [file.stat() for file in files]
    except OSError as error:
        raise MissingAsset(f"cannot open keypoints {error.filename}: {error.strerror}; check the path") from error
    return _remembered(tuple((file, state.st_mtime_ns, state.st_size) for file, state in zip(files, states, strict=True)))


def _names(picture: NamedPicture, path: Path) -> bool:
    """Whether this is the photograph: by name, with any ending; or by number, of COCO's pictures and of frames taken from a video."""
    if path.stem in (picture.name, Path(picture.name).stem):
        return True
    digits = re.fullmatch(r"(?:.*_(?=\d{6}$))?(\d+)", path.stem)
    number = int(Path(picture.name).stem) if re.fullmatch(r"\d{1,18}(\.\w+)?", picture.name) else picture.number
    return digits is not None and number is not None and int(digits[1]) == number


def _tiles_of(pictures: Sequence[NamedPicture], paths: Sequence[Path]) -> bool:
    stems = {path.stem for path in paths} | {path.stem.split(".")[0] for path in paths}
    return any((tile := parse_tile_name(picture.name)) is not None and tile.name in stems for picture in pictures)


def _list(pictures: Sequence[NamedPicture]) -> str:
    if not pictures:
        return "no image"
    return f"another image, {pictures[0]}" if len(pictures) == 1 else f"{len(pictures)} other images such as {pictures[0]}"


def has_torso(keypoints: np.ndarray) -> np.ndarray:
    """(N, 17, 3) → (N,) bool: a shoulder and a hip are known, which is the least that places a person."""
    known = keypoints[..., 2] > 0
    placed = np.logical_and(known[:, SHOULDERS17].any(axis=1), known[:, HIPS17].any(axis=1))
    if not placed.all():
        log.info("%d of %d left out: neither shoulder or neither hip is known", len(placed) - np.count_nonzero(placed), len(placed))
    return placed


def _mean_known_score(keypoints: np.ndarray) -> np.ndarray:
    return keypoints[..., 2].sum(axis=1) / np.maximum((keypoints[..., 2] > 0).sum(axis=1), 1)
