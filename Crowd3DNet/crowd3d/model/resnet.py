"""ResNet-50 backbone with three deconvolutions (Xiao et al., Simple Baselines, ECCV 2018), the release's second option."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crowd3d.model.blocks import bottlenecks

DECONVOLUTIONS = ((2048, 256), (256, 128), (128, 64))


def _deconvolutions() -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_channels, out_channels in DECONVOLUTIONS:
        layers += [
            nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class ResNet50(nn.Module):
    """Images (B, 3, S, S) with values 0…255 → features (B, 64, S/4, S/4). Normalised as ImageNet weights expect."""

    out_channels = DECONVOLUTIONS[-1][1]
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255.0, persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = bottlenecks(64, 64, count=3)
        self.layer2 = bottlenecks(256, 128, count=4, stride=2)
        self.layer3 = bottlenecks(512, 256, count=6, stride=2)
        self.layer4 = bottlenecks(1024, 512, count=3, stride=2)
        self.deconv_layers = _deconvolutions()

    def forward(self, images: Tensor) -> Tensor:
        x = (images - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.deconv_layers(x)
