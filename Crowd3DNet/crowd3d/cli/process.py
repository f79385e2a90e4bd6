"""``single_image/process.py`` and ``crowd3d process``: photograph → tiles and everybody's keypoints."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from crowd3d.cli.run import run_cli
from crowd3d.errors import BadImage
from crowd3d.imaging import PartParams, read_part_params
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.backends import BACKEND_NAMES, choose_backend
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)

PART_PARAMS_FILE = "single_image_part_params.json"


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that both halves share."""
    parser.add_argument("--scene_image_path", type=Path, required=True, help="the photograph")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The same without the photograph."""
    parser.add_argument("--save_mid_folder", type=Path, help="intermediate files (default: single_image/single_image_mid/NAME)")
    parser.add_argument("--engine", choices=["auto", "torch", "openvino", "onnx"], default="auto", help="what runs the networks")
    parser.add_argument("--overwrite", action="store_true", help="do everything again instead of keeping what is done")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_image_arguments(parser)
    add_pose_arguments(parser)


def add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the first half alone."""
    parser.add_argument(
        "--pose_backend",
        choices=BACKEND_NAMES,
        default="auto",
        help="who finds people and their keypoints; auto: AlphaPose if it is configured, else rtmpose or torchvision if they are ready, "
        "else the embedded networks",
    )
    parser.add_argument(
        "--keypoints",
        type=Path,
        help="keypoints to use: JSON of AlphaPose, COCO, Detectron2, MMPose, OpenPifPaf, OpenPose or Ultralytics, or .npy or .npz; "
        "for several pictures a JSON that names them, or a folder of files named after them",
    )
    parser.add_argument(
        "--part_params",
        type=float,
        nargs=4,
        metavar=("HMIN", "HMAX", "H_START", "H_END"),
        help="tiles by the release's rule: pixel heights of the smallest and the largest person, first and last row "
        f"(default: the entry of params/{PART_PARAMS_FILE} if there is one, else automatic)",
    )


def mid_folder(args: argparse.Namespace, settings: Settings) -> MidFolder:
    """Where the intermediate files of the photograph are.

    Raises:
        BadImage: there is no such file.
    """
    if not args.scene_image_path.is_file():
        raise BadImage(f"no image at {args.scene_image_path}; check the path")
    return MidFolder(args.save_mid_folder or settings.single_image_mid_root / args.scene_image_path.stem)


def run(args: argparse.Namespace) -> int:
    """Process the photograph."""
    settings = load_settings()
    folder = mid_folder(args, settings)
    options = process_options(args, settings, args.scene_image_path.name)
    weights = DefaultWeights.shipped(settings) if options.needs_weights else None
    process(args.scene_image_path, folder, weights, options)
    print(folder.root)
    return 0


def process_options(args: argparse.Namespace, settings: Settings, name: str) -> ProcessOptions:
    """The user's choices; tile parameters also from the list that the release keeps, by file name.

    Raises:
        MissingAsset: the backend cannot run here, or the list cannot be read.
    """
    part_params = PartParams(*args.part_params) if args.part_params else None
    listed = settings.root / "params" / PART_PARAMS_FILE
    if part_params is None and listed.is_file():
        part_params = read_part_params(listed, name)
    backend = choose_backend(
        args.pose_backend,
        alphapose_root=settings.alphapose_root,
        alphapose_python=settings.alphapose_python,
        keypoints=args.keypoints,
    )
    log.info("2D pose: %s", backend if backend == "embedded" else backend.name)
    return ProcessOptions(backend=backend, part_params=part_params, engine=args.engine, overwrite=args.overwrite)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "process.py", "Photograph to tiles and everybody's keypoints.")
