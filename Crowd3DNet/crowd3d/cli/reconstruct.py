"""``crowd3d reconstruct``: both halves in one go, for a photograph, a folder of pictures, or a video of a static camera."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from crowd3d.cli import inference, process
from crowd3d.cli.camera import check_camera_arguments, known_of
from crowd3d.errors import BadImage, Crowd3DError
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import SequenceFolder
from crowd3d.pipeline.frames import Frame, is_sequence, read_frames, sequence_owner
from crowd3d.pipeline.network import NetworkChoice
from crowd3d.pipeline.shards import Shard
from crowd3d.pipeline.stages import own_folder
from crowd3d.pose.file_backend import FileBackend
from crowd3d.settings import load_settings


def rate(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pictures per second")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: those of both halves, and those of sequences."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("path", type=process.local_path, nargs="?", help="photograph, folder of pictures, or video (mp4, avi, mov, mkv)")
    what.add_argument("--scene_image_path", type=process.local_path, help="the photograph, as for process.py")
    process.add_run_arguments(parser)
    process.add_pose_arguments(parser)
    inference.add_result_arguments(parser)
    of_sequence = parser.add_argument_group("folder or video of a static camera")
    of_sequence.add_argument(
        "--fps",
        type=rate,
        help="pictures per second: at which those of a folder were taken (default: times by EXIF, else 2), or to take from a video "
        "(default: 2)",
    )
    of_sequence.add_argument("--times", type=Path, help="CSV file with lines NAME,SECONDS: when the pictures of the folder were taken")
    of_sequence.add_argument(
        "--ground_frames", type=int, default=0, help="camera and ground from everybody in so many pictures, evenly spread; 0 is all"
    )
    of_sequence.add_argument("--frame_pictures", action="store_true", help="overlay, map, mesh and table for every picture, too")


def run(args: argparse.Namespace) -> int:
    """Process, then infer."""
    path, settings = args.path or args.scene_image_path, load_settings()
    sequence = is_sequence(path)
    check_camera_arguments(args, None if sequence else path.name)
    if args.weights is not None:
        NetworkChoice.of(args.weights, settings.smpl_model_root)
    if sequence:
        return _run_sequence(args, path)
    image = GigapixelImage(path)
    process.process_image(args, image, tiles=args.optimise == inference.TUNE, meanwhile=inference.prepare)
    inference.infer_image(args, image)
    return 0


def _run_sequence(args: argparse.Namespace, source: Path) -> int:
    from crowd3d.pipeline.sequence import SequenceOptions, reconstruct_frames

    settings = load_settings()
    # A folder may be given as "." or with a slash at its end.
    name, owner = source.resolve().stem if source.is_file() else source.resolve().name, sequence_owner(source)
    folder = SequenceFolder(
        args.save_mid_folder or own_folder(settings.single_image_mid_root, name, owner),
        own_folder(args.save_res_folder or settings.single_image_res_root, name, owner),
    )
    shard = Shard.join()
    frames = shard.once(lambda: read_frames(source, folder.video, args.fps, args.times))
    known = known_of(args, _image_size(frames), frames[0].path.name)
    part = process.process_options(args, settings, frames[0].path.name, known)
    if isinstance(part.backend, FileBackend):
        part = replace(part, backend=part.backend.for_pictures([frame.path for frame in frames]))
    options = SequenceOptions(
        source=source,
        part=part,
        whole=replace(inference.infer_options(args, settings, known), pictures=args.frame_pictures),
        ground_frames=args.ground_frames,
    )
    found = reconstruct_frames(frames, folder, options, shard)
    if not shard.leads:
        return 0
    print(folder.res_root)
    if found.failures:
        first, reason = next(iter(found.failures.items()))
        raise Crowd3DError(f"{len(found.failures)} of {len(frames)} pictures were skipped, {first}: {reason}; the others are done")
    return 0


def _image_size(frames: list[Frame]) -> tuple[int, int]:
    """Of the first picture that can be read."""
    for frame in frames:
        with suppress(BadImage):
            return GigapixelImage(frame.path).size
    raise BadImage(f"none of the {len(frames)} pictures in {frames[0].path.parent} can be read; copy them again")
