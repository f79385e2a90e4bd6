"""People who are in the air, or on something that is no level: a jump, a ladder, the third step of stairs.

On the ground their bodies would miss what was seen of them. Their distance follows from their size instead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crowd3d.bodies.body import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54, TORSO54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.scene.measuring import STANDING_TORSO_M, guess_hvip, measure_at
from crowd3d.scene.placing import LARGEST_MISS, PASSES, SURELY_THERE, Lift, bodies_of, miss
from crowd3d.types import NOMINAL_STATURE_M, People

MET = 0.08
"""A body placed by size is theirs if it misses half of the keypoints by less than this share of the person's size. Of 630 people of a
synthetic square nobody leaves the ground by that, nor with two thirds of `LARGEST_MISS`."""
LEAST_RISE_M, MOST_RISE_M = 0.2, 3.0
"""Whoever seems to be less above the ground, or below it, is of another size than others. Higher up there are posters, too: whoever is not
surely there stays on the ground, and so does at any height who is only believed to be a person because of the crowd around."""
LEAST_DEPTH_M = 0.1


def with_people_off_ground(people: People, lifter: Lift, body: Body, camera: Camera, ground: GroundPlane, observed: Observations) -> People:
    """The same people; those who are evidently not on the plane are where their size puts them.

    Args:
        people: N, standing on the plane.
        lifter: trained for `body`.
        body: theirs.
        camera: of the scene.
        ground: the plane.
        observed: the measurements of the same N.
    """
    rows = np.flatnonzero(miss(people, body, camera, observed) > LARGEST_MISS)
    if len(rows) == 0:
        return people
    seen = observed[rows]
    placed = _placed_by_size(people[rows], lifter, body, camera, ground, seen)
    highest = np.select([seen.score > SURELY_THERE, seen.score > seen.source.sure], [np.inf, MOST_RISE_M], 0.0)
    rises = (placed.off_ground_m > LEAST_RISE_M) & (placed.off_ground_m < highest)
    # an HVIP behind the camera has no pixel
    found = rises & (placed.hvip_cam_m[:, 2] > LEAST_DEPTH_M) & (miss(placed, body, camera, seen) < MET)
    return people.with_rows(rows[found], placed[found])


def _placed_by_size(people: People, lifter: Lift, body: Body, camera: Camera, ground: GroundPlane, seen: Observations) -> People:
    """The same people where bodies of their size are seen as they are, whatever is under them."""
    torso = by_size = camera.rays(seen.torso_px) * (camera.fx * NOMINAL_STATURE_M / person_size_px(seen.xy_px))[:, None]
    guess = guess_hvip(seen)
    for _ in range(PASSES):
        below = np.where(np.isfinite(guess), guess, camera.project(torso - STANDING_TORSO_M * ground.normal))
        measured, frames = measure_at(camera, ground, seen, torso, below)
        pose_rad, betas = bodies_of(lifter(measured), frames)
        vertices, joints = body.pose(pose_rad, betas)
        translation = _translations(joints[:, COCO17_FROM_SMPL54].astype(np.float64), camera, seen)
        middle = joints[:, TORSO54].mean(1) + translation
        torso = np.where(middle[:, 2:] > LEAST_DEPTH_M, middle, by_size)
    hvip = ground.foot(middle)
    return replace(
        people,
        pose_rad=pose_rad,
        betas=betas,
        translation_cam_m=translation,
        hvip_cam_m=hvip,
        hvip_px=camera.project(hvip),
        off_ground_m=ground.signed_distance(vertices + translation[:, None]).min(1),
    )


def _translations(joints: np.ndarray, camera: Camera, seen: Observations) -> np.ndarray:
    """(N, 3) what to add to keypoints (N, 17, 3) of bodies so that they come nearest to the rays on which they were seen."""
    rays = camera.rays(seen.xy_px)
    known = (np.isfinite(rays).all(-1) & np.isfinite(seen.sigma_px) & (seen.visible > 0))[..., None]
    rays, sigma = np.where(known, rays, 0.0), np.where(known, seen.sigma_px[..., None], 1.0)
    across = np.broadcast_to(np.eye(2), (*rays.shape[:2], 2, 2))
    slope = np.concatenate([across, -rays[..., :2, None]], -1)
    wanted = rays[..., :2] * joints[..., 2:] - joints[..., :2]
    equations, target = (known / sigma)[..., None] * slope, known / sigma * wanted
    return (np.linalg.pinv(equations.reshape(len(rays), -1, 3)) @ target.reshape(len(rays), -1, 1))[..., 0]
