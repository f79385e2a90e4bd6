"""``single_image/process.py`` and ``crowd3d process``: photograph → tiles and everybody's keypoints."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from crowd3d.cli.camera import add_camera_arguments, check_camera_arguments, known_of
from crowd3d.cli.run import run_cli
from crowd3d.imaging import GigapixelImage, PartParams, read_part_params
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.process import ProcessOptions, part_of, process
from crowd3d.pipeline.stages import own_folder, owner_of
from crowd3d.pose.backends import BACKEND_NAMES
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)

PICTURES_TILES_FILE = "single_image_part_params.json"


def local_path(text: str) -> Path:
    """A path; an address is refused as long as it can be told from one."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is an address; download what is there and give the file")
    return Path(text)


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that both halves share."""
    parser.add_argument("--scene_image_path", type=local_path, required=True, help="the photograph")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The same without the photograph."""
    parser.add_argument("--save_mid_folder", type=Path, help="intermediate files (default: single_image/single_image_mid/NAME)")
    add_machine_arguments(parser)


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """How the work is done, whatever it is."""
    parser.add_argument("--engine", choices=get_args(EngineName), default="auto", help="what runs the networks")
    parser.add_argument("--device", default="auto", help="where they run: auto (a GPU if there is one), cpu, cuda, cuda:N or mps")
    parser.add_argument("--overwrite", action="store_true", help="do everything again instead of keeping what is done")
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong: no progress, no report")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_image_arguments(parser)
    add_pose_arguments(parser)
    add_camera_arguments(parser)


def add_pose_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the first half alone."""
    parser.add_argument(
        "--pose_backend",
        choices=BACKEND_NAMES,
        default="auto",
        help="who finds people and their keypoints; auto: AlphaPose if it is configured, else rtmpose or torchvision if their weights are "
        "here, else movenet if its networks were fetched (crowd3d fetch people), else the embedded ones",
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
        f"(default: the entry of params/{PICTURES_TILES_FILE} if there is one, else automatic)",
    )


def mid_folder(args: argparse.Namespace, settings: Settings, image: GigapixelImage) -> MidFolder:
    """Where the intermediate files of the photograph are: in a folder of its own, unless the user names one."""
    return MidFolder(args.save_mid_folder or own_folder(settings.single_image_mid_root, image.path.stem, owner_of(image)))


def run(args: argparse.Namespace) -> int:
    """Process the photograph."""
    check_camera_arguments(args, args.scene_image_path.name)
    image = GigapixelImage(args.scene_image_path)
    process_image(args, image)
    return 0


def process_image(
    args: argparse.Namespace, image: GigapixelImage, tiles: bool = True, meanwhile: Callable[[], None] | None = None
) -> None:
    """The first half, by the arguments; `tiles` and `meanwhile` as of `crowd3d.pipeline.process.process`."""
    settings = load_settings()
    folder = mid_folder(args, settings, image)
    known = known_of(args, image.size, image.path.name)
    process(image, folder, process_options(args, settings, image.path.name, known), tiles, meanwhile)
    print(folder.root)


def process_options(args: argparse.Namespace, settings: Settings, name: str, known: Known) -> ProcessOptions:
    """The user's choices; tile parameters also from the list that the release keeps, by file name.

    Raises:
        MissingAsset: the backend cannot run here, or the list cannot be read.
    """
    part_params = PartParams(*args.part_params) if args.part_params else None
    listed = settings.root / "params" / PICTURES_TILES_FILE
    if part_params is None and listed.is_file():
        part_params = read_part_params(listed, name)
    return pose_options(args, settings, part_params, known)


def pose_options(args: argparse.Namespace, settings: Settings, part_params: PartParams | None, known: Known) -> ProcessOptions:
    """Who finds people, by the arguments, and whom they ask how large people are.

    Raises:
        MissingAsset: the backend cannot run here.
    """
    part = part_of(settings, args.pose_backend, args.engine, args.device, args.keypoints)
    log.info("2D pose: %s", part.backend.name)
    return replace(part, part_params=part_params, known=known, overwrite=args.overwrite)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "process.py", "Photograph to tiles and everybody's keypoints.")
