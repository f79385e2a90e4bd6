"""From the numbers of a person in a tile to HVIP, torso centre and translation in metres (spec of the release, in float64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crowd3d.bodies.joints import TORSO54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.hvip import foot_directions, ground_points, points_above, unit_planes
from crowd3d.model.decoding import Detections
from crowd3d.model.place_maps import HVIP_REACH, TORSO_OFFSET_TILES
from crowd3d.types import TileLayout

SPACE_OFFSET_M = 0.4
"""Reach of the torso centre's offset in space, per axis."""


@dataclass(frozen=True)
class TileViews:
    """N square tiles, each with the camera and the ground that it is seen with.

    Attributes:
        origin_px: (N, 2) float64 scene pixels of the top-left corner.
        side_px: (N,) float64 side in scene pixels.
        K: (N, 3, 3) float64 intrinsics of the whole scene.
        planes: (N, 4) float64 unit ground planes with the camera above them.
        scene_width_px: (N,) float64 width of the whole scene.
        lens: the scene's camera, if its lens bends what the tiles show; nothing is differentiable then.
    """

    origin_px: Tensor
    side_px: Tensor
    K: Tensor
    planes: Tensor
    scene_width_px: Tensor
    lens: Camera | None = None

    @classmethod
    def of_scene(cls, layout: TileLayout, camera: Camera, ground: GroundPlane) -> TileViews:
        """Tiles of one photograph."""
        boxes = torch.from_numpy(np.asarray(layout.boxes, np.float64).reshape(-1, 4))
        return cls(
            origin_px=boxes[:, [1, 0]],
            side_px=boxes[:, 2] - boxes[:, 0],
            K=torch.from_numpy(camera.K).expand(len(boxes), 3, 3),
            planes=unit_planes(torch.from_numpy(ground.coefficients).expand(len(boxes), 4)),
            scene_width_px=torch.full((len(boxes),), float(camera.width), dtype=torch.float64),
            lens=None if camera.distortion is None else camera,
        )

    def __len__(self) -> int:
        return len(self.origin_px)

    def __getitem__(self, rows: Tensor | slice) -> TileViews:
        return TileViews(self.origin_px[rows], self.side_px[rows], self.K[rows], self.planes[rows], self.scene_width_px[rows], self.lens)

    @property
    def camera_inputs(self) -> Tensor:
        """(N, 3) float32 camera input of `Crowd3DNet`: fx / scene width, principal point in tile sides."""
        centre = (self.K[:, :2, 2] - self.origin_px) / self.side_px[:, None]
        return torch.cat([(self.K[:, 0, 0] / self.scene_width_px)[:, None], centre], dim=1).float()

    @property
    def ground_inputs(self) -> Tensor:
        """(N, 4) float32 ground input of `Crowd3DNet`."""
        return self.planes.float()

    def to_scene_px(self, tile_xy: Tensor) -> Tensor:
        """(N, 2) tile coordinates, −1…1 across the tile → scene pixels."""
        return (tile_xy + 1) * (self.side_px / 2)[:, None] + self.origin_px

    def to_tile(self, scene_px: Tensor) -> Tensor:
        """Inverse of `to_scene_px`."""
        return (scene_px - self.origin_px) / (self.side_px / 2)[:, None] - 1

    def to_ideal_px(self, scene_px: Tensor) -> Tensor:
        """(N, 2) scene pixels → where the camera without its lens' distortion sees the same; NaN where the lens shows nothing."""
        return scene_px if self.lens is None else torch.from_numpy(self.lens.to_ideal_px(scene_px.numpy()))

    def bent(self, ideal_px: Tensor, direction: Tensor) -> Tensor:
        """(N, 2) directions at ideal pixels (N, 2) → unit vectors in the photograph."""
        if self.lens is None:
            return direction
        ends = (self.lens.from_ideal_px((ideal_px + sign * direction).numpy()) for sign in (0.5, -0.5))
        change = torch.from_numpy(np.subtract(*ends))
        return change / torch.linalg.vector_norm(change, dim=-1, keepdim=True)


@dataclass(frozen=True)
class LiftedPeople:
    """m people in space.

    Attributes:
        torso_tile, hvip_tile: (m, 2) float64 torso centre and HVIP in the tile, −1…1 across it.
        torso_px, hvip_px: (m, 2) float64 the same in scene pixels.
        hvip_cam_m: (m, 3) float64 HVIP in the camera frame.
        torso_cam_m: (m, 3) float64 torso centre in the camera frame.
        valid: (m,) bool, False where the line to the HVIP has no direction, the HVIP lies at or above the horizon, or the torso
            centre behind the camera; the metres of such a person are finite and meaningless.
    """

    torso_tile: Tensor
    hvip_tile: Tensor
    torso_px: Tensor
    hvip_px: Tensor
    hvip_cam_m: Tensor
    torso_cam_m: Tensor
    valid: Tensor

    def translation_cam_m(self, torso_root_m: Tensor) -> Tensor:
        """(m, 3) what to add to body vertices so that they stand in the camera frame.

        Args:
            torso_root_m: (m, 3) torso centres of the posed bodies without translation; see `torso_root`.
        """
        return self.torso_cam_m - torso_root_m


def torso_root(joints_m: Tensor) -> Tensor:
    """(m, 54, 3) SMPL-54 joints → (m, 3) torso centres, the mean of shoulders and hips."""
    return joints_m[:, TORSO54].mean(1)


def lift_people(detections: Detections, tiles: TileViews) -> LiftedPeople:
    """Lift everybody that `decode_maps` found to metres. Differentiable with respect to `detections.numbers`.

    Args:
        detections: people of a batch.
        tiles: the tiles of that batch, in its order.
    """
    views = tiles[detections.image_index]
    numbers = detections.numbers.to(views.K.dtype)
    hvip_length, torso_offset, space_offset = numbers[:, :1], numbers[:, 1:3], numbers[:, 3:6]
    in_tile = detections.centers / detections.map_size + TORSO_OFFSET_TILES * (2 * torso_offset - 1)
    torso_tile = 2 * in_tile - 1
    torso_px = views.to_scene_px(torso_tile)
    torso_ideal = views.to_ideal_px(torso_px)
    direction, directed = foot_directions(torso_ideal, views.K, views.planes)
    hvip_tile = torso_tile + HVIP_REACH * hvip_length * views.bent(torso_ideal, direction)
    hvip_px = views.to_scene_px(hvip_tile)
    hvip_cam_m, on_ground = ground_points(views.to_ideal_px(hvip_px), views.K, views.planes)
    above, in_front = points_above(hvip_cam_m, torso_ideal, views.K, views.planes)
    torso_cam_m = above + SPACE_OFFSET_M * (2 * space_offset - 1)
    return LiftedPeople(torso_tile, hvip_tile, torso_px, hvip_px, hvip_cam_m, torso_cam_m, directed & on_ground & in_front)
