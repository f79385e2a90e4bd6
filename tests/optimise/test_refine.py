"""The whole problem: it stays at the truth, returns to it, shrugs off outliers, and says what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crowd3d.bodies import Body
from crowd3d.errors import BackendFailed, NoPeopleFound
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import StaturePrior
from crowd3d.optimise import INDEPENDENT, PLAIN, refine, refine_frames, refine_in_rounds, solver
from crowd3d.optimise.pose_prior import PosePrior, load_pose_prior
from crowd3d.optimise.problem import Problem, state_problem
from crowd3d.optimise.skeleton import Skeleton
from crowd3d.optimise.solver import solve
from crowd3d.optimise.state import POSE, RISE, TURN, view
from crowd3d.pose.observations import Observations
from crowd3d.types import Keypoints, People, Scene

FREE = ("people", "camera", "ground")
WILD = np.random.default_rng(9).normal(size=(24, 17, 2)) * (np.random.default_rng(8).random((24, 17, 1)) < 0.5)


def joint_error_m(scene: Scene, truth: Scene, body: Body) -> float:
    """Mean distance of joints after moving the pelvises together."""
    joints, true = (each.people.joints_cam_m(body)[:, :24] for each in (scene, truth))
    return float(np.linalg.norm((joints - joints[:, :1]) - (true - true[:, :1]), axis=2).mean())


def place_error_m(scene: Scene, truth: Scene) -> float:
    """Mean distance on the ground."""
    places, true = (each.ground.to_world(each.people.hvip_cam_m) for each in (scene, truth))
    return float(np.linalg.norm(places - true, axis=1).mean())


def one_frame(scene: Scene) -> np.ndarray:
    """(N,) everybody in the same photograph."""
    return np.zeros(len(scene.people), np.int64)


def shared_of(scene: Scene) -> np.ndarray:
    """(4,) log focal length, tilt, roll, log height."""
    ground = scene.ground
    return np.array([np.log(scene.camera.fx), ground.tilt_rad, ground.roll_rad, np.log(ground.offset_m)])


@pytest.fixture
def ideal(body: Body, crowd: Scene) -> tuple[Scene, StaturePrior]:
    """Everybody exactly as the priors expect people to be: all terms vanish at the truth."""
    from small_crowd import settle

    prior = load_pose_prior()
    pose = np.array(crowd.people.pose_rad)
    pose[:, 1:] = prior.mean_rad.reshape(23, 3)
    scene = settle(body, crowd, pose, np.zeros((len(pose), 10)), upright=True)
    return scene, StaturePrior(mean_m=float(Skeleton.of(body).stature[0]), child_share=0.0)


@pytest.fixture
def problem(ideal: tuple[Scene, StaturePrior], body: Body) -> tuple[Problem, np.ndarray, np.ndarray]:
    from small_crowd import measure

    scene, stature = ideal
    belief = replace(INDEPENDENT, ground=0.05)
    return state_problem(scene, measure(scene, body), body, load_pose_prior(), stature, FREE, belief, one_frame(scene))


def test_the_truth_stays(problem: tuple[Problem, np.ndarray, np.ndarray]) -> None:
    solution = solve(*problem)
    assert sum(solution.cost_before.values()) < 1e-3
    np.testing.assert_allclose(solution.x, problem[1], atol=1e-3)
    np.testing.assert_allclose(solution.shared, problem[2], atol=1e-5)


def test_a_perturbed_scene_returns_to_the_truth(problem: tuple[Problem, np.ndarray, np.ndarray]) -> None:
    setup, x, shared = problem
    rng = np.random.default_rng(3)
    moved = x.copy()
    angle = rng.uniform(0, 2 * np.pi, len(x))
    before = view(shared, setup.lens, setup.start.hvip_px)
    one_metre = np.stack([np.cos(angle), np.sin(angle)], 1)
    pixels = np.linalg.solve(before.foot_place[:, [0, 2]], one_metre[..., None])[..., 0]
    moved[:, :2] += pixels / setup.start.size_px[:, None]
    moved[:, TURN] += rng.normal(0, 0.2, (len(x), 3))
    moved[:, POSE:-10] += rng.normal(0, 0.2, (len(x), 69)) @ setup.basis / (setup.basis**2).sum(0)
    away = shared + [np.log(1.05), np.deg2rad(2.0), 0.0, np.log(1.1)]
    solution = solve(setup, moved, away)
    fov = [2 * np.rad2deg(np.arctan(4000 / np.exp(float(s[0])))) for s in (solution.shared, shared)]
    assert fov[0] == pytest.approx(fov[1], abs=0.01)
    place = view(solution.shared, setup.lens, setup.start.hvip_px + solution.x[:, :2] * setup.start.size_px[:, None]).foot
    assert np.linalg.norm(place - before.foot, axis=1).max() < 1e-3


def test_noisy_measurements_improve_a_worse_start(crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body)
    refined, report = refine(start, noisy, body=body)
    assert joint_error_m(refined, crowd, body) < 0.85 * joint_error_m(start, crowd, body)
    assert (np.abs(shared_of(refined) - shared_of(crowd)) < 3 * np.sqrt(np.diag(report.covariance))).all()
    assert sum(report.cost_after.values()) < sum(report.cost_before.values())
    assert report.refined.all()
    lowest = (refined.people.vertices_cam_m(body) @ refined.ground.normal + refined.ground.offset_m).min(1)
    assert np.median(np.abs(lowest)) < 0.02
    np.testing.assert_allclose(refined.people.hvip_cam_m, refined.ground.foot(refined.people.hvip_cam_m), atol=1e-9)
    np.testing.assert_allclose(refined.camera.project(refined.people.hvip_cam_m), refined.people.hvip_px, atol=1e-6)
    joints = refined.people.joints_cam_m(body)
    np.testing.assert_allclose(refined.ground.foot(joints[:, [16, 17, 45, 46]].mean(1)), refined.people.hvip_cam_m, atol=1e-5)
    covariance = report.covariance
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert (np.diag(covariance) < 4 * np.diag(start.ground_covariance)).all()
    assert refined.ground_covariance is report.covariance


def test_leaving_settled_people_alone_changes_nothing_that_matters(
    crowd: Scene, noisy: Observations, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = worse(crowd, body, same_view=True)
    # two of them are mismeasured, and take longer than the others
    noisy = replace(noisy, xy_px=noisy.xy_px + 30 * noisy.sigma_px[..., None] * np.isin(np.arange(24), [3, 8])[:, None, None] * WILD)
    worked: list[int] = []

    def counted(problem: Problem, *rest: Any) -> solver.System:
        worked.append(len(problem))
        return linearise(problem, *rest)

    linearise = solver.linearise
    monkeypatch.setattr(solver, "linearise", counted)
    quick, told = refine(start, noisy, body=body, free=("people",))
    few = sum(worked)
    worked.clear()
    monkeypatch.setattr(solver, "SETTLED", solver.ITERATIONS)
    full, thorough = refine(start, noisy, body=body, free=("people",))
    assert few < 0.8 * sum(worked)
    assert sum(told.cost_after.values()) == pytest.approx(sum(thorough.cost_after.values()), rel=0.01)
    assert place_error_m(quick, full) < 0.01
    assert joint_error_m(quick, full, body) < 0.01


def test_people_off_the_ground_stay_as_high_as_they_were_given(crowd: Scene, body: Body) -> None:
    from small_crowd import measure

    high = np.where(np.arange(len(crowd.people)) % 3 == 0, 1.3, 0.0)
    people = crowd.people
    raised = replace(people, off_ground_m=high, translation_cam_m=people.translation_cam_m + high[:, None] * crowd.ground.normal)
    truth = replace(crowd, people=raised)
    moved = replace(raised, translation_cam_m=raised.translation_cam_m + 0.3 * crowd.ground.rotation_cam_world[:, 0])
    refined, _ = refine(replace(truth, people=moved), measure(truth, body), body=body, free=("people",))
    lowest = refined.ground.signed_distance(refined.people.vertices_cam_m(body)).min(1)
    np.testing.assert_allclose(lowest, high, atol=0.02)
    assert place_error_m(refined, truth) < 0.1
    assert (refined.people.off_ground_m == high).all()


def worse(truth: Scene, body: Body, *, same_view: bool = False) -> Scene:
    """Places and poses, and unless `same_view` camera and ground, off by what estimates are off by."""
    from small_crowd import settle

    rng = np.random.default_rng(6)
    camera, ground = truth.camera, truth.ground
    if not same_view:
        camera = Camera.from_focal(camera.fx * 1.06, (camera.width, camera.height))
        ground = GroundPlane.from_angles(ground.tilt_rad - 0.02, ground.roll_rad + 0.01, ground.offset_m * 1.06)
    people = truth.people
    size = truth.camera.fx * 1.7 / people.hvip_cam_m[:, 2]
    hvip_px = people.hvip_px + 0.04 * size[:, None] * rng.normal(size=people.hvip_px.shape)
    placed = replace(people, hvip_px=hvip_px, hvip_cam_m=ground.intersect(camera, hvip_px))
    pose = people.pose_rad + 0.15 * rng.normal(size=people.pose_rad.shape)
    return settle(body, replace(truth, camera=camera, ground=ground, people=placed), pose, 0.5 * people.betas, upright=False)


def test_outliers_do_not_hurt(crowd: Scene, noisy: Observations, body: Body) -> None:
    rng = np.random.default_rng(4)
    gross = rng.random(noisy.sigma_px.shape) < 0.2
    size = 25 * noisy.sigma_px
    wild = np.where(gross[..., None], noisy.xy_px + 0.5 * size[..., None] * rng.normal(size=noisy.xy_px.shape), noisy.xy_px)
    start = worse(crowd, body)
    refined, report = refine(start, replace(noisy, xy_px=wild), body=body)
    assert joint_error_m(refined, crowd, body) < joint_error_m(start, crowd, body)
    assert (np.abs(shared_of(refined) - shared_of(crowd)) < 3 * np.sqrt(np.diag(report.covariance))).all()


def test_only_what_is_free_changes(crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body, same_view=True)
    people_only, report = refine(start, noisy, body=body, free=("people",))
    assert place_error_m(people_only, crowd) < 0.7 * place_error_m(start, crowd)
    assert (people_only.camera, people_only.ground) == (start.camera, start.ground)
    assert not report.covariance.any()
    assert people_only.ground_covariance is start.ground_covariance
    assert joint_error_m(people_only, crowd, body) < joint_error_m(start, crowd, body)
    ground_only, report = refine(start, noisy, body=body, free=("ground",))
    assert ground_only.camera == start.camera
    assert not report.covariance[0].any()
    assert report.covariance[3, 3] > 0
    np.testing.assert_allclose(ground_only.people.pose_rad[:, 1:], start.people.pose_rad[:, 1:], atol=1e-6)
    np.testing.assert_allclose(ground_only.people.hvip_px, start.people.hvip_px, atol=1e-6)
    exact, _ = refine(replace(start, ground_covariance=None), noisy, body=body, free=("camera", "ground"))
    assert (exact.camera, exact.ground) == (start.camera, start.ground)


def test_statures_do_not_tell_a_scale_that_is_known(crowd: Scene, noisy: Observations, body: Body) -> None:
    """People who ought to be much taller raise the camera, unless its height is known for given focal length and tilt."""
    start = worse(crowd, body, same_view=True)
    giants = StaturePrior(mean_m=1.9, sd_m=0.03, child_share=0.0)
    free, _ = refine(start, noisy, body=body, stature=giants)
    held, _ = refine(start, noisy, body=body, stature=giants, belief=replace(INDEPENDENT, scale=1e-4))
    assert free.ground.offset_m > 1.03 * start.ground.offset_m
    covariance = start.ground_covariance
    moved = shared_of(held) - shared_of(start)
    follows = moved[:3] @ np.linalg.solve(covariance[:3, :3], covariance[:3, 3])
    assert abs(moved[3] - follows) < 1e-3
    assert np.abs(moved[:3]).max() > 1e-4


def test_people_without_evidence(crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body, same_view=True)
    sigma, hvip = noisy.sigma_px.copy(), noisy.hvip_px.copy()
    sigma[0], hvip[0] = np.inf, np.nan
    sigma[:, [15, 16]] = np.inf
    xy = np.where(np.isinf(sigma)[..., None], np.nan, noisy.xy_px)
    refined, report = refine(start, replace(noisy, xy_px=xy, sigma_px=sigma, hvip_px=hvip), body=body, free=("people",))
    assert report.refined.all()
    np.testing.assert_allclose(refined.people.hvip_px[0], start.people.hvip_px[0], atol=1.0)
    assert np.isfinite(refined.people.vertices_cam_m(body)).all()
    assert place_error_m(refined, crowd) < place_error_m(start, crowd)


@pytest.mark.parametrize("count", [1, 2])
def test_few_people(count: int, crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body)
    refined, report = refine(replace(start, people=start.people[:count]), noisy[:count], body=body)
    assert (np.abs(shared_of(refined) - shared_of(crowd)) < 3 * np.sqrt(np.diag(report.covariance))).all()
    assert np.isfinite(refined.people.vertices_cam_m(body)).all()


def test_plain_keypoints_serve_as_well(crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body, same_view=True)
    score = np.full(noisy.sigma_px.shape, 0.6)
    score[:, 0] = 0.0
    xy = noisy.xy_px.copy()
    xy[:, 0] = 0.0
    refined, _ = refine(start, Keypoints(xy, score), body=body, free=("people",))
    assert place_error_m(refined, crowd) < place_error_m(start, crowd)


def test_whoever_is_behind_the_camera_stays(crowd: Scene, noisy: Observations, body: Body) -> None:
    people = crowd.people
    behind = people.translation_cam_m.copy()
    behind[3] -= [0.0, 0.0, 200.0]
    hvip = people.hvip_cam_m.copy()
    hvip[3] -= [0.0, 0.0, 200.0]
    start = replace(crowd, people=replace(people, translation_cam_m=behind, hvip_cam_m=hvip))
    refined, report = refine(start, noisy, body=body)
    assert np.flatnonzero(~report.refined).tolist() == [3]
    np.testing.assert_array_equal(refined.people.pose_rad[3], people.pose_rad[3])
    with pytest.raises(NoPeopleFound, match="nobody of 1"):
        refine(replace(start, people=start.people[3:4]), noisy[3:4], body=body)


def test_a_keypoint_that_is_no_number_is_an_error(crowd: Scene, noisy: Observations, body: Body) -> None:
    xy = noisy.xy_px.copy()
    xy[2, 5, 0] = np.nan
    with pytest.raises(BackendFailed, match="keypoint 5 of person 2"):
        refine(crowd, replace(noisy, xy_px=xy), body=body)
    with pytest.raises(BackendFailed, match="keypoint 5 of person 2"):
        refine(crowd, Keypoints(xy, np.ones(xy.shape[:2])), body=body)


def test_rounds_lift_again_with_the_better_camera(crowd: Scene, noisy: Observations, body: Body) -> None:
    from small_crowd import settle

    start, few = worse(crowd, body), np.arange(0, 24, 3)
    cameras = []

    def lift(camera: Camera, ground: GroundPlane) -> tuple[People, np.ndarray]:
        cameras.append(camera)
        people = crowd.people[few[1:]]
        placed = replace(people, hvip_cam_m=ground.intersect(camera, people.hvip_px))
        return settle(body, Scene(camera, ground, placed, "", ""), people.pose_rad, people.betas, upright=False).people, few[1:]

    first = replace(start, people=start.people[few])
    once, _ = refine(first, noisy[few], body=body)
    scene, rows, report = refine_in_rounds(first, few, noisy, lift, body=body, rounds=2)
    assert [camera.fx for camera in cameras] == [once.camera.fx]
    assert rows.tolist() == few[1:].tolist()
    assert len(scene.people) == len(report.refined) == len(rows)
    _, rows, _ = refine_in_rounds(replace(first, ground_covariance=None), few, noisy, lift, body=body)
    assert (len(cameras), rows.tolist()) == (1, few.tolist())


def test_people_come_apart(crowd: Scene, noisy: Observations, body: Body) -> None:
    from small_crowd import measure

    pair = crowd.people[np.array([0, 0])]
    shift = crowd.ground.rotation_cam_world[:, 0] * 0.12
    offset = np.array([[0.0], [1.0]]) * shift
    hvip = pair.hvip_cam_m + offset
    moved = replace(pair, translation_cam_m=pair.translation_cam_m + offset, hvip_cam_m=hvip, hvip_px=crowd.camera.project(hvip))
    start = replace(crowd, people=moved)
    exact = measure(start, body, sigma=0.04)
    refined, report = refine(start, exact, body=body, free=("people",))
    assert report.cost_after["people apart"] < 0.2 * report.cost_before["people apart"]
    spread = np.linalg.norm(np.diff(refined.people.hvip_cam_m, axis=0))
    assert spread > 0.15


def test_people_stay_where_they_are_under_a_turned_camera_that_looks_down(crowd: Scene, body: Body) -> None:
    from small_crowd import measure, settle

    camera, ground = crowd.camera, GroundPlane.from_angles(1.56, 0.9, 30.0)
    few = crowd.people[np.arange(6)]
    hvip_px = np.stack([np.linspace(1500, 6500, 6), np.linspace(2300, 700, 6)], 1)
    hvip = ground.intersect(camera, hvip_px)
    placed = Scene(camera, ground, replace(few, hvip_px=hvip_px, hvip_cam_m=hvip), "free_low", "crowd.jpg")
    scene = settle(body, placed, few.pose_rad, few.betas, upright=True)
    refined, _ = refine(scene, measure(scene, body), body=body, free=("people",))
    assert np.linalg.norm(refined.people.hvip_cam_m - hvip, axis=1).max() < 0.1
    assert np.linalg.norm(refined.people.translation_cam_m - scene.people.translation_cam_m, axis=1).max() < 0.1


def test_nobody_stands_in_the_air(ideal: tuple[Scene, StaturePrior], body: Body) -> None:
    from small_crowd import measure

    scene, stature = ideal
    people = scene.people
    lifted = replace(scene, people=replace(people, translation_cam_m=people.translation_cam_m + 0.1 * scene.ground.normal))
    seen = measure(scene, body)
    setup, x, shared = state_problem(lifted, seen, body, load_pose_prior(), stature, ("people",), INDEPENDENT, one_frame(scene))
    solution = solve(setup, x, shared)
    np.testing.assert_allclose(solution.x[:, RISE] - x[:, RISE], -0.1, atol=0.02)


def test_prior_without_directions_keeps_poses(crowd: Scene, noisy: Observations, body: Body) -> None:
    prior = load_pose_prior()
    stiff = PosePrior(prior.mean_rad, prior.basis_rad[:, :1] * 1e-6, prior.lean)
    setup, x, shared = state_problem(crowd, noisy, body, stiff, StaturePrior(), ("people",), INDEPENDENT, one_frame(crowd))
    solution = solve(setup, x, shared)
    local = setup.start.pose_rad + solution.x[:, POSE:-10] @ setup.basis.T
    np.testing.assert_allclose(local, setup.start.pose_rad, atol=1e-4)


def test_frames_of_one_camera_tell_more_together(crowd: Scene, noisy: Observations, body: Body) -> None:
    start = worse(crowd, body)
    halves = [np.arange(0, 24, 2), np.arange(1, 24, 2)]
    scenes = [replace(start, people=start.people[half], image=f"{row}.jpg") for row, half in enumerate(halves)]
    refined, report = refine_frames(scenes, [noisy[half] for half in halves], body=body)
    alone = [refine(scene, noisy[half], body=body)[0] for scene, half in zip(scenes, halves, strict=True)]
    truth = shared_of(crowd)
    sigma = np.sqrt(np.diag(report.covariance))
    error = np.linalg.norm((shared_of(refined[0]) - truth) / sigma)
    assert error <= max(np.linalg.norm((shared_of(scene) - truth) / sigma) for scene in alone)
    assert (np.diag(report.covariance) < np.diag(alone[0].ground_covariance)).all()
    assert [scene.image for scene in refined] == ["0.jpg", "1.jpg"]
    assert refined[0].camera == refined[1].camera
    assert [len(scene.people) for scene in refined] == [12, 12]
    with pytest.raises(ValueError, match="one camera"):
        refine_frames([scenes[0], replace(scenes[1], camera=crowd.camera)], [noisy[half] for half in halves], body=body)


def test_people_of_different_frames_do_not_push_each_other(crowd: Scene, noisy: Observations, body: Body) -> None:
    twice = replace(crowd, people=crowd.people[np.array([0, 0])])
    apart, _ = refine_frames([replace(crowd, people=crowd.people[[0]])] * 2, [noisy[[0]]] * 2, body=body, free=("people",))
    pushed, _ = refine(twice, noisy[[0, 0]], body=body, free=("people",))
    np.testing.assert_allclose(apart[0].people.hvip_cam_m, apart[1].people.hvip_cam_m, atol=1e-9)
    assert np.linalg.norm(np.diff(pushed.people.hvip_cam_m, axis=0)) > 0.1


def test_given_people_stay_where_nothing_contradicts_them(crowd: Scene, seen: Observations, body: Body) -> None:
    refined, _ = refine(crowd, seen, body=body, free=("people",), belief=PLAIN)
    assert joint_error_m(refined, crowd, body) < 0.002
    assert place_error_m(refined, crowd) < 0.005
