"""Centre targets, matching, and the way from maps to terms."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from perfect_network import one_by_one, perfect_maps

from crowd3d.bodies import load_body
from crowd3d.model import Crowd3DNet, Maps
from crowd3d.training.supervision import MAX_PEOPLE, Batch, Label, LossWeights, PosePriorGmm, Sample, collate, supervise
from crowd3d.training.supervision.annotation import Annotation, unlabelled
from crowd3d.training.supervision.center_targets import center_cells, center_radius, discs, draw_centers, person_centers, push_apart
from crowd3d.training.supervision.matching import match

TORSO = [16, 17, 45, 46]
BODY = load_body("free_low")
K = np.array([[600.0, 0, 200], [0, 600, 120], [0, 0, 1]])
PLANE = np.array([0.02, -0.98, -0.19, 0.0])
PLANE[:3] /= np.linalg.norm(PLANE[:3])
PLANE[3] = 4.0


def annotation(count: int = 3) -> Annotation:
    """People in a row who stand on the ground, everything known, in a tile that is a part of the scene."""
    rng = np.random.default_rng(count)
    pose = rng.normal(0, 0.15, (count, 24, 3))
    pose[:, 22:] = 0
    pose[:, 0] = [np.pi, 0, 0]
    betas = rng.normal(0, 0.5, (count, 10))
    joints = BODY.pose(pose, betas)[1]
    x, z = 1.3 * (np.arange(count) - (count - 1) / 2), 8.0
    ground_y = -(PLANE[3] + PLANE[0] * x + PLANE[2] * z) / PLANE[1]
    joints = joints - joints[:, :1] + np.stack([x, ground_y - 0.95, np.full(count, z)], 1)[:, None]
    torso = joints[:, TORSO].mean(1)
    hvip = torso - (torso @ PLANE[:3] + PLANE[3])[:, None] * PLANE[:3]

    def project(points: np.ndarray) -> np.ndarray:
        seen = points @ K.T
        return seen[..., :2] / seen[..., 2:]

    yes, every = np.ones(count, bool), np.ones((count, 54), bool)
    people = replace(
        unlabelled(count),
        keypoints_px=project(joints),
        keypoints_known=every,
        joints_cam_m=joints,
        joints_known=every,
        rotations=torch.linalg.matrix_exp(skew(torch.from_numpy(pose[:, :22]))).numpy(),
        orientation_known=yes,
        pose_known=yes,
        betas=betas,
        betas_known=yes,
        hvip_px=project(hvip),
        hvip_known=yes,
        torso_px=project(torso),
        torso_known=yes,
        root_cam_m=joints[:, [45, 46]].mean(1),
        root_known=yes,
    )
    image = np.zeros((256, 256, 3), np.uint8)
    return Annotation(image, np.array([30.0, 150.0]), 340.0, K, PLANE, 400.0, people)


def skew(vector: torch.Tensor) -> torch.Tensor:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return annotation().sample(256)


def test_a_person_is_centred_at_his_torso_in_the_tile() -> None:
    points = np.full((4, 54, 2), 0.9)
    visible = np.ones((4, 54), bool)
    points[0, TORSO] = [[0, 0], [0.2, 0], [0, 0.4], [0.2, 0.4]]
    points[1, TORSO] = [[-1.2, 0], [0.2, 0], [1.1, 0.4], [0.2, 0.4]]
    points[2, TORSO] = [1.2, 0]
    points[2, :8] = [0.5, 0.3]
    visible[2, 8:16] = visible[2, 18:45] = visible[2, 47:] = False
    visible[3] = False
    visible[3, :4] = True
    centers, known = person_centers(points, visible)
    assert known.tolist() == [True, True, True, False]
    np.testing.assert_allclose(centers[:3], [[0.1, 0.2], [0.2, 0.2], [0.5, 0.3]])


def test_peaks_grow_with_the_person_and_the_map() -> None:
    points = np.zeros((3, 54, 2))
    points[1, 0], points[1, 1] = [-0.5, -1], [0.5, 1]
    points[2, 0], points[2, 1] = [-1, -1], [1, 1]
    visible = np.ones((3, 54), bool)
    wanted = [max(2, int(1 + 7 * ((32**2 + 64**2) ** 0.5 / (64 * 2**0.5)) ** 2)), (1 + 7)]
    assert center_radius(points, visible, 64).tolist() == [2, *wanted]
    assert center_radius(points, visible, 32).tolist() == [1, 2, 4]
    visible[2] = False
    assert center_radius(points, visible, 64)[2] == 2


def test_centres_are_drawn_as_truncated_gaussians() -> None:
    """Against a loop over people and cells."""
    centers, radius = np.array([[-0.31, 0.2], [-0.2, 0.27], [0.95, -0.97]]), np.array([3.0, 5.0, 2.0])
    wanted = np.zeros((64, 64))
    for (x, y), r in zip(centers, radius, strict=True):
        column, row = int((x + 1) / 2 * 64), int((y + 1) / 2 * 64)
        for dy in range(-int(r), int(r) + 1):
            for dx in range(-int(r), int(r) + 1):
                if 0 <= row + dy < 64 and 0 <= column + dx < 64:
                    value = np.exp(-(dx**2 + dy**2) / (2 * ((2 * r + 1) / 6) ** 2))
                    wanted[row + dy, column + dx] = max(wanted[row + dy, column + dx], value)
    drawn = draw_centers(centers, radius, 64)
    np.testing.assert_allclose(drawn, wanted, atol=1e-6)
    assert (drawn == 1).sum() == 3
    assert not draw_centers(np.zeros((0, 2)), np.zeros(0), 64).any()


def test_close_centres_are_pushed_apart_once() -> None:
    centers, radius = np.array([[0.0, 0.0], [0.04, 0.02], [0.7, 0.7], [0.5, 0.5]]), np.full(4, 4.0)
    moved = push_apart(centers, radius, 64)
    np.testing.assert_array_equal(moved[2:], centers[2:])
    gap = np.linalg.norm(centers[1] - centers[0]) + 1e-4
    off = ((9 / 64 * 2 - gap) / gap) * (centers[1] - centers[0] + 1e-4) * 0.2
    np.testing.assert_allclose(moved[:2], [centers[0] - off / 2, centers[1] + off / 2])
    corner = push_apart(np.array([[0.99, 0.0], [0.97, 0.0]]), np.full(2, 8.0), 64)
    assert corner[0, 0] == 0.96


def test_a_sample_says_where_its_people_are(sample: Sample) -> None:
    labelled = annotation()
    torso = (labelled.people.torso_px - [30, 150]) / 170 - 1
    np.testing.assert_allclose(sample.torso[:3], torso, atol=1e-6)
    # the mean of the four joints in the image; that in space, projected, differs by perspective
    np.testing.assert_allclose(sample.person_centers[:3], sample.keypoints[:3, TORSO].mean(1), atol=1e-6)
    np.testing.assert_allclose(sample.person_centers[:3], torso, atol=2e-3)
    assert sample.masks.sum(0).tolist() == [3] * len(Label)
    cells = np.floor((torso + 1) / 2 * 32).astype(int)
    assert sorted(map(tuple, np.argwhere(sample.center_map[0] == 1)[:, ::-1])) == sorted(map(tuple, cells))
    np.testing.assert_array_equal(center_cells(torso, 32), cells)
    assert all(np.isfinite(np.asarray(field, np.float64)).all() for field in sample)


def test_joints_far_outside_are_not_supervised() -> None:
    labelled = annotation()
    points = labelled.people.keypoints_px.copy()
    points[0, 7] = labelled.origin_px + labelled.side_px * 1.3
    points[0, 8] = labelled.origin_px + labelled.side_px * 1.2
    made = replace(labelled, people=replace(labelled.people, keypoints_px=points)).sample(256)
    assert made.keypoints_known[0, 7:9].tolist() == [False, True]


def test_doubtful_people_are_neither_asked_for_nor_forbidden() -> None:
    labelled = annotation()
    doubtful = np.array([False, True, False])
    made = replace(labelled, people=replace(labelled.people, doubtful=doubtful)).sample(256)
    assert made.masks[:, Label.PRESENT].sum() == 2
    assert (made.center_map == 1).sum() == 2
    cell = center_cells(labelled.to_tile(labelled.people.torso_px), 32)
    assert made.counted[0, cell[:, 1], cell[:, 0]].tolist() == [True, False, True]
    assert discs(np.zeros((1, 2)), np.array([4.0]), 32).sum() == pytest.approx(np.pi * 16, rel=0.1)


def test_of_too_many_people_64_are_kept() -> None:
    labelled = annotation(2)
    crowd = replace(labelled, people=labelled.people.take(np.arange(80) % 2))
    assert crowd.sample(256).masks[:, Label.PRESENT].sum() == MAX_PEOPLE


def test_people_are_matched_to_the_nearest_prediction_of_their_image() -> None:
    """Against a loop over people; the second image has no prediction, the third a single one that everybody shares."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(3, MAX_PEOPLE, 2, generator=generator) * 2 - 1
    present = torch.rand(3, MAX_PEOPLE, generator=generator) < 0.4
    maps = torch.zeros(3, 1, 32, 32)
    cells = torch.randperm(64, generator=generator)[:9]
    maps[0, 0, (cells // 8) * 4, (cells % 8) * 4] = torch.linspace(0.3, 0.9, 9)
    maps[2, 0, 5, 6] = 0.21
    maps[1, 0, 7, 7] = 0.2
    matches = match(maps, centers, present, 0.2)
    wanted = []
    for image, person in present.nonzero().tolist():
        peaks = (maps[image, 0] > 0.2).nonzero().flip(1)
        if len(peaks):
            own = ((centers[image, person] + 1) / 2 * 32).long()
            distance = (peaks - own).square().sum(1)
            wanted.append((image, person, distance.min().item()))
    assert [pair[:2] for pair in wanted] == list(zip(matches.image_index.tolist(), matches.person_index.tolist(), strict=True))
    own = ((centers[matches.image_index, matches.person_index] + 1) / 2 * 32).long()
    assert (matches.cell - own).square().sum(1).tolist() == [pair[2] for pair in wanted]
    assert torch.equal(matches.score, maps[matches.image_index, 0, matches.cell[:, 1], matches.cell[:, 0]])


def test_the_truth_has_no_loss(sample: Sample) -> None:
    batch = one_by_one(sample)
    assert len(batch.images) == 3
    terms = supervise(perfect_maps(batch), batch, BODY, LossWeights(), None)
    assert set(terms) == set(asdict(LossWeights()))
    small = {name: float(value) for name, value in terms.items() if name not in ("prior", "center_map", "ground_normal", "out_of_bound")}
    # weights are in the hundreds, and numbers pass through float32
    assert {name: value for name, value in small.items() if value > 0.05} == {}


def test_every_term_notices_its_own_mistake(sample: Sample) -> None:
    batch = one_by_one(sample)
    alone = LossWeights(**dict.fromkeys(asdict(LossWeights()), 0.0))
    changes = {
        "hvip": ("hvip", 0.1),
        "torso_offset": ("torso", 0.1),
        "root_cam": ("root_cam_m", 0.1),
        "keypoints_2d": ("keypoints", 0.1),
        "shape": ("betas", 0.1),
    }
    for name, (field, shift) in changes.items():
        wrong = batch._replace(**{field: getattr(batch, field) + shift})
        terms = supervise(perfect_maps(batch), wrong, BODY, replace(alone, **{name: 1.0}), None)
        assert list(terms) == [name]
        expected = {"shape": 0.1 * 10**0.5 / 20, "root_cam": 0.1 * 3**0.5}.get(name, 0.1 * 2**0.5)
        weights = {"keypoints_2d": 32.8 / 54}.get(name, 1.0)
        assert float(terms[name]) == pytest.approx(expected * weights, rel=0.02)


def test_gradients_reach_the_heads_and_stay_finite(sample: Sample) -> None:
    torch.manual_seed(0)
    batch = collate([sample, sample])
    network = Crowd3DNet("compact")
    prior = PosePriorGmm.from_arrays(np.zeros((2, 69)), np.tile(np.eye(69), (2, 1, 1)), np.array([0.4, 0.6]))
    for threshold in (-10.0, 10.0):
        network.zero_grad()
        maps = network(batch.images, batch.views.camera_inputs, batch.views.ground_inputs)
        terms = supervise(maps, batch, BODY, LossWeights(), prior, threshold=threshold)
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
        assert bool(network.final_layers["1"][2].weight.grad.any()) == (threshold < 0)
    centers = supervise(maps, batch, BODY, LossWeights(), prior, threshold=-10.0, centers_only=True)
    assert list(centers) == ["center_map"]


def test_people_above_the_horizon_do_not_spoil_the_rest(sample: Sample) -> None:
    batch = one_by_one(sample)
    lifted = batch.planes.clone()
    lifted[0] = torch.tensor([0.0, -np.cos(0.6), np.sin(0.6), 2.0])
    batch = batch._replace(planes=lifted)
    maps = perfect_maps(batch)
    params = maps.params_maps.clone().requires_grad_()
    weights = LossWeights(prior=0.0)
    terms = supervise(Maps(params, maps.center_map), batch, BODY, weights, None)
    torch.stack(list(terms.values())).sum().backward()
    assert torch.isfinite(params.grad).all()
    assert float(terms["keypoints_2d"].detach()) < 0.05


def test_a_batch_moves_and_shows_its_geometry(sample: Sample) -> None:
    batch: Batch = collate([sample, sample]).to("cpu")
    assert batch.images.shape == (2, 256, 256, 3)
    views = batch.views
    np.testing.assert_allclose(views.camera_inputs[0].numpy(), [600 / 400, (200 - 30) / 340, (120 - 150) / 340], rtol=1e-6)
    np.testing.assert_allclose(views.to_tile(views.to_scene_px(batch.hvip[:, 0].double())).numpy(), batch.hvip[:, 0].numpy(), atol=1e-6)
