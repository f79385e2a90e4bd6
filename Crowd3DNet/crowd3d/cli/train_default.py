"""``crowd3d train``: train the default networks on synthetic crowds."""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from crowd3d.errors import BadConfig
from crowd3d.files import file_digest
from crowd3d.model import Crowd3DNet, fill, load_weights
from crowd3d.model.keypoint_net import KeypointNet, load_keypoint_net
from crowd3d.model.lifter import Lifter
from crowd3d.pipeline.photo_models import photo_models
from crowd3d.pose.photo import PhotoSeeker
from crowd3d.settings import Settings, load_settings
from crowd3d.training.batches import HELD_OUT_SEED
from crowd3d.training.lifter_pairs import PairSource, in_boxes, in_crops
from crowd3d.training.loop import WEIGHTS_FILE
from crowd3d.training.recipe import Recipe, linear
from crowd3d.training.scene_store import EMPTY, LARGE, SCENES_PER_SHARD, render_scenes
from crowd3d.training.train_keypoints import train_keypoints
from crowd3d.training.train_lifter import train_lifter
from crowd3d.training.train_tiles import train_tiles

log = logging.getLogger(__name__)

EMPTY_SEED, LARGE_SEED = 5000, 6000
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "crowd3dnet_compact": partial(Crowd3DNet, "compact"),
    "keypoints": KeypointNet,
    "lifter": partial(Lifter, dropout=0.15),
}
RECIPES = {
    "crowd3dnet_compact": Recipe(steps=12_000, learning_rate=1.2e-3),
    "keypoints": Recipe(steps=15_000, learning_rate=1.5e-3),
    "lifter": Recipe(steps=4000, learning_rate=7.0e-4, schedule=linear, rounds=3, start_share=0.5),
}
STAGES = ("scenes", *RECIPES)
SCENES = 12_000
OPTIONS = ("stage", "folder", "scenes", "seed", "steps", "start", "threads", "install")


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the arguments; what is not given is None."""
    parser.add_argument("--stage", choices=[*STAGES, "all"], help="one step only (default: all)")
    parser.add_argument("--folder", type=Path, help="scenes, logs and weights (default: data/train_data/default)")
    parser.add_argument("--scenes", type=int, help=f"scenes to render (default: {SCENES})")
    parser.add_argument("--seed", type=int, help="of the scenes; another one adds scenes to the folder (default: 1)")
    parser.add_argument("--steps", type=int, help="length of the training (default: by network); resumes")
    begin = "weights that the network of --stage begins with (default: random); a run that was begun before goes on from its own"
    parser.add_argument("--start", type=Path, metavar="WEIGHTS", help=begin)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--install", action="store_true", default=None, help="copy the trained weights to Crowd3DNet/pretrained")


def given_options(args: argparse.Namespace) -> list[str]:
    """Those of the arguments above that the user gave."""
    return [f"--{name}" for name in OPTIONS if getattr(args, name) is not None]


def run(args: argparse.Namespace) -> int:
    """Render, train, resume what was interrupted.

    Raises:
        BadConfig: ``--start`` without the stage of a network, or ``--install`` without a checkout.
        MissingAsset: weights are absent or of another network.
    """
    torch.set_num_threads(args.threads or torch.get_num_threads())
    stages, seed, count = args.stage or "all", 1 if args.seed is None else args.seed, args.scenes or SCENES
    settings = load_settings()
    folder = args.folder or settings.train_data_root / "default"
    scenes, held_out = folder / "scenes", folder / "held_out"
    if args.start and stages not in NETWORKS:
        raise BadConfig(f"--start {args.start}: add --stage and the network that these weights are of: {', '.join(NETWORKS)}")
    if args.install and not settings.home.checkout:
        raise BadConfig("--install replaces the weights of a checkout, and there is none; the trained ones stay in --folder")
    for stage in STAGES if stages == "all" else [stages]:
        if stage == "scenes":
            render_scenes(held_out, HELD_OUT_SEED, SCENES_PER_SHARD)
            render_scenes(held_out, HELD_OUT_SEED + LARGE_SEED, SCENES_PER_SHARD, LARGE)
            render_scenes(scenes, seed, count)
            render_scenes(scenes, seed + EMPTY_SEED, count // 4, EMPTY)
            render_scenes(scenes, seed + LARGE_SEED, count // 4, LARGE)
            continue
        network, recipe = NETWORKS[stage](), RECIPES[stage]
        if args.start:
            fill(network, load_weights(args.start)[0], args.start)
        recipe = replace(recipe, steps=args.steps or recipe.steps, start_share=recipe.start_share if args.start else 0.0)
        data = scenes, held_out, folder / stage, recipe
        match network:
            case Lifter():
                train_lifter(network, _pair_sources(folder, settings), *data)
            case KeypointNet():
                train_keypoints(network, *data)
            case Crowd3DNet():
                train_tiles(network, *data)
        if args.install:
            shutil.copyfile(folder / stage / WEIGHTS_FILE, settings.pretrained_root / f"{stage}.safetensors")
    return 0


def _pair_sources(folder: Path, settings: Settings) -> list[PairSource]:
    """Those whose errors the lifter learns, by the keypoint network trained in `folder`, else by the shipped one."""
    trained = folder / "keypoints" / WEIGHTS_FILE
    keypoints = trained if trained.exists() else settings.pretrained_root / "keypoints.safetensors"
    sources = [PairSource("embedded", file_digest(keypoints)[:8], in_crops(load_keypoint_net(keypoints).eval(), seed=1))]
    if fetched := photo_models(settings.models_folder):
        version = "+".join(file_digest(path)[:8] for path in (fetched.keypoints, keypoints))
        sources.append(PairSource("movenet", version, in_boxes(PhotoSeeker(fetched.finder, fetched.keypoints, keypoints), seed=1)))
    else:
        log.warning("the lifter will not learn the errors of the photo networks, which are not here: crowd3d fetch people gets them")
    return sources
