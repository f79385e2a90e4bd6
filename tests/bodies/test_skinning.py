"""Exact derivatives of skinned points against autograd, and the two ways to skin against each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crowd3d.bodies import SMPL_PARENTS
from crowd3d.bodies.skinning import Bones, Points, articulate, differentiate, heights, locate, mix, place_joints, reshape, skin, spin
from crowd3d.geometry.rotations import axis_angle_to_matrix

PEOPLE, VERTICES, POINTS, BETAS = 2, 40, 5, 10


@pytest.fixture(scope="module")
def made_up() -> dict[str, Tensor]:
    """A body and people filled by chance, float64."""
    rng = torch.Generator().manual_seed(0)

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*size, generator=rng, dtype=torch.float64)

    return {
        "template": normal(VERTICES, 3),
        "shapedirs": normal(VERTICES, 3, BETAS, scale=0.1),
        "joint": normal(24, 3),
        "joint_shape": normal(24, 3, BETAS, scale=0.1),
        "weights": normal(VERTICES, 24).softmax(1),
        "mixture": normal(POINTS, VERTICES).softmax(1),
        "pose": normal(PEOPLE, 24, 3, scale=0.7),
        "betas": normal(PEOPLE, BETAS),
    }


def pose_bones(body: dict[str, Tensor], pose: Tensor, betas: Tensor) -> Bones:
    return articulate(axis_angle_to_matrix(pose), reshape(body["joint"], body["joint_shape"], betas))


def points_of(body: dict[str, Tensor]) -> Points:
    shape, joints = (body["template"], body["shapedirs"]), (body["joint"], body["joint_shape"])
    return mix(body["mixture"], body["weights"], shape, joints)


def test_joints_hang_on_their_parents(made_up: dict[str, Tensor]) -> None:
    rest = reshape(made_up["joint"], made_up["joint_shape"], made_up["betas"])
    bones = pose_bones(made_up, made_up["pose"], made_up["betas"])
    local = axis_angle_to_matrix(made_up["pose"])
    torch.testing.assert_close(bones.position[:, 0], rest[:, 0])
    torch.testing.assert_close(bones.rotation[:, 0], local[:, 0])
    for joint, parent in enumerate(SMPL_PARENTS[1:].tolist(), 1):
        turn = bones.rotation[:, parent]
        torch.testing.assert_close(bones.rotation[:, joint], turn @ local[:, joint])
        step = torch.einsum("nij,nj->ni", turn, rest[:, joint] - rest[:, parent])
        torch.testing.assert_close(bones.position[:, joint], bones.position[:, parent] + step)


def test_mixtures_are_mixtures_of_skinned_points(made_up: dict[str, Tensor]) -> None:
    bones, betas = pose_bones(made_up, made_up["pose"], made_up["betas"]), made_up["betas"]
    rest = reshape(made_up["joint"], made_up["joint_shape"], betas)
    vertices = skin(bones, rest, made_up["weights"], reshape(made_up["template"], made_up["shapedirs"], betas))
    points = points_of(made_up)
    torch.testing.assert_close(locate(bones, points, betas), made_up["mixture"] @ vertices)
    torch.testing.assert_close(heights(bones, points, betas), (made_up["mixture"] @ vertices)[..., 1])


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_derivatives_are_those_of_autograd(made_up: dict[str, Tensor], scale: float) -> None:
    pose, betas, points = scale * made_up["pose"], made_up["betas"], points_of(made_up)
    bones = pose_bones(made_up, pose, betas)
    places, per_angle, per_beta = differentiate(bones, spin(pose, bones.rotation), made_up["joint_shape"], points, betas)
    torch.testing.assert_close(places, locate(bones, points, betas))
    for person in range(PEOPLE):
        one = slice(person, person + 1)

        def place(pose: Tensor, betas: Tensor) -> Tensor:
            return locate(pose_bones(made_up, pose, betas), points, betas)[0]

        exact = torch.autograd.functional.jacobian(place, (pose[one], betas[one]))
        torch.testing.assert_close(per_angle[person], exact[0][:, :, 0])
        torch.testing.assert_close(per_beta[person], exact[1][:, :, 0])


def test_each_person_may_have_points_of_their_own(made_up: dict[str, Tensor]) -> None:
    pose, betas, points = made_up["pose"], made_up["betas"], points_of(made_up)
    bones = pose_bones(made_up, pose, betas)
    spins = spin(pose, bones.rotation)
    chosen = torch.tensor([3, 1])
    own = Points(*(field[chosen][:, None] for field in points))
    everybody = differentiate(bones, spins, made_up["joint_shape"], points, betas)
    for mine, all_points in zip(differentiate(bones, spins, made_up["joint_shape"], own, betas), everybody, strict=True):
        torch.testing.assert_close(mine[:, 0], all_points[torch.arange(PEOPLE), chosen])


def test_places_of_joints_are_linear_in_the_rest_joints(made_up: dict[str, Tensor]) -> None:
    rotation = pose_bones(made_up, made_up["pose"], made_up["betas"]).rotation
    rest = reshape(made_up["joint"], made_up["joint_shape"], made_up["betas"])
    base, change = (place_joints(rotation, values) for values in (made_up["joint"][None, ..., None], made_up["joint_shape"][None]))
    expected = base[..., 0] + torch.einsum("njcb,nb->njc", change, made_up["betas"])
    torch.testing.assert_close(place_joints(rotation, rest[..., None])[..., 0], expected)
