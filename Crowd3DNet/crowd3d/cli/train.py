"""`crowd3d train`: the published recipe, or ``default`` for the shipped networks."""

from __future__ import annotations

import argparse

from crowd3d.cli import train_default
from crowd3d.errors import BadConfig
from crowd3d.settings import load_settings, processes_per_node
from crowd3d.training.train_crowd3dnet import Folders, train_crowd3dnet

DEFAULT = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="overrides a key of configs/train/foot.yml and all.yml, such as dataset=synthetic backbone=compact epoch=2 batch_size=8; "
        f"or the one word `{DEFAULT}` for the shipped networks and the options below",
    )
    train_default.add_arguments(parser.add_argument_group("shipped networks"))


def run(args: argparse.Namespace) -> int:
    """Train; a second call goes on where the first was interrupted."""
    if args.settings[:1] == [DEFAULT]:
        if len(args.settings) > 1:
            raise BadConfig(f"the shipped networks take options, not {args.settings[1]!r}; see crowd3d train --help")
        return train_default.run(args)
    given = train_default.given_options(args)
    if given:
        raise BadConfig(f"{', '.join(given)} belong to the shipped networks: crowd3d train {DEFAULT} …; the recipe takes key=value")
    settings = load_settings()
    folders = Folders(
        configs=settings.configs_root / "train",
        data=settings.train_data_root,
        log=settings.train_log_root,
        backbone_weights=settings.backbone_weights,
        smpl=settings.smpl_model_root,
    )
    print(train_crowd3dnet(folders, args.settings, processes_per_node()))
    return 0
