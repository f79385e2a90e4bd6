"""Crowd3DNet over the tiles of a photograph: everybody's body and HVIP as the network sees them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from crowd3d.bodies import COCO17_FROM_SMPL54
from crowd3d.files import load_arrays, write_npz
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, format_tile_name
from crowd3d.model import Maps, TileViews, decode_maps, lift_people
from crowd3d.model.lifting import torso_root
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pipeline.network import INFERENCE_THRESHOLD, NetworkChoice
from crowd3d.pose.alphapose_json import tiles_with_people
from crowd3d.progress import progress_bar
from crowd3d.scene import duplicate_free, release_results, write_all_result
from crowd3d.scene.release_results import ReleaseResults
from crowd3d.types import People, TileLayout


class TilePeople(NamedTuple):
    """What the network says.

    Attributes:
        per_tile: everybody in every tile, in the release's terms.
        people: everybody once.
    """

    per_tile: ReleaseResults
    people: People


def run_network(
    image: GigapixelImage,
    choice: NetworkChoice,
    layout: TileLayout,
    keypoints: np.ndarray,
    scene: tuple[Camera, GroundPlane],
    batch_size: int,
    threshold: float = INFERENCE_THRESHOLD,
) -> TilePeople:
    """Run the network on those tiles in which somebody's keypoints (N, 17, 3) are."""
    camera, ground = scene
    chosen = np.flatnonzero(tiles_with_people(keypoints, layout))
    layout = TileLayout(layout.boxes[chosen], layout.row_col[chosen], layout.image_size)
    people, tile, cells, torso_cam = _predict(image, choice, layout, camera, ground, batch_size, threshold)
    body = choice.body(detailed=False)
    vertices, joints54 = body.pose(people.pose_rad, people.betas)
    joints = np.concatenate([joints54, body.joints_h36m17(vertices)], 1)
    root = torso_root(torch.from_numpy(joints54)).numpy()
    people = People(**{**vars(people), "translation_cam_m": torso_cam - root})
    joints_cam = joints + people.translation_cam_m[:, None]
    names = [format_tile_name(image.path.stem, row_col, box) for row_col, box in zip(layout.row_col, layout.boxes, strict=True)]
    per_tile = release_results(people, joints_cam, cells, tile, names, layout, camera)
    joints_px = camera.project(joints_cam[:, COCO17_FROM_SMPL54])
    kept = duplicate_free(joints_px, torso_cam, people.score, _border_distance(joints_px, layout, tile), tile)
    return TilePeople(per_tile, people[kept])


def write_network(results: ResultFolder, found: TilePeople) -> None:
    """Write ``all_result.pkl`` and, everybody once, ``network.npz``."""
    write_all_result(results.all_result, found.per_tile)
    write_npz(results.network, **vars(found.people))


def read_people(path: Path) -> People:
    """People of the network, as `write_network` stored them."""
    return People(**load_arrays(path))


def _predict(
    image: GigapixelImage,
    choice: NetworkChoice,
    layout: TileLayout,
    camera: Camera,
    ground: GroundPlane,
    batch_size: int,
    threshold: float,
) -> tuple[People, np.ndarray, np.ndarray, np.ndarray]:
    """People without translation, their tiles, cells of a 64 × 64 grid, and torso centres (N, 3), duplicates included."""
    size = choice.tile_px
    network = choice.ready
    views = TileViews.of_scene(layout, camera, ground)
    parts: list[tuple[np.ndarray, ...]] = [_NOBODY]
    with progress_bar(total=len(layout), desc="Crowd3DNet", unit="tile") as bar:
        for rows, tiles in image.crops(layout.boxes, size, batch_size, fill=255):
            batch = views[torch.from_numpy(rows)]
            inputs = (tiles.astype(np.float32), batch.camera_inputs.numpy(), batch.ground_inputs.numpy())
            maps = Maps(*map(torch.from_numpy, network(*inputs)))
            found = decode_maps(maps, threshold)
            lifted = lift_people(found, batch)
            fields_ = (found.pose_rad, found.betas, lifted.hvip_px, lifted.hvip_cam_m, found.score, lifted.torso_cam_m, found.centers)
            valid = lifted.valid
            parts.append(tuple(f[valid].numpy() for f in (*fields_, found.image_index + rows[0])))
            bar.update(len(rows))
    pose, betas, hvip_px, hvip_cam, score, torso_cam, centers, tile = (np.concatenate(part) for part in zip(*parts, strict=True))
    people = People(
        pose_rad=pose,
        betas=betas,
        translation_cam_m=np.zeros((len(pose), 3)),
        hvip_px=hvip_px,
        hvip_cam_m=hvip_cam,
        score=np.clip(score.astype(np.float64), 0.0, 1.0),
        keypoints_px=np.zeros((len(pose), 17, 3)),
    )
    return people, tile, centers * (64 * 8 // size), torso_cam


_SHAPES = ((24, 3), (10,), (2,), (3,), (), (3,), (2,))
_NOBODY = (*(np.zeros((0, *shape), np.float32) for shape in _SHAPES), np.zeros(0, np.int64))
"""What a photograph without tiles with people gives."""


def _border_distance(joints_px: np.ndarray, layout: TileLayout, tile: np.ndarray) -> np.ndarray:
    """(N,) pixels from people's boxes to the nearest edge of their tile that is inside the image."""
    low, high = np.nanmin(joints_px, 1), np.nanmax(joints_px, 1)
    box = layout.boxes[tile].astype(np.float64)
    size = np.array(layout.image_size)
    before = np.where(box[:, [1, 0]] > 0, low - box[:, [1, 0]], np.inf)
    after = np.where(box[:, [3, 2]] < size, box[:, [3, 2]] - high, np.inf)
    return np.minimum(before, after).min(1)
