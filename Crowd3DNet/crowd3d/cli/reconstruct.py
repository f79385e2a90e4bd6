"""``crowd3d reconstruct``: both halves in one go."""

from __future__ import annotations

import argparse

from crowd3d.cli import inference, process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: those of both halves."""
    process.add_arguments(parser)
    inference.add_result_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Process, then infer."""
    return process.run(args) or inference.run(args)
