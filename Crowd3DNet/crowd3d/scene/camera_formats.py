"""The numbers of a camera in the words of OpenCV, ROS, COLMAP, nerfstudio and this project.

Everything here takes decoded JSON or YAML, or text, and gives values; `camera_files` reads, chooses and scales. Principal points are taken
as they stand: conventions differ by half a pixel, which is less than calibrations are good for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np
import yaml

from crowd3d.geometry import Camera, Distortion, GroundPlane, RadialTangential
from crowd3d.geometry.distortion import distortion_from

MATRIX = ("cameramatrix", "k", "intrinsicmatrix", "intrinsics", "mtx", "cameraintrinsics")
COEFFICIENTS = ("distortioncoefficients", "distcoeffs", "distcoeff", "distcoefs", "distortioncoeffs", "distortionparameters", "d", "dist")
MODEL = ("distortionmodel", "cameramodel", "lensmodel", "model")
RADIAL = ("plumbbob", "rationalpolynomial", "radtan", "radialtangential", "opencv", "fullopencv", "brown", "pinhole", "simplepinhole",
          "radial", "simpleradial", "perspective")  # fmt: skip
FISHEYE = ("equidistant", "fisheye", "opencvfisheye", "kannalabrandt", "kannalabrandt4", "kb4", "radialfisheye", "simpleradialfisheye")
OPENCV_ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
FISHEYE_ORDER = ("k1", "k2", "k3", "k4")
COLMAP = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
    "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2",
}
"""Parameters of COLMAP's camera models, in its order."""
HEIGHT_UNKNOWN = np.diag([0.0, 0.0, 0.0, 4.0])
"""Covariance of a ground of which only the direction is known."""


def decode_yaml(text: str) -> Any:
    """YAML, that of OpenCV's FileStorage included: its first line is no YAML, and its matrices carry a tag.

    Raises:
        ValueError: it is none.
    """
    try:
        return yaml.load(re.sub(r"\A%YAML.*\n", "", text), Loader=_Loader)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON, YAML nor COLMAP's cameras.txt ({' '.join(str(error).split())[:90]})") from error


class _Loader(yaml.SafeLoader):
    """Safe: makes plain values only."""


