"""Projection with lens distortion and back-projection, batched in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

NEAR_M = 1e-3
"""Points closer than this to the camera's plane count as behind it."""


def project_points(points_cam_m: Tensor, K: Tensor, distortion: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Project points of N views.

    The lens model is the release's: with r² = x² + y², x' = x·(1 + k1·r² + k2·r⁴ + k3·r⁶ + p·x) + p·r².

    Args:
        points_cam_m: (N, P, 3) metres, camera frame.
        K: (N, 3, 3) intrinsics without skew.
        distortion: (N, 5) k1, k2, k3, p1, p2; None for a pinhole.

    Returns:
        (N, P, 2) pixels and (N, P) bool, False for points that are not in front of the camera; their pixels are finite and meaningless.
    """
    depth = points_cam_m[..., 2]
    valid = depth > NEAR_M
    xy = points_cam_m[..., :2] / torch.where(valid, depth, torch.ones_like(depth))[..., None]
    if distortion is not None:
        xy = distort(xy, distortion)
    focal = torch.diagonal(K, dim1=-2, dim2=-1)[:, None, :2]
    return xy * focal + K[:, None, :2, 2], valid


def distort(xy: Tensor, distortion: Tensor) -> Tensor:
    """Apply radial and tangential distortion to (N, P, 2) normalised image coordinates; `distortion` as in `project_points`."""
    k1, k2, k3 = distortion[:, None, :3].unbind(-1)
    tangential = distortion[:, None, 3:]
    r2 = xy.square().sum(-1)
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return xy * (radial + (xy * tangential).sum(-1))[..., None] + tangential * r2[..., None]


def pixel_rays(points_px: Tensor, K: Tensor) -> Tensor:
    """(N, 2) pixels with (N, 3, 3) intrinsics → (N, 3) directions with unit z component, camera frame."""
    focal = torch.diagonal(K, dim1=-2, dim2=-1)[:, :2]
    xy = (points_px - K[:, :2, 2]) / focal
    return torch.cat([xy, torch.ones_like(xy[:, :1])], dim=-1)
