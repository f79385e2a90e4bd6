"""Exact derivatives of skinned points against autograd, and the two ways to skin against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor

from crowd3d.bodies import SMPL_PARENTS
from crowd3d.bodies.skinning import Bones, Points, articulate, differentiate, heights, locate, mix, place_joints, reshape, skin, spin
from crowd3d.geometry.rotations import Array, axis_angle_to_matrix

PEOPLE, VERTICES, POINTS, BETAS = 2, 40, 5, 10


@pytest.fixture(scope="module")
def made_up() -> dict[str, np.ndarray]:
    """A body and people filled by chance, float64."""
    rng = np.random.default_rng(0)
    return {
        "template": rng.normal(size=(VERTICES, 3)),
        "shapedirs": rng.normal(0, 0.1, (VERTICES, 3, BETAS)),
        "joint": rng.normal(size=(24, 3)),
        "joint_shape": rng.normal(0, 0.1, (24, 3, BETAS)),
        "weights": softmax(rng.normal(size=(VERTICES, 24)), axis=1),
        "mixture": softmax(rng.normal(size=(POINTS, VERTICES)), axis=1),
        "pose": rng.normal(0, 0.7, (PEOPLE, 24, 3)),
        "betas": rng.normal(size=(PEOPLE, BETAS)),
    }


def pose_bones(body: dict[str, Array], pose: Array, betas: Array) -> Bones:
    return articulate(axis_angle_to_matrix(pose), reshape(body["joint"], body["joint_shape"], betas))


def mixed_vertices(body: dict[str, Array], pose: Array, betas: Array) -> Array:
    """(n, K, 3) mixtures of all skinned vertices."""
    rest = reshape(body["joint"], body["joint_shape"], betas)
    points = reshape(body["template"], body["shapedirs"], betas)
    return body["mixture"] @ skin(pose_bones(body, pose, betas), rest, body["weights"], points)


def points_of(body: dict[str, np.ndarray]) -> Points:
    shape, joints = (body["template"], body["shapedirs"]), (body["joint"], body["joint_shape"])
    return mix(body["mixture"], body["weights"], shape, joints)


def test_joints_hang_on_their_parents(made_up: dict[str, np.ndarray]) -> None:
    rest = reshape(made_up["joint"], made_up["joint_shape"], made_up["betas"])
    bones = pose_bones(made_up, made_up["pose"], made_up["betas"])
    local = axis_angle_to_matrix(made_up["pose"])
    np.testing.assert_allclose(bones.position[:, 0], rest[:, 0])
    np.testing.assert_allclose(bones.rotation[:, 0], local[:, 0])
    for joint, parent in enumerate(SMPL_PARENTS[1:].tolist(), 1):
        turn = bones.rotation[:, parent]
        np.testing.assert_allclose(bones.rotation[:, joint], turn @ local[:, joint], atol=1e-12)
        step = np.einsum("nij,nj->ni", turn, rest[:, joint] - rest[:, parent])
        np.testing.assert_allclose(bones.position[:, joint], bones.position[:, parent] + step, atol=1e-12)


def test_tensors_are_moved_as_arrays_are(made_up: dict[str, np.ndarray]) -> None:
    tensors = {name: torch.from_numpy(array) for name, array in made_up.items()}
    moved = mixed_vertices(tensors, tensors["pose"], tensors["betas"])
    assert isinstance(moved, Tensor)
    np.testing.assert_allclose(moved, mixed_vertices(made_up, made_up["pose"], made_up["betas"]), atol=1e-12)


def test_mixtures_are_mixtures_of_skinned_points(made_up: dict[str, np.ndarray]) -> None:
    bones, betas, points = pose_bones(made_up, made_up["pose"], made_up["betas"]), made_up["betas"], points_of(made_up)
    expected = mixed_vertices(made_up, made_up["pose"], betas)
    np.testing.assert_allclose(locate(bones, points, betas), expected, atol=1e-12)
    np.testing.assert_allclose(heights(bones, points, betas), expected[..., 1], atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_derivatives_are_those_of_autograd(made_up: dict[str, np.ndarray], scale: float) -> None:
    pose, betas, points = scale * made_up["pose"], made_up["betas"], points_of(made_up)
    bones = pose_bones(made_up, pose, betas)
    places, per_angle, per_beta = differentiate(bones, spin(pose, bones.rotation), made_up["joint_shape"], points, betas)
    np.testing.assert_allclose(places, locate(bones, points, betas), atol=1e-12)
    tensors = {name: torch.from_numpy(array) for name, array in made_up.items()}
    for person in range(PEOPLE):
        one = torch.from_numpy(pose[person : person + 1]), torch.from_numpy(betas[person : person + 1])
        exact = torch.autograd.functional.jacobian(lambda pose, betas: mixed_vertices(tensors, pose, betas)[0], one)
        np.testing.assert_allclose(per_angle[person], exact[0][:, :, 0], atol=1e-10)
        np.testing.assert_allclose(per_beta[person], exact[1][:, :, 0], atol=1e-10)


def test_each_person_may_have_points_of_their_own(made_up: dict[str, np.ndarray]) -> None:
    pose, betas, points = made_up["pose"], made_up["betas"], points_of(made_up)
    bones = pose_bones(made_up, pose, betas)
    spins = spin(pose, bones.rotation)
    chosen = np.array([3, 1])
    own = Points(*(field[chosen][:, None] for field in points))
    everybody = differentiate(bones, spins, made_up["joint_shape"], points, betas)
    for mine, all_points in zip(differentiate(bones, spins, made_up["joint_shape"], own, betas), everybody, strict=True):
        np.testing.assert_allclose(mine[:, 0], all_points[np.arange(PEOPLE), chosen], atol=1e-12)


def test_places_of_joints_are_linear_in_the_rest_joints(made_up: dict[str, np.ndarray]) -> None:
    rotation = pose_bones(made_up, made_up["pose"], made_up["betas"]).rotation
    rest = reshape(made_up["joint"], made_up["joint_shape"], made_up["betas"])
    base, change = (place_joints(rotation, values) for values in (made_up["joint"][None, ..., None], made_up["joint_shape"][None]))
    expected = base[..., 0] + np.einsum("njcb,nb->njc", change, made_up["betas"])
    np.testing.assert_allclose(place_joints(rotation, rest[..., None])[..., 0], expected, atol=1e-12)
