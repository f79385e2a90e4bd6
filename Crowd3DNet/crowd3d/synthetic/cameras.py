"""Cameras above public places, and among the people there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import NOMINAL_STATURE_M


@dataclass(frozen=True)
class Viewpoint:
    """A camera above the ground.

    Attributes:
        camera: intrinsics of the image or of a window of it.
        ground: plane in the camera frame.
    """

    camera: Camera
    ground: GroundPlane

    def window(self, left: float, top: float, side_px: float, size: int) -> Viewpoint:
        """The square window of `side_px` image pixels at (left, top), resized to `size` pixels."""
        scale, c = size / side_px, self.camera
        return Viewpoint(Camera(c.fx * scale, c.fy * scale, (c.cx - left) * scale, (c.cy - top) * scale, size, size), self.ground)

    def person_px(self, foot_px: np.ndarray) -> np.ndarray:
        """(..., 2) → (...) height in pixels of an average adult standing at a pixel; NaN above the horizon."""
        return NOMINAL_STATURE_M * self.ground.pixels_per_metre(self.camera, foot_px)

    def elevation_rad(self, pixel: np.ndarray) -> np.ndarray:
        """(..., 2) → (...) how far below the horizon a pixel looks."""
        rays = self.camera.rays(pixel)
        return np.arcsin(-(rays @ self.ground.normal) / np.linalg.norm(rays, axis=-1))


def sample_view(rng: np.random.Generator, image_size: tuple[int, int]) -> Viewpoint:
    """Random camera: FOV 20–100°, tilt 2–45°, height 2.5–30 m (logarithmic), roll σ 1.5°.

    Rejected are views that cannot show a crowd: at the lower edge an adult is higher than the image is or closer than
    2.5 m, or half-way down they are smaller than 1/190 of the image's width (about 100 px at 19200).
    """
    width, height = image_size
    while True:
        camera = Camera.from_fov(rng.uniform(20, 100), image_size)
        tilt, roll = np.deg2rad(rng.uniform(2, 45)), np.deg2rad(np.clip(rng.normal(0, 1.5), -5, 5))
        view = Viewpoint(camera, GroundPlane.from_angles(tilt, roll, np.exp(rng.uniform(np.log(2.5), np.log(30)))))
        probes = np.array([[width / 2, height - 1.0], [width / 2, 0.62 * height]])
        near, middle = view.ground.intersect(camera, probes)[:, 2]
        heights = view.person_px(probes)
        if near > 2.5 and heights[0] < 0.9 * height and np.isfinite(middle) and heights[1] > width / 190:
            return view


def sample_near_view(rng: np.random.Generator, image_size: tuple[int, int]) -> Viewpoint:
    """Random camera in somebody's hands or on a shop front: FOV 30–80°, tilt −3–15°, height 1.2–2.6 m, roll σ 1.5°."""
    camera = Camera.from_fov(rng.uniform(30, 80), image_size)
    tilt, roll = np.deg2rad(rng.uniform(-3, 15)), np.deg2rad(np.clip(rng.normal(0, 1.5), -5, 5))
    return Viewpoint(camera, GroundPlane.from_angles(tilt, roll, rng.uniform(1.2, 2.6)))
