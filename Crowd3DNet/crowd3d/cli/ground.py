"""``crowd3d ground``: camera and ground from a file of keypoints, the photograph's lines if it is given, and several levels."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from crowd3d.bodies.joints import ANKLES17
from crowd3d.cli.camera import add_camera_arguments, check_camera_arguments, known_of
from crowd3d.errors import MissingAsset
from crowd3d.files import write_json
from crowd3d.ground import (
    JOINT_CENTRE_SPAN,
    LANDMARKS,
    GroundEstimate,
    Levels,
    estimate_ground,
    estimate_levels,
)
from crowd3d.ground.release_files import write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.ground import segments
from crowd3d.pose.keypoint_files import read_npy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("keypoints", type=Path, metavar="KEYPOINTS.npy", help="(N, 17, 3) COCO-17 keypoints u, v, score in pixels")
    parser.add_argument("--size", type=int, nargs=2, metavar=("W", "H"), help="size of the image in pixels; not needed with --image")
    parser.add_argument("--image", type=Path, metavar="IMAGE", help="the photograph: edges of buildings and paving sharpen the camera")
    parser.add_argument(
        "--level_mask",
        type=Path,
        metavar="PNG",
        help="grey picture of the photograph's shape that tells the levels instead: equal values are one level, 0 is unknown",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write ground.json and the release's mid/ and ground/ folders here")
    parser.add_argument(
        "--keypoint_span",
        type=float,
        default=round(LANDMARKS.shoulder - LANDMARKS.ankle, 3),
        metavar="SHARE",
        help="ankle to shoulder midpoints as a share of stature: the default are the published landmarks of somebody who stands, "
        f"{JOINT_CENTRE_SPAN} suits a detector's keypoints of a crowd of which half walks",
    )
    add_camera_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Estimate, print a summary, write files if asked."""
    check_camera_arguments(args, None if args.image is None else args.image.name)
    image = None if args.image is None else GigapixelImage(args.image)
    if image is None and args.size is None:
        raise MissingAsset("the size of the image is not known; give --size W H or --image")
    size = image.size if image is not None else (args.size[0], args.size[1])
    known = known_of(args, size, None if image is None else image.path.name)
    if image is not None:
        known = known.resolved(image.reduced, size)
    keypoints, knowns, stature = read_npy(args.keypoints), known.knowns, known.stature.for_span(args.keypoint_span)
    if image is not None and known.camera is None:
        knowns = replace(knowns, exif_focal_px=image.exif_focal_px(), exif_trust=image.exif_trust())
    lines = None if image is None else segments(image)
    labels = None if args.level_mask is None else level_labels(args.level_mask, keypoints, size)
    levels = None
    if args.levels > 1:
        adults = replace(stature, child_share=0.0)
        levels = estimate_levels(
            keypoints, size, stature=adults, labels=labels, most=args.levels, camera=known.camera, knowns=knowns, lines=lines
        )
    if levels is None or (labels is None and len(levels.estimates) == 1):
        estimate = estimate_ground(keypoints, size, stature=stature, camera=known.camera, knowns=knowns, lines=lines)
        levels = Levels((estimate,), np.where(estimate.inliers, 0, -1), 1.0 - estimate.roles[:, 3:])
    print(describe(levels))
    if args.output is not None:
        first = levels.estimates[0]
        write_json(args.output / "ground.json", ground_report(levels))
        write_release_ground(args.output / "mid", args.output / "ground", first.camera, first.ground)
    return 0


def level_labels(path: Path, keypoints: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N,) value of the mask at everybody's feet, −1 where it is 0 or the feet are outside.

    Raises:
        MissingAsset: no readable grey picture.
    """
    # From memory, because OpenCV takes no names that are not UTF-8; and it raises an error of its own for nothing at all.
    encoded = path.read_bytes() if path.is_file() else b""
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE) if encoded else None
    if mask is None:
        raise MissingAsset(f"cannot read the mask {path}; give a grey picture of the photograph's shape, 0 where the level is unknown")
    known = np.all(keypoints[:, ANKLES17, 2] > 0, axis=1)
    ankles, lowest = keypoints[:, ANKLES17, :2].mean(1), keypoints[np.arange(len(keypoints)), keypoints[..., 1].argmax(1), :2]
    place = np.where(known[:, None], ankles, lowest) / image_size * mask.shape[::-1]
    column, row = np.floor(np.nan_to_num(place, nan=-1.0)).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
    values = np.zeros(len(keypoints), np.int64)
    values[inside] = mask[row[inside], column[inside]]
    return np.where(values > 0, values, -1)


def ground_report(levels: Levels) -> dict[str, object]:
    """Everything as JSON values: the first level as if it were alone, then all levels and who stands on which."""
    return {
        **_level_report(levels.estimates[0]),
        "levels": [_level_report(estimate) for estimate in levels.estimates],
        "level": levels.level.tolist(),
    }


def _level_report(estimate: GroundEstimate) -> dict[str, object]:
    ground = estimate.ground
    return {
        "camera": asdict(estimate.camera),
        "fov_x_deg": estimate.camera.fov_x_deg,
        "ground": ground.coefficients.tolist(),
        "tilt_deg": float(np.rad2deg(ground.tilt_rad)),
        "roll_deg": float(np.rad2deg(ground.roll_rad)),
        "height_m": ground.offset_m,
        "sigma": estimate.sigma,
        "covariance": estimate.covariance.tolist(),
        "standing": np.flatnonzero(estimate.inliers).tolist(),
        "weak": estimate.weak,
        "height_range_m": list(estimate.height_range_m),
        "reason": estimate.reason,
        "assumption": estimate.assumption,
    }


def describe(levels: Levels) -> str:
    """A few lines for the console."""
    estimate, *others = levels.estimates
    sigma, ground = estimate.sigma, estimate.ground
    lines = [
        f"field of view {estimate.camera.fov_x_deg:.2f} ± {sigma['fov_deg']:.2f}°",
        f"tilt {np.rad2deg(ground.tilt_rad):.2f} ± {sigma['tilt_deg']:.2f}°",
        f"roll {np.rad2deg(ground.roll_rad):.2f} ± {sigma['roll_deg']:.2f}°",
        f"camera height {ground.offset_m:.2f} ± {sigma['height_m']:.2f} m{between(estimate)}",
        f"{int(estimate.inliers.sum())} of {len(estimate.inliers)} people stand on the plane",
    ]
    for other in others:
        people, higher = int(other.inliers.sum()), ground.offset_m - other.ground.offset_m
        lines.append(f"{people} more on another level, {abs(higher):.2f} m {'higher' if higher > 0 else 'lower'}")
    if estimate.weak:
        lines.append(f"weak: {estimate.reason}")
    if estimate.assumption:
        lines.append(f"warning: {estimate.assumption}")
    return "\n".join(lines)


def between(estimate: GroundEstimate) -> str:
    """The 95 % range of the height, in words, where it is more than the standard deviation says."""
    if not estimate.assumption:
        return ""
    low, high = estimate.height_range_m
    return f" ({low:.1f} to {high:.1f} m if they may be children alone)"
