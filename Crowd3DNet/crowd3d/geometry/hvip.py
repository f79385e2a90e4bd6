"""The human-scene virtual interaction point (HVIP): the foot of the perpendicular from a torso centre to the ground.

Everything is batched over N people, each with their own camera and plane, differentiable, and in the dtype of its inputs:
float64 for scenes. Planes are (N, 4) coefficients with a unit normal that points up and a positive camera height.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crowd3d.geometry.projection import NEAR_M, pixel_rays

HORIZON = 1e-6
"""Rays that fall by less than this per unit of depth meet the ground too far away to say where."""
FOOT_DIRECTION_PX = 1e-6
"""A torso centre closer than this to the nadir is seen from straight above: its vertical has no direction in the image."""


def unit_planes(ground: Tensor) -> Tensor:
    """(N, 4) plane coefficients of any scale and sign → the same planes with a unit normal and the camera above them."""
    ground = ground / torch.linalg.vector_norm(ground[:, :3], dim=-1, keepdim=True)
    return torch.where(ground[:, 3:] < 0, -ground, ground)


def foot_directions(torso_px: Tensor, K: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Image direction from torso centres towards their feet.

    Towards the vanishing point of the vertical where the camera looks down, away from it where it looks up: the direction in
    which a point moves in the image when it sinks, so nothing is singular for a level camera.

    Args:
        torso_px: (N, 2) pixels.
        K: (N, 3, 3) intrinsics.
        planes: (N, 4) as from `unit_planes`.

    Returns:
        (N, 2) unit vectors, and (N,) bool, False where the direction is not defined.
    """
    vanishing = (K @ planes[:, :3, None]).squeeze(-1)
    direction = torso_px * vanishing[:, 2:] - vanishing[:, :2]
    valid = direction.abs().amax(-1) > FOOT_DIRECTION_PX
    direction = torch.where(valid[:, None], direction, direction.new_tensor([0.0, 1.0]))
    return direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True), valid


def ground_points(points_px: Tensor, K: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays of pixels meet the ground.

    Args:
        points_px: (N, 2) pixels.
        K: (N, 3, 3) intrinsics.
        planes: (N, 4) as from `unit_planes`.

    Returns:
        (N, 3) metres, camera frame, and (N,) bool, False at and above the horizon, where the points are finite and meaningless.
    """
    rays = pixel_rays(points_px, K)
    slope = (rays * planes[:, :3]).sum(-1)
    valid = slope < -HORIZON
    depth = -planes[:, 3] / torch.where(valid, slope, -torch.ones_like(slope))
    return rays * depth[:, None], valid


def points_above(hvip_cam_m: Tensor, torso_px: Tensor, K: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Torso centres perpendicular above HVIPs, at the height at which they are seen at given pixels.

    The release reads the height off the image row only; row and column together give the same height for pixels on the
    vertical through the HVIP, and stay defined when the camera is rolled or looks straight down.

    Args:
        hvip_cam_m: (N, 3) metres on the ground.
        torso_px: (N, 2) pixels.
        K: (N, 3, 3) intrinsics.
        planes: (N, 4) as from `unit_planes`.

    Returns:
        (N, 3) metres, camera frame, and (N,) bool, False where there is no height or the point is behind the camera.
    """
    normal = planes[:, :3]
    rays = pixel_rays(torso_px, K)
    # (hvip + h·normal) × ray = 0, the two rows without the trivial one, solved for h by least squares.
    offset = rays[:, :2] * hvip_cam_m[:, 2:] - hvip_cam_m[:, :2]
    rise = normal[:, :2] - rays[:, :2] * normal[:, 2:]
    squared = rise.square().sum(-1)
    solvable = squared > HORIZON**2
    height = (offset * rise).sum(-1) / torch.where(solvable, squared, torch.ones_like(squared))
    points = hvip_cam_m + height[:, None] * normal
    return points, solvable & (points[:, 2] > NEAR_M)
