from __future__ import annotations

import numpy as np
import pytest
import torch
from released_layout import SMPL_PREFIX, released_layout

from crowd3d.model import Crowd3DNet
from crowd3d.model.crowd3dnet import BACKBONES
from crowd3d.model.heads import coordinate_maps

SIDE = 64


def inputs(batch: int, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tiles of different scenes: every sample has its own camera and ground."""
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(batch, side, side, 3, generator=draw) * 255
    return images, torch.randn(batch, 3, generator=draw) * 5, torch.randn(batch, 4, generator=draw)


@pytest.fixture(scope="module", params=BACKBONES)
def network(request: pytest.FixtureRequest) -> Crowd3DNet:
    torch.manual_seed(0)
    return Crowd3DNet(request.param).eval()


def test_state_dict_is_the_released_one_without_smpl() -> None:
    expected = [(key, shape, dtype) for key, (shape, dtype) in released_layout().items() if not key.startswith(SMPL_PREFIX)]
    state = Crowd3DNet().state_dict()
    assert [(key, tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in state.items()] == expected


def test_resnet_has_as_many_entries_as_the_release() -> None:
    smpl_entries = sum(key.startswith(SMPL_PREFIX) for key in released_layout())
    state = Crowd3DNet("resnet50").state_dict()
    assert len(state) + smpl_entries == 491
    assert state["backbone.deconv_layers.6.weight"].shape == (128, 64, 4, 4)
    assert state["final_layers.1.0.0.weight"].shape == (64, 82, 3, 3)


def test_compact_network_is_small_enough_to_ship() -> None:
    assert sum(p.numel() for p in Crowd3DNet("compact").parameters()) * 2 <= 10e6


def test_features_agree_with_the_release(reference) -> None:
    # Values reach 208, so float32 itself is coarser than 1e-4 here: the released values are up to 1.6e-4 away from ours in float64.
    np.testing.assert_allclose(reference.features[:, :, ::8, ::8].numpy(), reference.released["backbone"], atol=3e-6 * 208)


def test_inputs_and_maps_agree_with_the_release(reference) -> None:
    released, maps = reference.released, reference.maps
    np.testing.assert_allclose(reference.tiles.camera_inputs.numpy(), released["camera_input"], atol=1e-6)
    np.testing.assert_allclose(reference.tiles.ground_inputs.numpy(), released["ground_input"], atol=1e-5)
    np.testing.assert_allclose(maps.center_map.numpy(), released["center_map"], atol=1e-4)
    np.testing.assert_allclose(maps.params_maps[..., ::8, ::8].numpy(), released["params_maps"], atol=1e-4)
    checksum = maps.params_maps.double().sum((2, 3)).numpy()
    np.testing.assert_allclose(checksum, released["params_maps_full_checksum"], atol=1e-4 * 64)


def test_coordinate_maps_run_from_corner_to_corner() -> None:
    maps = coordinate_maps(torch.zeros(3, 5, 128, 128, dtype=torch.bfloat16))
    assert maps.shape == (3, 2, 128, 128)
    exact = coordinate_maps(torch.zeros(1, 5, 128, 128))
    np.testing.assert_array_equal(exact[0, 0, 7].numpy(), np.arange(128, dtype=np.float32) / np.float32(127) * 2 - 1)
    np.testing.assert_array_equal(exact[0, 1].numpy(), exact[0, 0].T.numpy())


@torch.inference_mode()
def test_maps_have_an_eighth_of_the_side(network: Crowd3DNet) -> None:
    maps = network(*inputs(2, 96))
    assert maps.params_maps.shape == (2, 148, 12, 12)
    assert maps.center_map.shape == (2, 1, 12, 12)
    bounded = maps.params_maps[:, :6]
    assert ((bounded > 0) & (bounded < 1)).all()


@torch.inference_mode()
def test_a_tile_alone_equals_the_tile_in_a_batch(network: Crowd3DNet) -> None:
    batch = inputs(3)
    together = network(*batch)
    for i in range(3):
        for alone, one_of_many in zip(network(*[tensor[i : i + 1] for tensor in batch]), together, strict=True):
            torch.testing.assert_close(alone[0], one_of_many[i], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_ground_matters_to_the_parameters_only_and_its_scale_not_at_all(network: Crowd3DNet) -> None:
    images, camera, ground = inputs(1)
    maps, scaled, unknown = (network(images, camera, g) for g in (ground, 7.0 * ground, torch.zeros_like(ground)))
    torch.testing.assert_close(scaled.params_maps, maps.params_maps, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(unknown.center_map, maps.center_map)
    torch.testing.assert_close(unknown.params_maps[:, :3], maps.params_maps[:, :3])
    assert torch.isfinite(unknown.params_maps).all()
    assert (unknown.params_maps[:, 3:] - maps.params_maps[:, 3:]).abs().max() > 1e-3


@torch.inference_mode()
def test_bytes_are_as_good_as_floats(network: Crowd3DNet) -> None:
    images, camera, ground = inputs(1)
    for bytes_, floats in zip(network(images.byte(), camera, ground), network(images.byte().float(), camera, ground), strict=True):
        torch.testing.assert_close(bytes_, floats)


def test_every_parameter_learns(network: Crowd3DNet) -> None:
    network.train()
    maps = network(*inputs(2))
    (maps.params_maps.square().mean() + maps.center_map.square().mean()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    network.zero_grad(set_to_none=True)
    network.eval()
