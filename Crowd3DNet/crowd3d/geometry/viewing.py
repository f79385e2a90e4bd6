"""Per-person viewing frames: people seen as if the camera looked straight at them, whatever the lens, tilt and place in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.geometry.camera import Camera
from crowd3d.geometry.plane import GroundPlane


@dataclass(frozen=True)
class ViewingFrames:
    """Frames of N people, from the camera, the ground and each person's torso centre.

    Attributes:
        axes_cam_view: (N, 3, 3) columns right, image-up, along the ray to the torso centre (left-handed); right is horizontal.
        axes_cam_upright: (N, 3, 3) columns right, up (the ground's normal), towards the camera; the same right.
        distance_m: (N,) from the camera to the torso centre.
        elevation_rad: (N,) angle of the ray below the horizon.
    """

    axes_cam_view: np.ndarray
    axes_cam_upright: np.ndarray
    distance_m: np.ndarray
    elevation_rad: np.ndarray

    @classmethod
    def look_at(cls, torso_cam_m: np.ndarray, ground: GroundPlane) -> ViewingFrames:
        """Frames for torso centres (N, 3) in the camera frame, metres."""
        torso = np.asarray(torso_cam_m, np.float64)
        distance = np.linalg.norm(torso, axis=1)
        ray = torso / distance[:, None]
        up = np.broadcast_to(ground.normal, ray.shape)
        right = np.cross(ray, up)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        view = np.stack([right, np.cross(right, ray), ray], axis=2)
        upright = np.stack([right, up, np.cross(right, up)], axis=2)
        elevation = np.arcsin(np.clip(-(ray @ ground.normal), -1.0, 1.0))
        return cls(view, upright, distance, elevation)

    def to_tangent(self, camera: Camera, points_px: np.ndarray) -> np.ndarray:
        """Pixels (N, K, 2) → metres right and image-up (N, K, 2) on the plane across the ray at the torso centre."""
        rays = np.einsum("nij,nki->nkj", self.axes_cam_view, camera.rays(points_px))
        return rays[..., :2] / np.maximum(rays[..., 2:], 1e-6) * self.distance_m[:, None, None]

    def from_tangent(self, camera: Camera, tangent_m: np.ndarray) -> np.ndarray:
        """Inverse of `to_tangent`: (N, K, 2) metres → (N, K, 2) pixels."""
        depth = np.broadcast_to(self.distance_m[:, None, None], (*tangent_m.shape[:2], 1))
        points = np.einsum("nij,nkj->nki", self.axes_cam_view, np.concatenate([tangent_m, depth], axis=2))
        return camera.project(points)
