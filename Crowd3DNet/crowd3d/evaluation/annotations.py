"""Reading the annotations of LargeCrowd, and finding what is wrong with a copy of the data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import BadImage, MissingAsset
from crowd3d.evaluation.observables import Observables, observe
from crowd3d.evaluation.truth import load_truth
from crowd3d.files import read_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.types import Rows

KINDS = ("normal", "severe_occlusion", "truncation", "ghost")
FOUND_BY_EVERYBODY = "normal"
_NOWHERE_M = 1e6
_OFF_PLANE_M = 0.05
_OFF_PIXELS = 2.0


class Plane(NamedTuple):
    """A ground plane and the file of the grey mask of its pixels (0 = elsewhere); None for the whole picture."""

    ground: GroundPlane
    mask: Path | None


@dataclass(frozen=True)
class AnnotatedScene:
    """A scene of the data set.

    Attributes:
        name: of the scene.
        camera: of all its pictures.
        planes: its ground planes, the main one first.
        frames: file name of a picture → its people as the file lists them; see `read_people`.
    """

    name: str
    camera: Camera
    planes: tuple[Plane, ...]
    frames: Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class AnnotatedPeople(Rows):
    """G people of one picture; NaN where the file has null.

    Attributes:
        kind: (G,) str, one of `KINDS`.
        box_px: (G, 4) left, top, right, bottom.
        keypoints_px: (G, 17, 2) COCO-17; NaN also for points outside the picture.
        hvip_px: (G, 2) HVIP.
        hvip_cam_m: (G, 3) the same in the camera frame, metres.
        torso_cam_m: (G, 3) torso centre.
    """

    kind: np.ndarray
    box_px: np.ndarray
    keypoints_px: np.ndarray
    hvip_px: np.ndarray
    hvip_cam_m: np.ndarray
    torso_cam_m: np.ndarray

    @property
    def eligible(self) -> np.ndarray:
        """(G,) people that must be found: type ``normal`` with all annotations. Who finds one of the others is neither right nor wrong."""
        placed = np.isfinite(self.hvip_cam_m).all(1) & np.isfinite(self.torso_cam_m).all(1)
        return (self.kind == FOUND_BY_EVERYBODY) & placed & self.recognisable

    @property
    def recognisable(self) -> np.ndarray:
        """(G,) people with a keypoint: nothing else tells reliably who is meant."""
        return np.isfinite(self.keypoints_px[..., 0]).any(1)


class TrueFrame(NamedTuple):
    """The truth about one picture, and which of its people must be found."""

    observed: Observables
    eligible: np.ndarray


def read_scene(folder: LargeCrowdFolder, scene: str) -> AnnotatedScene:
    """Read ``annotations/<split>/<scene>.json`` and ``params/<split>/<scene>.json``.

    Raises:
        MissingAsset: a file is absent or not of the format that `synthetic.largecrowd` writes.
    """
    annotated, params = _load(folder.annotation(scene)), _load(folder.params(scene))
    try:
        shape = annotated["image_shape"]
        camera = Camera.from_K(np.array(params["K"], np.float64).reshape(3, 3), (int(shape["width"]), int(shape["height"])))
        beside = folder.params(scene).parent
        planes = tuple(
            Plane(GroundPlane.from_coefficients(plane["coefficients"]), None if plane["mask"] is None else beside / plane["mask"])
            for plane in params["planes"]
        )
        frames = dict(annotated["frame_info"])
    except (KeyError, TypeError, ValueError) as error:
        files = f"{folder.annotation(scene)} or {folder.params(scene)}"
        raise MissingAsset(f"{files} lacks or spoils {error}; see data/largecrowd/README.md") from error
    if not planes:
        raise MissingAsset(f"{folder.params(scene)} has no ground plane; see data/largecrowd/README.md")
    return AnnotatedScene(scene, camera, planes, frames)


def read_people(scene: AnnotatedScene, frame: str) -> AnnotatedPeople:
    """Everybody in one picture of the scene.

    Raises:
        MissingAsset: a person is not as the format wants it.
    """
    people = scene.frames[frame]

    def column(name: str, width: int) -> np.ndarray:
        missing = [np.nan] * width
        rows = [missing if person[name] is None else person[name] for person in people]
        return np.array(rows, np.float64).reshape(len(people), width)

    try:
        fractions = column("keypoints", 34).reshape(-1, 17, 2)
        inside = ((fractions >= 0) & (fractions <= 1)).all(-1) & (fractions > 0).any(-1)
        return AnnotatedPeople(
            kind=np.array([person["type"] for person in people], str),
            box_px=column("bbox", 4),
            keypoints_px=np.where(np.expand_dims(inside, -1), fractions * [scene.camera.width, scene.camera.height], np.nan),
            hvip_px=column("hvip2d", 2),
            hvip_cam_m=column("hvip3d", 3),
            torso_cam_m=column("torso_center", 3),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MissingAsset(f"people of {frame} in the annotation of scene {scene.name}: {error}; check the copy of the data set") from error


def observe_annotated(scene: AnnotatedScene, people: AnnotatedPeople) -> Observables:
    """What the metrics look at. Annotations have no bodies and do not say which keypoints are hidden: all inside the picture count.

    People whose place is unknown are put very far away, where nobody is near them.
    """
    nowhere = np.array([0.0, 0.0, _NOWHERE_M])
    box = people.box_px
    return Observables(
        camera=scene.camera,
        ground=scene.planes[0].ground,
        torso_cam_m=np.where(np.isnan(people.torso_cam_m), nowhere, people.torso_cam_m),
        position_cam_m=np.where(np.isnan(people.hvip_cam_m), nowhere, people.hvip_cam_m),
        keypoints_px=people.keypoints_px,
        counted=np.isfinite(people.keypoints_px).all(-1),
        area_px=np.maximum((box[:, 2:] - box[:, :2]).prod(1), 1.0),
        joints_cam_m=np.full((len(people), 14, 3), np.nan),
        pelvis_cam_m=np.full((len(people), 3), np.nan),
    )


def true_frame(folder: LargeCrowdFolder, scene: AnnotatedScene, frame: str, bodies: Mapping[str, Body]) -> TrueFrame:
    """The truth about a picture: the exact one where there is one, bodies included, else what is annotated.

    Args:
        folder: the data set.
        scene: the picture's scene.
        frame: file name of the picture.
        bodies: name → body, for exact truths.

    Raises:
        MissingAsset: see `read_people` and `load_truth`.
    """
    exact = folder.truth(scene.name, Path(frame).stem)
    if exact.is_file():
        truth = load_truth(exact)
        return TrueFrame(observe(truth.scene, bodies[truth.scene.body], truth.visible), truth.eligible)
    people = read_people(scene, frame)
    people = people[people.recognisable]
    return TrueFrame(observe_annotated(scene, people), people.eligible)


def find_problems(folder: LargeCrowdFolder) -> Iterator[str]:
    """One line for everything that is wrong with a copy of the data set; pictures are opened but not decoded.

    Raises:
        MissingAsset: there are no pictures at all.
    """
    scenes = folder.scenes()
    for path in sorted(folder.annotations.glob("*.json")):
        if path.stem not in scenes:
            yield f"{path}: there are no images of this scene"
    for name in scenes:
        try:
            scene = read_scene(folder, name)
            there = {path.name: path for path in folder.frames(name)}
        except MissingAsset as error:
            yield str(error)
            continue
        yield from _problems_of_planes(scene, folder.params(name))
        for frame in sorted(there.keys() - scene.frames.keys()):
            yield f"{there[frame]}: not annotated"
        for frame in sorted(scene.frames):
            yield from _problems_of_image(scene, there.get(frame), frame)
            try:
                yield from _problems_of_people(scene, read_people(scene, frame), frame)
            except MissingAsset as error:
                yield str(error)


def _problems_of_planes(scene: AnnotatedScene, params: Path) -> Iterator[str]:
    camera = scene.camera
    if not (camera.fx > 0 and camera.fy > 0 and 0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
        yield f"{params}: K is {camera.K.tolist()}, which is no camera of {camera.width}x{camera.height} pixels"
    for plane in scene.planes:
        if plane.ground.normal[1] > 0:
            yield f"{params}: plane {plane.ground.coefficients.round(3).tolist()} is above the camera"
        if plane.mask is not None:
            yield from _problems_of_image(scene, plane.mask, plane.mask.name)


def _problems_of_image(scene: AnnotatedScene, path: Path | None, name: str) -> Iterator[str]:
    if path is None:
        yield f"{scene.name}: {name} is annotated, but there is no such image"
        return
    try:
        size = GigapixelImage(path).size
    except BadImage as error:
        yield str(error)
        return
    if size != (scene.camera.width, scene.camera.height):
        yield f"{path}: has {size[0]}x{size[1]} pixels, the annotation says {scene.camera.width}x{scene.camera.height}"


def _problems_of_people(scene: AnnotatedScene, people: AnnotatedPeople, frame: str) -> Iterator[str]:
    box = people.box_px
    planes = np.array([plane.ground.coefficients for plane in scene.planes])
    with np.errstate(invalid="ignore"):
        off_plane = np.abs(people.hvip_cam_m @ planes[:, :3].T + planes[:, 3]).min(1) > _OFF_PLANE_M
        off_pixels = np.abs(scene.camera.project(people.hvip_cam_m) - people.hvip_px).max(1) > _OFF_PIXELS
        above = (people.torso_cam_m - people.hvip_cam_m) @ planes[0, :3]
        checks = {
            "unknown type": ~np.isin(people.kind, KINDS),
            "bbox that is not left, top, right, bottom": ~(box[:, :2] < box[:, 2:]).all(1),
            "HVIP off every ground plane": off_plane,
            "hvip2d that is not where hvip3d is": off_pixels,
            "torso centre below the ground": above < 0,
            "no keypoint inside the picture though normal": (people.kind == FOUND_BY_EVERYBODY) & ~people.recognisable,
        }
    for what, wrong in checks.items():
        if wrong.any():
            yield f"{scene.name}: {frame}: {wrong.sum()} of {len(people)} people with {what}; the first is number {np.argmax(wrong)}"


def _load(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except OSError as error:
        raise MissingAsset(f"cannot open {path}: {error.strerror}; see data/largecrowd/README.md") from error
    except ValueError as error:
        raise MissingAsset(f"{path} is not JSON: {error}; copy it again") from error
    if not isinstance(value, dict):
        raise MissingAsset(f"{path} holds a {type(value).__name__}, not an object; see data/largecrowd/README.md")
    return value
