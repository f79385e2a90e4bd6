"""From pixels of people to the metric inputs of the lifter, given camera and ground."""

from __future__ import annotations

import numpy as np

from crowd3d.bodies.joints import ANKLES17
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.viewing import ViewingFrames
from crowd3d.model.lifter_values import LOG_SIGMA_UNKNOWN, LifterInput
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.types import NOMINAL_STATURE_M

STANDING_TORSO_M = 1.13
"""Height of the torso centre of an average standing adult over the ground."""
LEAST_TORSO_M, MOST_TORSO_M = 0.25, 1.5
TORSO_SIGMA_M = 0.15
"""Spread of that height: statures and postures."""
SIZE_LOG_SIGMA = 0.2
"""Relative spread of a distance told by somebody's size in the image."""
FARTHEST = 3.0
"""A HVIP that puts somebody farther than this many times what the size tells is at the horizon by mistake."""


def first_torso(camera: Camera, ground: GroundPlane, torso_px: np.ndarray, hvip_px: np.ndarray, size_px: np.ndarray) -> np.ndarray:
    """First guess of the torso centres, (N, 3) points on the rays through `torso_px` (N, 2); NaN outside of what the lens can show.

    Over the HVIP (N, 2) where it is known and on the ground, at the height where its vertical comes closest to the ray. Else where the ray
    comes down to standing height, and where somebody of usual stature is `size_px` (N,) tall, by the inverse variances of both: a camera at
    the height of torsos tells nothing by the first, and it need not come down at all.
    """
    rays = camera.rays(torso_px)
    foot = ground.intersect(camera, hvip_px)
    squared, slope = (rays**2).sum(1), rays @ ground.normal
    along = (foot * rays).sum(1)
    height = (slope * along / squared - foot @ ground.normal) / np.maximum(1.0 - slope**2 / squared, 1e-6)
    height = np.clip(height, LEAST_TORSO_M, MOST_TORSO_M)
    depth_over_hvip = (along + height * slope) / squared
    by_size = camera.fx * NOMINAL_STATURE_M / size_px
    over_torsos = ground.offset_m - STANDING_TORSO_M
    depth_standing = -over_torsos / np.where(np.abs(slope) > 1e-6, slope, np.nan)
    weight = (abs(over_torsos) / TORSO_SIGMA_M) ** 2 * SIZE_LOG_SIGMA**2
    blend = np.log(np.maximum(np.where(depth_standing > 0, depth_standing, by_size), 1e-3)) * weight + np.log(by_size)
    without_hvip = np.where(depth_standing > 0, np.exp(blend / (1.0 + weight)), by_size)
    usable = (depth_over_hvip > 0) & (depth_over_hvip < FARTHEST * by_size)
    return rays * np.where(usable, depth_over_hvip, without_hvip)[:, None]


def guess_hvip(observed: Observations) -> np.ndarray:
    """(N, 2) pixels: the backend's HVIP, else the middle of sure ankles, else NaN."""
    ankles = np.where(observed.sure_ankles[:, None], observed.xy_px[:, ANKLES17].mean(1), np.nan)
    return np.where(np.isfinite(observed.hvip_px), observed.hvip_px, ankles)


def measure(
    camera: Camera, ground: GroundPlane, observed: Observations, hvip_px: np.ndarray
) -> tuple[LifterInput, ViewingFrames, np.ndarray]:
    """Lifter inputs of the people whom the lens can show.

    Args:
        camera, ground: of the scene.
        observed: N people.
        hvip_px: (N, 2) assumed HVIPs, NaN where unknown.

    Returns:
        Inputs and viewing frames of M ≤ N people, and the rows (M,) that they have in `observed`.
    """
    torso = first_torso(camera, ground, observed.torso_px, hvip_px, person_size_px(observed.xy_px))
    rows = np.flatnonzero(np.isfinite(torso).all(1))
    torso, below = torso[rows], hvip_px[rows]
    below = np.where(np.isfinite(below), below, camera.project(ground.foot(torso)))
    return *measure_at(camera, ground, observed[rows], torso, below), rows


def measure_at(
    camera: Camera, ground: GroundPlane, seen: Observations, torso: np.ndarray, hvip_px: np.ndarray
) -> tuple[LifterInput, ViewingFrames]:
    """Lifter inputs of people whose torso centres are assumed to be known.

    Args:
        camera, ground: of the scene.
        seen: M people.
        torso: (M, 3) their torso centres, metres, camera frame.
        hvip_px: (M, 2) assumed HVIPs.
    """
    frames = ViewingFrames.look_at(torso, ground)
    metres_per_px = torso[:, 2:] / camera.fx * camera.stretch(seen.xy_px)
    unknown = ~np.isfinite(seen.depth_m)
    depth_sigma = np.where(unknown, np.exp(LOG_SIGMA_UNKNOWN), seen.depth_sigma_m)
    hvip = frames.to_tangent(camera, hvip_px[:, None])[:, 0]
    tangent, lost = _known(frames.to_tangent(camera, seen.xy_px), 0.0)
    other, nowhere = _known(frames.to_tangent(camera, seen.other_px), tangent)
    spread_m = np.where(lost, np.exp(LOG_SIGMA_UNKNOWN), seen.sigma_px * metres_per_px)
    measured = (
        tangent,
        np.where(unknown, 0.0, seen.depth_m),
        np.log(np.stack([spread_m, depth_sigma], -1)),
        np.where(lost, 0.0, seen.visible),
        other - tangent,
        np.where(lost | nowhere, 0.0, seen.other_share),
        frames.elevation_rad,
        frames.distance_m,
        hvip,
    )
    return LifterInput(*(np.asarray(values, np.float32) for values in measured)), frames


def _known(tangent_m: np.ndarray, instead: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) places without those that no lens can have shown (NaN), and (N, K) which those are."""
    lost = ~np.isfinite(tangent_m).all(-1)
    return np.where(lost[..., None], instead, tangent_m), lost
