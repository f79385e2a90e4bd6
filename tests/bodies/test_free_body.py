"""The shipped free body: joints, statures, levels of detail, landmarks, joint maps."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from crowd3d.bodies import (
    ADULT_STATURE_M,
    COCO17_FLIP,
    COCO17_FROM_SMPL54,
    COCO17_LIMBS,
    COCO17_NAMES,
    H36M17_NAMES,
    SMPL24_NAMES,
    SMPL54_NAMES,
    SMPL_POSE_FLIP,
    YOUTH_AXIS,
    Body,
    adult_betas,
    child_betas,
    load_body,
    mirror_pose,
)

TRUTH = Path(__file__).parents[1] / "data" / "free_body_joints.npz"
T_POSE = np.zeros((1, 24, 3))
MEAN = np.zeros((1, 10))


@pytest.fixture(scope="module")
def high() -> Body:
    return load_body("free")


@pytest.fixture(scope="module")
def low() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module", params=["free", "free_low"])
def body(request: pytest.FixtureRequest) -> Body:
    return load_body(request.param)


def arrays_of(body: Body) -> dict[str, np.ndarray]:
    path = resources.files("crowd3d.bodies") / "data" / f"{body.name}.npz"
    with resources.as_file(path) as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def test_joint_regressor_is_within_10_mm_of_the_true_joints(body: Body) -> None:
    with np.load(TRUTH) as truth:
        betas, true_joints = truth["betas"], truth["joints_m"]
    arrays = arrays_of(body)
    shaped = arrays["v_template"] + np.einsum("vck,nk->nvc", arrays["shapedirs"], betas)
    error = np.linalg.norm(arrays["J_regressor"] @ shaped - true_joints, axis=-1)
    assert len(betas) >= 200
    assert error.max() < 0.010


def test_regressors_are_convex_and_sparse(body: Body) -> None:
    for key in ("J_regressor", "J_regressor_extra9", "J_regressor_h36m17"):
        rows = arrays_of(body)[key]
        assert rows.min() >= 0
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
        assert (rows > 0).sum(1).max() < 60


def test_loads_through_smplx_with_equal_result(body: Body, smplx_model: Callable[..., Any]) -> None:
    arrays = arrays_of(body)
    model = smplx_model(arrays, 1)
    rng = np.random.default_rng(2)
    pose, betas = rng.normal(0, 0.3, (1, 24, 3)), rng.normal(size=(1, 10))
    output = model(betas=torch.tensor(betas), global_orient=torch.tensor(pose[:, 0]), body_pose=torch.tensor(pose[:, 1:].reshape(1, 69)))
    vertices, joints = body.pose(pose, betas)
    np.testing.assert_allclose(vertices, output.vertices.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(joints[:, :45], output.joints.detach().numpy(), atol=1e-6)


def test_mesh_is_closed_outward_and_of_human_volume(body: Body) -> None:
    mesh = trimesh.Trimesh(body.template, body.faces, process=False)
    assert mesh.is_watertight
    assert 0.05 < mesh.volume < 0.09


def test_adults_follow_the_published_stature(body: Body) -> None:
    statures = body.stature_m(adult_betas(np.random.default_rng(0), 1000))
    assert abs(statures.mean() - ADULT_STATURE_M[0]) < 0.01
    assert abs(statures.std() - ADULT_STATURE_M[1]) < 0.006
    # 5th and 95th percentile of the mixture of men N(1.756, 0.069) and women N(1.629, 0.064)
    np.testing.assert_allclose(np.percentile(statures, [5, 95]), [1.547, 1.843], atol=0.02)


def test_children_have_the_wanted_stature_and_larger_heads(high: Body, low: Body) -> None:
    wanted = np.linspace(0.9, 1.5, 20)
    betas = child_betas(low, wanted, np.random.default_rng(0))
    np.testing.assert_allclose(low.stature_m(betas), wanted, atol=0.002)
    np.testing.assert_allclose(high.stature_m(betas), wanted, atol=0.005)
    assert 1 < betas[:, YOUTH_AXIS].min() < betas[:, YOUTH_AXIS].max() < 18
    child = np.zeros((1, 10))
    child[0, YOUTH_AXIS] = 10
    joints = low.pose(np.repeat(T_POSE, 2, 0), np.concatenate([MEAN, child]))[1]
    head = joints[:, SMPL54_NAMES.index("head_top"), 1] - joints[:, SMPL54_NAMES.index("neck"), 1]
    adult_share, child_share = head / low.stature_m(np.concatenate([MEAN, child]))
    assert child_share > 1.15 * adult_share


def test_levels_of_detail_agree(high: Body, low: Body) -> None:
    rng = np.random.default_rng(3)
    pose = rng.normal(0, 0.35, (60, 24, 3))
    betas = np.concatenate([adult_betas(rng, 30), child_betas(low, np.linspace(0.9, 1.5, 30), rng)])
    (high_vertices, high_joints), (low_vertices, low_joints) = high.pose(pose, betas), low.pose(pose, betas)
    error = np.linalg.norm(high_joints - low_joints, axis=-1)
    assert error.mean(0).max() < 0.004
    assert error.max() < 0.015
    h36m_error = np.linalg.norm(high.joints_h36m17(high_vertices) - low.joints_h36m17(low_vertices), axis=-1)
    assert h36m_error.mean(0).max() < 0.005


def test_every_landmark_is_where_its_name_says(body: Body) -> None:
    joints = dict(zip(SMPL54_NAMES, body.pose(T_POSE, MEAN)[1][0], strict=True))
    for name, point in joints.items():
        if name.startswith("left"):
            assert point[0] > 0.015, name
            mirrored = joints[name.replace("left", "right", 1)]
            np.testing.assert_allclose(mirrored, point * [-1, 1, 1], atol=0.006, err_msg=name)
        elif not name.startswith("right"):
            assert abs(point[0]) < 0.006, name
    ground = body.template[:, 1].min()
    assert joints["head_top"][1] > body.template[:, 1].max() - 0.01
    assert joints["nose"][2] > joints["left_eye"][2] > joints["left_ear"][2]
    assert joints["left_eye"][1] > joints["nose"][1] > joints["neck_lsp"][1]
    assert max(joints[name][1] for name in ("left_big_toe", "left_small_toe", "left_heel")) < ground + 0.04
    assert joints["left_big_toe"][2] > joints["left_small_toe"][2] > joints["left_heel"][2]
    assert joints["left_middle"][0] > body.template[:, 0].max() - 0.01
    assert joints["left_thumb"][2] > joints["left_index"][2] > joints["left_middle"][2] > joints["left_ring"][2] > joints["left_pinky"][2]
    assert joints["left_hip"][1] > joints["left_knee"][1] > joints["left_ankle"][1] > joints["left_foot"][1]
    assert np.abs(joints["pelvis"]).max() < 0.005


def test_extra_hips_stay_at_the_hip_joints_when_sitting(body: Body) -> None:
    pose = T_POSE.copy()
    pose[0, [1, 2], 0] = -np.pi / 2
    joints = body.pose(pose, MEAN)[1][0]
    np.testing.assert_allclose(joints[[46, 45]], joints[[1, 2]], atol=0.012)


def test_h36m_joints_are_the_skeleton_s(body: Body) -> None:
    rng = np.random.default_rng(4)
    vertices, joints = body.pose(rng.normal(0, 0.25, (20, 24, 3)), adult_betas(rng, 20))
    regressed = body.joints_h36m17(vertices)
    for index, name in enumerate(H36M17_NAMES[:12]):
        error = np.linalg.norm(regressed[:, index] - joints[:, SMPL24_NAMES.index(name)], axis=-1)
        assert error.mean() < 0.02, name


def test_hair_is_on_top_and_at_the_back_of_the_head(body: Body) -> None:
    joints = body.pose(T_POSE, MEAN)[1][0]
    head = body.template[body.part == SMPL24_NAMES.index("head")]
    hair = body.template[body.hair]
    assert 0.1 < len(hair) / len(head) < 0.8
    assert hair[:, 2].mean() < head[:, 2].mean()
    face = hair[hair[:, 2] > joints[SMPL54_NAMES.index("left_ear"), 2] + 0.06]
    assert face[:, 1].min() > joints[SMPL54_NAMES.index("left_eye"), 1] + 0.04


def test_coco_map_goes_by_name() -> None:
    for name, joint in zip(COCO17_NAMES, COCO17_FROM_SMPL54, strict=True):
        assert SMPL54_NAMES[joint] in (name, f"{name}_extra")


@pytest.mark.parametrize(("names", "flip"), [(COCO17_NAMES, COCO17_FLIP), (SMPL24_NAMES, SMPL_POSE_FLIP)])
def test_flips_exchange_left_and_right(names: tuple[str, ...], flip: np.ndarray) -> None:
    swap = {"left": "right", "right": "left"}
    for name, other in zip(names, flip, strict=True):
        side, _, rest = name.partition("_")
        assert names[other] == (f"{swap[side]}_{rest}" if side in swap else name)


def test_limbs_join_every_keypoint_and_mirror_onto_themselves() -> None:
    limbs = {frozenset(limb) for limb in COCO17_LIMBS.tolist()}
    assert set().union(*limbs) == set(range(17))
    assert limbs == {frozenset(COCO17_FLIP[list(limb)].tolist()) for limb in limbs}


def test_mirrored_pose_is_the_mirror_image(low: Body) -> None:
    rng = np.random.default_rng(5)
    pose = rng.normal(0, 0.4, (10, 24, 3))
    pose[:, 0] = 0
    betas = np.zeros((10, 10))
    before = low.pose(pose, betas)[1][:, COCO17_FROM_SMPL54]
    after = low.pose(mirror_pose(pose), betas)[1][:, COCO17_FROM_SMPL54]
    np.testing.assert_allclose(after, before[:, COCO17_FLIP] * [-1, 1, 1], atol=0.012)
