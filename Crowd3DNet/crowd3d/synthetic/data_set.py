"""A synthetic data set in the shape of LargeCrowd: static cameras, several pictures each, people who walk in between."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from crowd3d.bodies import Body, load_body
from crowd3d.files import write_json
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.compose import set_stage
from crowd3d.synthetic.people import MIN_SPACING_M, Placement, PosedCrowd, pose_crowd
from crowd3d.synthetic.picture_truth import PictureTruth, describe, silhouettes
from crowd3d.synthetic.plaza import build_square, in_picture, place_people
from crowd3d.synthetic.scene import IMAGE_NAME, SyntheticScene, annotation, choose_body, choose_view, draw_picture
from crowd3d.synthetic.world import World

log = logging.getLogger(__name__)

SECONDS = 2.0
"""Time between two pictures."""
NUMBER_STEP = 50
"""Step of the six digits in their names, as if taken from a film of 25 pictures per second."""
PACE_M_S = {"walk": 1.3, "run": 3.0}
_CLEARANCE_M = 0.2
_PLACE, _POSE, _LOOK, _FILM, _MOVE = range(5)


def write_largecrowd(
    folder: LargeCrowdFolder,
    cameras: Sequence[str],
    frames: int,
    people: int,
    size: tuple[int, int],
    seed: int,
    threads: int | None = None,
    progress: bool = False,
) -> None:
    """Write one scene per camera: pictures, annotations, parameters, and the exact truth, which the real data set does not have.

    Args:
        folder: where to.
        cameras: keys of `PUBLISHED`, or "random"; scene k is named ``square_k``.
        frames: pictures per scene.
        people: people per picture.
        size: (width, height) in pixels.
        seed: the same arguments give the same data set.
        threads: None is one per core.
        progress: show bars.

    Raises:
        UnsolvableGround: a camera is too close for so many people.
        BadOutput: the folder cannot be written.
    """
    for number, camera in enumerate(cameras):
        scene = f"square_{number:02d}"
        annotated: dict[str, list] = {}
        for step, picture in enumerate(synthesize_frames((seed, number), camera, people, size, frames, threads, progress)):
            frame = f"{scene}_{step * NUMBER_STEP:06d}"
            picture.save_image(folder.images / scene / f"{frame}.jpg")
            picture.save_truth(folder.truth(scene, frame))
            annotated[f"{frame}.jpg"] = annotation(picture.truth)["frame_info"][IMAGE_NAME]
            log.info("%s: %d people", frame, len(picture.truth))
        write_json(folder.annotation(scene), {"image_shape": {"height": size[1], "width": size[0]}, "frame_info": annotated})
        write_json(folder.params(scene), scene_params(picture.truth))


def scene_params(truth: PictureTruth) -> dict:
    """Camera and ground of a scene as ``params`` tells them: ``K`` (3, 3); ``planes`` with coefficients A, B, C, D and a mask or null."""
    return {"K": truth.camera.K.tolist(), "planes": [{"coefficients": truth.ground.coefficients.tolist(), "mask": None}]}


def synthesize_frames(
    seed: Sequence[int], camera: str, people: int, size: tuple[int, int], frames: int, threads: int | None = None, progress: bool = False
) -> Iterator[SyntheticScene]:
    """Pictures of one square by one static camera, `SECONDS` apart; everybody keeps shape and clothes, walkers move on.

    The arguments are those of `synthesize_scene`; person n is the same in all pictures.
    """
    rng = np.random.default_rng([*seed, _PLACE])
    view = choose_view(rng, camera, people, size)
    world = build_square(rng, view, load_body("free_low"))
    placement = place_people(rng, view, world, people)
    body = choose_body(view, placement)
    for frame in range(frames):
        moving = np.random.default_rng([*seed, _MOVE, frame])
        if frame:
            placement = walk_on(moving, view, world, placement)
        crowd = _pose(np.random.default_rng([*seed, _POSE]), moving, body, placement)
        stage = set_stage(np.random.default_rng([*seed, _LOOK]), view, world, crowd, body)
        image, seen = draw_picture(np.random.default_rng([*seed, _FILM]), stage, crowd, threads, progress)
        yield SyntheticScene(image, describe(stage, crowd, body, seen, silhouettes(stage, len(crowd))), body.name)


def _pose(same: np.random.Generator, moving: np.random.Generator, body: Body, placement: Placement) -> PosedCrowd:
    """Poses that stay from picture to picture, but other strides of those who walk."""
    crowd = pose_crowd(same, body, placement)
    rows = np.flatnonzero(_pace(placement) > 0)
    if len(rows) == 0:
        return crowd
    strides = pose_crowd(moving, body, placement.take(rows), crowd.betas[rows])
    changed = {name: getattr(crowd, name).copy() for name in ("pose_rad", "vertices_m", "joints_m")}
    for name, values in changed.items():
        values[rows] = getattr(strides, name)
    return dataclasses.replace(crowd, **changed)


def _pace(placement: Placement) -> np.ndarray:
    """(N,) metres per second."""
    return np.select([placement.kind == kind for kind in PACE_M_S], list(PACE_M_S.values()), 0.0)


def walk_on(rng: np.random.Generator, view: Viewpoint, world: World, placement: Placement, seconds: float = SECONDS) -> Placement:
    """Where everybody is `seconds` later: walkers go straight on; who would leave the picture or bump into something stops and turns."""
    heading = np.stack([np.sin(placement.yaw_rad), np.cos(placement.yaw_rad)], axis=1)
    pace = _pace(placement)
    target = placement.xz_m + heading * (pace * seconds)[:, None]
    goes = (pace > 0) & in_picture(view, dataclasses.replace(placement, xz_m=target))
    if len(world.obstacles_m):
        goes &= (cdist(target, world.obstacles_m[:, :2]) > world.obstacles_m[:, 2] + _CLEARANCE_M).all(1)
    while True:
        now = np.where(goes[:, None], target, placement.xz_m)
        bumps = goes.copy()
        bumps[goes] = [len(near) > 1 for near in cKDTree(now).query_ball_point(now[goes], MIN_SPACING_M)]
        if not bumps.any():
            break
        goes &= ~bumps
    turns = (pace > 0) & ~goes
    yaw = placement.yaw_rad + turns * rng.uniform(0.5 * np.pi, 1.5 * np.pi, len(turns))
    return Placement(now, yaw, placement.kind)
