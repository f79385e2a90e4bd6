"""The lifter's training pairs against the geometry that the pipeline measures with, and against posed bodies."""

import numpy as np
import pytest
import torch

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.model.lifter_values import LOG_SIGMA_UNKNOWN, LifterInput
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.scene.measuring import measure
from crowd3d.training import lifter_data
from crowd3d.training.lifter_data import PairMaker
from crowd3d.training.lifter_pairs import LifterPairs, LifterTruth
from crowd3d.types import Keypoints

PEOPLE = 40


def without_error(count: int) -> LifterPairs:
    """Predictions that are exactly right, of people who do not matter."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=(count, *shape)).astype(np.float32))

    tangent, depth, hvip = normal(17, 2), normal(17), normal(2)
    measured = LifterInput(
        tangent, depth, normal(17, 2), normal(17), normal(17, 2), normal(17).sigmoid(), normal().abs(), normal().abs() + 5, hvip
    )
    rotations = torch.linalg.qr(normal(24, 3, 3))[0]
    truth = LifterTruth(rotations * torch.linalg.det(rotations)[..., None, None], normal(10), hvip, normal(2))
    return LifterPairs(measured, truth, tangent, depth)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> PairMaker:
    for share in ("UNKNOWN_DEPTH_SHARE", "OTHER_BACKEND_SHARE", "SCALE_SIGMA"):
        monkeypatch.setattr(lifter_data, share, 0.0)
    return PairMaker([without_error(PEOPLE)], seed=1, skeletons=300)


def joints54(truth: LifterTruth) -> np.ndarray:
    """(N, 54, 3) joints of the true bodies about their torso centre, upright frame."""
    joints = load_body("free_low").restrict().forward_rotations(truth.rotations, truth.betas).joints54.numpy().astype(np.float64)
    return joints - joints[:, TORSO54].mean(1, keepdims=True)


def test_simulated_people_look_as_a_camera_sees_them(maker):
    measured, truth = maker.batch(np.random.default_rng(3), PEOPLE, 0)
    joints, camera = joints54(truth), Camera.from_focal(4000.0, (20_000, 20_000))
    elevation, distance = (field.double().numpy() for field in (measured.elevation_rad, measured.distance_m))
    rise = (truth.torso_tangent_m - truth.hvip_tangent_m)[:, 1].double().numpy()
    # who stands `height` under the torso centre is seen height·cos(e)·d / (d + height·sin(e)) under it
    height = rise * distance / (distance * np.cos(elevation) - rise * np.sin(elevation))
    worst = []
    for person in range(PEOPLE):
        torso = distance[person] * np.array([0.0, np.sin(elevation[person]), np.cos(elevation[person])])
        # the upright frame is right, up, towards the camera; this camera looks along the horizon
        keypoints = camera.project(torso + joints[person, COCO17_FROM_SMPL54] * [1.0, -1.0, -1.0])
        ground = GroundPlane(np.array([0.0, -1.0, 0.0]), torso[1] + height[person])
        foot = camera.project(torso + [0.0, height[person], 0.0])
        seen = Observations.from_keypoints(Keypoints(keypoints[None], np.ones((1, 17))), plain("test"))
        again, _, _ = measure(camera, ground, seen, foot[None])
        worst.append(float(np.abs(again.tangent_m[0] - measured.tangent_m[person].numpy()).max()))
        assert float(again.elevation_rad[0]) == pytest.approx(elevation[person], abs=0.02)
    assert np.median(worst) < 0.01
    assert max(worst) < 0.08


def test_depths_of_simulated_people_are_along_the_ray(maker):
    measured, truth = maker.batch(np.random.default_rng(4), PEOPLE, 0)
    ray = torch.stack([torch.zeros(PEOPLE), -measured.elevation_rad.sin(), -measured.elevation_rad.cos()], 1).numpy()
    expected = np.einsum("nkc,nc->nk", joints54(truth)[:, COCO17_FROM_SMPL54], ray)
    np.testing.assert_allclose(measured.depth_m.numpy(), expected, atol=1e-4)


def test_mirrored_people_are_mirrored_bodies(maker):
    measured, truth = maker.batch(np.random.default_rng(5), PEOPLE, 0)
    chosen = torch.arange(PEOPLE) % 2 == 0
    mirrored, reflected = lifter_data._mirrored(measured, truth, chosen)
    swap = lifter_data.COCO17_FLIP
    there, here = joints54(reflected)[:, COCO17_FROM_SMPL54], joints54(truth)[:, COCO17_FROM_SMPL54]
    np.testing.assert_array_equal(there[~chosen], here[~chosen])
    # the free body is symmetric to a few millimetres
    np.testing.assert_allclose(there[chosen], here[chosen][:, swap] * [-1.0, 1.0, 1.0], atol=0.01)
    across = torch.tensor([-1.0, 1.0])
    assert torch.equal(mirrored.tangent_m[chosen], measured.tangent_m[chosen][:, swap] * across)
    second = (mirrored.tangent_m + mirrored.other_m)[chosen]
    assert torch.allclose(second, (measured.tangent_m + measured.other_m)[chosen][:, swap] * across)
    back, original = lifter_data._mirrored(mirrored, reflected, chosen)
    assert all(torch.equal(a, b) for a, b in zip((*back, *original), (*measured, *truth), strict=True))


def test_rescaled_measurements_keep_their_directions(maker):
    measured, truth = maker.batch(np.random.default_rng(6), 0, PEOPLE)
    scale = torch.linspace(0.8, 1.25, PEOPLE)
    larger, placed = lifter_data._rescaled(measured, truth, scale)
    for name in ("tangent_m", "other_m", "hvip_tangent_m"):
        before, after = (getattr(each, name).flatten(1) / each.distance_m[:, None] for each in (measured, larger))
        assert torch.allclose(before, after, atol=1e-5), name
    spread = [each.log_sigma[..., 0].exp() / each.distance_m[:, None] for each in (measured, larger)]
    assert torch.allclose(*spread, rtol=1e-4)
    assert torch.allclose(larger.distance_m, measured.distance_m * scale)
    assert torch.allclose(placed.torso_tangent_m, truth.torso_tangent_m * scale[:, None])
    for name in ("depth_m", "visible", "other_share", "elevation_rad"):
        assert torch.equal(getattr(larger, name), getattr(measured, name)), name
    assert torch.equal(placed.rotations, truth.rotations)


def test_errors_of_predictions_are_put_on_simulated_people(maker):
    predictions = without_error(1)
    off = torch.full((1, 17, 2), 0.25)
    off[:, :, 1] = -0.1
    measured = predictions.measured._replace(tangent_m=predictions.true_tangent_m + off)
    exact = PairMaker([predictions], seed=1, skeletons=50).batch(np.random.default_rng(8), PEOPLE, 0)[0]
    wrong = PairMaker([predictions._replace(measured=measured)], seed=1, skeletons=50).batch(np.random.default_rng(8), PEOPLE, 0)[0]
    # an error that all keypoints share moves the torso centre that everything is measured from, and nothing else
    expected = (exact.hvip_tangent_m - off[:, 0]) / exact.distance_m[:, None]
    assert torch.allclose(wrong.hvip_tangent_m / wrong.distance_m[:, None], expected, atol=1e-5)


def test_every_source_counts_alike_however_many_people_it_saw(maker):
    few, many = without_error(3), without_error(400)
    sources = [
        pairs._replace(truth=pairs.truth._replace(betas=torch.full_like(pairs.truth.betas, value)))
        for value, pairs in ((0.0, few), (1.0, many))
    ]
    truth = PairMaker(sources, seed=1, skeletons=50).batch(np.random.default_rng(2), 0, 1000)[1]
    assert 0.45 < float(truth.betas[:, 0].mean()) < 0.55


def test_hidden_depths_are_unknown_and_nothing_else_changes(maker):
    measured = without_error(PEOPLE).measured
    chosen = np.arange(PEOPLE) < 7
    flat = lifter_data.without_depth(measured, chosen)
    assert torch.equal(flat.depth_m[:7], torch.zeros(7, 17))
    assert torch.equal(flat.log_sigma[:7, :, 1], torch.full((7, 17), LOG_SIGMA_UNKNOWN))
    assert torch.equal(flat.log_sigma[:, :, 0], measured.log_sigma[:, :, 0])
    assert torch.equal(flat.depth_m[7:], measured.depth_m[7:])
    assert torch.equal(flat.tangent_m, measured.tangent_m)
