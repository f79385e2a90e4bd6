"""Top-down keypoint network: one person in the middle of a crop → 17 keypoints, torso centre and HVIP, each with an honest spread.

Every crop shows the same metric window around its person (`CROP_HEIGHT_M`), so the network sees everybody at one scale and knows
whom it is asked about by position. A spatial-softmax heat map gives position and spread; features pooled under it give visibility
and depth.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crowd3d.model.checkpoints import fill, load_weights
from crowd3d.model.crop_points import CROP_SIZE, POINTS


def conv_bn_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn_relu(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """Halve the resolution, then refine."""
    return nn.Sequential(conv_bn_relu(inputs, outputs, 2), *[ResidualBlock(outputs) for _ in range(blocks)])


class AttentionBlock(nn.Module):
    """Pre-norm transformer layer over all positions of a small map."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        q, k, v = self.qkv(self.norm1(tokens)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        tokens = tokens + self.out(attended)
        return tokens + self.mlp(self.norm2(tokens))


class KeypointNet(nn.Module):
    """Crops → heat-map logits and per-point attributes.

    Most layers see the crop at half its resolution; `detail` adds what only the full one shows, such as hands, feet and faces.

    Forward: images (B, 256, 192, 3) RGB, 0–255 → heat (B, 19, 32, 24) logits, attributes (B, 19, 3): visibility logit,
    depth behind the torso centre along its viewing ray (m), log spread of that depth (log m). The torso centre's visibility
    says whether there is a person at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn_relu(3, 24, 2), conv_bn_relu(24, 40, 2))
        self.detail = nn.Sequential(
            conv_bn_relu(3, 16, 2), conv_bn_relu(16, 32, 2), ResidualBlock(32), nn.Conv2d(32, 40, 3, 2, 1, bias=False), nn.BatchNorm2d(40)
        )
        self.stage4 = ResidualBlock(40)
        self.stage8 = stage(40, 80, 2)
        self.stage16 = stage(80, 144, 2)
        width = 192
        self.to_tokens = nn.Linear(144, width)
        self.position = nn.Parameter(torch.zeros(CROP_SIZE[0] // 32 * (CROP_SIZE[1] // 32), width))
        nn.init.normal_(self.position, std=0.02)
        self.attention = nn.Sequential(AttentionBlock(width), nn.LayerNorm(width))
        self.down8, self.lateral8 = nn.Conv2d(width, 80, 1), nn.Conv2d(80, 80, 1)
        self.fuse8 = conv_bn_relu(80, 80)
        self.down4, self.lateral4 = nn.Conv2d(80, 48, 1), nn.Conv2d(40, 48, 1)
        self.fuse4 = conv_bn_relu(48, 48)
        self.heat = nn.Conv2d(48, POINTS, 1)
        self.point_embedding = nn.Parameter(torch.zeros(POINTS, width))
        nn.init.normal_(self.point_embedding, std=0.02)
        self.point_features = nn.Linear(80 + width, width)
        self.attributes = nn.Sequential(AttentionBlock(width), nn.LayerNorm(width), nn.Linear(width, 3))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = (images.permute(0, 3, 1, 2).float() - 127.5) / 127.5
        fine = self.stage4(self._half(x) + self.detail(x))
        middle = self.stage8(fine)
        coarse = self.stage16(middle)
        batch, _, height, width = coarse.shape
        tokens = self.attention(self.to_tokens(coarse.flatten(2).transpose(1, 2)) + self.position)
        coarse = tokens.transpose(1, 2).reshape(batch, -1, height, width)
        middle = self.fuse8(self.lateral8(middle) + F.interpolate(self.down8(coarse), scale_factor=2.0, mode="nearest"))
        fine = self.fuse4(self.lateral4(fine) + F.interpolate(self.down4(middle), scale_factor=2.0, mode="nearest"))
        heat = self.heat(fine).float()
        where = F.avg_pool2d(heat.flatten(2).softmax(-1).reshape(heat.shape), 2) * 4.0
        pooled = torch.einsum("bkn,bcn->bkc", where.flatten(2), middle.flatten(2).float())
        mean = tokens.mean(1, keepdim=True).float().expand(-1, POINTS, -1)
        points = self.point_features(torch.cat([pooled, mean], -1)) + self.point_embedding
        return heat, self.attributes(points).float()

    def _half(self, x: Tensor) -> Tensor:
        """The stem on the crop at half its resolution: averaging 2×2 pixels is part of its first convolution."""
        weight = self.get_parameter("stem.0.0.weight").repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
        x = F.conv2d(x, weight, stride=4, padding=2)
        first, second = self.stem.children()
        for layer in (*list(first.children())[1:], second):
            x = layer(x)
        return x


def load_keypoint_net(path: Path) -> KeypointNet:
    """The network with weights of a safetensors file, in eval mode.

    Raises:
        MissingAsset: the file is unreadable or holds another network.
    """
    network = KeypointNet()
    fill(network, load_weights(path)[0], path)
    return network.eval()
