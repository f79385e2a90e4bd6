"""``single_image/inference.py`` and ``crowd3d infer``: processed photograph → everybody's body in one metric world."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from crowd3d.cli.process import add_image_arguments, mid_folder
from crowd3d.cli.run import run_cli
from crowd3d.geometry import Camera
from crowd3d.ground import Knowns
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pipeline.infer import InferOptions, infer
from crowd3d.pipeline.optimise import OptimiseChoice
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_image_arguments(parser)
    add_result_arguments(parser)


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the second half alone."""
    parser.add_argument("--save_res_folder", type=Path, help="results go to NAME/ in it (default: single_image/single_image_res)")
    parser.add_argument(
        "--weights",
        type=Path,
        help="Crowd3DNet: base_69.pkl, a per-scene epoch_N.pkl or safetensors "
        "(default: Crowd3DNet/pretrained/base_69.pkl if it is there, else the shipped estimator)",
    )
    parser.add_argument("--inference_batch_size", type=int, default=128, help="at most so many tiles per batch")
    add_optimise_argument(parser)
    parser.add_argument("--before_after", action="store_true", help="also draw the scene before the optimisation, into lifted/")
    parser.add_argument("--render_with_hvip", action="store_true", help="mark everybody's HVIP in the overlay")
    parser.add_argument("--save_mesh", action="store_true", help="write the release's OBJ files into extract_mesh/")
    parser.add_argument("--save_mesh_mode", choices=["single", "multi", "all"], default="all", help="which of them")
    parser.add_argument("--fov_deg", type=float, help="horizontal field of view, if known")
    parser.add_argument("--focal_px", type=float, help="focal length in pixels, if known")
    parser.add_argument("--camera_height", type=float, metavar="METRES", help="height of the camera over the ground, if known")
    distance = ("U1", "V1", "U2", "V2", "METRES")
    parser.add_argument("--scale_points", type=float, nargs=5, metavar=distance, help="two pixels on the ground and their distance")


def add_optimise_argument(parser: argparse.ArgumentParser) -> None:
    """What to optimise after lifting."""
    parser.add_argument(
        "--optimise",
        choices=get_args(OptimiseChoice),
        default=InferOptions.optimise,
        help="make people, or people with camera and ground, agree with the keypoints; "
        "auto: people if the keypoints come from another backend, nothing with the embedded networks'",
    )


def chosen_weights(given: Path | None, settings: Settings) -> Path | None:
    """The user's weights, else the released ones if they are there, else None for the shipped estimator; the choice is printed."""
    path = given or settings.crowd3dnet_weights or (settings.released_weights if settings.released_weights.is_file() else None)
    log.info("weights: %s", path or "shipped default estimator")
    return path


def knowns(args: argparse.Namespace, width: int) -> Knowns | None:
    """What the user knows about camera and ground."""
    focal = args.focal_px
    if args.fov_deg is not None:
        focal = Camera.from_fov(args.fov_deg, (width, width)).fx
    if focal is None and args.camera_height is None and args.scale_points is None:
        return None
    return Knowns(
        focal_px=focal, focal_sigma=0.0, height_m=args.camera_height, scale_points=tuple(args.scale_points) if args.scale_points else None
    )


def run(args: argparse.Namespace) -> int:
    """Reconstruct the photograph."""
    settings = load_settings()
    mid = mid_folder(args, settings)
    results = ResultFolder((args.save_res_folder or settings.single_image_res_root) / args.scene_image_path.stem)
    options = InferOptions(
        weights=chosen_weights(args.weights, settings),
        smpl_folder=settings.smpl_model_root,
        knowns=knowns(args, GigapixelImage(args.scene_image_path).size[0]),
        engine=args.engine,
        batch_size=min(args.inference_batch_size, 32),
        optimise=args.optimise,
        before_after=args.before_after,
        with_hvip=args.render_with_hvip,
        mesh_mode=args.save_mesh_mode if args.save_mesh else None,
        overwrite=args.overwrite,
    )
    infer(args.scene_image_path, mid, results, DefaultWeights.shipped(settings), options)
    print(results.root)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "inference.py", "Processed photograph to everybody's body in one metric world.")
