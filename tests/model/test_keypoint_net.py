"""Decoding and loss of the keypoint network on planted heat maps."""

import numpy as np
import pytest
import torch

from crowd3d.model.keypoint_net import CROP_SIZE, ENLARGED, FLIP_POINTS, HVIP, POINTS, STRIDE, KeypointNet, all_views, decode_crop_points
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
    return torch.from_numpy(STRIDE * rng.uniform([5, 5], [WIDTH - 5, HEIGHT - 5], (6, POINTS, 2))).float()


@pytest.mark.parametrize("sigma_cells", [0.7, 1.0])
def test_decoding_finds_planted_points_and_their_spread(points, sigma_cells):
    found = decode_crop_points(planted(points, sigma_cells), torch.zeros(6, POINTS, 3))
    assert (found.xy_px - points).abs().max() < 0.09 * STRIDE
    np.testing.assert_allclose(found.sigma_px, sigma_cells * STRIDE, rtol=0.03)
    np.testing.assert_allclose(found.visible, 0.5)
    np.testing.assert_allclose(found.depth_sigma_m, 1.0)


def test_spread_of_an_undecided_map_is_wide(points):
    two_places = torch.logaddexp(planted(points, 0.8), planted(points.flip(0), 0.8))
    apart = (points - points.flip(0)).norm(dim=-1)
    found = decode_crop_points(two_places, torch.zeros(6, POINTS, 3))
    assert (found.sigma_px[apart > 7.5 * STRIDE] > 2.5 * STRIDE).all()


def test_the_second_place_and_its_probability_are_found(points):
    second, share = points.flip(0), 0.3
    apart = (points - second).norm(dim=-1) > 8 * STRIDE
    parts = [planted(p, 0.8).flatten(2).log_softmax(-1) + np.log(weight) for p, weight in ((points, 1 - share), (second, share))]
    found = decode_crop_points(torch.logaddexp(*parts).unflatten(2, (HEIGHT, WIDTH)), torch.zeros(6, POINTS, 3))
    assert apart.sum() > 20
    assert (found.xy_px - points)[apart].abs().max() < 0.1 * STRIDE
    assert (found.other_xy_px - second)[apart].abs().max() < 0.1 * STRIDE
    np.testing.assert_allclose(found.other_share[apart], share, atol=0.02)
    sure = decode_crop_points(planted(points, 0.6), torch.zeros(6, POINTS, 3))
    assert sure.other_share.max() < 0.01


def test_loss_is_least_at_the_truth_and_ignores_what_does_not_count(points):
    present = torch.ones(6, dtype=torch.bool)
    visibility = torch.full((6, POINTS), 2)
    depth = torch.zeros(6, POINTS)
    attributes = torch.zeros(6, POINTS, 3)

    def heat_term(heat, xy=points, visible=visibility, there=present):
        return float(keypoint_loss(heat, attributes, xy, visible, depth, there)["heat"])

    right = heat_term(planted(points, 0.9))
    assert right < heat_term(planted(points + STRIDE, 0.9))
    assert right < heat_term(planted(points, 1.5))
    spoiled = planted(points, 0.9)
    spoiled[0] = planted(points[:1] + 5 * STRIDE, 0.9)[0]
    absent = present.clone()
    absent[0] = False
    assert heat_term(spoiled, there=absent) == pytest.approx(right, rel=0.05)
    assert heat_term(spoiled) > 1.2 * right


def test_network_shapes():
    heat, attributes = KeypointNet().eval()(torch.rand(2, *CROP_SIZE, 3) * 255)
    assert heat.shape == (2, POINTS, HEIGHT, WIDTH)
    assert attributes.shape == (2, POINTS, 3)


def test_another_look_finds_the_same_place_in_every_view():
    """A network that sees one white spot as all points; which point is which it tells by the side that is redder."""
    order = torch.arange(POINTS, dtype=torch.float32)

    def network(images):
        white = images.amin(-1) / images.amin(-1).sum((1, 2), keepdim=True)
        y, x = torch.meshgrid(torch.arange(CROP_SIZE[0]) + 0.5, torch.arange(CROP_SIZE[1]) + 0.5, indexing="ij")
        spot = torch.stack([(white * x).sum((1, 2)), (white * y).sum((1, 2))], -1)
        red = images[..., 0] - images[..., 2]
        mirrored = red[:, :, : CROP_SIZE[1] // 2].mean((1, 2)) < red[:, :, CROP_SIZE[1] // 2 :].mean((1, 2))
        shown = torch.where(mirrored[:, None], order[torch.from_numpy(FLIP_POINTS)], order)
        return planted(spot[:, None].expand(-1, POINTS, 2), 0.9), shown[..., None].expand(-1, -1, 3)

    spots = torch.tensor([[96.0, 128.0], [60.0, 200.0], [120.0, 30.0]])
    images = torch.zeros(3, *CROP_SIZE, 3)
    images[:, :, : CROP_SIZE[1] // 2, 0] = 40.0
    for image, (x, y) in zip(images, spots.int().tolist(), strict=True):
        image[y - 3 : y + 3, x - 3 : x + 3] = 255.0
    heat, attributes = all_views(network, images, network(images))
    found = decode_crop_points(heat, attributes)
    assert (found.xy_px - spots[:, None]).abs().max() < 0.15 * STRIDE
    assert (attributes[..., 0] - order).abs().max() < 1e-5, "left and right are told apart in every view"
    assert (found.sigma_px < 1.2 * STRIDE).all()


def test_points_outside_of_the_enlarged_view_are_left_to_the_whole_one():
    def network(images):
        """Everything at the lower border of whatever is shown."""
        border = torch.tensor([CROP_SIZE[1] / 2, CROP_SIZE[0] - STRIDE / 2])
        return planted(border.expand(len(images), POINTS, 2), 0.5), torch.zeros(len(images), POINTS, 3)

    images = torch.zeros(2, *CROP_SIZE, 3)
    heat = network(images)[0]
    torch.testing.assert_close(all_views(network, images, network(images))[0].exp(), heat.flatten(2).softmax(-1).reshape(heat.shape))


def test_the_enlarged_view_counts_half_but_not_for_the_hvip():
    """A network that sees everything in the middle, and 40 px above it in the two enlarged views."""
    middle, above = torch.tensor([96.0, 128.0]), torch.tensor([96.0, 88.0])

    def network(images):
        enlarged = torch.arange(len(images)) >= 1
        return planted(torch.where(enlarged[:, None, None], above, middle).expand(-1, POINTS, 2), 0.5), torch.zeros(len(images), POINTS, 3)

    images = torch.zeros(1, *CROP_SIZE, 3)
    probability = all_views(network, images, network(images))[0].exp()[0]
    rows = (torch.arange(HEIGHT) + 0.5) * STRIDE
    upper = probability[:, rows < 112].sum((1, 2))
    torch.testing.assert_close(upper[:HVIP], torch.full((HVIP,), 0.5), atol=0.01, rtol=0)
    assert upper[HVIP] < 0.01
    place = (probability.sum(2) * rows)[:, rows < 112].sum(1)[:HVIP] / upper[:HVIP]
    torch.testing.assert_close(place, torch.full((HVIP,), 128 - 40 * ENLARGED), atol=STRIDE / 8, rtol=0)
