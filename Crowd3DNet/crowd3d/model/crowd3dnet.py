"""Crowd3DNet: people of a tile as SMPL parameters and HVIPs on dense maps (Wen et al., Crowd3D, CVPR 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from crowd3d.model.compact import CompactPyramid
from crowd3d.model.heads import coordinate_maps, embedding, heads
from crowd3d.model.hrnet import HRNetW32
from crowd3d.model.resnet import ResNet50

MAP_STRIDE = 8
"""Pixels of a tile per cell of the maps."""
BACKBONES: dict[str, Callable[[], nn.Module]] = {"hrnet_w32": HRNetW32, "resnet50": ResNet50, "compact": CompactPyramid}


class Maps(NamedTuple):
    """Dense predictions of B tiles of side S.

    Attributes:
        params_maps: (B, 148, S/8, S/8). Channels: 0 HVIP length, 1:3 torso centre in the tile, 3:6 torso centre offset in
            space (all in 0…1), 6:12 global orientation, 12:138 body pose of 21 joints (6D rotations), 138:148 betas.
        center_map: (B, 1, S/8, S/8) confidence that a person's torso is centred here; not bounded.
    """

    params_maps: Tensor
    center_map: Tensor


class Places(NamedTuple):
    """The part of `Maps` that does not depend on camera and ground.

    Attributes:
        place_maps: (B, 3, S/8, S/8) channels 0:3 of `Maps.params_maps`.
        center_map: (B, 1, S/8, S/8) as in `Maps`.
    """

    place_maps: Tensor
    center_map: Tensor


class Crowd3DNet(nn.Module):
    """The published network without SMPL inside.

    `state_dict()` has the keys, order, shapes and dtypes of the released checkpoint without its SMPL entries
    (backbone ``hrnet_w32``). Any tile side that is a multiple of 32 works; the release's is 512.

    Args:
        backbone: ``hrnet_w32`` (released), ``resnet50``, or ``compact`` (the shipped default, for 256² tiles).
    """

    def __init__(self, backbone: str = "hrnet_w32") -> None:
        super().__init__()
        self.backbone_name = backbone
        self.backbone = BACKBONES[backbone]()
        self.final_layers = heads(self.backbone.out_channels)  # type: ignore[arg-type]
        self.cams_layers = embedding(3)
        self.ground_layers = embedding(4)

    def forward(self, images: Tensor, camera: Tensor, ground: Tensor) -> Maps:
        """Predict the maps of a batch of square tiles.

        Args:
            images: (B, S, S, 3) RGB, 0…255.
            camera: (B, 3) fx / scene width, principal point in tile units (0…1 inside the tile); see `camera_inputs`.
            ground: (B, 4) plane A, B, C, D in the camera frame, of any scale; zeros where it is unknown, which spoils the
                SMPL parameters only.
        """
        return self.predict(self.features(images), camera, ground)

    def features(self, images: Tensor) -> Tensor:
        """(B, S, S, 3) RGB 0…255 → backbone features (B, C, S/4, S/4)."""
        images = images.permute(0, 3, 1, 2)
        return self.backbone(images if images.is_floating_point() else images.float())

    def predict(self, features: Tensor, camera: Tensor, ground: Tensor) -> Maps:
        """Heads on top of `features`; other arguments as in `forward`."""
        return self.with_bodies(features, self.places(features), camera, ground)

    def places(self, features: Tensor) -> Places:
        """Where people are, from heads 2 to 4 alone: what stays constant while bodies are fine-tuned."""
        return Places(self.place_maps(features), self.center_map(features))

    def place_maps(self, features: Tensor) -> Tensor:
        """Heads 3 and 4; see `Places`."""
        located = _located(features)
        return torch.cat([self.final_layers["3"](located), self.final_layers["4"](located)], dim=1)

    def center_map(self, features: Tensor) -> Tensor:
        """Head 2; see `Places`."""
        return self.final_layers["2"](_located(features))

    def with_bodies(self, features: Tensor, places: Places, camera: Tensor, ground: Tensor) -> Maps:
        """Bodies from head 1 and the embeddings, joined with `places`."""
        context = self._context(camera, ground).to(features.dtype).expand(-1, -1, *features.shape[2:])
        smpl = self.final_layers["1"](torch.cat([_located(features), context], dim=1))
        return Maps(torch.cat([places.place_maps, smpl[:, :3].sigmoid(), smpl[:, 3:]], dim=1), places.center_map)

    def _context(self, camera: Tensor, ground: Tensor) -> Tensor:
        """(B, 16, 1, 1) embedded camera, then ground."""
        ground = ground / ground[:, :3].norm(dim=1, keepdim=True).clamp_min(1e-12)
        return torch.cat([self.cams_layers(camera), self.ground_layers(ground)], dim=1)[..., None, None]


def _located(features: Tensor) -> Tensor:
    return torch.cat([features, coordinate_maps(features)], dim=1)
