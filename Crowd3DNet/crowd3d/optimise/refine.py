"""One least-squares problem for camera, ground and everybody: the bundle adjustment of a crowd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from crowd3d.bodies import torso_centre
from crowd3d.bodies.body import Body
from crowd3d.errors import NoPeopleFound
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.rotations import matrix_to_axis_angle
from crowd3d.ground import StaturePrior
from crowd3d.optimise.belief import INDEPENDENT, Belief
from crowd3d.optimise.pose_prior import load_pose_prior
from crowd3d.optimise.problem import Problem, checked, state_problem, usable
from crowd3d.optimise.solver import LIMIT, cost, freeze, solve
from crowd3d.optimise.state import BETAS, PLACE, RISE, bones_of, pose_of, view
from crowd3d.pose.observations import Observations
from crowd3d.types import Keypoints, People, Scene

Part = Literal["people", "camera", "ground"]
ROUNDS = 3


@dataclass(frozen=True)
class RefineReport:
    """What the optimisation did.

    Attributes:
        cost_before, cost_after: cost per term (half a squared standard deviation each), under the same robust losses.
        iterations: steps taken.
        covariance: (4, 4) of (log focal length, tilt in rad, roll in rad, log height) afterwards; 0 where nothing was free.
        refined: (N,) bool, people who took part; the others could not be placed before the camera and stay as they were.
    """

    cost_before: dict[str, float]
    cost_after: dict[str, float]
    iterations: int
    covariance: np.ndarray
    refined: np.ndarray


def refine(
    scene: Scene,
    keypoints: Keypoints | Observations,
    *,
    body: Body,
    free: tuple[Part, ...] = ("people", "camera", "ground"),
    stature: StaturePrior | None = None,
    belief: Belief = INDEPENDENT,
    frame: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda iteration: None,
) -> tuple[Scene, RefineReport]:
    """Make camera, ground and everybody agree with the 2D measurements, with each other, and with what is known of people.

    The unknowns are focal length, tilt, roll and camera height, and for everybody the HVIP, the torso's height, the pelvis'
    orientation, the pose in coordinates of a prior, and the betas. The minimum is found by Levenberg–Marquardt with everybody's
    block eliminated (Triggs et al., Bundle Adjustment — A Modern Synthesis, 1999); time is linear in the number of people.

    Args:
        scene: the start. Its `ground_covariance` says how well camera and ground are known; without one they are exact.
        keypoints: measurements of the same people in the same order; score 0 or infinite spread = unknown.
        body: the scene's body, with its mesh; a low level of detail is enough.
        free: what may change.
        stature: what is known of people's heights.
        belief: in the given people and in the measurements; see `belief.belief_of` for people lifted from these measurements.
        frame: (N,) photograph of one static camera that each person is in, by default the same; see `refine_frames`.
        progress: called with the number of each finished iteration.

    Returns:
        The refined scene, its `ground_covariance` that of the report, and the report.

    Raises:
        NoPeopleFound: nobody in the scene stands in front of the camera.
        BackendFailed: a keypoint that counts as known is not a number.
    """
    observed = checked(keypoints).straightened(scene.camera)
    if len(observed.score) != len(scene.people):
        raise ValueError(f"{len(observed.score)} observations for {len(scene.people)} people")
    # the terms' algebra is a pinhole's; pixels of the photograph come back with `_scene`
    ideal_px = scene.camera.to_ideal_px(scene.people.hvip_px)
    straight = replace(scene, camera=scene.camera.ideal, people=replace(scene.people, hvip_px=ideal_px))
    rows = np.flatnonzero(usable(straight))
    stature = stature or StaturePrior()
    frame = np.zeros(len(scene.people), np.int64) if frame is None else frame
    while True:
        if len(rows) == 0:
            raise NoPeopleFound(f"nobody of {len(scene.people)} stands on the ground in front of the camera; estimate both anew")
        chosen = replace(straight, people=straight.people[rows])
        known = observed[rows]
        problem, x, shared = state_problem(chosen, known, body, load_pose_prior(), stature, free, belief, frame[rows])
        frozen = freeze(problem, x, shared, np.full(len(rows), LIMIT))
        seen = np.isfinite(cost(problem, x, shared, frozen))
        if seen.all():
            break
        rows = rows[seen]
    solution = solve(problem, x, shared, progress)
    covariance = solution.covariance
    refined = _scene(replace(chosen, camera=scene.camera), problem, body, solution.x, solution.shared)
    mask = np.zeros(len(scene.people), bool)
    mask[rows] = True
    report = RefineReport(solution.cost_before, solution.cost_after, solution.iterations, covariance, mask)
    sure = covariance if problem.shared_free.any() else scene.ground_covariance
    return replace(refined, people=_merged(scene.people, refined.people, rows), ground_covariance=sure), report


def refine_frames(
    scenes: Sequence[Scene],
    keypoints: Sequence[Keypoints | Observations],
    *,
    body: Body,
    free: tuple[Part, ...] = ("people", "camera", "ground"),
    stature: StaturePrior | None = None,
    belief: Belief = INDEPENDENT,
    progress: Callable[[int], None] = lambda iteration: None,
) -> tuple[list[Scene], RefineReport]:
    """`refine` for several photographs of one static camera: they share camera and ground, and nobody touches people of another one.

    Args:
        scenes: at least one, all with the same camera and ground; the covariance of the first counts.
        keypoints: of each scene's people, in the same order.
        body, free, stature, belief, progress: see `refine`.

    Returns:
        The refined scenes, and one report whose `refined` covers everybody in order.

    Raises:
        ValueError: the scenes differ in camera, ground or body, or there are not as many measurements as scenes.
        NoPeopleFound, BackendFailed: see `refine`.
    """
    first = scenes[0]
    same = [
        (s.camera, s.body) == (first.camera, first.body) and np.allclose(s.ground.coefficients, first.ground.coefficients) for s in scenes
    ]
    if not all(same):
        raise ValueError("the frames of a static camera need one camera, ground and body; reconstruct them with the same ones")
    observed = Observations.joined([checked(each) for _, each in zip(scenes, keypoints, strict=True)])
    people = People(*(np.concatenate([getattr(s.people, f.name) for s in scenes]) for f in fields(People)))
    frame = np.repeat(np.arange(len(scenes)), [len(s.people) for s in scenes])
    together = replace(first, people=people)
    found, report = refine(together, observed, body=body, free=free, stature=stature, belief=belief, frame=frame, progress=progress)
    return [
        replace(found, people=found.people[frame == index], image=scene.image) for index, scene in enumerate(scenes)
    ], report


def refine_in_rounds(
    scene: Scene,
    rows: np.ndarray,
    observed: Observations,
    lift: Callable[[Camera, GroundPlane], tuple[People, np.ndarray]],
    *,
    body: Body,
    free: tuple[Part, ...] = ("people", "camera", "ground"),
    stature: StaturePrior | None = None,
    belief: Belief = INDEPENDENT,
    rounds: int = ROUNDS,
    progress: Callable[[int], None] = lambda iteration: None,
) -> tuple[Scene, np.ndarray, RefineReport]:
    """`refine`, and lift everybody again with the camera and ground that come out, in turns.

    Bodies that were lifted with a wrong camera lean as it does and hold it back, all in the same direction; lifted again with a
    better one they let go.

    Args:
        scene: people lifted from `observed`.
        rows: (N,) rows that the scene's people have in `observed`.
        observed: measurements of everybody.
        lift: (camera, ground) → people and their rows in `observed`, as `scene.placing.reconstruct_people` gives them.
        body, free, stature, belief, progress: see `refine`.
        rounds: how often to refine; once is all when camera and ground are exact.

    Returns:
        The refined scene, the rows of its people, and the report of the last round.

    Raises:
        NoPeopleFound, BackendFailed: see `refine`.
    """
    known = scene.ground_covariance
    for left in reversed(range(rounds)):
        scene, report = refine(scene, observed[rows], body=body, free=free, stature=stature, belief=belief, progress=progress)
        if left == 0 or not report.covariance.any():
            break
        people, rows = lift(scene.camera, scene.ground)
        scene = replace(scene, people=people, ground_covariance=known)
    return scene, rows, report


def _scene(scene: Scene, problem: Problem, body: Body, x: np.ndarray, shared: np.ndarray) -> Scene:
    """The unknowns as a scene; `scene` gives what they do not tell."""
    focal, tilt, roll, height = shared.tolist()
    camera, ground = scene.camera, scene.ground
    if problem.shared_free[0]:
        fx = float(np.exp(focal))
        camera = replace(camera, fx=fx, fy=fx * problem.lens.aspect)
    if problem.shared_free[1:].any():
        ground = GroundPlane.from_angles(tilt, roll, float(np.exp(height)))
    seen = view(shared, problem.lens, problem.start.hvip_px + x[:, PLACE] * problem.start.size_px[:, None])
    bones = bones_of(problem.skeleton, problem.start, problem.basis, x)
    local = pose_of(problem.start, problem.basis, x)[:, 1:]
    root = matrix_to_axis_angle(ground.rotation_cam_world @ bones.rotation[:, 0])
    pose = np.concatenate([root[:, None], local], 1).astype(np.float32)
    betas = x[:, -BETAS:].astype(np.float32)
    torso = ground.from_world(seen.foot + x[:, RISE, None] * np.array([0.0, 1.0, 0.0]))
    hvip = ground.from_world(seen.foot)
    joints = body.restrict().pose(pose.astype(np.float64), betas)[1]
    people = replace(
        scene.people,
        pose_rad=pose,
        betas=betas,
        translation_cam_m=torso - torso_centre(joints),
        hvip_px=camera.project(hvip),
        hvip_cam_m=hvip,
    )
    return replace(scene, camera=camera, ground=ground, people=people)


def _merged(everybody: People, refined: People, rows: np.ndarray) -> People:
    """`everybody` with `rows` replaced."""
    merged = {}
    for name in ("pose_rad", "betas", "translation_cam_m", "hvip_px", "hvip_cam_m"):
        values = np.array(getattr(everybody, name))
        values[rows] = getattr(refined, name)
        merged[name] = values
    return replace(everybody, **merged)
