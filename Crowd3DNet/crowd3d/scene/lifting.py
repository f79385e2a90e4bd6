"""Everybody on their own level: the ground, stands, stairs, a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crowd3d.geometry import GroundPlane
from crowd3d.ground import HVIP_SIGMA_M, OtherLevels, ground_position_covariance
from crowd3d.scene.measuring import SIZE_LOG_SIGMA
from crowd3d.types import People, Scene

Lift = Callable[[GroundPlane, np.ndarray], tuple[People, np.ndarray]]
"""(plane, rows of observations) → people on it and their rows."""


def lift_on_levels(lift: Lift, ground: GroundPlane, levels: OtherLevels) -> tuple[People, np.ndarray]:
    """Everybody lifted on the level that they are on.

    Args:
        lift: how to lift people of one level.
        ground: of the photograph.
        levels: of N observations.

    Returns:
        M ≤ N people in the order of their observations, and their rows (M,).
    """
    parts: list[People] = []
    rows: list[np.ndarray] = []
    for level, height in enumerate(levels.heights_m):
        people, found = lift(ground.raised(height), np.flatnonzero(levels.level == level))
        parts.append(replace(people, plane=np.full(len(found), level), plane_probability=levels.probability[found]))
        rows.append(found)
    everybody = np.concatenate(rows)
    order = np.argsort(everybody, kind="stable")
    return People.joined(parts)[order], everybody[order]


def position_covariance(scene: Scene) -> np.ndarray | None:
    """(N, 2, 2) square metres of everybody's place to the right of and in front of the camera, None for a given camera.

    The distance of people off the ground is told by their size, and as uncertain.
    """
    if scene.ground_covariance is None:
        return None
    world = np.full((len(scene.people), 2, 2), np.nan)
    for level, plane in enumerate(scene.planes):
        mine = np.flatnonzero(scene.people.plane == level)
        hvip_px = scene.people.hvip_px[mine]
        sigma_px = HVIP_SIGMA_M * plane.pixels_per_metre(scene.camera, hvip_px)
        world[mine] = ground_position_covariance(scene.camera, plane, scene.ground_covariance, hvip_px, sigma_px)
    world *= [[1.0, -1.0], [-1.0, 1.0]]  # the upright world's z axis points at the viewer
    off = np.flatnonzero(scene.people.off_ground_m != 0)
    place = scene.ground.to_world(scene.people.hvip_cam_m[off])[:, [0, 2]] * [1.0, -1.0]
    of_focal = scene.ground_covariance[0, 0]
    world[off] = (SIZE_LOG_SIGMA**2 + of_focal) * place[:, :, None] * place[:, None] + HVIP_SIGMA_M**2 * np.eye(2)
    return world
