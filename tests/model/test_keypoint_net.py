"""Decoding and loss of the keypoint network on planted heat maps."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch.nn import functional as F

from crowd3d.model.crop_points import CROP_SIZE, ENLARGED, FLIP_POINTS, HVIP, POINTS, STRIDE, all_views, decode_crop_points
from crowd3d.model.keypoint_net import KeypointNet
from crowd3d.training.keypoint_loss import keypoint_loss

HEIGHT, WIDTH = CROP_SIZE[0] // STRIDE, CROP_SIZE[1] // STRIDE
NOTHING = np.zeros((6, POINTS, 3), np.float32)


def planted(xy_px: np.ndarray, sigma_cells: float) -> np.ndarray:
    """Logits of Gaussians at crop pixels (B, 19, 2)."""
    cell = xy_px[..., None, None] / STRIDE - 0.5
    square = (np.arange(WIDTH) - cell[..., 0, :, :]) ** 2 + (np.arange(HEIGHT)[:, None] - cell[..., 1, :, :]) ** 2
    return (-square / (2 * sigma_cells**2)).astype(np.float32)


@pytest.fixture
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return STRIDE * rng.uniform([5, 5], [WIDTH - 5, HEIGHT - 5], (6, POINTS, 2)).astype(np.float32)


@pytest.mark.parametrize("sigma_cells", [0.7, 1.0])
def test_decoding_finds_planted_points_and_their_spread(points, sigma_cells):
    found = decode_crop_points(planted(points, sigma_cells), NOTHING)
    assert np.abs(found.xy_px - points).max() < 0.09 * STRIDE
    np.testing.assert_allclose(found.sigma_px, sigma_cells * STRIDE, rtol=0.03)
    np.testing.assert_allclose(found.visible, 0.5)
    np.testing.assert_allclose(found.depth_sigma_m, 1.0)


def test_spread_of_an_undecided_map_is_wide(points):
    two_places = np.logaddexp(planted(points, 0.8), planted(points[::-1], 0.8))
    apart = np.linalg.norm(points - points[::-1], axis=-1)
    found = decode_crop_points(two_places, NOTHING)
    assert (found.sigma_px[apart > 7.5 * STRIDE] > 2.5 * STRIDE).all()


def test_the_second_place_and_its_probability_are_found(points):
    second, share = points[::-1], 0.3
    apart = np.linalg.norm(points - second, axis=-1) > 8 * STRIDE
    parts = [log_softmax(planted(p, 0.8), (2, 3)) + np.log(weight) for p, weight in ((points, 1 - share), (second, share))]
    found = decode_crop_points(np.logaddexp(*parts), NOTHING)
    assert apart.sum() > 20
    assert np.abs(found.xy_px - points)[apart].max() < 0.1 * STRIDE
    assert np.abs(found.other_xy_px - second)[apart].max() < 0.1 * STRIDE
    np.testing.assert_allclose(found.other_share[apart], share, atol=0.02)
    sure = decode_crop_points(planted(points, 0.6), NOTHING)
    assert sure.other_share.max() < 0.01


def test_loss_is_least_at_the_truth_and_ignores_what_does_not_count(points):
    present = torch.ones(6, dtype=torch.bool)
    visibility = torch.full((6, POINTS), 2)
    depth = torch.zeros(6, POINTS)
    attributes = torch.zeros(6, POINTS, 3)

    def heat_term(heat, there=present):
        return float(keypoint_loss(torch.from_numpy(heat), attributes, torch.from_numpy(points), visibility, depth, there)["heat"])

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


@torch.inference_mode()
def test_the_stem_sees_the_crop_at_half_its_resolution():
    network = KeypointNet().eval()
    images = torch.rand(2, 3, *CROP_SIZE)
    torch.testing.assert_close(network._half(images), network.stem(F.avg_pool2d(images, 2)), atol=1e-5, rtol=0)


def test_another_look_finds_the_same_place_in_every_view():
    """A network that sees one white spot as all points; which point is which it tells by the side that is redder."""
    order = np.arange(POINTS, dtype=np.float32)

    def network(images):
        white = images.min(-1) / images.min(-1).sum((1, 2), keepdims=True)
        x, y = np.arange(CROP_SIZE[1]) + 0.5, np.arange(CROP_SIZE[0])[:, None] + 0.5
        spot = np.stack([(white * x).sum((1, 2)), (white * y).sum((1, 2))], -1)
        red = images[..., 0] - images[..., 2]
        mirrored = red[:, :, : CROP_SIZE[1] // 2].mean((1, 2)) < red[:, :, CROP_SIZE[1] // 2 :].mean((1, 2))
        shown = np.where(mirrored[:, None], order[FLIP_POINTS], order)
        return planted(np.repeat(spot[:, None], POINTS, 1), 0.9), np.repeat(shown[..., None], 3, -1)

    spots = np.array([[96.0, 128.0], [60.0, 200.0], [120.0, 30.0]])
    images = np.zeros((3, *CROP_SIZE, 3), np.float32)
    images[:, :, : CROP_SIZE[1] // 2, 0] = 40.0
    for image, (x, y) in zip(images, spots.astype(int).tolist(), strict=True):
        image[y - 3 : y + 3, x - 3 : x + 3] = 255.0
    heat, attributes = all_views(network, images, network(images))
    found = decode_crop_points(heat, attributes)
    assert np.abs(found.xy_px - spots[:, None]).max() < 0.15 * STRIDE
    assert np.abs(attributes[..., 0] - order).max() < 1e-5, "left and right are told apart in every view"
    assert (found.sigma_px < 1.2 * STRIDE).all()


def test_points_outside_of_the_enlarged_view_are_left_to_the_whole_one():
    def network(images):
        """Everything at the lower border of whatever is shown."""
        border = np.array([CROP_SIZE[1] / 2, CROP_SIZE[0] - STRIDE / 2])
        return planted(np.tile(border, (len(images), POINTS, 1)), 0.5), np.zeros((len(images), POINTS, 3))

    images = np.zeros((2, *CROP_SIZE, 3), np.float32)
    seen = network(images)
    np.testing.assert_allclose(np.exp(all_views(network, images, seen)[0]), softmax(seen[0], (2, 3)), atol=1e-5)


def test_the_enlarged_view_counts_half_but_not_for_the_hvip():
    """A network that sees everything in the middle, and 40 px above it in the two enlarged views."""
    middle, above = np.array([96.0, 128.0]), np.array([96.0, 88.0])

    def network(images):
        enlarged = np.arange(len(images)) >= 1
        place = np.where(enlarged[:, None, None], above, middle)
        return planted(np.repeat(place, POINTS, 1), 0.5), np.zeros((len(images), POINTS, 3))

    images = np.zeros((1, *CROP_SIZE, 3), np.float32)
    probability = np.exp(all_views(network, images, network(images))[0])[0]
    rows = (np.arange(HEIGHT) + 0.5) * STRIDE
    upper = probability[:, rows < 112].sum((1, 2))
    np.testing.assert_allclose(upper[:HVIP], 0.5, atol=0.01)
    assert upper[HVIP] < 0.01
    place = (probability.sum(2) * rows)[:, rows < 112].sum(1)[:HVIP] / upper[:HVIP]
    np.testing.assert_allclose(place, 128 - 40 * ENLARGED, atol=STRIDE / 8)


def test_enlarged_and_shrunk_views_are_those_of_another_library(points):
    """PyTorch's bilinear interpolation and sampling of a grid."""
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 255, (2, *CROP_SIZE, 3)).astype(np.float32)
    shown = []

    def network(crops):
        shown.append(crops)
        return planted(np.concatenate([points] * 3)[: len(crops)], 0.9), np.zeros((len(crops), POINTS, 3), np.float32)

    seen = network(images)
    heat = np.exp(all_views(network, images, seen)[0])
    margins = [round((1 - ENLARGED) / 2 * side) for side in CROP_SIZE]
    inner = torch.from_numpy(images[:, margins[0] : CROP_SIZE[0] - margins[0], margins[1] : CROP_SIZE[1] - margins[1]]).permute(0, 3, 1, 2)
    close = torch.nn.functional.interpolate(inner, size=CROP_SIZE, mode="bilinear").permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(shown[1], np.concatenate([images[:, :, ::-1], close, close[:, :, ::-1]]), atol=0.01)
    _, near, near_mirrored = np.split(softmax(planted(np.concatenate([points] * 3)[:6], 0.9), (2, 3)), 3)
    near = torch.from_numpy((near + near_mirrored[:, FLIP_POINTS, :, ::-1]) / 2)
    turn = torch.tensor([[1 / ENLARGED, 0.0, 0.0], [0.0, 1 / ENLARGED, 0.0]]).expand(2, 2, 3)
    grid = torch.nn.functional.affine_grid(turn, list(near.shape), align_corners=False)
    shrunk = torch.nn.functional.grid_sample(near, grid, align_corners=False)
    shrunk = (shrunk / shrunk.sum((2, 3), keepdim=True)).numpy()
    mirrored = softmax(planted(np.concatenate([points] * 3)[:2], 0.9), (2, 3))[:, FLIP_POINTS, :, ::-1]
    whole = (softmax(seen[0], (2, 3)) + mirrored) / 2
    np.testing.assert_allclose(heat[:, :HVIP], ((whole + shrunk) / 2)[:, :HVIP], atol=1e-5)
