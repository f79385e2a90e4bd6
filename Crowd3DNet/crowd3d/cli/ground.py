"""``crowd3d ground``: camera and ground from a file of keypoints."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import write_json
from crowd3d.geometry import Camera
from crowd3d.ground import GroundEstimate, Knowns, StaturePrior, estimate_ground
from crowd3d.ground.release_files import write_release_ground


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("keypoints", type=Path, metavar="KEYPOINTS.npy", help="(N, 17, 3) COCO-17 keypoints u, v, score in pixels")
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("W", "H"), help="size of the image in pixels")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write ground.json and the release's mid/ and ground/ folders here")
    add_camera_arguments(parser)


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be known about the camera; shared with the other verbs that estimate the ground."""
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--fov_deg", type=float, help="exact horizontal field of view in degrees")
    lens.add_argument("--focal_px", type=float, help="exact focal length in pixels of the whole image")
    lens.add_argument("--camera_json", type=Path, help="exact intrinsics: JSON with fx, fy, cx, cy")
    lens.add_argument("--exif_focal_px", type=float, help="focal length in pixels, good to about 5 %%, as computed from EXIF data")
    parser.add_argument("--camera_height", type=float, metavar="METRES", help="exact height of the camera over the ground")
    names = ("U1", "V1", "U2", "V2", "METRES")
    parser.add_argument("--scale_points", type=float, nargs=5, metavar=names, help="a known distance between two ground pixels")
    parser.add_argument("--stature", type=float, default=1.70, metavar="METRES", help="mean stature of the adults (default 1.70)")


def camera_from_arguments(args: argparse.Namespace, image_size: tuple[int, int]) -> tuple[Camera | None, Knowns, StaturePrior]:
    """Keyword values for `estimate_ground`.

    Raises:
        MissingAsset: the camera file cannot be read or lacks a value.
    """
    camera = None
    if args.fov_deg is not None:
        camera = Camera.from_fov(args.fov_deg, image_size)
    elif args.focal_px is not None:
        camera = Camera.from_focal(args.focal_px, image_size)
    elif args.camera_json is not None:
        camera = _read_camera(args.camera_json, image_size)
    scale = tuple(args.scale_points) if args.scale_points else None
    knowns = Knowns(focal_px=args.exif_focal_px, height_m=args.camera_height, scale_points=scale)
    return camera, knowns, StaturePrior(mean_m=args.stature)


def run(args: argparse.Namespace) -> int:
    """Estimate, print a summary, write files if asked."""
    size = (args.size[0], args.size[1])
    camera, knowns, stature = camera_from_arguments(args, size)
    estimate = estimate_ground(_read_keypoints(args.keypoints), size, camera=camera, stature=stature, knowns=knowns)
    print(describe(estimate))
    if args.output is not None:
        write_json(args.output / "ground.json", ground_report(estimate))
        write_release_ground(args.output / "mid", args.output / "ground", estimate.camera, estimate.ground)
    return 0


def ground_report(estimate: GroundEstimate) -> dict[str, object]:
    """Everything in an estimate as JSON values."""
    camera, ground = estimate.camera, estimate.ground
    return {
        "camera": {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy, "width": camera.width, "height": camera.height},
        "fov_x_deg": camera.fov_x_deg,
        "ground": ground.coefficients.tolist(),
        "tilt_deg": float(np.rad2deg(ground.tilt_rad)),
        "roll_deg": float(np.rad2deg(ground.roll_rad)),
        "height_m": ground.offset_m,
        "sigma": estimate.sigma,
        "covariance": estimate.covariance.tolist(),
        "standing": np.flatnonzero(estimate.inliers).tolist(),
        "weak": estimate.weak,
        "reason": estimate.reason,
    }


def describe(estimate: GroundEstimate) -> str:
    """A few lines for the console."""
    sigma, ground = estimate.sigma, estimate.ground
    lines = [
        f"field of view {estimate.camera.fov_x_deg:.2f} ± {sigma['fov_deg']:.2f}°",
        f"tilt {np.rad2deg(ground.tilt_rad):.2f} ± {sigma['tilt_deg']:.2f}°",
        f"roll {np.rad2deg(ground.roll_rad):.2f} ± {sigma['roll_deg']:.2f}°",
        f"camera height {ground.offset_m:.2f} ± {sigma['height_m']:.2f} m",
        f"{int(estimate.inliers.sum())} of {len(estimate.inliers)} people stand on the plane",
    ]
    return "\n".join(lines + ([f"weak: {estimate.reason}"] if estimate.weak else []))


def _read_keypoints(path: Path) -> np.ndarray:
    try:
        keypoints = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise MissingAsset(f"cannot read keypoints {path}: {error}; give an .npy file of shape (N, 17, 3)") from error
    if keypoints.ndim != 3 or keypoints.shape[1:] != (17, 3):
        raise MissingAsset(f"keypoints {path} have shape {keypoints.shape}; (N, 17, 3) is needed: COCO-17 u, v, score")
    return keypoints


def _read_camera(path: Path, image_size: tuple[int, int]) -> Camera:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "cx", "cy"))
        return Camera(fx, fy, cx, cy, *image_size)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingAsset(f"cannot read camera {path}: {error}; it needs the numbers fx, fy, cx, cy") from error
