"""The stage between lifting and pictures: who is whom, what is kept, what the files say afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, Body, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pipeline.optimise import (
    NOBODY,
    Adjustment,
    OptimiseMode,
    match_observations,
    observations_of,
    optimised,
    read_lifted,
    resolve,
    write_lifted,
    write_result,
)
from crowd3d.pose.embedded import embedded_source
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.types import Keypoints, People, Scene

CAMERA, GROUND = Camera.from_fov(40.0, (4000, 1500)), GroundPlane.from_angles(0.25, 0.01, 8.0)
COVARIANCE = np.diag([0.02, 0.01, 0.005, 0.02]) ** 2


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module")
def truth(body: Body) -> Scene:
    """Eight people who stand in the rest pose with their arms down."""
    rng = np.random.default_rng(0)
    pose = np.zeros((8, 24, 3))
    pose[:, 16, 2], pose[:, 17, 2] = -1.2, 1.2
    turn = GROUND.rotation_cam_world
    pose[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(rng.uniform(-3, 3, (8, 1)) * [0, 1, 0])).as_rotvec()
    spot = GROUND.from_world(np.stack([np.linspace(-5, 5, 8), np.zeros(8), -rng.uniform(18, 30, 8)], 1))
    vertices, joints = body.pose(pose, np.zeros((8, 10)))
    torso = joints[:, TORSO54].mean(1)
    height = (torso @ GROUND.normal) - (vertices @ GROUND.normal).min(1)
    people = People(
        pose_rad=pose.astype(np.float32),
        betas=np.zeros((8, 10), np.float32),
        translation_cam_m=spot + height[:, None] * GROUND.normal - torso,
        hvip_px=CAMERA.project(spot),
        hvip_cam_m=spot,
        score=np.ones(8),
        keypoints_px=np.zeros((8, 17, 3)),
    )
    return Scene(CAMERA, GROUND, people, "free", "crowd.jpg", COVARIANCE)


@pytest.fixture(scope="module")
def observed(truth: Scene, body: Body) -> Observations:
    xy = CAMERA.project(truth.people.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    return Observations.from_keypoints(Keypoints(xy, np.full(xy.shape[:2], 0.9)), plain("test"))


def test_everybody_finds_his_keypoints(truth: Scene, observed: Observations, body: Body) -> None:
    order = np.array([3, 0, 6, 1, 7, 5])
    far = replace(observed, xy_px=observed.xy_px + [0.0, 900.0])
    shuffled = Observations.joined([observed[order], far[[2]]])
    rows = match_observations(truth.people, body, CAMERA, shuffled)
    assert rows.tolist() == [1, 3, NOBODY, 0, NOBODY, 5, 2, 4]
    twice = truth.people[np.array([0, 0])]
    assert sorted(match_observations(twice, body, CAMERA, observed).tolist()) == [NOBODY, 0]
    assert match_observations(truth.people, body, CAMERA, observed[:0]).tolist() == [NOBODY] * 8


def test_nothing_is_known_of_nobody(observed: Observations) -> None:
    seen = observations_of(np.array([4, NOBODY]), observed)
    np.testing.assert_array_equal(seen.xy_px[0], observed.xy_px[4])
    assert np.isfinite(seen.sigma_px[0]).all()
    assert np.isinf(seen.sigma_px[1]).all()


def moved(truth: Scene) -> Scene:
    """Everybody 15 cm aside."""
    people, aside = truth.people, 0.15 * GROUND.rotation_cam_world[:, 0]
    hvip = people.hvip_cam_m + aside
    people = replace(people, translation_cam_m=people.translation_cam_m + aside, hvip_cam_m=hvip, hvip_px=CAMERA.project(hvip))
    return replace(truth, people=people)


def test_people_come_to_their_keypoints_and_the_camera_stays(truth: Scene, observed: Observations, body: Body) -> None:
    start = moved(truth)
    rows = np.array([0, 1, 2, NOBODY, 4, 5, 6, 7])
    found = optimised(start, rows, Adjustment(observed, body, "people"))
    error = np.linalg.norm(found.people.hvip_cam_m - truth.people.hvip_cam_m, axis=1)
    known = rows != NOBODY
    assert (error[known] < 0.06).all()
    assert error[~known] == pytest.approx(0.15, abs=0.02)
    assert (found.camera, found.ground) == (CAMERA, GROUND)
    assert found.ground_covariance is COVARIANCE


@pytest.mark.parametrize("mode", ["people", "all"])
def test_people_of_another_level_stay_on_it(truth: Scene, body: Body, mode: OptimiseMode) -> None:
    upper = np.arange(8) % 2 == 1
    up = 1.5 * GROUND.normal * upper[:, None]
    people = replace(truth.people, translation_cam_m=truth.people.translation_cam_m + up, hvip_cam_m=truth.people.hvip_cam_m + up)
    people = replace(people, hvip_px=CAMERA.project(people.hvip_cam_m), plane=upper.astype(np.int64), plane_probability=np.full(8, 0.9))
    raised = replace(truth, people=people, levels_m=(0.0, 1.5), ground_covariance=None)
    xy = CAMERA.project(people.joints_cam_m(body)[:, COCO17_FROM_SMPL54])
    seen = Observations.from_keypoints(Keypoints(xy, np.full(xy.shape[:2], 0.9)), plain("test"))
    start = moved(raised)

    def lift(camera: Camera, plane: GroundPlane) -> tuple[People, np.ndarray]:
        return start.people, np.arange(8)

    found = optimised(start, np.arange(8), Adjustment(seen, body, mode, lift))
    assert (found.people.plane == upper).all()
    assert (found.people.plane_probability == 0.9).all()
    assert found.levels_m == (0.0, 1.5)
    assert np.abs(GROUND.signed_distance(found.people.hvip_cam_m) - 1.5 * upper).max() < 1e-6
    assert np.linalg.norm(found.people.hvip_cam_m - people.hvip_cam_m, axis=1).max() < 0.06


def test_all_lifts_again_and_leaves_exact_cameras_alone(truth: Scene, observed: Observations, body: Body) -> None:
    seen: list[Camera] = []

    def lift(camera: Camera, ground: GroundPlane) -> tuple[People, np.ndarray]:
        seen.append(camera)
        return moved(truth).people, np.arange(8)

    adjustment = Adjustment(observed, body, "all", lift)
    exact = optimised(replace(moved(truth), ground_covariance=None), np.arange(8), adjustment)
    assert set(seen) == {CAMERA}
    assert (exact.camera, exact.ground, exact.ground_covariance) == (CAMERA, GROUND, None)
    free = optimised(moved(truth), np.arange(8), adjustment)
    assert free.camera != CAMERA
    assert seen[-1] == free.camera
    assert (np.diag(free.ground_covariance) > 0).all()


def test_files_hold_the_optimised_camera_and_ground(truth: Scene, tmp_path: Path) -> None:
    results = ResultFolder(tmp_path / "out")
    write_lifted(truth, np.arange(8), results)
    lifted, rows = read_lifted(results)
    assert (lifted.camera, rows.tolist()) == (CAMERA, list(range(8)))
    better = replace(truth, camera=Camera.from_fov(42.0, (4000, 1500)), ground=GroundPlane.from_angles(0.26, 0.0, 8.2))
    better = replace(better, remarks=("weak", "assumed"), source={"version": "1"})
    write_result(better, results)
    assert json.loads(results.camera.read_text())["camera"]["fx"] == better.camera.fx
    assert Scene.load(results.root).camera == better.camera
    assert Scene.load(results.root).remarks == ("weak", "assumed")
    assert Scene.load(results.root).source == {"version": "1"}
    assert results.predict.is_file()


def test_the_default_depends_on_who_found_the_keypoints(observed: Observations) -> None:
    assert resolve("auto", observed) == "people"
    assert resolve("auto", replace(observed, source=embedded_source())) == "none"
    assert resolve("all", observed) == "all"
