"""Decoding and loss of the keypoint network on planted heat maps."""

import numpy as np
import pytest
import torch

from crowd3d.model.keypoint_net import CROP_SIZE, POINTS, STRIDE, KeypointNet, decode_crop_points
from crowd3d.training.keypoint_loss import keypoint_loss

HEIGHT, WIDTH = CROP_SIZE[0] // STRIDE, CROP_SIZE[1] // STRIDE


def planted(xy_px: torch.Tensor, sigma_cells: float) -> torch.Tensor:
    """Logits of Gaussians at crop pixels (B, 19, 2)."""
    cell = xy_px / STRIDE - 0.5
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    square = (x - cell[..., 0, None, None]) ** 2 + (y - cell[..., 1, None, None]) ** 2
    return -square / (2 * sigma_cells**2)


@pytest.fixture
def points() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform([20, 20], [76, 108], (6, POINTS, 2))).float()


@pytest.mark.parametrize("sigma_cells", [0.7, 1.0])
def test_decoding_finds_planted_points_and_their_spread(points, sigma_cells):
    found = decode_crop_points(planted(points, sigma_cells), torch.zeros(6, POINTS, 3))
    assert (found.xy_px - points).abs().max() < 0.35
    np.testing.assert_allclose(found.sigma_px, sigma_cells * STRIDE, rtol=0.03)
    np.testing.assert_allclose(found.visible, 0.5)
    np.testing.assert_allclose(found.depth_sigma_m, 1.0)


def test_spread_of_an_undecided_map_is_wide(points):
    two_places = torch.logaddexp(planted(points, 0.8), planted(points.flip(0), 0.8))
    apart = (points - points.flip(0)).norm(dim=-1)
    found = decode_crop_points(two_places, torch.zeros(6, POINTS, 3))
    assert (found.sigma_px[apart > 30] > 10).all()


def test_loss_is_least_at_the_truth_and_ignores_what_does_not_count(points):
    present = torch.ones(6, dtype=torch.bool)
    visibility = torch.full((6, POINTS), 2)
    depth = torch.zeros(6, POINTS)
    attributes = torch.zeros(6, POINTS, 3)

    def heat_term(heat, xy=points, visible=visibility, there=present):
        return float(keypoint_loss(heat, attributes, xy, visible, depth, there)["heat"])

    right = heat_term(planted(points, 0.9))
    assert right < heat_term(planted(points + 4.0, 0.9))
    assert right < heat_term(planted(points, 1.5))
    spoiled = planted(points, 0.9)
    spoiled[0] = planted(points[:1] + 20, 0.9)[0]
    absent = present.clone()
    absent[0] = False
    assert heat_term(spoiled, there=absent) == pytest.approx(right, rel=0.05)
    assert heat_term(spoiled) > 1.2 * right


def test_network_shapes():
    heat, attributes = KeypointNet().eval()(torch.rand(2, *CROP_SIZE, 3) * 255)
    assert heat.shape == (2, POINTS, HEIGHT, WIDTH)
    assert attributes.shape == (2, POINTS, 3)
