"""``crowd3d fetch people``: get the networks that were trained on photographs."""

from __future__ import annotations

import argparse
import signal
import sys

from crowd3d.pipeline.fetch import fetch
from crowd3d.pipeline.photo_models import photo_models
from crowd3d.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", choices=["people"], help="people: a finder and a keypoint network that have seen photographs, 20 MB")


def run(args: argparse.Namespace) -> int:
    """Fetch what is not there yet, say in one line where it is."""
    # Being ended from outside unwinds like Ctrl-C, so that neither npm nor temporary files are left.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = load_settings().models_folder
    there = photo_models(folder) is not None
    models = fetch(folder)
    print(f"networks for photographs: {'already' if there else 'now'} in {models.finder.parent}")
    return 0
