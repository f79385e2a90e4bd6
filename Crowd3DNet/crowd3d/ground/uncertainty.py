"""How sure positions on the ground are, given how sure the camera and the pixels are."""

from __future__ import annotations

import dataclasses

import numpy as np

from crowd3d.geometry import Camera, GroundPlane

HVIP_SIGMA_M = 0.06
"""Spread of a lifted HVIP across the line of sight, metres."""
_CHI2_95 = 5.991
"""95 % quantile of χ² with two degrees of freedom: squared radius of the region that holds 95 % of a planar Gaussian."""
_STEP = 1e-5
_PIXEL_STEP = 0.01


def ground_position_covariance(
    camera: Camera, ground: GroundPlane, covariance: np.ndarray, hvip_px: np.ndarray, pixel_sigma: np.ndarray
) -> np.ndarray:
    """Covariance of people's x, z in the upright world (`GroundPlane.to_world`), (N, 2, 2) square metres.

    First-order propagation of the covariance of camera and ground and of independent pixel noise. The part that comes from the camera is
    shared by everybody: distances between neighbours are surer than this says.

    Args:
        camera, ground: as estimated.
        covariance: (4, 4) of log focal length, tilt, roll and log height, as in `GroundEstimate`.
        hvip_px: (N, 2) ground pixels; NaN comes back at and above the horizon.
        pixel_sigma: (N,) standard deviation per axis in pixels.
    """
    hvip_px = np.asarray(hvip_px, np.float64).reshape(-1, 2)
    by_camera = np.stack([_slope_by_parameter(camera, ground, hvip_px, k) for k in range(4)], -1)
    steps = _PIXEL_STEP * np.eye(2)
    by_pixel = np.stack(
        [(_on_ground(camera, ground, hvip_px + s) - _on_ground(camera, ground, hvip_px - s)) / (2 * _PIXEL_STEP) for s in steps], -1
    )
    shared = by_camera @ covariance @ np.swapaxes(by_camera, -1, -2)
    own = by_pixel @ np.swapaxes(by_pixel, -1, -2) * np.asarray(pixel_sigma, np.float64)[:, None, None] ** 2
    return shared + own


def half_axes_95(covariance: np.ndarray) -> np.ndarray:
    """(N, 2, 2) covariances → (N, 2, 2) whose columns are the half axes of the ellipses that hold 95 %."""
    value, vector = np.linalg.eigh(covariance)
    return vector * np.sqrt(_CHI2_95 * np.maximum(value, 0.0))[:, None]


def _on_ground(camera: Camera, ground: GroundPlane, pixels: np.ndarray) -> np.ndarray:
    return ground.to_world(ground.intersect(camera, pixels))[:, [0, 2]]


def _slope_by_parameter(camera: Camera, ground: GroundPlane, pixels: np.ndarray, index: int) -> np.ndarray:
    """Derivative of the positions by log focal length, tilt, roll or log height, (N, 2)."""
    ends = []
    for sign in (1.0, -1.0):
        change = sign * _STEP * np.eye(4)[index]
        zoom = np.exp(change[0])
        moved = dataclasses.replace(camera, fx=camera.fx * zoom, fy=camera.fy * zoom)
        height = ground.offset_m * float(np.exp(change[3]))
        ends.append(_on_ground(moved, GroundPlane.from_angles(ground.tilt_rad + change[1], ground.roll_rad + change[2], height), pixels))
    return (ends[0] - ends[1]) / (2 * _STEP)
