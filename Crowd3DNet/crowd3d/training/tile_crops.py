"""Batches of tiles for Crowd3DNet with the compact backbone, cut from rendered scenes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.model.crop_points import HVIP, TORSO
from crowd3d.model.crowd3dnet import MAP_STRIDE
from crowd3d.model.place_maps import TILE_PX
from crowd3d.training.person_crops import cut_square, vary_colours
from crowd3d.training.scene_store import SceneStore
from crowd3d.types import NOMINAL_STATURE_M

SMALLEST_PERSON, LARGEST_PERSON = 0.12, 1.1
"""Stature as a share of the tile's side: people outside of this range are other tiles' business."""
LEAST_VISIBLE, SURELY_VISIBLE = 0.12, 0.3
FOCAL_SHARE = (0.42, 2.8)
"""Focal length over image width for 100° to 20°; a tile does not show how much was around it."""


class TileBatch(NamedTuple):
    """B tiles and the P people in them.

    Attributes:
        images: (B, 256, 256, 3) uint8 RGB.
        camera: (B, 3), ground: (B, 4) inputs of Crowd3DNet.
        center_map: (B, 32, 32) target, 1 at torso centres.
        counted: (B, 32, 32) false where neither presence nor absence is right (people hardly visible, very small or very large).
        tile: (P,) index of a person's tile.
        torso: (P, 2) torso centre in 0…1 of the tile; hvip: (P, 2) the same for the HVIP, may lie outside.
        rotations: (P, 22, 3, 3) global and 21 body joints, camera frame; betas: (P, 10).
    """

    images: np.ndarray
    camera: np.ndarray
    ground: np.ndarray
    center_map: np.ndarray
    counted: np.ndarray
    tile: np.ndarray
    torso: np.ndarray
    hvip: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray

    def tensors(self) -> list[Tensor]:
        """Every field as a tensor, images as float32."""
        return [torch.from_numpy(self.images).float(), *(torch.from_numpy(np.asarray(a)) for a in self[1:])]


def sample_tiles(store: SceneStore, scenes: np.ndarray, rng: np.random.Generator, *, augment: bool = True) -> TileBatch:
    """One tile of every scene, at a random place and scale."""
    size = TILE_PX // MAP_STRIDE
    count = len(scenes)
    images = np.zeros((count, TILE_PX, TILE_PX, 3), np.uint8)
    camera, ground = np.zeros((count, 3), np.float32), np.zeros((count, 4), np.float32)
    center_map, counted = np.zeros((count, size, size), np.float32), np.ones((count, size, size), bool)
    people: list[tuple[np.ndarray, ...]] = []
    for index, scene in enumerate(scenes):
        image = store.image(scene)
        rows = np.arange(store.first[scene], store.first[scene + 1])
        points = store.points_cam_m[rows].astype(np.float64)
        pixels = store.project(scene, points)
        stature_px = NOMINAL_STATURE_M * store.intrinsics[scene, 0] / np.maximum(points[:, TORSO, 2], 0.1)
        left, top, side = _window(pixels[:, TORSO], stature_px, image.shape[0], rng)
        images[index] = cut_square(image, np.array([top, left, top + side, left + side]), TILE_PX)
        cx, cy = store.intrinsics[scene, 2:]
        camera[index] = rng.uniform(*FOCAL_SHARE), (cx - left) / side, (cy - top) / side
        ground[index] = store.ground[scene]
        torso, hvip = (pixels[:, TORSO] - [left, top]) / side, (pixels[:, HVIP] - [left, top]) / side
        share, visible = stature_px / side, store.visible_fraction[rows]
        inside = ((torso > 0) & (torso < 1)).all(1)
        fitting = (share > SMALLEST_PERSON) & (share < LARGEST_PERSON)
        wanted = inside & fitting & (visible >= SURELY_VISIBLE)
        doubtful = inside & ~wanted & (visible > 0.02)
        _draw_centres(center_map[index], torso[wanted], share[wanted])
        counted[index] = ~_discs(torso[doubtful], share[doubtful], size) | (center_map[index] > 0.5)
        taught = inside & fitting & (visible >= LEAST_VISIBLE)
        people.append((np.full(taught.sum(), index), torso[taught], hvip[taught], rows[taught]))
    tile, torso, hvip, rows = (np.concatenate(field) for field in zip(*people, strict=True))
    rotations = axis_angle_to_matrix(torch.from_numpy(store.pose_rad[rows][:, :22])).numpy()
    return TileBatch(
        images=vary_colours(images, rng) if augment else images,
        camera=camera,
        ground=ground,
        center_map=center_map,
        counted=counted,
        tile=tile,
        torso=torso.astype(np.float32),
        hvip=hvip.astype(np.float32),
        rotations=rotations,
        betas=store.betas[rows],
    )


def _window(torso: np.ndarray, stature_px: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Left, top, side of a tile in which some person is 0.2 to 0.75 of the side tall."""
    seen = np.flatnonzero(((torso > 0) & (torso < size)).all(1))
    if not len(seen) or rng.random() < 0.1:
        side = int(rng.integers(size // 3, size + 1))
        left, top = rng.integers(0, size - side + 1, 2)
        return int(left), int(top), side
    person = rng.choice(seen)
    side = int(np.clip(stature_px[person] / np.exp(rng.uniform(np.log(0.2), np.log(0.75))), 64, size * 1.15))
    corner = torso[person] - side * rng.uniform(0.1, 0.9, 2)
    low, high = min(0, size - side), max(0, size - side)
    left, top = np.clip(corner, low, high).astype(int)
    return int(left), int(top), side


def _draw_centres(target: np.ndarray, torso: np.ndarray, share: np.ndarray) -> None:
    """Gaussian peaks on `target`, in place, exactly 1 in the cell of each torso centre."""
    size = len(target)
    cell = np.minimum((torso * size).astype(int), size - 1)
    sigma = np.maximum(0.055 * share * size, 0.6)
    rows, columns = np.mgrid[:size, :size]
    square = (rows - cell[:, 1, None, None]) ** 2 + (columns - cell[:, 0, None, None]) ** 2
    peaks = np.exp(-square / (2 * sigma[:, None, None] ** 2))
    target[:] = peaks.max(0, initial=0.0)


def _discs(torso: np.ndarray, share: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool, true within 0.12 statures of the given torso centres."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    square = (rows - torso[:, 1, None, None]) ** 2 + (columns - torso[:, 0, None, None]) ** 2
    return (square < np.maximum(0.12 * share, 1.0 / size)[:, None, None] ** 2).any(0)
