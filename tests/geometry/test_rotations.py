from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from crowd3d.geometry.rotations import axis_angle_to_matrix, left_jacobian, matrix_to_axis_angle, matrix_to_rot6d, rot6d_to_matrix

IDENTITY_6D = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)


def vectors(angles: np.ndarray, seed: int = 0) -> np.ndarray:
    axes = np.random.default_rng(seed).normal(size=(len(angles), 3))
    return axes / np.linalg.norm(axes, axis=1, keepdims=True) * angles[:, None]


ANGLES = np.concatenate([[0.0, 1e-12, 1e-7, 9e-4, 1.1e-3, 2e-3], np.linspace(0.01, 3.13, 50), np.pi - np.array([1e-3, 1e-6, 1e-9])])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 5e-7)])
def test_axis_angle_to_matrix_agrees_with_scipy(dtype: torch.dtype, tolerance: float) -> None:
    rotvec = vectors(ANGLES)
    result = axis_angle_to_matrix(torch.from_numpy(rotvec).to(dtype))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), Rotation.from_rotvec(rotvec).as_matrix(), atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 2e-6)])
def test_matrix_to_axis_angle_gives_the_same_rotation_as_scipy(dtype: torch.dtype, tolerance: float) -> None:
    truth = Rotation.from_rotvec(vectors(ANGLES, seed=1))
    result = matrix_to_axis_angle(torch.from_numpy(truth.as_matrix()).to(dtype)).numpy()
    assert np.linalg.norm(result, axis=1).max() <= np.pi + 1e-6
    assert (truth.inv() * Rotation.from_rotvec(result)).magnitude().max() < tolerance


def test_half_turns_about_every_axis_survive() -> None:
    axes = vectors(np.ones(200), seed=2) * np.pi
    matrices = Rotation.from_rotvec(np.concatenate([axes, np.pi * np.eye(3), -np.pi * np.eye(3)])).as_matrix()
    back = axis_angle_to_matrix(matrix_to_axis_angle(torch.from_numpy(matrices)))
    np.testing.assert_allclose(back.numpy(), matrices, atol=1e-12)


def test_6d_numbers_alternate_between_the_two_columns() -> None:
    first, second = np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0])
    scrambled = np.stack([2.0 * first, 3.0 * second + 0.7 * first], axis=1).reshape(6)
    result = rot6d_to_matrix(torch.from_numpy(scrambled))
    np.testing.assert_allclose(result.numpy(), np.stack([first, second, np.cross(first, second)], axis=1), atol=1e-15)


def test_6d_of_any_rotation_gives_it_back_in_any_batch_shape() -> None:
    matrices = torch.from_numpy(Rotation.random(24, rng=3).as_matrix()).reshape(2, 3, 4, 3, 3)
    np.testing.assert_allclose(rot6d_to_matrix(matrix_to_rot6d(matrices)).numpy(), matrices.numpy(), atol=1e-14)


def test_arbitrary_6d_numbers_give_rotations() -> None:
    result = rot6d_to_matrix(torch.randn(500, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose((result @ result.mT).numpy(), np.broadcast_to(np.eye(3), result.shape), atol=1e-12)
    np.testing.assert_allclose(torch.linalg.det(result).numpy(), 1.0, atol=1e-12)


@pytest.mark.parametrize("function", [rot6d_to_matrix, axis_angle_to_matrix, matrix_to_axis_angle])
def test_nobody_is_a_valid_batch(function) -> None:
    shape = {rot6d_to_matrix: (0, 6), axis_angle_to_matrix: (0, 3), matrix_to_axis_angle: (0, 3, 3)}[function]
    assert len(function(torch.zeros(shape))) == 0


def test_gradients_at_and_away_from_the_identity() -> None:
    rotvec = torch.from_numpy(vectors(np.array([0.0, 1e-8, 5e-4, 0.3, 2.0, 3.0]), seed=4)).requires_grad_()
    assert gradcheck(axis_angle_to_matrix, rotvec)
    assert gradcheck(lambda r: matrix_to_axis_angle(axis_angle_to_matrix(r)), rotvec)
    six = torch.cat(
        [IDENTITY_6D[None], torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))]
    ).requires_grad_()
    assert gradcheck(rot6d_to_matrix, six)
    assert gradcheck(lambda r: matrix_to_axis_angle(rot6d_to_matrix(r)), six)


def test_float32_gradients_are_finite_at_the_identity() -> None:
    six = IDENTITY_6D.float().requires_grad_()
    axis_angle_to_matrix(matrix_to_axis_angle(rot6d_to_matrix(six))).sum().backward()
    assert torch.isfinite(six.grad).all()


@pytest.mark.parametrize("squared_rad", [1e-14, 1e-4, 4.0])
def test_left_jacobian_turns_rates_into_angular_velocity(squared_rad: float) -> None:
    rotation = torch.tensor([0.6, -0.64, 0.48], dtype=torch.float64) * squared_rad**0.5
    rates = torch.autograd.functional.jacobian(axis_angle_to_matrix, rotation)
    spin = torch.einsum("ijk,lj->ilk", rates, axis_angle_to_matrix(rotation))
    velocity = torch.stack([spin[2, 1], spin[0, 2], spin[1, 0]])
    torch.testing.assert_close(left_jacobian(rotation), velocity, rtol=1e-6, atol=1e-8)
