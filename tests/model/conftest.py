"""The network filled with the reference weights, and what it and the released code compute on the reference images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from released_layout import seeded_state

from crowd3d.geometry.hvip import unit_planes
from crowd3d.model import Crowd3DNet, Maps, TileViews

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Reference:
    """Values of the released code by name, and ours for the same inputs."""

    released: dict[str, np.ndarray]
    tiles: TileViews
    features: torch.Tensor
    maps: Maps


@pytest.fixture(scope="session")
def reference() -> Reference:
    with np.load(DATA / "network_reference.npz") as arrays:
        released = dict(arrays)
    with np.load(DATA / "network_reference_images.npz") as arrays:
        images = torch.from_numpy(arrays["image"])
    network = Crowd3DNet().eval()
    overrides = {key.removeprefix("override__"): torch.from_numpy(v) for key, v in released.items() if key.startswith("override__")}
    network.load_state_dict(seeded_state(network.state_dict()) | overrides)
    offsets = torch.from_numpy(released["offsets"])
    scale = offsets[:, 10:11]
    padded_corner = torch.stack([offsets[:, 5] - offsets[:, 9], offsets[:, 2] - offsets[:, 6]], dim=1) * scale
    tiles = TileViews(
        origin_px=torch.from_numpy(released["patch_leftTop"]) + padded_corner,
        side_px=offsets[:, 0] * scale[:, 0],
        K=torch.from_numpy(released["camK"]),
        planes=unit_planes(torch.from_numpy(released["ground"])),
        scene_width_px=offsets[:, 11],
    )
    with torch.inference_mode():
        features = network.features(images)
        maps = network.predict(features, tiles.camera_inputs, tiles.ground_inputs)
    return Reference(released, tiles, features, maps)
