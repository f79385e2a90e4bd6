"""Keypoint lifter: 17 keypoints of a person as metric rays in their viewing frame → SMPL pose, betas and the correction of their HVIP.

It sees no pixels, so it works with any 2D pose backend. Coordinates come from `geometry.viewing.ViewingFrames`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.geometry.rotations import rot6d_to_matrix

HIDDEN = 512
BLOCKS = 3
POINT_FEATURES = 9
"""Right and up (m), depth (m), log spread (m) of both, probability of being seen; of the second place right and up from the first (m),
and probability."""
CONTEXT_FEATURES = 5
FULL_OFFSET_SHARE = 0.1
"""Second places of at least this probability count with all of their distance from the first, others in proportion."""
LOG_SIGMA_UNKNOWN = 0.0
"""Log spread (log m) of a coordinate that was not measured: a metre says nothing about a person."""


class LifterInput(NamedTuple):
    """Measurements of N people in their viewing frames.

    Attributes:
        tangent_m: (N, 17, 2) right and up on the tangent plane through the assumed torso centre.
        depth_m: (N, 17) depth behind the torso centre along its ray, 0 where unknown.
        log_sigma: (N, 17, 2) log metres, spread of tangent_m per axis, and of depth_m.
        visible: (N, 17) probability of being seen and not hidden.
        other_m: (N, 17, 2) from tangent_m to where else the keypoint may be.
        other_share: (N, 17) probability that it is there.
        elevation_rad: (N,) ray to the torso centre below the horizon.
        distance_m: (N,) assumed distance of the torso centre.
        hvip_tangent_m: (N, 2) assumed HVIP.
    """

    tangent_m: Tensor
    depth_m: Tensor
    log_sigma: Tensor
    visible: Tensor
    other_m: Tensor
    other_share: Tensor
    elevation_rad: Tensor
    distance_m: Tensor
    hvip_tangent_m: Tensor


class LifterOutput(NamedTuple):
    """Estimates for N people.

    Attributes:
        rotations: (N, 24, 3, 3) SMPL joint rotations, the global one in the upright frame (right, up, towards the camera).
        betas: (N, 10).
        hvip_tangent_m: (N, 2) HVIP on the tangent plane.
        torso_tangent_m: (N, 2) torso centre on the tangent plane.
    """

    rotations: Tensor
    betas: Tensor
    hvip_tangent_m: Tensor
    torso_tangent_m: Tensor


class Lifter(nn.Module):
    """Residual multilayer perceptron from `LifterInput` to `LifterOutput`.

    Args:
        dropout: in training, the share of what each block adds that is left out.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.input = nn.Linear(17 * POINT_FEATURES + CONTEXT_FEATURES, HIDDEN)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.Dropout(dropout))
            for _ in range(BLOCKS)
        )
        self.output = nn.Linear(HIDDEN, 24 * 6 + 10 + 4)
        identity = torch.zeros(24 * 6 + 10 + 4)
        identity[:144] = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(24)
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.output.bias.copy_(identity)

    def forward(self, measured: LifterInput) -> LifterOutput:
        share = measured.other_share[..., None]
        points = torch.cat(
            [
                measured.tangent_m.clamp(-3.0, 3.0),
                measured.depth_m[..., None].clamp(-2.0, 2.0),
                measured.log_sigma.clamp(-4.0, LOG_SIGMA_UNKNOWN) / 2.0,
                measured.visible[..., None],
                measured.other_m.clamp(-3.0, 3.0) * (share / FULL_OFFSET_SHARE).clamp(max=1.0),
                share,
            ],
            dim=-1,
        )
        elevation = measured.elevation_rad[:, None]
        nearness = 4.0 / measured.distance_m[:, None].clamp(min=1.0)
        context = [elevation.sin(), elevation.cos(), nearness, measured.hvip_tangent_m.clamp(-3.0, 3.0)]
        x = self.input(torch.cat([points.flatten(1), *context], dim=1))
        for block in self.blocks:
            x = x + block(x)
        out = self.output(F.gelu(x))
        rotations = rot6d_to_matrix(out[:, :144].reshape(-1, 24, 6))
        return LifterOutput(rotations, out[:, 144:154], measured.hvip_tangent_m + out[:, 154:156], out[:, 156:158])
