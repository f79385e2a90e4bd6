"""Folders of photographs of which something is known: who is in them, where heads are, which camera took them. See docs/photographs.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import read_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Rows

KINDS = ("metric", "keypoints", "heads", "picture")
DOCUMENTED = "see docs/photographs.md"


@dataclass(frozen=True)
class Photograph:
    """A picture of the folder.

    Attributes:
        id: its name, of which results are named.
        image: file.
        kind: what is known of it, one of `KINDS`.
        scene: pictures of the same scene share their weight in means.
        truth: file, None for the kind ``picture``.
    """

    id: str
    image: Path
    kind: str
    scene: str
    truth: Path | None


@dataclass(frozen=True)
class KnownPeople(Rows):
    """G people of a picture; NaN where nothing is known.

    Attributes:
        box_px: (G, 4) left, top, right, bottom.
        keypoints_px: (G, 17, 3) COCO-17 u, v, and 0 for unknown.
        head_px: (G, 2) middle of the head.
        point_px: (G, 2) a point somewhere on the body.
        position_cam_m: (G, 3) place on the ground, camera frame.
        visible: (G,) bool, has to be found.
    """

    box_px: np.ndarray
    keypoints_px: np.ndarray
    head_px: np.ndarray
    point_px: np.ndarray
    position_cam_m: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class PartialTruth:
    """What is known of a picture.

    Attributes:
        people: those who are annotated.
        complete: nobody is left out, so everybody else who is found is wrong.
        ignored_px: (D, 4) left, top, right, bottom of regions in which whom is found counts neither way.
        camera_ground: camera and ground in its frame, if known; lens distortion is left aside.
    """

    people: KnownPeople
    complete: bool
    ignored_px: np.ndarray
    camera_ground: tuple[Camera, GroundPlane] | None = None


def read_index(folder: Path, kinds: Sequence[str] = KINDS) -> list[Photograph]:
    """The pictures of these kinds in ``index.json``, in its order.

    Raises:
        MissingAsset: there is no such file, it does not follow the schema, or a file that it names is absent.
    """
    index = folder / "index.json"
    entries = _load(index)
    try:
        found = [
            Photograph(
                id=str(entry["id"]),
                image=folder / entry["file"],
                kind=entry["kind"],
                scene=str(entry.get("scene") or entry["id"]),
                truth=folder / entry["truth"] if entry.get("truth") else None,
            )
            for entry in entries
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise MissingAsset(f"{index} is not a list of objects with id, file and kind ({error}); {DOCUMENTED}") from error
    for photograph in found:
        _check(index, photograph)
    if len({photograph.id for photograph in found}) < len(found):
        raise MissingAsset(f"{index} has several pictures of one id; give every picture its own")
    return [photograph for photograph in found if photograph.kind in kinds]


def read_truth(photograph: Photograph, image_size: tuple[int, int]) -> PartialTruth:
    """What is known of a picture.

    Args:
        photograph: of another kind than ``picture``.
        image_size: width and height in pixels.

    Raises:
        MissingAsset: the file does not follow the schema, or lacks what the kind needs.
    """
    path = photograph.truth
    if path is None:
        raise MissingAsset(f"{photograph.id} has no truth; {DOCUMENTED}")
    values = _load(path)
    try:
        view = values.get("camera")
        rotation, shift = (np.full((3, 3), np.nan), np.full(3, np.nan)) if view is None else _pose(view)
        camera_ground = None if view is None else (_camera(view, image_size), _ground(rotation, shift))
        people = _people(values["people"], rotation, shift)
        ignored = _boxes(values.get("dontcare_boxes") or [])
        complete = bool(values.get("people_complete", False))
    except (TypeError, KeyError, AttributeError, ValueError, IndexError) as error:
        raise MissingAsset(f"{path} lacks or spoils {error}; {DOCUMENTED}") from error
    if photograph.kind == "metric" and camera_ground is None:
        raise MissingAsset(f"{path} has no camera, which the kind metric needs; {DOCUMENTED}")
    return PartialTruth(people, complete, ignored, camera_ground)


def _check(index: Path, photograph: Photograph) -> None:
    if photograph.kind not in KINDS:
        raise MissingAsset(f"{index}: {photograph.id} is of kind {photograph.kind!r}; kinds are {', '.join(KINDS)}")
    if photograph.truth is None and photograph.kind != "picture":
        raise MissingAsset(f"{index}: {photograph.id} is of kind {photograph.kind} but has no truth; {DOCUMENTED}")
    for path in (photograph.image, photograph.truth):
        if path is not None and not path.is_file():
            raise MissingAsset(f"{index} names {path}, which is not there; copy the folder again")


def _pose(view: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) and (3,): points of the world are at R X + t in the camera frame."""
    return np.array(view["R"], np.float64).reshape(3, 3), np.array(view["t"], np.float64).reshape(3)


def _camera(view: Mapping[str, Any], image_size: tuple[int, int]) -> Camera:
    return Camera.from_K(np.array(view["K"], np.float64).reshape(3, 3), image_size)


def _ground(rotation: np.ndarray, shift: np.ndarray) -> GroundPlane:
    """z = 0 of the world is up · (X − t) = 0 in the camera frame."""
    up = rotation[:, 2]
    return GroundPlane.from_coefficients(np.append(up, -up @ shift))


def _people(people: Sequence[Mapping[str, Any]], rotation: np.ndarray, shift: np.ndarray) -> KnownPeople:
    def column(name: str, *shape: int) -> np.ndarray:
        unknown = np.full(shape, np.nan)
        rows = [unknown if person.get(name) is None else np.array(person[name], np.float64).reshape(shape) for person in people]
        return np.array(rows).reshape(len(people), *shape)

    box, place = column("box", 4), column("position_m", 2)
    return KnownPeople(
        box_px=np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1),
        keypoints_px=np.nan_to_num(column("keypoints", 17, 3)),
        head_px=column("head", 2),
        point_px=column("point", 2),
        position_cam_m=np.insert(place, 2, 0.0, axis=1) @ rotation.T + shift,
        visible=np.array([person.get("visible") is not False for person in people], bool),
    )


def _boxes(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """(D, 4) left, top, width, height → left, top, right, bottom."""
    values = np.array(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)


def _load(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise MissingAsset(f"cannot open {path}: {error.strerror}; {DOCUMENTED}") from error
    except ValueError as error:
        raise MissingAsset(f"{path} is not JSON: {error}; {DOCUMENTED}") from error
