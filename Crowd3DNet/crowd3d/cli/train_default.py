"""``crowd3d train``: train the default networks on synthetic crowds."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from crowd3d.errors import BadConfig
from crowd3d.model import Crowd3DNet, fill, load_weights
from crowd3d.model.keypoint_net import KeypointNet, load_keypoint_net
from crowd3d.model.lifter import Lifter
from crowd3d.settings import load_settings
from crowd3d.training.loop import WEIGHTS_FILE
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import SCENES_PER_SHARD, render_scenes
from crowd3d.training.train_keypoints import train_keypoints
from crowd3d.training.train_lifter import train_lifter
from crowd3d.training.train_tiles import train_tiles

HELD_OUT_SEED = 900
EMPTY_SEED = 5000
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "crowd3dnet_compact": partial(Crowd3DNet, "compact"),
    "keypoints": KeypointNet,
    "lifter": Lifter,
}
RECIPES = {
    "crowd3dnet_compact": Recipe(steps=12_000, learning_rate=1.2e-3),
    "keypoints": Recipe(steps=15_000, learning_rate=1.5e-3),
    "lifter": Recipe(steps=12_000, learning_rate=1.0e-3),
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
    stages, seed, count = args.stage or "all", args.seed or 1, args.scenes or SCENES
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
            render_scenes(scenes, seed, count)
            render_scenes(scenes, seed + EMPTY_SEED, count // 4, empty=True)
            continue
        network, recipe = NETWORKS[stage](), RECIPES[stage]
        if args.start:
            fill(network, load_weights(args.start)[0], args.start)
        data = scenes, held_out, folder / stage, Recipe(args.steps or recipe.steps, recipe.learning_rate)
        match network:
            case Lifter():
                train_lifter(network, _keypoint_network(folder, settings.pretrained_root), *data)
            case KeypointNet():
                train_keypoints(network, *data)
            case Crowd3DNet():
                train_tiles(network, *data)
        if args.install:
            shutil.copyfile(folder / stage / WEIGHTS_FILE, settings.pretrained_root / f"{stage}.safetensors")
    return 0


def _keypoint_network(folder: Path, pretrained: Path) -> KeypointNet:
    """The one trained in `folder`, else the shipped one."""
    trained = folder / "keypoints" / WEIGHTS_FILE
    return load_keypoint_net(trained if trained.exists() else pretrained / "keypoints.safetensors")
