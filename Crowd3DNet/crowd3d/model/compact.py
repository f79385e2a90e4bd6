"""Compact backbone of the default network: a small residual pyramid with top-down fusion, made for 256² tiles on a CPU.

Dense 3×3 convolutions at strides 8 to 32 do most of the work: on CPUs they run much nearer to peak speed than the depthwise
convolutions of mobile networks, and train several times faster.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.model.blocks import BasicBlock, conv1x1, conv3x3

STEM = 16
WIDTHS = (40, 80, 128, 192)
BLOCKS = (1, 1, 2, 2)


def _stage(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    """Stride-2 convolution, then residual blocks."""
    entry = [conv3x3(in_channels, out_channels, 2), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*entry, *[BasicBlock(out_channels, out_channels) for _ in range(blocks)])


def _lateral(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(conv1x1(in_channels, out_channels), nn.BatchNorm2d(out_channels))


def _smooth(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(channels, out_channels), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class CompactPyramid(nn.Module):
    """Images (B, 3, S, S) with values 0…255 → features (B, 32, S/4, S/4); S a multiple of 32."""

    out_channels = 32

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(3, STEM, 2), nn.BatchNorm2d(STEM), nn.ReLU(inplace=True))
        self.down4 = _stage(STEM, WIDTHS[0], BLOCKS[0])
        self.down8 = _stage(WIDTHS[0], WIDTHS[1], BLOCKS[1])
        self.down16 = _stage(WIDTHS[1], WIDTHS[2], BLOCKS[2])
        self.down32 = _stage(WIDTHS[2], WIDTHS[3], BLOCKS[3])
        self.lateral32 = _lateral(WIDTHS[3], 96)
        self.lateral16 = _lateral(WIDTHS[2], 96)
        self.smooth16 = _smooth(96, 64)
        self.lateral8 = _lateral(WIDTHS[1], 64)
        self.smooth8 = _smooth(64, self.out_channels)
        self.lateral4 = _lateral(WIDTHS[0], self.out_channels)

    def forward(self, images: Tensor) -> Tensor:
        x4 = self.down4(self.stem((images - 127.5) / 127.5))
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        x32 = self.down32(x16)
        y16 = self.smooth16(F.relu(self.lateral16(x16) + _double(self.lateral32(x32))))
        y8 = self.smooth8(F.relu(self.lateral8(x8) + _double(y16)))
        return F.relu(self.lateral4(x4) + _double(y8))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
