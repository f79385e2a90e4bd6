"""The four heads, the camera and ground embeddings and the coordinate maps of Crowd3DNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crowd3d.model.blocks import BasicBlock

HEAD_CHANNELS = 64
EMBEDDING = 8
SMPL_OUTPUTS = 145
"""Outputs of head 1: 3 torso centre offset, 6 global orientation, 21·6 body pose, 10 betas."""


def head(in_channels: int, out_channels: int, *, sigmoid: bool = False) -> nn.Sequential:
    """(B, in, H, W) → (B, out, H/2, W/2)."""
    entry = nn.Sequential(nn.Conv2d(in_channels, HEAD_CHANNELS, 3, 2, 1), nn.BatchNorm2d(HEAD_CHANNELS), nn.ReLU(inplace=True))
    blocks = nn.Sequential(*[nn.Sequential(BasicBlock(HEAD_CHANNELS, HEAD_CHANNELS)) for _ in range(2)])
    layers = [entry, blocks, nn.Conv2d(HEAD_CHANNELS, out_channels, 1)]
    return nn.Sequential(*layers, nn.Sigmoid()) if sigmoid else nn.Sequential(*layers)


def heads(feature_channels: int) -> nn.ModuleDict:
    """Heads 1…4: SMPL parameters, centre map, HVIP length, torso-centre offset in the tile."""
    located = feature_channels + 2
    return nn.ModuleDict(
        {
            "1": head(located + 2 * EMBEDDING, SMPL_OUTPUTS),
            "2": head(located, 1),
            "3": head(located, 1, sigmoid=True),
            "4": head(located, 2, sigmoid=True),
        }
    )


def embedding(inputs: int) -> nn.Sequential:
    """(B, inputs) → (B, 8)."""
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, EMBEDDING))


def coordinate_maps(like: Tensor) -> Tensor:
    """(B, 2, H, W) with x in channel 0 and y in channel 1, −1 at the first and 1 at the last pixel; device and dtype of `like`."""
    batch, _, height, width = like.shape
    # float32 whatever the dtype: half precision cannot count the columns, and linspace rounds differently from the release.
    y = torch.arange(height, dtype=torch.float32, device=like.device) / (height - 1) * 2 - 1
    x = torch.arange(width, dtype=torch.float32, device=like.device) / (width - 1) * 2 - 1
    maps = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return maps.to(like.dtype).expand(batch, 2, height, width)
