"""Pinhole camera: x right, y down, z forward; pixels (u, v) from the top-left corner of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a distortion-free pinhole camera.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        width, height: size of the image in pixels.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def from_focal(cls, focal_px: float, image_size: tuple[int, int]) -> Camera:
        """Square pixels, principal point in the middle. `image_size` is (width, height) in pixels."""
        width, height = image_size
        return cls(float(focal_px), float(focal_px), width / 2.0, height / 2.0, int(width), int(height))

    @classmethod
    def from_fov(cls, fov_x_deg: float, image_size: tuple[int, int]) -> Camera:
        """Square pixels, principal point in the middle, horizontal field of view in degrees."""
        return cls.from_focal(image_size[0] / 2.0 / np.tan(np.deg2rad(fov_x_deg) / 2.0), image_size)

    @classmethod
    def from_K(cls, K: np.ndarray, image_size: tuple[int, int]) -> Camera:
        """From a (3, 3) intrinsic matrix without skew."""
        width, height = image_size
        return cls(float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]), int(width), int(height))

    @property
    def K(self) -> np.ndarray:
        """(3, 3) float64 intrinsic matrix."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def fov_x_deg(self) -> float:
        """Horizontal field of view in degrees."""
        return float(np.rad2deg(np.arctan2(self.cx, self.fx) + np.arctan2(self.width - self.cx, self.fx)))

    def project(self, points_cam_m: np.ndarray) -> np.ndarray:
        """(..., 3) metres → (..., 2) pixels; NaN for points that are not in front of the camera."""
        points = np.asarray(points_cam_m, np.float64)
        depth = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        u = self.fx * points[..., 0] / depth + self.cx
        v = self.fy * points[..., 1] / depth + self.cy
        return np.stack([u, v], axis=-1)

    def rays(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels → (..., 3) directions with unit z component, camera frame."""
        points = np.asarray(points_px, np.float64)
        x = (points[..., 0] - self.cx) / self.fx
        y = (points[..., 1] - self.cy) / self.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1)
