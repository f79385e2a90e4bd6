"""Every term of the loss against the released code's values, and its gradients against differences."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from crowd3d.errors import MissingAsset
from crowd3d.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, rot6d_to_matrix
from crowd3d.training.supervision import LossWeights, PosePriorGmm, masked_mean, weigh
from crowd3d.training.supervision import losses as terms
from crowd3d.training.supervision.center_loss import center_map_loss
from crowd3d.training.supervision.pose_losses import pose_loss, prior_loss, shape_loss

DATA = Path(__file__).parents[1] / "data" / "loss_reference.npz"
RELEASE_NAMES = {
    "center_map": "CenterMap",
    "keypoints_2d": "P_KP2D",
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PAMPJPE",
    "pose": "Pose",
    "shape": "Shape",
    "prior": "Prior",
    "hvip": "hvip2d",
    "torso_offset": "tc_offset",
    "root_cam": "root_cam",
    "out_of_bound": "out_of_bound",
    "ground_normal": "ground_normal",
}
KEYPOINTS_3D, ORIENTATION, POSE, BETAS, HVIP, ROOT = 1, 3, 4, 5, 6, 9
"""Columns of the release's masks."""


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    """Arrays of the reference, floats as float64. Of the heights over the ground it has the 200 lowest vertices of each person."""
    with np.load(DATA) as arrays:
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
    return {key: value.double() if value.is_floating_point() else value for key, value in tensors.items()}


@pytest.fixture(scope="module")
def prior(reference: dict[str, Tensor]) -> PosePriorGmm:
    covariances = np.zeros((8, 69, 69))
    rows, columns = np.triu_indices(69)
    covariances[:, rows, columns] = reference["gmm__covars"].numpy()
    covariances = covariances + np.triu(covariances, 1).transpose(0, 2, 1)
    return PosePriorGmm.from_arrays(reference["gmm__means"].numpy(), covariances, reference["gmm__weights"].numpy())


@pytest.fixture(scope="module")
def raw(reference: dict[str, Tensor], prior: PosePriorGmm) -> dict[str, Tensor]:
    """Our terms for the reference's predictions and labels, whose missing points are −2."""
    target, predicted = (
        {key.removeprefix(part): value for key, value in reference.items() if key.startswith(part)} for part in ("target__", "prediction__")
    )
    masks, numbers = target["valid_masks"], predicted["params_pred"]
    everybody = torch.ones(len(masks), dtype=torch.bool)
    rotations = rot6d_to_matrix(numbers[:, 6:138].unflatten(1, (22, 6)))
    joints, known = target["kp_3d"], (target["kp_3d"][..., 0] != -2) & masks[:, KEYPOINTS_3D, None]
    common = known & known[masks[:, KEYPOINTS_3D]].all(0)
    true_rotations = axis_angle_to_matrix(target["params"][:, :66].unflatten(1, (22, 3)))
    hands = torch.zeros(len(masks), 6, dtype=torch.float64)
    body_pose = torch.cat([matrix_to_axis_angle(rotations[:, 1:]).flatten(1), hands], dim=1)
    visible = (target["full_kp2d"] > -2).all(-1)
    complete = torch.ones(2, dtype=torch.bool)
    center_maps = predicted["center_map"], target["centermap"]
    return {
        "center_map": center_map_loss(*center_maps, torch.ones_like(center_maps[1], dtype=torch.bool), complete),
        "keypoints_2d": terms.keypoint_loss(predicted["pj2d"], target["full_kp2d"], visible, everybody),
        "mpjpe": terms.mpjpe_loss(predicted["j3d"], joints, known),
        "pa_mpjpe": terms.pa_mpjpe_loss(predicted["j3d"], joints, common),
        "pose": pose_loss(rotations, true_rotations, masks[:, ORIENTATION], masks[:, POSE]),
        "shape": shape_loss(numbers[:, 138:], target["params"][:, 66:], masks[:, BETAS]),
        "prior": prior_loss(body_pose, prior, everybody),
        "hvip": terms.hvip_loss(predicted["old_hvip2d"], target["hvip2ds"], masks[:, HVIP]),
        "torso_offset": terms.torso_loss(predicted["torso_center"], target["real_tcs"], everybody),
        "root_cam": terms.root_loss(predicted["pred_root_cam"], target["root_cam"], masks[:, ROOT]),
        "out_of_bound": terms.out_of_bound_loss(predicted["dist_ground"], everybody),
        "ground_normal": terms.ground_normal_loss(predicted["j3d"], target["ground"][:, :3], everybody),
    }


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_a_term_equals_the_releases(name: str, raw: dict[str, Tensor], reference: dict[str, Tensor]) -> None:
    np.testing.assert_allclose(float(raw[name]), float(reference[f"loss__{RELEASE_NAMES[name]}"]), rtol=1e-5)


