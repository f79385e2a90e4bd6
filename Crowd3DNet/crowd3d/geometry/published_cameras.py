"""The cameras that Crowd3D (CVPR 2023) published with LargeCrowd's four test scenes."""

from __future__ import annotations

import numpy as np

from crowd3d.geometry.camera import Camera
from crowd3d.geometry.plane import GroundPlane

# Plane A, B, C, D (the published pre_grounds), focal length in pixels, width, height.
PUBLISHED: dict[str, tuple[tuple[float, float, float, float], float, int, int]] = {
    "playground1_00": ((-0.0245936, -0.9854221, -0.1683400, 16.0341339), 29199.908, 19200, 6518),
    "playground1_01": ((-0.0169564, -0.9664450, -0.2563134, 16.8036003), 27030.473, 19200, 6525),
    "stadiumEntrance_00": ((-0.0397546, -0.9753692, -0.2169669, 15.9905996), 30984.170, 19200, 6285),
    "stadiumEntrance_01": ((0.0046281, -0.9736459, -0.2280179, 13.4040442), 23311.191, 19200, 6286),
}


def published_camera(name: str, image_size: tuple[int, int] | None = None) -> tuple[Camera, GroundPlane]:
    """A key of `PUBLISHED` → camera and ground; another image size keeps the field of view and the plane."""
    plane, focal, width, height = PUBLISHED[name]
    size = image_size or (width, height)
    return Camera.from_focal(focal * size[0] / width, size), GroundPlane.from_coefficients(np.array(plane))
