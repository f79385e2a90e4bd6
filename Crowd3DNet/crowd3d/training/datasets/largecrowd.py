"""LargeCrowd in the release's form: crops of gigapixel pictures with keypoints and HVIPs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.training.datasets.base import ReleasedTiles, place
from crowd3d.training.supervision.annotation import Annotation, torso_of, unlabelled
from crowd3d.training.supervision.annotation_files import coco_to_54, intrinsics, named_square, numbers, upright_plane

SCENE_SIZES = {
    "playground0_00": (19200, 6515),
    "playground0_01": (19200, 6515),
    "parkingLot_00": (19200, 6271),
    "jinJie_00": (19200, 6359),
    "jinJie_01": (19200, 6337),
}
"""Width and height of the scenes that have no ``scene_shape.npy``."""
LEAST_INSIDE = 2


class Entry(NamedTuple):
    """One crop of P people in stored pixels; HVIPs that are not annotated are zero."""

    name: str
    keypoints: np.ndarray
    hvip: np.ndarray
    hvip_known: np.ndarray


class LargeCrowdScale(ReleasedTiles):
    """``largecrowd_scale``: keypoints and most HVIPs are known, nothing in space; ``ground_info/<scene>/`` says camera and ground."""

    name = "largecrowd_scale"
    subsampling = 1.25

    def parse(self, name: str, value: Any) -> Entry:
        """See `ReleasedTiles`."""
        named_square(name)
        self._scene(name)
        people, hvips = value[0], value[3]
        if len(hvips) != len(people):
            raise ValueError(f"{len(hvips)} HVIPs of {len(people)} people")
        keypoints = [numbers(person, 17, 3) for person in people]
        points = [np.zeros(2) if hvip is None else numbers(np.reshape(hvip, 2), 2) for hvip in hvips]
        return Entry(
            name=name,
            keypoints=np.array(keypoints).reshape(-1, 17, 3),
            hvip=np.array(points).reshape(-1, 2),
            hvip_known=np.array([hvip is not None for hvip in hvips], bool),
        )

    def label(self, entry: Entry, image: np.ndarray) -> Annotation:
        """See `ReleasedTiles`."""
        origin, side = named_square(entry.name)
        camera, ground = self._scene(entry.name)
        picture = place(image, origin, side)
        inside = picture.inside(entry.keypoints[..., :2])
        kept = inside.sum(1) >= LEAST_INSIDE
        keypoints, given = coco_to_54(picture.to_scene(entry.keypoints[kept][..., :2]))
        known = coco_to_54(inside[kept])[0].astype(bool)
        torso, torso_known = torso_of(keypoints, np.broadcast_to(given, known.shape))
        people = replace(
            unlabelled(int(kept.sum())),
            keypoints_px=keypoints,
            keypoints_known=known,
            torso_px=torso,
            torso_known=torso_known,
            hvip_px=picture.to_scene(entry.hvip[kept]),
            hvip_known=entry.hvip_known[kept],
        )
        return Annotation(
            image=picture.image,
            origin_px=picture.origin_px,
            side_px=picture.side_px,
            K=camera.K,
            plane=ground.coefficients,
            scene_width_px=float(camera.width),
            people=people,
        )

    def _scene(self, name: str) -> tuple[Camera, GroundPlane]:
        """Camera and ground of the scene that a crop is from, the first two parts of its name."""
        scene = "_".join(name.split("_")[:2])
        scenes = self.__dict__.setdefault("_scenes", {})
        if scene not in scenes:
            scenes[scene] = self._read_scene(scene)
        return scenes[scene]

    def _read_scene(self, scene: str) -> tuple[Camera, GroundPlane]:
        folder = self.folder / "ground_info" / scene
        try:
            K = intrinsics(np.load(folder / "cam_para.npy", allow_pickle=False))
            plane = upright_plane(np.load(folder / "ground.npy", allow_pickle=False))
            shape = folder / "scene_shape.npy"
            size = numbers(np.load(shape, allow_pickle=False), 2) if shape.exists() else SCENE_SIZES[scene]
        except KeyError as error:
            raise MissingAsset(f"the size of scene {scene} is not known; write width and height to {folder / 'scene_shape.npy'}") from error
        except (OSError, ValueError, EOFError) as error:
            raise MissingAsset(f"no usable cam_para.npy and ground.npy in {folder} ({error}); copy them from the data set") from error
        return Camera.from_K(K, (int(size[0]), int(size[1]))), GroundPlane.from_coefficients(plane)
