"""Rendered training scenes on disk: the default networks train from them, again and again, while more are being rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from crowd3d.bodies import Body, load_body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.errors import MissingAsset
from crowd3d.files import write_npz
from crowd3d.geometry import Camera
from crowd3d.synthetic import sample_crop
from crowd3d.synthetic.crop import EMPTY_SHARE

SCENES_PER_SHARD = 250
JPEG_QUALITY = 92
PEOPLE_FIELDS = ("points_cam_m", "visibility", "visible_fraction", "pose_rad", "betas")


@dataclass(frozen=True)
class SceneKind:
    """What rendered scenes are like.

    Attributes:
        size_px: side of the picture.
        person_px: range of the height of the people for whom it is cut, see `sample_crop`.
        empty_share: share of scenes without people.
    """

    size_px: int = 512
    person_px: tuple[float, float] = (48, 350)
    empty_share: float = EMPTY_SHARE


USUAL = SceneKind()
EMPTY = SceneKind(empty_share=1.0)
LARGE = SceneKind(size_px=1024, person_px=(150, 800))
"""People as tall as near ones in photographs of many megapixels."""


@dataclass(frozen=True)
class SceneStore:
    """Scenes of many shards; people of scene i are rows first[i] to first[i + 1] of the arrays over people.

    Attributes:
        jpegs: S encoded RGB images, square, of any sizes.
        intrinsics: (S, 4) fx, fy, cx, cy in pixels.
        ground: (S, 4) plane coefficients.
        first: (S + 1,) first person of every scene.
        points_cam_m: (P, 19, 3) COCO-17, torso centre, HVIP.
        visibility: (P, 17) 2 seen, 1 hidden, 0 outside of the image.
        visible_fraction: (P,) visible part of the silhouette.
        pose_rad, betas: (P, 24, 3), (P, 10).
    """

    jpegs: list[bytes]
    intrinsics: np.ndarray
    ground: np.ndarray
    first: np.ndarray
    points_cam_m: np.ndarray
    visibility: np.ndarray
    visible_fraction: np.ndarray
    pose_rad: np.ndarray
    betas: np.ndarray

    def __len__(self) -> int:
        return len(self.jpegs)

    def image(self, scene: int) -> np.ndarray:
        """(S, S, 3) uint8 RGB."""
        return cv2.imdecode(np.frombuffer(self.jpegs[scene], np.uint8), cv2.IMREAD_COLOR_RGB)  # type: ignore[return-value]

    def camera(self, scene: int) -> Camera:
        """Of an image large enough for the principal point to be its middle."""
        fx, fy, cx, cy = self.intrinsics[scene]
        return Camera(fx, fy, cx, cy, int(2 * abs(cx)) + 1, int(2 * abs(cy)) + 1)

    def project(self, scene: int, points_cam_m: np.ndarray) -> np.ndarray:
        """(..., 3) metres → (..., 2) scene pixels."""
        fx, fy, cx, cy = self.intrinsics[scene]
        depth = np.maximum(points_cam_m[..., 2], 0.1)
        return np.stack([fx * points_cam_m[..., 0] / depth + cx, fy * points_cam_m[..., 1] / depth + cy], -1)

    @classmethod
    def load(cls, folder: Path, *, most: int | None = None) -> SceneStore:
        """Read every shard of `folder`, or the first `most`.

        Raises:
            MissingAsset: there is none.
        """
        return cls.read(scene_shards(folder)[:most])

    @classmethod
    def read(cls, paths: Sequence[Path]) -> SceneStore:
        """Read shards, at least one."""
        parts: dict[str, list[np.ndarray]] = {}
        jpegs: list[bytes] = []
        for path in paths:
            with np.load(path) as shard:
                stream, ends = shard["jpeg_stream"].tobytes(), shard["jpeg_ends"]
                jpegs += [stream[a:b] for a, b in zip(np.r_[0, ends[:-1]], ends, strict=True)]
                for name in ("intrinsics", "ground", "count", *PEOPLE_FIELDS):
                    parts.setdefault(name, []).append(shard[name])
        arrays = {name: np.concatenate(values) for name, values in parts.items()}
        return cls(jpegs=jpegs, first=np.r_[0, np.cumsum(arrays.pop("count"))], **arrays)


def scene_shards(folder: Path) -> list[Path]:
    """The shards of a folder.

    Raises:
        MissingAsset: there is none.
    """
    if paths := sorted(Path(folder).glob("scenes_*.npz")):
        return paths
    raise MissingAsset(f"no rendered scenes in {folder}; run: crowd3d train default --stage scenes")


def render_scenes(folder: Path, seed: int, scenes: int, kind: SceneKind = USUAL) -> None:
    """Render shards until `folder` holds `scenes` scenes of this seed; shards that exist are kept."""
    body = load_body("free_low")
    folder = Path(folder)
    for shard in tqdm(range(-(-scenes // SCENES_PER_SHARD)), desc="rendering training scenes", unit="shard"):
        path = folder / f"scenes_{seed:04d}_{shard:04d}.npz"
        if not path.exists():
            write_npz(path, **_render_shard(body, np.random.default_rng([seed, shard]), kind))


def _render_shard(body: Body, rng: np.random.Generator, kind: SceneKind) -> dict[str, np.ndarray]:
    crops = [sample_crop(rng, body, kind.size_px, kind.person_px, kind.empty_share) for _ in range(SCENES_PER_SHARD)]
    encoded = [
        cv2.imencode(".jpg", cv2.cvtColor(c.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1] for c in crops
    ]
    pose = np.concatenate([c.pose_rad for c in crops]).astype(np.float32)
    betas = np.concatenate([c.betas for c in crops]).astype(np.float32)
    joints = body.pose(pose, betas)[1] + np.concatenate([c.translation_cam_m for c in crops])[:, None]
    torso, hvip = (np.concatenate([getattr(c, name) for c in crops])[:, None] for name in ("torso_cam_m", "hvip_cam_m"))
    return {
        "jpeg_stream": np.concatenate(encoded).ravel().astype(np.uint8),
        "jpeg_ends": np.cumsum([len(e) for e in encoded]),
        "intrinsics": np.array([[c.camera.fx, c.camera.fy, c.camera.cx, c.camera.cy] for c in crops]),
        "ground": np.stack([c.ground.coefficients for c in crops]),
        "count": np.array([len(c) for c in crops]),
        "points_cam_m": np.concatenate([joints[:, COCO17_FROM_SMPL54], torso, hvip], 1).astype(np.float32),
        "visibility": np.concatenate([c.keypoints_px[..., 2] for c in crops]).astype(np.uint8),
        "visible_fraction": np.concatenate([c.visible_fraction for c in crops]).astype(np.float32),
        "pose_rad": pose,
        "betas": betas,
    }
