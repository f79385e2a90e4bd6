"""What a user may know about the camera, as arguments that several commands share."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import Knowns, StaturePrior

_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class KnownCamera:
    """What is known.

    Attributes:
        camera: exact intrinsics.
        ground: exact ground plane; only together with `camera`.
        knowns: focal length, height, distance.
    """

    camera: Camera | None
    ground: GroundPlane | None
    knowns: Knowns


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--fov_deg", type=float, help="exact horizontal field of view in degrees")
    lens.add_argument("--focal_px", type=float, help="exact focal length in pixels of the whole image")
    lens.add_argument(
        "--camera_json",
        type=Path,
        metavar="FILE",
        help="exact intrinsics: JSON with fx, fy, cx, cy or a 3 × 3 K, and optionally the exact ground: ground [A, B, C, D], "
        "or height_m, tilt_deg and roll_deg; scene.json and ground.json are such files",
    )
    lens.add_argument("--exif_focal_px", type=float, help="focal length in pixels, good to about 5 %%, as computed from EXIF data")
    parser.add_argument("--camera_height", type=float, metavar="METRES", help="exact height of the camera over the ground")
    names = ("U1", "V1", "U2", "V2", "METRES")
    parser.add_argument("--scale_points", type=float, nargs=5, metavar=names, help="a known distance between two ground pixels")
    default = StaturePrior().mean_m
    parser.add_argument("--stature", type=float, default=default, metavar="METRES", help="mean stature of the adults")


def known_camera(args: argparse.Namespace, image_size: tuple[int, int]) -> KnownCamera:
    """What the arguments say about the camera of an image of `image_size` (width, height).

    Raises:
        MissingAsset: the camera file cannot be read, lacks a value, or belongs to an image of another shape.
    """
    camera, ground, height = None, None, args.camera_height
    if args.fov_deg is not None:
        camera = Camera.from_fov(args.fov_deg, image_size)
    elif args.focal_px is not None:
        camera = Camera.from_focal(args.focal_px, image_size)
    elif args.camera_json is not None:
        camera, ground, file_height = read_camera(args.camera_json, image_size)
        height = file_height if height is None else height
    scale = tuple(args.scale_points) if args.scale_points else None
    return KnownCamera(camera, ground, Knowns(focal_px=args.exif_focal_px, height_m=height, scale_points=scale))


def read_camera(path: Path, image_size: tuple[int, int]) -> tuple[Camera, GroundPlane | None, float | None]:
    """Intrinsics, the ground if the file tells it, and the height if it tells only that.

    Intrinsics of another size of the same image are scaled.

    Raises:
        MissingAsset: see `known_camera`.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        numbers = values.get("camera", values)
        camera = _intrinsics(numbers, image_size)
        if values.get("ground") is not None:
            return camera, GroundPlane.from_coefficients(np.array(values["ground"], np.float64)), None
        height = None if values.get("height_m") is None else float(values["height_m"])
        if "tilt_deg" not in values:
            return camera, None, height
        tilt, roll = np.deg2rad([float(values["tilt_deg"]), float(values.get("roll_deg", 0.0))])
        return camera, GroundPlane.from_angles(float(tilt), float(roll), float(values["height_m"])), None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingAsset(
            f"cannot read camera {path}: {error}; it needs fx, fy, cx, cy or K, and may have ground, or height_m and tilt_deg"
        ) from error


def _intrinsics(numbers: dict, image_size: tuple[int, int]) -> Camera:
    """From fx, fy, cx, cy or K, with width and height if they are of another size."""
    if "K" in numbers:
        K = np.array(numbers["K"], np.float64).reshape(3, 3)
        fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    else:
        fx, fy, cx, cy = (float(numbers[key]) for key in ("fx", "fy", "cx", "cy"))
    width, height = float(numbers.get("width", image_size[0])), float(numbers.get("height", image_size[1]))
    if not min(fx, fy, width, height) > 0:
        raise ValueError(f"fx {fx}, fy {fy}, width {width} and height {height} must be positive")
    across, down = image_size[0] / width, image_size[1] / height
    if abs(across / down - 1.0) > _SAME_SHAPE:
        raise ValueError(f"it is for {width:.0f} × {height:.0f} pixels, the image has {image_size[0]} × {image_size[1]}")
    return Camera(float(fx * across), float(fy * down), float(cx * across), float(cy * down), *image_size)