def test_the_capped_total_equals_the_releases(raw: dict[str, Tensor], reference: dict[str, Tensor]) -> None:
    weighted = weigh(raw, LossWeights())
    assert set(weighted) == set(asdict(LossWeights()))
    assert float(weighted["root_cam"]) == pytest.approx(1000)
    np.testing.assert_allclose(float(torch.stack(list(weighted.values())).sum()), float(reference["loss__total"]), rtol=1e-5)


def test_a_capped_term_keeps_its_direction_with_a_shorter_gradient() -> None:
    value = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    weigh({"mpjpe": value.square()}, LossWeights(mpjpe=200.0))["mpjpe"].backward()
    assert float(value.grad) == pytest.approx(200 * 2 * 4 / (200 * 16 / 1000))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


SOME = torch.tensor([True, False, True])
ALL = torch.ones(3, dtype=torch.bool)
JOINTS_KNOWN = torch.rand(3, 54, generator=torch.Generator().manual_seed(5)) < 0.7
JOINTS_KNOWN[:, [45, 46]] = SOME[:, None]
CENTRES = torch.rand(2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
CENTRES[0, 0, 1, 2] = 1.0
GRADIENTS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "center_map": (lambda p: center_map_loss(p, CENTRES, CENTRES > 0.1, torch.tensor([True, True])), random(2, 1, 4, 4).sigmoid()),
    "keypoints_2d": (lambda p: terms.keypoint_loss(p, random(3, 54, 2), JOINTS_KNOWN, SOME), random(3, 54, 2) + 0.3),
    "mpjpe": (lambda p: terms.mpjpe_loss(p, random(3, 54, 3), JOINTS_KNOWN), random(3, 54, 3) + 0.3 * random(1, 54, 3)),
    "pa_mpjpe": (lambda p: terms.pa_mpjpe_loss(p, random(3, 9, 3), JOINTS_KNOWN[:, 40:49]), random(3, 9, 3) + 0.3 * random(1, 9, 3)),
    "pose": (lambda p: pose_loss(p, random(3, 4, 3, 3), SOME, ~SOME), random(3, 4, 3, 3) + 0.1),
    "shape": (lambda p: shape_loss(p, random(3, 10), SOME), random(3, 10) + 0.1),
    "prior": (
        lambda p: prior_loss(p, PosePriorGmm(0.1 * random(2, 69), torch.eye(69).double().expand(2, 69, 69), random(2)), SOME),
        0.3 * random(3, 69),
    ),
    "hvip": (lambda p: terms.hvip_loss(p, random(3, 2), SOME), random(3, 2) + 0.2),
    "torso_offset": (lambda p: terms.torso_loss(p, random(3, 2), SOME), random(3, 2) + 0.2),
    "root_cam": (lambda p: terms.root_loss(p, random(3, 3), SOME), random(3, 3) + 0.2),
    "out_of_bound": (lambda p: terms.out_of_bound_loss(p, SOME), random(3, 20)),
    "ground_normal": (lambda p: terms.ground_normal_loss(p, random(3, 3), SOME), random(3, 54, 3)),
}


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_gradients(name: str) -> None:
    loss, predicted = GRADIENTS[name]
    assert gradcheck(loss, predicted.requires_grad_())


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_a_perfect_prediction_has_finite_gradients(name: str) -> None:
    """Norms have none where they are zero, axis-angles none at the identity, singular vectors none where values are equal."""
    joints = random(3, 54, 3)
    perfect: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "center_map": (lambda p: center_map_loss(p, CENTRES, CENTRES >= 0, torch.tensor([True, True])), CENTRES),
        "keypoints_2d": (lambda p: terms.keypoint_loss(p, random(3, 54, 2), JOINTS_KNOWN, ALL), random(3, 54, 2)),
        "mpjpe": (lambda p: terms.mpjpe_loss(p, joints, JOINTS_KNOWN), joints),
        "pa_mpjpe": (lambda p: terms.pa_mpjpe_loss(p, joints * 0 + 1, JOINTS_KNOWN), joints * 0 + 2),
        "pose": (lambda p: pose_loss(p, torch.eye(3).double().expand(3, 22, 3, 3), ALL, ALL), torch.eye(3).double().repeat(3, 22, 1, 1)),
        "shape": (lambda p: shape_loss(p, random(3, 10), SOME), random(3, 10)),
        "prior": (
            lambda p: prior_loss(matrix_to_axis_angle(rot6d_to_matrix(p)).flatten(1), None, ALL),
            torch.tensor([1.0, 0, 0, 1, 0, 0]).double().repeat(3, 23, 1),
        ),
        "hvip": (lambda p: terms.hvip_loss(p, random(3, 2), ALL), random(3, 2)),
        "torso_offset": (lambda p: terms.torso_loss(p, random(3, 2), ALL), random(3, 2)),
        "root_cam": (lambda p: terms.root_loss(p, random(3, 3), ALL), random(3, 3)),
        "out_of_bound": (lambda p: terms.out_of_bound_loss(p, ALL), torch.zeros(3, 20).double()),
        "ground_normal": (lambda p: terms.ground_normal_loss(p, random(3, 3), ALL), torch.zeros(3, 54, 3).double()),
    }
    loss, predicted = perfect[name]
    predicted = predicted.detach().clone().requires_grad_()
    loss(predicted).backward()
    assert torch.isfinite(predicted.grad).all()


