"""The values that stages exchange. Arrays over people, never lists of dicts; pixels are pixels of the whole image."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from crowd3d.errors import Crowd3DError, MissingAsset
from crowd3d.files import file_digest, load_arrays, read_json, write_json, write_npz
from crowd3d.geometry import Camera, GroundPlane

SCENE_ARRAYS, SCENE_INFO = "scene.npz", "scene.json"
SCHEMA_VERSION = 3
"""2: the camera may have a lens' distortion. 3: people may be on several levels. Scenes of earlier versions are read, too."""

ADDED = ("plane", "plane_probability", "off_ground_m")
"""Fields of `People` that scenes of earlier versions do not have."""


class Rows:
    """Selection and joining for frozen dataclasses whose fields have one row per person, but for those marked `shared`."""

    @classmethod
    def row_fields(cls) -> list[str]:
        """Names of the fields that have rows."""
        return [f.name for f in dataclasses.fields(cls) if not f.metadata.get("shared")]  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts):
        """The people of all parts, in order; at least one part, whose shared fields are taken."""
        return dataclasses.replace(parts[0], **{name: np.concatenate([getattr(p, name) for p in parts]) for name in cls.row_fields()})

    def __len__(self) -> int:
        return len(getattr(self, self.row_fields()[0]))

    def __getitem__(self, rows):
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in self.row_fields()})  # type: ignore[type-var]

    def with_rows(self, rows, other):
        """The same people, some rows (K,) of them replaced by the K of `other`."""
        order = np.arange(len(self))
        order[rows] = len(self) + np.arange(len(rows))
        return self.joined([self, other])[order]


SHARED = {"shared": True}
"""Metadata of a field of `Rows` that belongs to all people together."""


NOMINAL_STATURE_M = 1.7
"""How tall somebody is taken to be of whom nothing is known; between the adult means of most countries."""


@dataclass(frozen=True)
class Proportions:
    """Mean heights over the soles of what keypoints mark on people who stand or walk, as fractions of stature.

    Attributes:
        ankle, knee, hip, shoulder, eye: midpoints of left and right.
    """

    ankle: float
    knee: float
    hip: float
    shoulder: float
    eye: float

    @property
    def heights(self) -> np.ndarray:
        """(5,) of ankle, knee, hip, shoulder and head in people who stand."""
        return np.array([self.ankle, self.knee, self.hip, self.shoulder, self.eye])

    def for_span(self, span: float) -> Proportions:
        """The same ankles, with everything from there to the shoulders stretched to `span` statures."""
        ratio = span / (self.shoulder - self.ankle)
        joints = {name: self.ankle + ratio * (getattr(self, name) - self.ankle) for name in ("knee", "hip", "shoulder")}
        return dataclasses.replace(self, **joints)


@dataclass(frozen=True)
class Keypoints(Rows):
    """2D keypoints of N people in COCO-17 order.

    Attributes:
        xy_px: (N, 17, 2) float64 scene pixels.
        score: (N, 17) float64 in 0…1, 0 = unknown.
    """

    xy_px: np.ndarray
    score: np.ndarray

    @classmethod
    def from_array(cls, keypoints: np.ndarray) -> Keypoints:
        """From (N, 17, 3) u, v, score."""
        keypoints = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)
        return cls(keypoints[..., :2], keypoints[..., 2])

    @property
    def array(self) -> np.ndarray:
        """(N, 17, 3) float64 u, v, score."""
        return np.concatenate([self.xy_px, self.score[..., None]], axis=-1)


@dataclass(frozen=True)
class TileLayout:
    """Square tiles over an image.

    Attributes:
        boxes: (T, 4) int64 top, left, bottom, right in scene pixels, half-open; may reach over the image's edges.
        row_col: (T, 2) int64 tile row and column, row 0 at the top.
        image_size: (width, height) in pixels.
    """

    boxes: np.ndarray
    row_col: np.ndarray
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.boxes)


