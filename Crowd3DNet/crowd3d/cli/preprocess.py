"""``test/preprocess.py``: camera and ground of every scene of LargeCrowd, from a selected picture."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crowd3d.cli.camera import add_stature_argument, known_people
from crowd3d.cli.process import add_machine_arguments, pose_options
from crowd3d.cli.run import run_cli
from crowd3d.imaging import PartParams, read_part_params
from crowd3d.imaging.largecrowd_folder import SPLITS, LargeCrowdFolder
from crowd3d.pipeline.largecrowd_run import BenchmarkFolder, prepare_scene
from crowd3d.pipeline.process import ProcessOptions
from crowd3d.pipeline.shards import Shard
from crowd3d.pose.backends import BACKEND_NAMES
from crowd3d.pose.file_backend import FileBackend
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)

SCENES_TILES_FILE = "part_params_crowd.json"


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Which pictures, and who finds people in them."""
    parser.add_argument("--data_root", type=Path, help="the data set, see data/largecrowd/README.md (default: largecrowd_root)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="which part of it")
    parser.add_argument("--scenes", nargs="+", default=[], metavar="SCENE", help="only these scenes (default: all that have images)")
    parser.add_argument("--pose_backend", choices=BACKEND_NAMES, default="auto", help="who finds people, as for single_image/process.py")
    parser.add_argument("--keypoints", type=Path, help="keypoints for the backend file, as for single_image/process.py")
    add_stature_argument(parser)
    add_machine_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data_arguments(parser)
    parser.add_argument(
        "--ground_frames",
        type=int,
        default=1,
        help="estimate camera and ground from everybody in so many pictures of a scene; 1 is the picture that the release selects",
    )


def data_folder(args: argparse.Namespace, settings: Settings) -> LargeCrowdFolder:
    """Where the data set is."""
    return LargeCrowdFolder(args.data_root or settings.largecrowd_root, args.split)


def benchmark_folder(settings: Settings) -> BenchmarkFolder:
    """Where the files go."""
    return BenchmarkFolder(settings.test_mid_root, settings.test_res_root)


def process_options(args: argparse.Namespace, settings: Settings, scene: str) -> ProcessOptions:
    """Choices for the pictures of a scene; its tiles follow the release's parameters if they are listed in ``params``.

    Raises:
        MissingAsset: the backend cannot run here, or a file of keypoints is about one picture where there are several.
    """
    listed = settings.root / "params" / SCENES_TILES_FILE
    part_params: PartParams | None = read_part_params(listed, scene) if listed.is_file() else None
    options = pose_options(args, settings, part_params, known_people(args))
    if isinstance(options.backend, FileBackend):
        data = data_folder(args, settings)
        pictures = [path for each in data.scenes(args.scenes) for path in data.frames(each)]
        options = replace(options, backend=options.backend.for_pictures(pictures))
    return options


def run(args: argparse.Namespace) -> int:
    """Prepare all scenes."""
    settings = load_settings()
    data, folder = data_folder(args, settings), benchmark_folder(settings)
    scenes = data.scenes(args.scenes)
    shard = Shard.join()
    for scene in shard.part(scenes):
        options = process_options(args, settings, scene)
        prepare_scene(data, folder, scene, options, args.ground_frames)
    shard.gather({})
    if shard.leads:
        print(folder.ground("").parent)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "preprocess.py", "Camera and ground of every scene of LargeCrowd.")
