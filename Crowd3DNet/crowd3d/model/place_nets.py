"""A Crowd3DNet in the two halves that find people: what every tile needs, and what only tiles with people do."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from crowd3d.model.checkpoints import load_network
from crowd3d.model.crowd3dnet import Crowd3DNet
from crowd3d.model.decoding import local_maxima


class CentreFinder(nn.Module):
    """Features and the peaks of the centre map."""

    def __init__(self, network: Crowd3DNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, S, 3) RGB 0…255 → features (B, C, S/4, S/4); (B, 1, S/8, S/8) confidence where a person's torso is centred, else 0."""
        features = self.network.features(images)
        return features, local_maxima(self.network.center_map(features))


class Placer(nn.Module):
    """Place maps from features; see `Places`."""

    def __init__(self, network: Crowd3DNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, S/4, S/4) → (B, 3, S/8, S/8)."""
        return self.network.place_maps(features)


def load_centre_finder(weights: Path) -> CentreFinder:
    """From weights of a Crowd3DNet."""
    return CentreFinder(load_network(weights)[0])


def load_placer(weights: Path) -> Placer:
    """From weights of a Crowd3DNet."""
    return Placer(load_network(weights)[0])
