"""What of a Crowd3DNet finds people."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from crowd3d.model.checkpoints import load_network
from crowd3d.model.crowd3dnet import Crowd3DNet
from crowd3d.model.decoding import local_maxima


class PlaceNet(nn.Module):
    """The peaks of the centre map, and where in space they are."""

    def __init__(self, network: Crowd3DNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, S, 3) RGB 0…255 → (B, 1, S/8, S/8) confidence where a person's torso is centred, else 0; (B, 3, S/8, S/8) place maps, see
        `Places`."""
        features = self.network.features(images)
        return local_maxima(self.network.center_map(features)), self.network.place_maps(features)


def load_place_net(weights: Path) -> PlaceNet:
    """From weights of a Crowd3DNet."""
    return PlaceNet(load_network(weights)[0])
