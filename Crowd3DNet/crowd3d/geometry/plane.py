"""The ground plane in the camera frame, and the upright frame that it defines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.geometry.camera import Camera

_STEP = 1e-4
_ROUNDING = 1e-12


@dataclass(frozen=True)
class GroundPlane:
    """Plane ``normal · X + offset_m = 0`` in the camera frame, metres.

    Attributes:
        normal: (3,) float64 unit vector pointing up, away from the ground (y component negative for an upright camera).
        offset_m: height of the camera above the plane, positive.
    """

    normal: np.ndarray
    offset_m: float

    @classmethod
    def from_coefficients(cls, coefficients: np.ndarray) -> GroundPlane:
        """From (4,) A, B, C, D of any scale and sign; the camera ends up above the plane.

        A normal of unit length but for rounding stays as it is: a plane that was written and read is the same in every bit.
        """
        abcd = np.asarray(coefficients, np.float64).reshape(4)
        length = np.linalg.norm(abcd[:3])
        if abs(length - 1.0) > _ROUNDING:
            abcd = abcd / length
        if abcd[3] < 0:
            abcd = -abcd
        return cls(abcd[:3], float(abcd[3]))

    @classmethod
    def from_angles(cls, tilt_rad: float, roll_rad: float, height_m: float) -> GroundPlane:
        """From the angles of `tilt_rad` and `roll_rad` below."""
        c = np.cos(tilt_rad)
        normal = np.array([np.sin(roll_rad) * c, -np.cos(roll_rad) * c, -np.sin(tilt_rad)])
        return cls(normal, float(height_m))

    def raised(self, height_m: float) -> GroundPlane:
        """The parallel plane that is so much higher."""
        return GroundPlane(self.normal, self.offset_m - height_m)

    @property
    def coefficients(self) -> np.ndarray:
        """(4,) float64 A, B, C, D with a unit normal."""
        return np.append(self.normal, self.offset_m)

    @property
    def tilt_rad(self) -> float:
        """Angle by which the optical axis points below the horizon."""
        return float(np.arcsin(np.clip(-self.normal[2], -1.0, 1.0)))

    @property
    def roll_rad(self) -> float:
        """Rotation about the optical axis: atan2(A, −B); 0 for a camera that looks straight down, which has none."""
        return float(np.arctan2(self.normal[0], 0.0 - self.normal[1]))

    def signed_distance(self, points_cam_m: np.ndarray) -> np.ndarray:
        """(..., 3) → (...) metres above the plane."""
        return np.asarray(points_cam_m, np.float64) @ self.normal + self.offset_m

    def foot(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Foot of the perpendicular from each point, (..., 3) → (..., 3): the HVIP of a torso centre."""
        points = np.asarray(points_cam_m, np.float64)
        return points - self.signed_distance(points)[..., None] * self.normal

    def intersect(self, camera: Camera, points_px: np.ndarray) -> np.ndarray:
        """Where the rays of pixels meet the plane, (..., 2) → (..., 3) metres; NaN at and above the horizon."""
        rays = camera.rays(points_px)
        slope = rays @ self.normal
        depth = -self.offset_m / np.where(slope < -1e-9, slope, np.nan)
        return rays * depth[..., None]

    def pixels_per_metre(self, camera: Camera, foot_px: np.ndarray) -> np.ndarray:
        """Image length of one upright metre standing at ground pixels, (..., 2) → (...); NaN at and above the horizon."""
        foot = self.intersect(camera, foot_px)
        top_px = camera.project(foot + self.normal)
        return np.linalg.norm(top_px - np.asarray(foot_px, np.float64), axis=-1)

    def lean_rad(self, camera: Camera, points_px: np.ndarray) -> np.ndarray:
        """How far verticals lean to the right in the image where they pass through pixels, (..., 2) → (...)."""
        rays = camera.rays(points_px)
        if camera.distortion is not None:
            rise = camera.project(rays + _STEP * self.normal) - camera.project(rays - _STEP * self.normal)
            return np.arctan2(rise[..., 0], -rise[..., 1])
        up = self.normal[:2] - self.normal[2] * rays[..., :2]
        return np.arctan2(camera.fx * up[..., 0], -camera.fy * up[..., 1])

    @property
    def rotation_cam_world(self) -> np.ndarray:
        """(3, 3) float64, columns = axes of the upright world in the camera frame: x right, y up, z towards the viewer.

        The world stands on the ground with its origin under the camera; the viewer looks along −z, as in glTF. Ahead is where the optical
        axis points, and at the very nadir, where it points nowhere, the top of the picture.
        """
        right = np.array([np.cos(self.roll_rad), np.sin(self.roll_rad), 0.0])
        return np.stack([right, self.normal, np.cross(right, self.normal)], axis=1)

    def to_world(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Camera frame → upright world on the ground, (..., 3) metres."""
        points = np.asarray(points_cam_m, np.float64) + self.offset_m * self.normal
        return points @ self.rotation_cam_world

    def from_world(self, points_world_m: np.ndarray) -> np.ndarray:
        """Upright world on the ground → camera frame, (..., 3) metres."""
        points = np.asarray(points_world_m, np.float64) @ self.rotation_cam_world.T
        return points - self.offset_m * self.normal