def test_the_nearest_rotation_is_one_even_of_a_reflection() -> None:
    reflected = torch.diag(torch.tensor([3.0, 2.0, -1.0], dtype=torch.float64))[None]
    rotation = terms.nearest_rotation(reflected)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
    assert gradcheck(terms.nearest_rotation, (reflected + 0.1 * random(1, 3, 3)).requires_grad_())


def test_procrustes_takes_out_every_similarity() -> None:
    target = random(3, 54, 3)
    turn = axis_angle_to_matrix(random(3, 3))
    moved = 2.5 * target @ turn + random(3, 1, 3)
    assert float(terms.pa_mpjpe_loss(moved, target, torch.ones(3, 54, dtype=torch.bool))) < 1e-9
    assert float(terms.pa_mpjpe_loss(target * torch.tensor([-1.0, 1, 1]), target, torch.ones(3, 54, dtype=torch.bool))) > 0.1


def test_nothing_known_is_no_loss_and_no_gradient() -> None:
    nothing = torch.zeros(3, 54, dtype=torch.bool)
    predicted = random(3, 54, 3).requires_grad_()
    total = terms.mpjpe_loss(predicted, random(3, 54, 3), nothing) + terms.pa_mpjpe_loss(predicted, random(3, 54, 3), nothing)
    total.backward()
    assert float(total.detach()) == 0
    assert not predicted.grad.any()


def test_processes_with_different_numbers_of_people_average_to_the_mean_over_everybody() -> None:
    values, mask = random(10), torch.arange(10) != 3
    parts = [slice(0, 2), slice(2, 10)]
    counts = torch.stack([mask[part].sum().double() for part in parts])
    of_processes = [masked_mean(values[part], mask[part], lambda _: counts.mean()) for part in parts]
    torch.testing.assert_close(torch.stack(of_processes).mean(), values[mask].mean())


def test_an_image_in_which_nobody_is_teaches_that() -> None:
    predicted = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    center_map_loss(predicted, torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool), torch.tensor([True])).backward()
    assert (predicted.grad > 0).all()


def test_smplifys_file_is_read_without_running_it(prior: PosePriorGmm, reference: dict[str, Tensor], tmp_path: Path) -> None:
    content = {
        "means": prior.means.numpy(),
        "covars": np.linalg.inv(prior.precisions.numpy()),
        "weights": reference["gmm__weights"].numpy(),
    }
    for protocol in (2, 5):
        (tmp_path / "gmm_08.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        read = PosePriorGmm.load(tmp_path / "gmm_08.pkl")
        torch.testing.assert_close(read.cost(random(5, 69)), prior.cost(random(5, 69)), rtol=1e-6, atol=1e-6)
    (tmp_path / "gmm_08.pkl").write_bytes(pickle.dumps({"means": np.zeros((8, 63))}))
    with pytest.raises(MissingAsset, match="gmm_08"):
        PosePriorGmm.load(tmp_path / "gmm_08.pkl")
