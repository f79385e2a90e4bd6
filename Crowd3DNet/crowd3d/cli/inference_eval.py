"""``test/inference_eval.py``: everybody in every picture of LargeCrowd, in one ``predict.json``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from crowd3d.cli.camera import known_people
from crowd3d.cli.inference import (
    BATCH_HELP,
    LARGEST_BATCH,
    add_optimise_argument,
    add_tuning_arguments,
    chosen_network,
    chosen_optimisation,
    chosen_tuning,
)
from crowd3d.cli.preprocess import add_data_arguments, benchmark_folder, data_folder, process_options
from crowd3d.cli.run import run_cli
from crowd3d.errors import BadImage
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.model.configs import read_config
from crowd3d.pipeline.largecrowd_run import (
    BenchmarkFolder,
    Picture,
    check_all_done,
    merge_results,
    prepared_ground,
    published_ground,
    reconstruct_pictures,
    tune_scene,
    with_weights,
)
from crowd3d.pipeline.network import InferenceConfig
from crowd3d.pipeline.shards import Shard
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)

PRE_OPTIMISED = Path("optimized")
PRE_OPTIMISED_NAME = "epoch_159.pkl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--use_pre_optim",
        action="store_true",
        help="camera and ground as published for the four test scenes, and the release's weights of the scene if they are there",
    )
    add_tuning_arguments(parser, epochs=160)
    parser.add_argument("--inference_batch_size", type=int, help=BATCH_HELP)
    parser.add_argument("--weights", type=Path, help="Crowd3DNet for all scenes, as for single_image/inference.py")
    add_optimise_argument(parser)
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Reconstruct everybody."""
    settings = load_settings()
    data, folder = data_folder(args, settings), benchmark_folder(settings)
    tag = "use_pre_optim" if args.use_pre_optim else f"ground_epoch_{args.optim_epoch - 1}"
    names, whole = data.scenes(args.scenes), _options(args, settings)
    scenes = [_pictures(args, settings, data, folder, scene, whole) for scene in names]
    shard = Shard.join()
    tuning = None if args.use_pre_optim else chosen_tuning(args, settings, "optim.yml")
    if tuning is not None:
        tuned = shard.gather({pictures[0].scene: tune_scene(folder, pictures, tuning) for pictures in shard.part(scenes)})
        scenes = [with_weights(pictures, tuned[pictures[0].scene]) for pictures in scenes]
    pictures = [picture for pictures in scenes for picture in pictures]
    failures = shard.gather(reconstruct_pictures(folder, tag, shard.part(pictures)))
    if not shard.leads:
        return 0
    path = merge_results(folder, tag, [(picture.scene, picture.frame) for picture in pictures if picture.frame not in failures])
    print(path)
    check_all_done(failures, len(pictures))
    return 0


def _options(args: argparse.Namespace, settings: Settings) -> InferOptions:
    """The user's choices for all scenes."""
    config = read_config(settings.configs_root / "inference" / "eval_largecrowd.yml", InferenceConfig)
    return InferOptions(
        weights=DefaultWeights.shipped(settings),
        network=chosen_network(args.weights, settings, args),
        known=known_people(args),
        batch_size=min(args.inference_batch_size or config.val_batch_size, LARGEST_BATCH),
        threshold=config.centermap_conf_thresh,
        optimise=chosen_optimisation(args),
        pictures=False,
        overwrite=args.overwrite,
    )


def _pictures(
    args: argparse.Namespace, settings: Settings, data: LargeCrowdFolder, folder: BenchmarkFolder, scene: str, whole: InferOptions
) -> list[Picture]:
    """The pictures of a scene with what they have in common."""
    frames = data.frames(scene)
    pre_optimised = settings.released_weights.parent / PRE_OPTIMISED / scene / PRE_OPTIMISED_NAME
    if args.use_pre_optim:
        world = published_ground(settings.root, scene, _image_size(frames))
        if args.weights is None and pre_optimised.is_file():
            whole = replace(whole, network=chosen_network(pre_optimised, settings, args))
    else:
        world = prepared_ground(folder, scene)
    part = process_options(args, settings, scene)
    return [Picture(scene, path, world, part, whole) for path in frames]


def _image_size(frames: Sequence[Path]) -> tuple[int, int]:
    """Of the first picture that can be read."""
    for path in frames:
        with suppress(BadImage):
            return GigapixelImage(path).size
    raise BadImage(f"none of the {len(frames)} images in {frames[0].parent} can be read; copy them again")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "inference_eval.py", "Everybody in every picture of LargeCrowd, in one predict.json.")
