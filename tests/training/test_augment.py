"""Augmentation: what changes in the picture changes in camera, ground and labels, and a network that knew the truth still does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from perfect_network import one_by_one, perfect_maps

from crowd3d.bodies import load_body
from crowd3d.geometry.projection import project_points
from crowd3d.training.augment import SMPL54_FLIP, Augmentation, augment, flip, occlude, random_window, vary_colour, window
from crowd3d.training.datasets.synthetic import draw_tile
from crowd3d.training.supervision import Label, LossWeights, supervise
from crowd3d.training.supervision.annotation import Annotation

SIZE = 256
LENS = np.array([-0.2, 0.25, -0.003, -0.001, -0.0014])
IMAGE_TERMS = LossWeights(*(0.0,) * 12)
SPACE = replace(IMAGE_TERMS, keypoints_2d=1, mpjpe=1, pa_mpjpe=1, pose=1, shape=1, hvip=1, torso_offset=1, root_cam=1, out_of_bound=1)


@pytest.fixture(scope="module")
def tile() -> Annotation:
    return draw_tile(np.random.default_rng([0, 1]), SIZE)


def reprojected(annotation: Annotation) -> np.ndarray:
    """(N, 54, 2) the 3D joints seen by the camera."""
    joints = torch.from_numpy(annotation.people.joints_cam_m)
    K, lens = (torch.from_numpy(a).expand(len(joints), *a.shape) for a in (annotation.K, annotation.distortion))
    return project_points(joints, K, lens)[0].numpy()


def check_geometry(annotation: Annotation) -> None:
    """Joints, HVIPs and torso centres agree with the camera and the ground."""
    people = annotation.people
    np.testing.assert_allclose(reprojected(annotation)[people.keypoints_known], people.keypoints_px[people.keypoints_known], atol=1e-3)
    rays = np.linalg.solve(annotation.K, np.insert(people.hvip_px, 2, 1, axis=1).T).T
    on_ground = rays * (-annotation.plane[3] / (rays @ annotation.plane[:3]))[:, None]
    torso = people.joints_cam_m[:, [16, 17, 45, 46]].mean(1)
    up = torso - on_ground
    np.testing.assert_allclose(up / np.linalg.norm(up, axis=1, keepdims=True), np.tile(annotation.plane[:3], (len(up), 1)), atol=2e-3)
    np.testing.assert_allclose(people.root_cam_m, people.joints_cam_m[:, [45, 46]].mean(1), atol=1e-6)


def check_supervision(annotation: Annotation) -> None:
    """The loss of a network that knows the truth is next to nothing."""
    batch = one_by_one(annotation.sample(SIZE))
    assert len(batch.images) >= 3
    terms = supervise(perfect_maps(batch), batch, load_body("free_low"), SPACE, None)
    assert {name: float(value) for name, value in terms.items() if name not in ("root_cam", "out_of_bound") and value > 4e-3} == {}
    # metres, tens of them away
    assert float(terms["root_cam"]) < 0.1
    assert float(terms["out_of_bound"]) < 0.02


def test_the_truth_has_no_loss(tile: Annotation) -> None:
    check_geometry(tile)
    check_supervision(tile)


def test_flip(tile: Annotation) -> None:
    mirrored = flip(tile)
    np.testing.assert_array_equal(mirrored.image, tile.image[:, ::-1])
    assert mirrored.plane[0] == -tile.plane[0]
    check_geometry(mirrored)
    check_supervision(mirrored)
    ours, theirs = mirrored.sample(SIZE), tile.sample(SIZE)
    np.testing.assert_array_equal(ours.center_map, theirs.center_map[..., ::-1])
    np.testing.assert_array_equal(ours.counted, theirs.counted[..., ::-1])
    np.testing.assert_allclose(ours.hvip[:, 0][theirs.masks[:, Label.HVIP]], -theirs.hvip[:, 0][theirs.masks[:, Label.HVIP]], atol=1e-5)
    # the left wrist of the person in the mirror is the right one's image
    np.testing.assert_allclose(ours.keypoints[0, 20], theirs.keypoints[0, 21] * [-1, 1], atol=1e-5)


def test_flip_mirrors_the_lens(tile: Annotation) -> None:
    K = tile.K * [[0.05], [0.05], [1]]
    seen = replace(tile, K=K, distortion=LENS)
    seen = replace(seen, people=replace(seen.people, keypoints_px=reprojected(seen), keypoints_known=seen.people.joints_known))
    mirrored = flip(seen)
    np.testing.assert_allclose(reprojected(mirrored), mirrored.people.keypoints_px, atol=1e-6)


def test_two_flips_are_none(tile: Annotation) -> None:
    twice = flip(flip(tile))
    for name in ("keypoints_px", "rotations", "joints_cam_m", "hvip_px"):
        np.testing.assert_allclose(getattr(twice.people, name), getattr(tile.people, name), atol=1e-9)
    np.testing.assert_allclose(twice.K, tile.K)
    np.testing.assert_allclose(twice.origin_px, tile.origin_px)
    np.testing.assert_array_equal(SMPL54_FLIP[SMPL54_FLIP], np.arange(54))


@pytest.mark.parametrize("zoom", [0.7, 1.3], ids=["in", "out"])
def test_zoom_and_crop(tile: Annotation, zoom: float) -> None:
    side = tile.side_px * zoom
    moved = window(tile, tile.origin_px + (tile.side_px - side) * np.array([0.3, 0.8]), side)
    check_geometry(moved)
    check_supervision(moved)
    np.testing.assert_allclose(moved.to_tile(moved.origin_px + moved.side_px), 1)


def test_a_window_moves_pixels_and_labels_alike(tile: Annotation) -> None:
    """A white square on black is found where its corners' coordinates say, to a tenth of a pixel."""
    picture = np.zeros_like(tile.image)
    picture[100:140, 60:110] = 255
    side = tile.side_px * 0.8
    moved = window(replace(tile, image=picture), tile.origin_px + [13.3, 21.7], side)
    weight = moved.image[..., 0] / 255.0
    found = [(weight.sum(0) * (np.arange(SIZE) + 0.5)).sum() / weight.sum(), (weight.sum(1) * (np.arange(SIZE) + 0.5)).sum() / weight.sum()]
    scene = tile.origin_px + np.array([85.0, 120.0]) * tile.side_px / SIZE
    np.testing.assert_allclose(found, (moved.to_tile(scene) + 1) / 2 * SIZE, atol=0.1)


