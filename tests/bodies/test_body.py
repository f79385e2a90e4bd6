"""The skinning against a direct evaluation, smplx, and identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crowd3d.bodies import SMPL_PARENTS, Body, load_body, torso_centre


def made_up_arrays(vertices: int = 300) -> dict[str, np.ndarray]:
    """SMPL's arrays filled by chance, with pose blend shapes."""
    rng = np.random.default_rng(0)
    return {
        "v_template": rng.normal(0, 0.5, (vertices, 3)),
        "shapedirs": rng.normal(0, 0.02, (vertices, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (vertices, 3, 207)),
        "J_regressor": rng.dirichlet(np.ones(vertices), 24),
        "weights": rng.dirichlet(np.ones(24), vertices),
        "kintree_table": np.stack([np.where(SMPL_PARENTS < 0, 2**32 - 1, SMPL_PARENTS), np.arange(24)]),
        "f": rng.integers(0, vertices, (50, 3)),
        "extra_vertex_ids": rng.integers(0, vertices, 21),
        "J_regressor_extra9": rng.dirichlet(np.ones(vertices), 9),
        "J_regressor_h36m17": rng.dirichlet(np.ones(vertices), 17),
    }


def people(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.6, (count, 24, 3)), rng.normal(size=(count, 10))


def skin_directly(arrays: dict[str, np.ndarray], pose: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One person by 4×4 transforms, as in the SMPL paper, equations 2 to 9."""
    rotations = Rotation.from_rotvec(pose).as_matrix()
    shaped = arrays["v_template"] + arrays["shapedirs"] @ betas
    rest = arrays["J_regressor"] @ shaped
    shaped = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    world = np.zeros((24, 4, 4))
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest[joint] - (rest[parent] if joint else 0)
        world[joint] = world[parent] @ local if joint else local
    joints = world[:, :3, 3].copy()
    for joint in range(24):
        world[joint, :3, 3] -= world[joint, :3, :3] @ rest[joint]
    blended = np.tensordot(arrays["weights"], world, 1)
    vertices = np.einsum("vij,vj->vi", blended[:, :3, :3], shaped) + blended[:, :3, 3]
    return vertices, np.concatenate([joints, vertices[arrays["extra_vertex_ids"]], arrays["J_regressor_extra9"] @ vertices])


@pytest.fixture(scope="module")
def free_low() -> Body:
    return load_body("free_low")


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_vertices_and_joints_equal_a_direct_evaluation(dtype: type, tolerance: float) -> None:
    arrays = made_up_arrays()
    body = Body.from_arrays(arrays, "made up")
    poses, betas = people(5)
    vertices, joints = body.pose(poses.astype(dtype), betas)
    assert vertices.dtype == joints.dtype == dtype
    for row in range(5):
        true_vertices, true_joints = skin_directly(arrays, poses[row], betas[row])
        np.testing.assert_allclose(vertices[row], true_vertices, atol=tolerance)
        np.testing.assert_allclose(joints[row], true_joints, atol=tolerance)


def test_equal_to_smplx(smplx_model: Callable[..., Any]) -> None:
    arrays = made_up_arrays()
    model = smplx_model(arrays, 3)
    poses, betas = (torch.tensor(values) for values in people(3))
    expected = model(betas=betas, body_pose=poses[:, 1:].reshape(3, 69), global_orient=poses[:, :1].reshape(3, 3))
    output = Body.from_arrays(arrays, "made up").forward(poses, betas)
    torch.testing.assert_close(output.vertices, expected.vertices.detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(output.joints54[:, :45], expected.joints.detach(), atol=1e-6, rtol=0)


def test_posedirs_of_zeros_are_left_out_without_effect() -> None:
    arrays = made_up_arrays() | {"posedirs": np.zeros((300, 3, 207))}
    body = Body.from_arrays(arrays, "made up")
    pose, betas = people(1)
    assert body.posedirs is None
    np.testing.assert_allclose(body.pose(pose, betas)[0][0], skin_directly(arrays, pose[0], betas[0])[0], atol=1e-12)


def test_restricted_body_has_the_same_joints(free_low: Body) -> None:
    for body in (free_low, Body.from_arrays(made_up_arrays(), "made up")):
        pose, betas = people(4)
        vertices, joints = body.pose(pose, betas)
        light = body.restrict()
        light_vertices, light_joints = light.pose(pose, betas)
        np.testing.assert_allclose(light_joints, joints, atol=1e-12)
        np.testing.assert_allclose(light.joints_h36m17(light_vertices), body.joints_h36m17(vertices), atol=1e-12)
    assert len(free_low.restrict().template) < 0.2 * len(free_low.template)


def test_chunks_and_order_do_not_matter(free_low: Body) -> None:
    pose, betas = people(300)
    light = free_low.restrict()
    together = light.pose(pose, betas)[1]
    np.testing.assert_allclose(light.pose(pose[137:138], betas[137:138])[1][0], together[137], atol=1e-12)
    with_gradient = light.forward(torch.tensor(pose, requires_grad=True), torch.tensor(betas)).joints54
    np.testing.assert_allclose(with_gradient.detach().numpy(), together, atol=1e-12)


def test_nobody(free_low: Body) -> None:
    vertices, joints = free_low.pose(np.zeros((0, 24, 3)), np.zeros((0, 10)))
    assert vertices.shape == (0, len(free_low.template), 3)
    assert joints.shape == (0, 54, 3)


@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_gradient_of_joints(free_low: Body, scale: float) -> None:
    pose, betas = people(1)
    light = free_low.restrict()
    inputs = (torch.tensor(scale * pose, requires_grad=True), torch.tensor(betas, requires_grad=True))
    assert torch.autograd.gradcheck(lambda *given: light.forward(*given).joints54, inputs, eps=1e-5, atol=1e-6, fast_mode=True)


def test_gradients_work_after_inference(free_low: Body) -> None:
    light = free_low.restrict()
    pose, betas = people(1)
    light.pose(pose, betas)
    leaf = torch.tensor(pose, requires_grad=True)
    light.forward(leaf, torch.tensor(betas)).joints54.square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0


def test_global_orientation_turns_everything_about_the_pelvis(free_low: Body) -> None:
    pose, betas = people(2)
    pose[:, 0] = 0
    vertices, joints = free_low.pose(pose, betas)
    turn = np.array([0.3, -1.2, 0.5])
    pose[:, 0] = turn
    turned_vertices, turned_joints = free_low.pose(pose, betas)
    matrix = Rotation.from_rotvec(turn).as_matrix()
    for before, after in ((vertices, turned_vertices), (joints, turned_joints)):
        np.testing.assert_allclose(after, (before - joints[:, :1]) @ matrix.T + joints[:, :1], atol=1e-6)


def test_autocast_does_not_reach_the_skinning(free_low: Body) -> None:
    pose, betas = (torch.tensor(values, dtype=torch.float32) for values in people(1))
    light = free_low.restrict()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = light.forward(pose, betas).joints54
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, light.forward(pose, betas).joints54, atol=0, rtol=0)


def test_torso_centre_is_the_mean_of_shoulders_and_hips() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 54, 3))
    expected = (joints[:, 16] + joints[:, 17] + joints[:, 45] + joints[:, 46]) / 4
    np.testing.assert_allclose(torso_centre(joints), expected)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="weights has shape"):
        Body.from_arrays(made_up_arrays() | {"weights": np.zeros((300, 23))}, "made up")
    with pytest.raises(ValueError, match="shapedirs has shape"):
        Body.from_arrays(made_up_arrays() | {"shapedirs": np.zeros((300, 3, 9))}, "made up")
