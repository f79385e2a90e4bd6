"""What a user may know about camera, ground and people, as arguments that several commands share."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from crowd3d.geometry import Camera
from crowd3d.ground import OpinionSource, StaturePrior
from crowd3d.ground.geocalib import NAME as GEOCALIB
from crowd3d.ground.geocalib import GeoCalibOpinion
from crowd3d.ground.knowns import check_focal, check_fov, check_positive
from crowd3d.pipeline.known import Known
from crowd3d.scene.camera_files import read_camera_file


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    group = parser.add_argument_group("what is known of camera, ground and people", "everything given is honoured together")
    lens = group.add_mutually_exclusive_group()
    lens.add_argument("--fov_deg", type=float, help="exact horizontal field of view in degrees")
    lens.add_argument("--focal_px", type=float, help="exact focal length in pixels of the whole image")
    lens.add_argument(
        "--camera_json",
        type=Path,
        metavar="FILE",
        help="exact intrinsics with the lens' distortion: a file of OpenCV, ROS (camera_info), COLMAP (cameras.txt), nerfstudio "
        "(transforms.json), or JSON with fx, fy, cx, cy; optionally the ground: a pose R, t or rvec, tvec of a world with the ground at "
        "z = 0, ground [A, B, C, D], or height_m, tilt_deg and roll_deg; scene.json and ground.json are such files (docs/cameras.md)",
    )
    lens.add_argument("--exif_focal_px", type=float, help="focal length in pixels, good to about 5 %%, as computed from EXIF data")
    group.add_argument("--no_exif", action="store_true", help="do not believe the focal length that the photograph's own EXIF data tell")
    group.add_argument(
        "--camera_height", type=float, metavar="METRES", help="exact height of the camera over the ground; scales a ground of --camera_json"
    )
    names = ("U1", "V1", "U2", "V2", "METRES")
    group.add_argument(
        "--scale_points", type=float, nargs=5, metavar=names, help="a known distance between two ground pixels; scales a ground, too"
    )
    add_stature_argument(group)
    group.add_argument(
        "--levels", type=int, default=Known.most_levels, metavar="N", help="look for so many horizontal levels at most; 1: one ground"
    )
    group.add_argument(
        "--opinion", choices=[GEOCALIB], help="ask a network for focal length and gravity, too: one more opinion beside the people's"
    )


def add_stature_argument(parser: argparse._ActionsContainer) -> None:
    """Declare what is known of people."""
    parser.add_argument("--stature", type=float, metavar="METRES", help=f"mean stature of the adults (default: {StaturePrior().mean_m})")


def known_people(args: argparse.Namespace) -> Known:
    """What the arguments say about people alone.

    Raises:
        BadConfig: it cannot be meant.
    """
    return Known(stature_m=args.stature)


def check_camera_arguments(args: argparse.Namespace, image_name: str | None) -> None:
    """Refuse at once what cannot be meant, before any photograph is opened.

    Args:
        args: parsed.
        image_name: file name of the photograph; None if there are several, of which a file of many cameras may know each.

    Raises:
        BadConfig: a number that cannot be meant.
        MissingAsset: the camera file cannot be read, or the package of the second opinion is not installed.
    """
    if args.fov_deg is not None:
        check_fov(args.fov_deg)
    if args.focal_px is not None:
        check_positive(args.focal_px, "focal length", "px")
    if args.camera_json is not None and (image_name is not None or not args.camera_json.is_file()):
        read_camera_file(args.camera_json, image_name)
    _known_lengths(args)
    _opinion(args)


def known_of(args: argparse.Namespace, image_size: tuple[int, int], image_name: str | None) -> Known:
    """What the arguments say about a photograph of `image_size` (width, height).

    Raises:
        MissingAsset: the camera file cannot be read, lacks a value, or belongs to an image of another shape.
        BadConfig: a value cannot be meant, or two contradict each other.
    """
    known = replace(_known_lengths(args), opinion=_opinion(args))
    if args.exif_focal_px is not None:
        check_focal(args.exif_focal_px, image_size)
    if args.fov_deg is not None:
        return replace(known, camera=Camera.from_fov(args.fov_deg, image_size))
    if args.focal_px is not None:
        check_focal(args.focal_px, image_size)
        return replace(known, camera=Camera.from_focal(args.focal_px, image_size))
    if args.camera_json is None:
        return known
    file = read_camera_file(args.camera_json, image_name)
    uncertain = file.ground_covariance is not None and file.ground_covariance[3, 3] > 0
    of_people = args.stature is not None or (file.ground_covariance is not None and file.ground_covariance[3, 3] > 1)
    return replace(
        known,
        camera=file.for_image(image_size),
        ground=file.ground,
        ground_covariance=None if file.ground is None else file.ground_covariance,
        refit_height=bool(uncertain and of_people),
        height_m=file.height_m if known.height_m is None and known.scale_points is None else known.height_m,
    )


def _known_lengths(args: argparse.Namespace) -> Known:
    """Everything that does not depend on the photograph."""
    points = tuple(args.scale_points) if args.scale_points else None
    return Known(
        focal_px=args.exif_focal_px,
        height_m=args.camera_height,
        scale_points=points,
        stature_m=args.stature,
        use_exif=not args.no_exif,
        most_levels=args.levels,
    )


def _opinion(args: argparse.Namespace) -> OpinionSource | None:
    return GeoCalibOpinion() if args.opinion == GEOCALIB else None