for _kind in ("opencv-matrix", "opencv-nd-matrix"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", lambda loader, node: loader.construct_mapping(node, deep=True))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with keys in small letters without underscores and hyphens: `cameraMatrix` and `camera_matrix` are one."""
    return {re.sub(r"[_\- ]", "", str(key)).lower(): value for key, value in values.items() if value is not None}


def camera_of(values: Mapping[str, Any]) -> Camera:
    """Camera of decoded JSON or YAML, in the size that the file tells; width and height are 0 if it tells none.

    Raises:
        ValueError: a number is missing or cannot be.
    """
    named = plain(values)
    width, height = _size(named)
    fx, fy, cx, cy = _intrinsics(named, width, height)
    return Camera(fx, fy, cx, cy, width, height, _lens(named))


def ground_of(values: Mapping[str, Any]) -> tuple[GroundPlane | None, np.ndarray | None, float | None]:
    """Ground, its covariance (4, 4) if it is an estimate, and the camera's height if only that is told.

    From `ground`, from `height_m`, `tilt_deg` and `roll_deg`, or from a pose R, t or rvec, tvec of a world whose ground is z = 0.

    Raises:
        ValueError: numbers are missing or cannot be.
    """
    named = plain(values)
    height = None if "heightm" not in named else _number(named["heightm"], "height_m")
    if "ground" in named:
        covariance = named.get("groundcovariance", named.get("covariance"))
        spread = None if covariance is None else _numbers(covariance, "covariance", 16).reshape(4, 4)
        return GroundPlane.from_coefficients(_numbers(named["ground"], "ground", 4)), spread, None
    if "tiltdeg" in named:
        tilt, roll = (np.deg2rad(_number(named.get(key, 0.0), key)) for key in ("tiltdeg", "rolldeg"))
        ground = GroundPlane.from_angles(float(tilt), float(roll), 1.0 if height is None else height)
        return ground, HEIGHT_UNKNOWN if height is None else None, None
    pose = _pose(named)
    return (None, None, height) if pose is None else (_z_is_zero(*pose), None, height)


def nerfstudio_frame(values: Mapping[str, Any], image_name: str | None) -> dict[str, Any]:
    """Intrinsics of ``transforms.json``: those that all frames share, or those of the frame with the photograph's name.

    Raises:
        ValueError: frames have cameras of their own and none has that name.
    """
    shared = {key: value for key, value in values.items() if key not in ("frames", "ground")}
    own = [frame for frame in values.get("frames", ()) if "fl_x" in frame]
    if not own or "fl_x" in shared:
        return shared
    names = [PurePath(str(frame.get("file_path", ""))).stem for frame in own]
    if image_name is not None and PurePath(image_name).stem in names:
        return {**shared, **own[names.index(PurePath(image_name).stem)]}
    raise ValueError(f"each of its {len(own)} frames has a camera of its own and none is called {image_name}; rename the photograph")


def colmap_cameras(text: str) -> dict[int, Camera]:
    """Cameras of ``cameras.txt`` by their ids.

    Raises:
        ValueError: an unknown model or a wrong number of parameters.
    """
    cameras = {}
    for line in _lines(text):
        identity, model, width, height, *numbers = line.split()
        names = COLMAP.get(model, "").split()
        if not names:
            raise ValueError(f"COLMAP's camera model {model} is not known; undistort, or use one of {', '.join(COLMAP)}")
        if len(names) != len(numbers):
            raise ValueError(f"camera {identity} has {len(numbers)} parameters, {model} has {len(names)}")
        values: dict[str, Any] = dict(zip(names, map(float, numbers), strict=True))
        focal = values.pop("f", None)
        shared = {} if focal is None else {"fx": focal, "fy": focal}
        cameras[int(identity)] = camera_of({**shared, **values, "width": width, "height": height, "model": model})
    return cameras


def colmap_camera_of(images_text: str, image_name: str) -> int | None:
    """Id of the camera that took a photograph, by ``images.txt``; None if the photograph is not in it."""
    lines = [line for line in images_text.splitlines() if not line.startswith("#")]
    for line in lines[::2]:
        fields = line.split(maxsplit=9)
        if len(fields) == 10 and PurePath(fields[9]).stem == PurePath(image_name).stem:
            return int(fields[8])
    return None


def is_colmap(text: str) -> bool:
    """Whether the first line that is no comment is a camera of COLMAP's."""
    return bool(re.match(r"\d+\s+[A-Z_]+\s+\d+\s+\d+\s", next(iter(_lines(text)), "")))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _number(value: Any, name: str) -> float:
    return float(_numbers(value, name, 1)[0])


def _numbers(value: Any, name: str, *counts: int) -> np.ndarray:
    """Flat finite numbers of a list, nested lists, or a mapping with `data`."""
    data = value.get("data") if isinstance(value, Mapping) else value
    try:
        numbers = np.array(data, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not made of numbers") from error
    if counts and len(numbers) not in counts:
        raise ValueError(f"{name} has {len(numbers)} numbers, expected {' or '.join(map(str, counts))}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has numbers that are not finite")
    return numbers


def _first(named: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((named[name] for name in names if name in named), None)


def _size(named: Mapping[str, Any]) -> tuple[int, int]:
    pair = _first(named, ("imagesize", "imgsize", "resolution", "size"))
    if pair is not None:
        width, height = _numbers(pair, "image size", 2)
    else:
        names = (("imagewidth", "width", "w"), ("imageheight", "height", "h"))
        width, height = (_number(_first(named, side) or 0, side[0]) for side in names)
    if (width > 0) != (height > 0) or min(width, height) < 0:
        raise ValueError(f"the image's width {width:.0f} and height {height:.0f} must both be positive")
    return round(width), round(height)


def _intrinsics(named: Mapping[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    matrix = _first(named, MATRIX)
    if matrix is not None and not (isinstance(matrix, Mapping) and "data" not in matrix):
        numbers = _numbers(matrix, "the camera matrix", 4, 9)
        if len(numbers) == 9:
            if abs(numbers[1]) > 0.01 * abs(numbers[0]):
                raise ValueError(f"the camera matrix has a skew of {numbers[1]:g} pixels; only square-cornered pixels are known")
            numbers = numbers[[0, 4, 2, 5]]
        return tuple(map(float, numbers))  # type: ignore[return-value]
    if "cameraanglex" in named and "flx" not in named:
        if not width:
            raise ValueError("camera_angle_x needs w and h")
        focal = width / 2 / np.tan(_number(named["cameraanglex"], "camera_angle_x") / 2)
        return float(focal), float(focal), width / 2, height / 2
    pairs = (("fx", "flx"), ("fy", "fly"), ("cx", "ppx"), ("cy", "ppy"))
    found = [_first(named, names) for names in pairs]
    if found[1] is None:
        found[1] = found[0]
    if width and found[2] is None and found[3] is None:
        found[2:] = [width / 2, height / 2]
    missing = [names[0] for names, value in zip(pairs, found, strict=True) if value is None]
    if missing:
        raise ValueError(f"no {', '.join(missing)}: it needs fx, fy, cx, cy or a 3 × 3 camera matrix")
    return tuple(_number(value, names[0]) for names, value in zip(pairs, found, strict=True))  # type: ignore[return-value]


def _lens(named: Mapping[str, Any]) -> Distortion | None:
    """Distortion by list, by mapping, or by single coefficients; None if all are 0 and the lens is no fisheye."""
    given = named.get("distortion")
    if isinstance(given, Mapping):
        lens = distortion_from({**given, "model": "fisheye" if _is_fisheye(plain(given)) else "radial_tangential"})
    else:
        fisheye = _is_fisheye(named)
        order = FISHEYE_ORDER if fisheye else OPENCV_ORDER
        listed = given if given is not None else _first(named, COEFFICIENTS)
        if listed is not None:
            numbers = _numbers(listed, "distortion coefficients")
            if np.any(numbers[len(order) :]):
                raise ValueError(f"{len(numbers)} distortion coefficients: those after {', '.join(order)} are not known; undistort first")
            values = dict(zip(order, numbers.tolist(), strict=False))
        else:
            values = {name: _number(named[name], name) for name in (*OPENCV_ORDER, "k7", "s1", "s2", "s3", "s4") if name in named}
            values = {name: value for name, value in values.items() if value or name in order}
        lens = distortion_from({**values, "model": "fisheye" if fisheye else "radial_tangential"})
    return None if lens == RadialTangential() else lens


def _is_fisheye(named: Mapping[str, Any]) -> bool:
    """Whether the words that name the model mean a fisheye.

    Raises:
        ValueError: they mean something unknown.
    """
    flag = _first(named, ("fisheyemodel", "isfisheye", "fisheye"))
    if flag is not None:
        return bool(flag)
    word = _first(named, MODEL)
    if word is None:
        return False
    name = re.sub(r"[_\- ]", "", str(word)).lower()
    if name in FISHEYE or name in RADIAL:
        return name in FISHEYE
    raise ValueError(f"the lens model {word!r} is not known; radial-tangential (OpenCV, plumb_bob) and fisheye (equidistant) are")


def _pose(named: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Rotation (3, 3) and translation (3,) world → camera, None if there is none. ROS' rectification R comes without a translation."""
    turn = _first(named, ("rvec", "rotationvector", "r", "rotation", "rotationmatrix"))
    shift = _first(named, ("tvec", "translationvector", "t", "translation"))
    if turn is None and shift is None:
        return None
    if turn is None or shift is None:
        if "p" in named or "projectionmatrix" in named:
            return None
        raise ValueError("a pose needs both a rotation (R or rvec) and a translation (t or tvec)")
    rotation, translation = _numbers(turn, "the rotation", 3, 9), _numbers(shift, "the translation", 3)
    matrix = cv2.Rodrigues(rotation)[0] if len(rotation) == 3 else rotation.reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-3:
        raise ValueError("R is no rotation matrix")
    return matrix, translation


def _z_is_zero(rotation: np.ndarray, translation: np.ndarray) -> GroundPlane:
    """The world's plane z = 0 in the camera frame; which side of it is up follows from the camera being above."""
    normal = rotation[:, 2]
    return GroundPlane.from_coefficients(np.append(normal, -normal @ translation))
