"""The stage between lifting and pictures: people, or people with camera and ground, made to agree with the 2D measurements."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, Body
from crowd3d.files import read_array, write_json, write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import StaturePrior
from crowd3d.optimise import belief_of, refine, refine_in_rounds
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.progress import progress_bar
from crowd3d.scene import write_predict_json
from crowd3d.types import People, Scene

log = logging.getLogger(__name__)

OptimiseMode = Literal["none", "people", "all"]
OptimiseChoice = Literal["auto", "none", "people", "all"]
Lift = Callable[[Camera, GroundPlane], tuple[People, np.ndarray]]
"""(camera, ground) → people and their rows in the observations."""

NOBODY = -1
MATCHED = 0.2
"""A person and an observation are one when their torso centres and their keypoints are nearer than this share of their size."""


def resolve(choice: OptimiseChoice, observed: Observations) -> OptimiseMode:
    """What ``auto`` means: people, unless the lifter was trained on the errors of the very networks that the keypoints come from.

    Bodies lifted from plain keypoints gain in every figure. Where the lifter knows the errors it leaves nothing to gain: more people
    coincide with their keypoints, but their bodies and places come out no better.
    """
    if choice != "auto":
        return choice
    return "none" if observed.source.lifter_knows_errors else "people"


def match_observations(people: People, body: Body, camera: Camera, observed: Observations) -> np.ndarray:
    """(N,) row of everybody in `observed`, `NOBODY` for those who were not observed; nobody shares a row.

    People of a network that looks at tiles do not come from the keypoints; each is matched with the observation that is nearest to
    them, if they are also the nearest to it.
    """
    rows = np.full(len(people), NOBODY)
    if len(people) == 0 or len(observed) == 0:
        return rows
    joints = camera.project(people.joints_cam_m(body.restrict()))
    torso, size = joints[:, TORSO54].mean(1), person_size_px(observed.xy_px)
    known = np.isfinite(torso).all(1)
    nearest = cKDTree(observed.torso_px).query(np.where(known[:, None], torso, -1e9))[1]
    back = cKDTree(np.where(known[:, None], torso, 1e9)).query(observed.torso_px)[1]
    apart = np.linalg.norm(torso - observed.torso_px[nearest], axis=1)
    miss = np.median(np.linalg.norm(joints[:, COCO17_FROM_SMPL54] - observed.xy_px[nearest], axis=2), axis=1)
    same = known & (back[nearest] == np.arange(len(people))) & (np.maximum(apart, miss) < MATCHED * size[nearest])
    rows[same] = nearest[same]
    return rows


def observations_of(rows: np.ndarray, observed: Observations) -> Observations:
    """Measurements of people with the given rows (N,) in `observed`; nothing is known of `NOBODY`."""
    absent = rows == NOBODY
    chosen = observed[rows]
    return replace(
        chosen,
        sigma_px=np.where(absent[:, None], np.inf, chosen.sigma_px),
        depth_m=np.where(absent[:, None], np.nan, chosen.depth_m),
        hvip_px=np.where(absent[:, None], np.nan, chosen.hvip_px),
    )


@dataclass(frozen=True)
class Adjustment:
    """What the bundle adjustment of a scene goes by.

    Attributes:
        observed: what the 2D stage measured.
        body: the scene's, in a low level of detail.
        mode: ``people`` keeps camera and ground; ``all`` frees what of them is not exact.
        lift: how to lift people again; None for people who come from elsewhere.
        stature: what is known of people's heights.
    """

    observed: Observations
    body: Body
    mode: OptimiseMode
    lift: Lift | None = None
    stature: StaturePrior | None = None


def optimised(scene: Scene, rows: np.ndarray, adjustment: Adjustment) -> Scene:
    """The scene after the bundle adjustment, level by level: the ground's people tell camera and ground.

    Args:
        scene: the start.
        rows: (N,) of its people in the observations.
        adjustment: what it goes by.
    """
    if len(scene.levels_m) == 1:
        return _refined(scene, rows, adjustment)[0]
    parts: list[People] = []
    order: list[np.ndarray] = []
    found = scene
    for level, height in enumerate(scene.levels_m):
        mine = np.flatnonzero(scene.people.plane == level)
        if not len(mine):
            continue
        there = None if adjustment.lift is None else partial(_lifted_there, adjustment.lift, rows[mine])
        start = replace(found, ground=found.ground.raised(height), people=scene.people[mine], levels_m=(0.0,))
        if level > 0 and adjustment.mode == "all" and there is not None:
            # camera and ground have changed
            people, kept = there(start.camera, start.ground)
            mine = mine[np.searchsorted(rows[mine], kept)]
            start = replace(start, people=people)
        mode = adjustment.mode if level == 0 else "people"
        one, kept = _refined(start, rows[mine], replace(adjustment, mode=mode, lift=there))
        mine = mine[np.searchsorted(rows[mine], kept)]
        if level == 0:
            found = replace(one, levels_m=scene.levels_m)
        parts.append(replace(one.people, plane=np.full(len(mine), level), plane_probability=scene.people.plane_probability[mine]))
        order.append(mine)
    return replace(found, people=People.joined(parts)[np.argsort(np.concatenate(order), kind="stable")])


def _lifted_there(lift: Lift, rows: np.ndarray, camera: Camera, plane: GroundPlane) -> tuple[People, np.ndarray]:
    """Those with the given rows in the observations, on a plane."""
    people, found = lift(camera, plane)
    mine = np.isin(found, rows)
    return people[mine], found[mine]


def _refined(scene: Scene, rows: np.ndarray, adjustment: Adjustment) -> tuple[Scene, np.ndarray]:
    """`optimised` for people of one level, and their rows."""
    observed, body, stature, lift = adjustment.observed, adjustment.body, adjustment.stature, adjustment.lift
    belief = belief_of(observed)
    seen = observations_of(rows, observed)
    with progress_bar(desc="optimising", unit="iteration") as bar:

        def progress(_: int) -> None:
            bar.update()

        if adjustment.mode == "all" and lift is None:
            found, report = refine(scene, seen, body=body, stature=stature, belief=belief, progress=progress)
        else:
            if adjustment.mode == "all" and lift is not None:
                # people held camera and ground down to what is common of people; with those found, what was seen of each counts again
                viewed, _, _ = refine_in_rounds(scene, rows, observed, lift, body=body, stature=stature, belief=belief, progress=progress)
                people, rows = lift(viewed.camera, viewed.ground)
                scene, seen = replace(viewed, people=people), observed[rows]
            found, report = refine(scene, seen, body=body, free=("people",), stature=stature, belief=belief, progress=progress)
    before, after = sum(report.cost_before.values()), sum(report.cost_after.values())
    log.info("people optimised: %d of %d in %d iterations: cost %.0f → %.0f", *_counts(report.refined), report.iterations, before, after)
    return found, rows


def _counts(refined: np.ndarray) -> tuple[int, int]:
    return int(refined.sum()), len(refined)


def write_result(scene: Scene, results: ResultFolder) -> None:
    """Write the scene, and its camera and ground, for programs that want nothing else.

    Raises:
        BadOutput: a folder cannot be written.
    """
    covariance = scene.ground_covariance
    values = {"camera": asdict(scene.camera), "ground": scene.ground.coefficients.tolist()}
    write_json(results.camera, values | {"covariance": None if covariance is None else covariance.tolist()})
    scene.save(results.root)
    write_predict_json(results.predict, [scene])
    log.info("people in one world: %d, in %s", len(scene.people), results.root)


def write_lifted(scene: Scene, rows: np.ndarray, results: ResultFolder) -> None:
    """Keep the scene before the optimisation, and the rows (N,) of its people in the observations."""
    write_npy(results.lifted / "rows.npy", rows)
    scene.save(results.lifted)


def read_lifted(results: ResultFolder) -> tuple[Scene, np.ndarray]:
    """What `write_lifted` wrote."""
    return Scene.load(results.lifted), read_array(results.lifted / "rows.npy")
