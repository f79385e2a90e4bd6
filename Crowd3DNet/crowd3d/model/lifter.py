"""Keypoint lifter: 17 keypoints of a person as metric rays in their viewing frame → SMPL pose, betas and the correction of their HVIP.

It sees no pixels, so it works with any 2D pose backend. Coordinates come from `geometry.viewing.ViewingFrames`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.geometry.rotations import rot6d_to_matrix
from crowd3d.model.checkpoints import fill, load_weights
from crowd3d.model.lifter_values import LOG_SIGMA_UNKNOWN, LifterInput, LifterOutput

HIDDEN = 512
BLOCKS = 3
POINT_FEATURES = 9
"""Right and up (m), depth (m), log spread (m) of both, probability of being seen; of the second place right and up from the first (m),
and probability."""
CONTEXT_FEATURES = 5
FULL_OFFSET_SHARE = 0.1
"""Second places of at least this probability count with all of their distance from the first, others in proportion."""
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


class PlainLifter(nn.Module):
    """A lifter as engines want it: tensors in, tensors out."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, *measured: Tensor) -> LifterOutput:
        return self.lifter(LifterInput(*measured))


def read_lifter(path: Path) -> Lifter:
    """A trained lifter, in eval mode.

    Raises:
        MissingAsset: the file is absent, damaged or does not hold a lifter.
    """
    lifter = Lifter()
    fill(lifter, load_weights(path)[0], path)
    return lifter.eval()