class Poser(Protocol):
    """What `People.vertices_cam_m` needs of a body."""

    def pose(self, pose_rad: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 24, 3), (N, 10) → vertices (N, V, 3) and SMPL-54 joints (N, 54, 3), metres, SMPL frame without translation."""
        ...


@dataclass(frozen=True)
class People(Rows):
    """N reconstructed people in one metric camera frame.

    Attributes:
        pose_rad: (N, 24, 3) float32 axis-angle, global orientation first, camera frame.
        betas: (N, 10) float32 shape coefficients of the scene's body.
        translation_cam_m: (N, 3) float64; plain body vertices plus this are in the camera frame.
        hvip_px: (N, 2) float64 foot of the perpendicular from the torso centre to the ground, scene pixels.
        hvip_cam_m: (N, 3) float64 the same point in the camera frame.
        score: (N,) float64 confidence in 0…1.
        keypoints_px: (N, 17, 3) float64 observed COCO-17 keypoints u, v, score; score 0 where none was observed.
        plane: (N,) int64 which of the scene's planes everybody is on, by default the first.
        plane_probability: (N,) float64 of being there.
        off_ground_m: (N,) float64 height of their lowest point over it: 0 but for those in the air, or on something that is no level.
    """

    pose_rad: np.ndarray
    betas: np.ndarray
    translation_cam_m: np.ndarray
    hvip_px: np.ndarray
    hvip_cam_m: np.ndarray
    score: np.ndarray
    keypoints_px: np.ndarray
    plane: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    plane_probability: np.ndarray = field(default_factory=lambda: np.zeros(0))
    off_ground_m: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        # people of whom nothing else is told are on the ground
        count = len(self.score)
        for name, alone in (("plane", np.zeros(count, np.int64)), ("plane_probability", np.ones(count)), ("off_ground_m", np.zeros(count))):
            if len(getattr(self, name)) != count:
                object.__setattr__(self, name, alone)

    @classmethod
    def nobody(cls) -> People:
        """No people."""
        pose, betas = np.zeros((0, 24, 3), np.float32), np.zeros((0, 10), np.float32)
        return cls(pose, betas, np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 17, 3)))

    def check(self) -> None:
        """Raises: ValueError: an array is of another shape or kind."""
        for name, empty in vars(People.nobody()).items():
            array = getattr(self, name)
            if array.dtype.kind != empty.dtype.kind or array.shape != (len(self.pose_rad), *empty.shape[1:]):
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")

    def vertices_cam_m(self, body: Poser) -> np.ndarray:
        """(N, V, 3) mesh vertices of everybody in the camera frame, metres."""
        return body.pose(self.pose_rad, self.betas)[0] + self.translation_cam_m[:, None]

    def joints_cam_m(self, body: Poser) -> np.ndarray:
        """(N, 54, 3) SMPL-54 joints of everybody in the camera frame, metres."""
        return body.pose(self.pose_rad, self.betas)[1] + self.translation_cam_m[:, None]


@dataclass(frozen=True)
class Scene:
    """One photograph reconstructed: camera, ground and people in one world.

    Attributes:
        camera: intrinsics for the whole image.
        ground: the plane that most people stand on.
        people: everybody found.
        body: name of the body model that pose and betas belong to.
        image: file name of the photograph.
        ground_covariance: (4, 4) of (log focal, tilt, roll, log height), or None when camera and ground were given.
        remarks: what camera, ground and all lengths rest on, and why they are uncertain, for the user.
        source: what made it: version of this package, source of the keypoints, weights with a digest.
        levels_m: heights of the planes that people are on over the ground, the ground itself (0) first.
    """

    camera: Camera
    ground: GroundPlane
    people: People
    body: str
    image: str
    ground_covariance: np.ndarray | None = None
    remarks: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
    levels_m: tuple[float, ...] = (0.0,)

    @property
    def planes(self) -> tuple[GroundPlane, ...]:
        """The ground and the other levels, parallel to it: stands, stairs, a stage."""
        return tuple(self.ground.raised(height) for height in self.levels_m)

    def save(self, folder: str | Path) -> None:
        """Write ``scene.npz`` (arrays over people) and ``scene.json`` (everything else) into `folder`."""
        folder = Path(folder)
        covariance = self.ground_covariance
        write_npz(folder / SCENE_ARRAYS, **{f.name: getattr(self.people, f.name) for f in dataclasses.fields(self.people)})
        write_json(
            folder / SCENE_INFO,
            {
                "schema_version": SCHEMA_VERSION,
                "arrays": file_digest(folder / SCENE_ARRAYS),
                "image": self.image,
                "body": self.body,
                "people": len(self.people),
                "camera": dataclasses.asdict(self.camera),
                "ground": self.ground.coefficients.tolist(),
                "ground_covariance": None if covariance is None else covariance.tolist(),
                "remarks": self.remarks,
                "source": dict(self.source),
                "planes": [plane.coefficients.tolist() for plane in self.planes],
                "levels_m": self.levels_m,
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> Scene:
        """Read what `save` wrote, by its folder or by one of its files.

        Raises:
            MissingAsset: no scene in `folder`, or one of another schema version.
        """
        folder = result_folder(folder)
        try:
            info = read_json(folder / SCENE_INFO)
            version = info["schema_version"]
            arrays = load_arrays(folder / SCENE_ARRAYS)
            if info.get("arrays") not in (None, file_digest(folder / SCENE_ARRAYS)):
                raise ValueError(f"{SCENE_INFO} belongs to another {SCENE_ARRAYS}")
            people = People(**{f.name: arrays[f.name] for f in dataclasses.fields(People) if f.name in arrays or f.name not in ADDED})
            people.check()
            covariance = info["ground_covariance"]
            scene = cls(
                camera=Camera(**info["camera"]),
                ground=GroundPlane.from_coefficients(info["ground"]),
                people=people,
                body=str(info["body"]),
                image=str(info["image"]),
                ground_covariance=None if covariance is None else np.array(covariance, np.float64).reshape(4, 4),
                remarks=tuple(map(str, info.get("remarks", ()))),
                source=dict(info.get("source", {})),
                levels_m=tuple(map(float, info.get("levels_m", (0.0,)))),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, Crowd3DError) as error:
            raise MissingAsset(f"no readable scene in {folder}: {error}; run single_image/inference.py first") from error
        if version not in range(1, SCHEMA_VERSION + 1):
            raise MissingAsset(f"{folder / SCENE_INFO} has schema {version}, this version reads 1 to {SCHEMA_VERSION}")
        return scene


def result_folder(path: str | Path) -> Path:
    """The folder of a result that is named by itself or by one of its two files."""
    path = Path(path)
    return path.parent if path.name in (SCENE_ARRAYS, SCENE_INFO) else path
