"""Camera files that users have: OpenCV, ROS, COLMAP, nerfstudio, and this project's own, for a photograph of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import parse_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.scene.camera_formats import (
    camera_of,
    colmap_camera_of,
    colmap_cameras,
    decode_yaml,
    ground_of,
    is_colmap,
    nerfstudio_frame,
)

_SAME_SHAPE = 0.01
_MOST_ASPECT = 2.0
"""Pixels of no sensor are more oblong than that: fx and fy are exchanged or one is wrong."""
_WIDEST_PINHOLE_DEG = 170.0


@dataclass(frozen=True)
class CameraFile:
    """What a camera file says.

    Attributes:
        path: the file.
        camera: in the file's own size of the image; width and height are 0 if it tells none.
        ground: the ground plane, if it tells that.
        ground_covariance: (4, 4) of (log focal, tilt, roll, log height) if the ground is an estimate; None for an exact one.
        height_m: the camera's height over the ground, where it tells that besides.
    """

    path: Path
    camera: Camera
    ground: GroundPlane | None
    ground_covariance: np.ndarray | None
    height_m: float | None

    def for_image(self, image_size: tuple[int, int]) -> Camera:
        """The camera of a photograph: scaled if the file is for another size of the same shape.

        Raises:
            MissingAsset: it is for another shape, the principal point is not in the photograph, or the lens cannot have drawn it.
        """
        c = self.camera
        size = (c.width, c.height) if c.width else image_size
        across, down = image_size[0] / size[0], image_size[1] / size[1]
        if abs(across / down - 1.0) > _SAME_SHAPE:
            raise self._bad(f"it is for {size[0]} × {size[1]} pixels, the photograph has {image_size[0]} × {image_size[1]}")
        camera = replace(c, fx=c.fx * across, fy=c.fy * down, cx=c.cx * across, cy=c.cy * down, width=image_size[0], height=image_size[1])
        if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height):
            raise self._bad(
                f"the principal point {camera.cx:.0f}, {camera.cy:.0f} is not in the photograph of {image_size[0]} × {image_size[1]} pixels"
            )
        edges = camera.rays(np.array([[0.0, camera.cy], [camera.width, camera.cy]]))
        if np.isnan(edges).any() and getattr(c.distortion, "model", "") != "fisheye":
            raise self._bad("its distortion folds the picture back before the photograph ends; check the signs and order of k1, k2, …")
        if c.distortion is None and camera.fov_x_deg > _WIDEST_PINHOLE_DEG:
            raise self._bad(f"focal length {camera.fx:g} px means a field of view of {camera.fov_x_deg:.0f}°; is it in millimetres?")
        return camera

    def _bad(self, why: str) -> MissingAsset:
        return MissingAsset(f"cannot read camera {self.path}: {why}")


def read_camera_file(path: Path, image_name: str | None = None) -> CameraFile:
    """Read a camera file, whichever program wrote it.

    Args:
        path: JSON or YAML of OpenCV (FileStorage or plain), ROS camera_info, nerfstudio's ``transforms.json``, COLMAP's ``cameras.txt``
            (with ``images.txt`` beside it if there are several cameras), or JSON of this project.
        image_name: file name of the photograph, to choose among several cameras.

    Raises:
        MissingAsset: the file cannot be read or understood; the message names the cause in one line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        camera, told = _decoded(Path(path), text, image_name)
        ground, covariance, height = ground_of(told)
        _check(camera)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MissingAsset(f"cannot read camera {path}: {reason}") from error
    return CameraFile(Path(path), camera, ground, covariance, height)


def _decoded(path: Path, text: str, image_name: str | None) -> tuple[Camera, Mapping[str, Any]]:
    """The camera, and the rest of what the file says."""
    if is_colmap(text):
        return _of_colmap(path, text, image_name), {}
    if text.lstrip()[:1] in ("{", "["):
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ValueError(f"no valid JSON ({error})") from error
    else:
        values = decode_yaml(text)
    if not isinstance(values, Mapping):
        raise ValueError("it holds no named values; it needs fx, fy, cx, cy or a camera matrix")
    if "frames" in values or "fl_x" in values or "camera_angle_x" in values:
        return camera_of(nerfstudio_frame(values, image_name)), {}
    inner = values.get("camera")
    return camera_of(inner if isinstance(inner, Mapping) else values), values


def _of_colmap(path: Path, text: str, image_name: str | None) -> Camera:
    cameras = colmap_cameras(text)
    if len(cameras) == 1 or len(set(cameras.values())) == 1:
        return next(iter(cameras.values()))
    images = path.with_name("images.txt")
    chosen = None
    if image_name is not None and images.is_file():
        chosen = colmap_camera_of(images.read_text(encoding="utf-8"), image_name)
    if chosen not in cameras:
        photo = image_name or "the photograph"
        raise ValueError(f"it has {len(cameras)} cameras and {images.name} beside it does not say which took {photo}")
    return cameras[chosen]


def _check(camera: Camera) -> None:
    numbers = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    if not (np.isfinite(list(numbers.values())).all() and min(camera.fx, camera.fy) > 0):
        raise ValueError(f"{', '.join(f'{name} {value:g}' for name, value in numbers.items())}: focal lengths must be positive and finite")
    if not 1 / _MOST_ASPECT < camera.fx / camera.fy < _MOST_ASPECT:
        raise ValueError(f"fx {camera.fx:g} and fy {camera.fy:g} belong to no camera")
