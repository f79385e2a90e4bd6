"""What a keypoint file says: whom it saw in which pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import NamedTuple

import numpy as np


class BadEntry(ValueError):
    """A keypoint file is wrong; the message says what and where."""


class NamedPicture(NamedTuple):
    """A picture as the file speaks of it.

    Attributes:
        name: its file name without folders, or "" where the file does not tell.
        number: id in the file, or number of the frame in a video (the first is 0), where the file counts instead of naming.
        size: width and height in pixels, where the file tells.
        by_file: whether the name is only that of the keypoint file, which may be called anything.
    """

    name: str = ""
    number: int | None = None
    size: tuple[int, int] | None = None
    by_file: bool = False

    def __str__(self) -> str:
        return repr(self.name) if self.name else f"number {self.number}" if self.number is not None else "a picture without a name"


@dataclass(frozen=True, eq=False)
class KeypointTable:
    """The people of a keypoint file.

    Attributes:
        pictures: all pictures that the file speaks of, those without people included.
        picture: (N,) int64 rows of `pictures`.
        keypoints: (N, 17, 3) float64 u, v, score of COCO-17 keypoints in pixels of their picture; score 0 is unknown.
    """

    pictures: tuple[NamedPicture, ...]
    picture: np.ndarray
    keypoints: np.ndarray

    @classmethod
    def of(cls, groups: Iterable[tuple[NamedPicture, Sequence[np.ndarray]]]) -> KeypointTable:
        """From pictures and the (17, 3) keypoints of everybody in them; a picture may come several times."""
        pictures: dict[NamedPicture, int] = {}
        rows: list[int] = []
        people: list[np.ndarray] = []
        for picture, found in groups:
            rows += [pictures.setdefault(picture, len(pictures))] * len(found)
            people += found
        return cls(tuple(pictures), np.array(rows, np.int64), np.array(people, np.float64).reshape(-1, 17, 3))

    @classmethod
    def joined(cls, tables: Sequence[KeypointTable]) -> KeypointTable:
        """Everything that several files say."""
        return cls.of(
            (picture, list(table.keypoints[table.picture == row])) for table in tables for row, picture in enumerate(table.pictures)
        )


def base_name(name: str) -> str:
    """A file's name without folders, as POSIX or Windows write them."""
    return PureWindowsPath(name).name
