"""``crowd3d synthesize``: make a synthetic gigapixel crowd with exact truth."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from crowd3d.geometry.published_cameras import PUBLISHED

logger = logging.getLogger(__name__)


def image_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` → (width, height) in pixels."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and 256 <= int(width) <= 60000 and 128 <= int(height) <= 40000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 19200x6480 (256x128 to 60000x40000)")
    return int(width), int(height)


def count(text: str) -> int:
    """A positive number."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", type=Path, required=True, help="folder for image.jpg, annotation.json and truth.npz, or the data set")
    parser.add_argument(
        "--format",
        choices=["scene", "largecrowd"],
        default="scene",
        help="one picture, or a data set in the shape of LargeCrowd: static cameras with several pictures each, people walk in between",
    )
    parser.add_argument("--scenes", type=count, default=4, help="largecrowd: number of scenes; they use LargeCrowd's cameras in turn")
    parser.add_argument("--frames", type=count, default=5, help="largecrowd: pictures per scene")
    add_scene_arguments(parser)


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """What the scene is like."""
    parser.add_argument("--people", type=count, default=400, help="number of people in the picture")
    parser.add_argument("--size", type=image_size, default=(19200, 6480), metavar="WxH", help="size of the picture in pixels")
    parser.add_argument(
        "--camera", choices=[*PUBLISHED, "random"], default="playground1_00", help="one of LargeCrowd's cameras, or a random one"
    )
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same scene")


def run(args: argparse.Namespace) -> int:
    """Make the scene or the data set and write it."""
    if args.format == "largecrowd":
        return _write_largecrowd(args)
    # Here, not at the top: compiled code need not load to print the help.
    from crowd3d.synthetic.scene import synthesize_scene

    scene = synthesize_scene(args.seed, args.camera, args.people, args.size, progress=True)
    scene.save(args.output)
    logger.info("%d people at %dx%d: %s", len(scene.truth), *args.size, args.output)
    return 0


def _write_largecrowd(args: argparse.Namespace) -> int:
    from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
    from crowd3d.synthetic.data_set import write_largecrowd

    names = [*PUBLISHED]
    first = names.index(args.camera) if args.camera in names else 0
    cameras = ["random" if args.camera == "random" else names[(first + scene) % len(names)] for scene in range(args.scenes)]
    write_largecrowd(LargeCrowdFolder(args.output), cameras, args.frames, args.people, args.size, args.seed, progress=True)
    logger.info("%d scenes of %d pictures at %dx%d: %s", args.scenes, args.frames, *args.size, args.output)
    return 0
