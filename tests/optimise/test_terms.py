"""Every term's derivatives against differences, kernels against autograd, the reduced body against the whole one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from crowd3d.bodies import COCO17_FROM_SMPL54, Body
from crowd3d.bodies.skinning import heights, locate
from crowd3d.geometry import GroundPlane
from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.ground import StaturePrior
from crowd3d.optimise.belief import INDEPENDENT
from crowd3d.optimise.contacts import deepest_overlap, find_contacts
from crowd3d.optimise.kernels import Kernel, cauchy, geman_mcclure, mixture, quadratic
from crowd3d.optimise.pose_prior import fit_pose_prior, load_pose_prior
from crowd3d.optimise.problem import Problem, state_problem
from crowd3d.optimise.skeleton import Skeleton, articulate
from crowd3d.optimise.solver import chunks, cost, linearise, weigh
from crowd3d.optimise.state import world_rotation
from crowd3d.optimise.terms import SPHERES, TERMS, Held, Residuals
from crowd3d.pose.observations import Observations
from crowd3d.types import Scene

STEP = 1e-6


@pytest.fixture
def somewhere(crowd: Scene, seen: Observations, body: Body) -> tuple[Problem, np.ndarray, np.ndarray, Held]:
    """Four people at a point where no term vanishes, with made-up contacts."""
    rng = np.random.default_rng(0)
    people = slice(0, 4)
    scene = Scene(crowd.camera, crowd.ground, crowd.people[people], crowd.body, crowd.image, crowd.ground_covariance)
    free, frame = ("people", "camera", "ground"), np.zeros(4, np.int64)
    problem, x, shared = state_problem(scene, seen[people], body, load_pose_prior(), StaturePrior(), free, INDEPENDENT, frame)
    x = x + 0.03 * rng.normal(size=x.shape)
    shared = shared + [0.02, 0.01, -0.01, 0.03]
    away = rng.normal(size=(4, 3, 3))
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    ball = rng.integers(0, len(SPHERES), (4, 3))
    frozen = Held(np.full(4, 6.0), shared - 0.01, ball, away, np.full((4, 3), 30.0))
    return problem, x, shared, frozen


@pytest.mark.parametrize("name", TERMS)
def test_derivatives_equal_differences(name: str, somewhere: tuple[Problem, np.ndarray, np.ndarray, Held]) -> None:
    problem, x, shared, frozen = somewhere

    def residual(x: np.ndarray, shared: np.ndarray) -> np.ndarray:
        ((_, chunk),) = chunks(problem, x, shared, frozen, False)
        return TERMS[name](chunk).residual

    ((_, chunk),) = chunks(problem, x, shared, frozen, True)
    rows = TERMS[name](chunk)
    person, common = STEP * np.eye(problem.unknowns), STEP * np.eye(4)
    numeric = np.stack([residual(x + step, shared) - residual(x - step, shared) for step in person], -1) / (2 * STEP)
    np.testing.assert_allclose(rows.person, numeric, rtol=1e-6, atol=1e-5)
    numeric = np.stack([residual(x, shared + step) - residual(x, shared - step) for step in common], -1) / (2 * STEP)
    np.testing.assert_allclose(rows.shared, numeric, rtol=1e-6, atol=1e-5)


def test_normal_equations_hold_the_gradient_of_the_robust_cost(somewhere: tuple[Problem, np.ndarray, np.ndarray, Held]) -> None:
    problem, x, shared, frozen = somewhere
    system = linearise(problem, x, shared, frozen)
    direction = np.random.default_rng(1).normal(size=x.shape)
    slope = (cost(problem, x + STEP * direction, shared, frozen) - cost(problem, x - STEP * direction, shared, frozen)) / (2 * STEP)
    np.testing.assert_allclose((system.gradient * direction).sum(1), slope, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(system.cost, cost(problem, x, shared, frozen), rtol=1e-12)


@pytest.mark.parametrize(
    "kernel",
    [quadratic, cauchy(2.0), geman_mcclure(np.array([1.0, 3.0])), mixture(np.array([0.0, -1.0, 2.0]))],
)
def test_weights_are_the_slope_of_the_cost(kernel: Kernel) -> None:
    squared = np.array([[0.0, 1.0, 9.0], [0.3, 4.0, 100.0]])
    slope = approx_fprime(squared.ravel(), lambda x: kernel(x.reshape(2, 3))[0].sum(), STEP).reshape(2, 3)
    np.testing.assert_allclose(2 * slope, kernel(squared)[1], atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_whoever_comes_behind_the_camera_costs_infinitely_much_and_pulls_nowhere() -> None:
    residual = np.ones((2, 3, 2))
    residual[0, 1] = np.inf
    costs, weights = weigh(Residuals(residual, np.empty(0), np.empty(0), geman_mcclure(np.array([4.0, 4.0]))))
    assert costs[0] == np.inf
    assert costs[1] == pytest.approx(3 * 0.5 * 2 * 16 / 18)
    assert weights[0, 1] == 0


def test_the_skeleton_is_the_body(crowd: Scene, body: Body) -> None:
    pose, betas = crowd.people.pose_rad, crowd.people.betas
    vertices, joints = body.pose(crowd.people.pose_rad, crowd.people.betas)
    skeleton = Skeleton.of(body)
    bones = articulate(skeleton, pose, np.tile(np.eye(3), (len(pose), 1, 1)), betas)
    pelvis = joints[:, :1]
    np.testing.assert_allclose(locate(bones, skeleton.landmarks, betas), joints[:, COCO17_FROM_SMPL54] - pelvis, atol=1e-7)
    surface = heights(bones, skeleton.touching, betas)
    np.testing.assert_allclose(surface, locate(bones, skeleton.touching, betas)[..., 1], atol=1e-12)
    root = crowd.ground.rotation_cam_world.T @ axis_angle_to_matrix(pose[:, 0])
    upright = articulate(skeleton, np.concatenate([np.zeros_like(pose[:, :1]), pose[:, 1:]], 1), root, betas)
    lowest = ((vertices - pelvis) @ crowd.ground.normal).min(1)
    np.testing.assert_allclose(heights(upright, skeleton.touching, betas).min(1), lowest, atol=2e-3)
    np.testing.assert_allclose(skeleton.stature[0] + betas @ skeleton.stature[1:], body.stature_m(crowd.people.betas), atol=0.01)


@pytest.mark.parametrize("roll", [-0.05, 0.9, -2.5])
@pytest.mark.parametrize("tilt", [-0.2, 0.3, 1.5, 1.53, 1.57, np.pi / 2])
def test_world_rotation_is_that_of_the_plane(tilt: float, roll: float) -> None:
    plane = GroundPlane.from_angles(tilt, roll, 7.0)
    rotation = world_rotation(tilt, roll)
    np.testing.assert_allclose(rotation, plane.rotation_cam_world, atol=1e-12)
    np.testing.assert_allclose(plane.rotation_cam_world.T @ plane.rotation_cam_world, np.eye(3), atol=1e-12)


def test_the_world_turns_no_more_than_the_camera_on_its_way_to_the_nadir() -> None:
    turns = [GroundPlane.from_angles(tilt, 0.9, 7.0).rotation_cam_world for tilt in np.linspace(1.4, 1.57, 171)]
    steps = [np.linalg.norm(after - before) for before, after in itertools.pairwise(turns)]
    assert max(steps) < 0.0015
    down = GroundPlane.from_coefficients(np.array([0.0, 0.0, -1.0, 9.0]))
    np.testing.assert_allclose(down.to_world(np.array([[1.0, 0.0, 9.0], [0.0, -1.0, 9.0]])), [[1, 0, 0], [0, 0, -1]], atol=1e-12)


def test_pose_prior_recovers_the_distribution_that_it_was_fitted_to() -> None:
    rng = np.random.default_rng(0)
    truth = load_pose_prior()
    poses = np.zeros((4000, 24, 3))
    poses[:, 1:] = (truth.mean_rad + rng.normal(size=(4000, truth.basis_rad.shape[1])) @ truth.basis_rad.T).reshape(-1, 23, 3)
    poses[:, 0, [0, 2]] = rng.normal(0, 0.05, (4000, 2))
    fitted = fit_pose_prior(poses)
    assert fitted.lean == pytest.approx(0.05, rel=0.1)
    scatter = fitted.coefficients(poses[:, 1:].reshape(-1, 69))
    np.testing.assert_allclose(np.cov(scatter.T), np.eye(scatter.shape[1]), atol=1e-6)
    np.testing.assert_allclose(fitted.basis_rad @ fitted.basis_rad.T, truth.basis_rad @ truth.basis_rad.T, atol=0.06)


def test_contacts_of_two_balls() -> None:
    centres = np.full((3, len(SPHERES), 3), 50.0) + np.arange(3.0)[:, None, None] * 20
    centres[..., 1] = np.linspace(0, 30, len(SPHERES))
    centres[1] = centres[0] + [0.15, 0.0, 0.0]
    stature = np.full(3, 1.7)
    ball, away, bound = find_contacts(centres, stature, np.zeros(3))
    radius = SPHERES[1][1]
    assert ball[:2, 0].tolist() == [1, 1]
    np.testing.assert_allclose(away[:2, 0], [[-1, 0, 0], [1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(bound[0, 0], -(centres[0, 1, 0] - (radius - 0.075)))
    assert not away[2].any()
    np.testing.assert_allclose(deepest_overlap(centres, stature), [2 * radius - 0.15, 2 * radius - 0.15, 0.0], atol=1e-12)
