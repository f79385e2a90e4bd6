"""Tiles of one scene with 2D keypoints, on which the network is fine-tuned: the release's ``optim_annots_scale.pkl``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.training.supervision import Sample
from crowd3d.training.supervision.annotation import Annotation, Labels, unlabelled
from crowd3d.training.supervision.annotation_files import coco_to_54, named_square, numbers, read_entries, read_rgb


class _Tile(NamedTuple):
    name: str
    keypoints: np.ndarray


class FineTuningData(Dataset[Sample]):
    """The data sets ``test_train_scale`` and ``test_train_single_image``: keypoints only, no HVIP, nothing in space.

    Centres are not taught (`Sample.all_people` is false), because the file lists only people who stand upright; people of whom
    too few keypoints are in the tile are left out.

    Args:
        annotations: list of [tile name, [(17, 3) keypoints in 512-px tile pixels, …]]; their scores are not used.
        images: folder of the tiles, whose names end in top, left, bottom and right.
        camera, ground: of the scene.
        size: side of the samples' images in pixels.
        least_inside: keypoints of a person that must lie in the tile: 1 in ``test_train_single_image``, 2 in ``test_train_scale``.

    Raises:
        MissingAsset: a file or folder is absent or not usable.
    """

    def __init__(
        self, annotations: Path, images: Path, camera: Camera, ground: GroundPlane, size: int = RELEASE_TILE_PX, least_inside: int = 1
    ) -> None:
        for path in (annotations, images):
            if not Path(path).exists():
                raise MissingAsset(f"fine-tuning needs {path}; single_image/process.py or test/preprocess.py writes it")
        self.images, self.size, self.least_inside = Path(images), size, least_inside
        self.camera, self.ground = camera, ground
        self.tiles = read_entries(Path(annotations), _parse, self.images)

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        return self.annotation(index).sample(self.size)

    def annotation(self, index: int) -> Annotation:
        """The tile before it becomes a sample."""
        tile = self.tiles[index]
        origin, side = named_square(tile.name)
        return Annotation(
            image=read_rgb(self.images / tile.name),
            origin_px=origin,
            side_px=side,
            K=self.camera.K,
            plane=self.ground.coefficients,
            scene_width_px=float(self.camera.width),
            people=labels_of(tile.keypoints[..., :2] * side / RELEASE_TILE_PX, origin, side, self.least_inside),
            all_people=False,
        )


def labels_of(keypoints_px: np.ndarray, origin_px: np.ndarray, side_px: float, least_inside: int) -> Labels:
    """COCO-17 keypoints (N, 17, 2) in scene pixels of a tile → labels of those with `least_inside` keypoints in the tile."""
    inside = np.all((keypoints_px >= 0) & (keypoints_px < side_px), axis=2)
    kept = inside.sum(1) >= least_inside
    joints, _ = coco_to_54(keypoints_px[kept] + origin_px)
    known, _ = coco_to_54(inside[kept])
    return replace(unlabelled(int(kept.sum())), keypoints_px=joints, keypoints_known=known.astype(bool))


def _parse(name: str, value: Any) -> _Tile:
    named_square(name)
    people = [numbers(person, 17, 3) for person in value[0]]
    return _Tile(name, np.stack(people) if people else np.zeros((0, 17, 3)))