def test_random_windows_differ_and_stay_within_their_range(tile: Annotation) -> None:
    windows = [random_window(tile, np.random.default_rng(seed), 1.25) for seed in range(20)]
    zoom = np.array([w.side_px for w in windows]) / tile.side_px
    assert zoom.min() >= 1 / 1.25
    assert zoom.max() <= 1.25
    assert np.ptp(zoom) > 0.2
    for w in windows:
        apart = np.sort(np.stack([w.origin_px - tile.origin_px, w.origin_px + w.side_px - tile.origin_px - tile.side_px]), axis=0)
        assert (apart[0] <= 1e-9).all()
        assert (apart[1] >= -1e-9).all()


def test_occlusion_hides_something_but_nobodys_middle(tile: Annotation) -> None:
    hidden = 0
    for seed in range(20):
        covered = occlude(tile, np.random.default_rng(seed), 0.15)
        changed = (covered.image != tile.image).any(2)
        torso = tile.people.torso_px[((tile.people.torso_px > 0) & (tile.people.torso_px < SIZE)).all(1)].astype(int)
        assert not changed[torso[:, 1], torso[:, 0]].any()
        assert changed.mean() < 0.15**2
        assert covered.people is tile.people
        hidden += changed.sum() > 20
    assert hidden >= 10


def test_colours_change_and_places_do_not(tile: Annotation) -> None:
    recoloured = vary_colour(tile.image, np.random.default_rng(1), 0.2)
    assert 1 < np.abs(recoloured.astype(float) - tile.image).mean() < 60
    correlation = np.corrcoef(recoloured[..., 1].ravel(), tile.image[..., 1].ravel())[0, 1]
    assert correlation > 0.97


def test_augmentation_really_happens_and_repeats(tile: Annotation) -> None:
    everything = Augmentation(flip=1, zoom=1, colour=1, occlusion=1)
    first, again, other = (augment(tile, np.random.default_rng(seed), everything) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.side_px == again.side_px != other.side_px
    assert first.plane[0] == -tile.plane[0]
    check_geometry(first)
    flips = [augment(tile, np.random.default_rng(seed), Augmentation()).plane[0] != tile.plane[0] for seed in range(40)]
    assert 10 < sum(flips) < 30
