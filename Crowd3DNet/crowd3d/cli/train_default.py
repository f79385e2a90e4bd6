"""``crowd3d train``: train the default networks on synthetic crowds."""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import torch

from crowd3d.settings import load_settings
from crowd3d.training.recipe import Recipe
from crowd3d.training.scene_store import SCENES_PER_SHARD, render_scenes
from crowd3d.training.train_keypoints import train_keypoints
from crowd3d.training.train_lifter import train_lifter
from crowd3d.training.train_tiles import train_tiles

log = logging.getLogger(__name__)

HELD_OUT_SEED = 900
EMPTY_SEED = 5000
RECIPES = {
    "crowd3dnet_compact": Recipe(steps=12_000, learning_rate=1.2e-3),
    "keypoints": Recipe(steps=15_000, learning_rate=1.5e-3),
    "lifter": Recipe(steps=12_000, learning_rate=1.0e-3),
}
STAGES = ("scenes", *RECIPES)
SCENES = 12_000
OPTIONS = ("stage", "folder", "scenes", "seed", "steps", "threads", "install")


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare the arguments; what is not given is None."""
    parser.add_argument("--stage", choices=[*STAGES, "all"], help="one step only (default: all)")
    parser.add_argument("--folder", type=Path, help="scenes, logs and weights (default: data/train_data/default)")
    parser.add_argument("--scenes", type=int, help=f"scenes to render (default: {SCENES})")
    parser.add_argument("--seed", type=int, help="of the scenes; another one adds scenes to the folder (default: 1)")
    parser.add_argument("--steps", type=int, help="length of the training (default: by network); resumes")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--install", action="store_true", default=None, help="copy the trained weights to Crowd3DNet/pretrained")


def given_options(args: argparse.Namespace) -> list[str]:
    """Those of the arguments above that the user gave."""
    return [f"--{name}" for name in OPTIONS if getattr(args, name) is not None]


def run(args: argparse.Namespace) -> int:
    """Render, train, resume what was interrupted."""
    torch.set_num_threads(args.threads or torch.get_num_threads())
    stages, seed, count = args.stage or "all", args.seed or 1, args.scenes or SCENES
    settings = load_settings()
    folder = args.folder or settings.train_data_root / "default"
    scenes, held_out = folder / "scenes", folder / "held_out"
    trainers = {
        "crowd3dnet_compact": lambda out, recipe: train_tiles(scenes, held_out, out, recipe),
        "keypoints": lambda out, recipe: train_keypoints(scenes, held_out, out, recipe),
        "lifter": lambda out, recipe: train_lifter(scenes, held_out, folder / "keypoints" / "weights.safetensors", out, recipe),
    }
    for stage in STAGES if stages == "all" else [stages]:
        if stage == "scenes":
            render_scenes(held_out, HELD_OUT_SEED, SCENES_PER_SHARD)
            render_scenes(scenes, seed, count)
            render_scenes(scenes, seed + EMPTY_SEED, count // 4, empty=True)
            continue
        recipe = RECIPES[stage]
        trainers[stage](folder / stage, Recipe(args.steps or recipe.steps, recipe.learning_rate))
        if args.install:
            shutil.copyfile(folder / stage / "weights.safetensors", settings.pretrained_root / f"{stage}.safetensors")
    return 0
