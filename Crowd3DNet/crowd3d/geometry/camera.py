"""Camera: x right, y down, z forward; pixels (u, v) from the top-left corner of the image.

Pixels are always those of the photograph, as the lens drew them: `Camera.project` bends, `Camera.rays` straightens. What computes with a
pinhole's algebra (ground, optimisation) takes ideal pixels, where the same camera without distortion would see the same
(`Camera.to_ideal_px`), and gives pixels of the photograph back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from crowd3d.geometry.distortion import Distortion, distortion_from

_STEP_PX = 0.5


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a camera.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        width, height: size of the image in pixels.
        distortion: of the lens; None for a pinhole. A mapping of its fields is accepted, so that ``Camera(**dataclasses.asdict(camera))``
            is the same camera.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: Distortion | None = None

    def __post_init__(self) -> None:
        if isinstance(self.distortion, Mapping):
            object.__setattr__(self, "distortion", distortion_from(self.distortion))

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
        """Horizontal field of view in degrees, through the principal point."""
        if self.distortion is None:
            return float(np.rad2deg(np.arctan2(self.cx, self.fx) + np.arctan2(self.width - self.cx, self.fx)))
        slope = np.abs(self.rays(np.array([[0.0, self.cy], [self.width, self.cy]]))[:, 0])
        return float(np.rad2deg(np.where(np.isnan(slope), np.pi / 2, np.arctan(slope)).sum()))

    @property
    def ideal(self) -> Camera:
        """The same camera without distortion."""
        return replace(self, distortion=None)

    def part(self, left: float, top: float, size: tuple[int, int], scale: float = 1.0) -> Camera:
        """The camera of a part of the image that begins at pixel (left, top).

        Args:
            left, top: corner of the part in pixels of this image.
            size: width and height of the part in its own pixels.
            scale: pixels of this image per pixel of the part.
        """
        return Camera(
            self.fx / scale, self.fy / scale, (self.cx - left) / scale, (self.cy - top) / scale, *size, distortion=self.distortion
        )

    def project(self, points_cam_m: np.ndarray) -> np.ndarray:
        """(..., 3) metres → (..., 2) pixels; NaN for points that are not in front of the camera, or beyond what the lens can show."""
        points = np.asarray(points_cam_m, np.float64)
        depth = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        if self.distortion is not None:
            return self._to_px(self.distortion.distort(points[..., :2] / depth[..., None]))
        u = self.fx * points[..., 0] / depth + self.cx
        v = self.fy * points[..., 1] / depth + self.cy
        return np.stack([u, v], axis=-1)

    def rays(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels → (..., 3) directions with unit z component, camera frame; x, y are NaN where the lens shows nothing."""
        xy = self._normalised(points_px)
        xy = xy if self.distortion is None else self.distortion.undistort(xy)
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)

    def to_ideal_px(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels → where `ideal` sees the same; NaN where the lens shows nothing."""
        if self.distortion is None:
            return np.asarray(points_px, np.float64)
        return self._to_px(self.distortion.undistort(self._normalised(points_px)))

    def from_ideal_px(self, points_px: np.ndarray) -> np.ndarray:
        """Inverse of `to_ideal_px`; NaN beyond what the lens can show."""
        if self.distortion is None:
            return np.asarray(points_px, np.float64)
        return self._to_px(self.distortion.distort(self._normalised(points_px)))

    def stretch(self, points_px: np.ndarray) -> np.ndarray:
        """Ideal pixels per pixel at (..., 2) pixels, (...): root of the change in area; 1 without distortion, NaN where nothing is seen."""
        points = np.asarray(points_px, np.float64)
        if self.distortion is None:
            return np.ones(points.shape[:-1])
        steps = _STEP_PX * np.eye(2)
        across, down = ((self.to_ideal_px(points + step) - self.to_ideal_px(points - step)) / (2 * _STEP_PX) for step in steps)
        return np.sqrt(np.abs(across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]))

    def _normalised(self, points_px: np.ndarray) -> np.ndarray:
        return (np.asarray(points_px, np.float64) - [self.cx, self.cy]) / [self.fx, self.fy]

    def _to_px(self, xy: np.ndarray) -> np.ndarray:
        return xy * [self.fx, self.fy] + [self.cx, self.cy]
