"""The command `crowd3d`: finds the verb and hands over to its module, importing nothing else."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import crowd3d
from crowd3d.cli.console import make_streams_safe
from crowd3d.cli.run import report, run_cli

VERBS = {
    "demo": ("demo", "make a scene with known truth, reconstruct it, score the result"),
    "synthesize": ("synthesize", "make a synthetic gigapixel crowd with exact truth"),
    "process": ("process", "photograph to 2D keypoints, camera and ground"),
    "infer": ("inference", "processed photograph to bodies in one world, with all result files"),
    "reconstruct": ("reconstruct", "process and infer in one go"),
    "train": ("train", "train the networks"),
    "evaluate": ("evaluate", "score a result against the truth"),
    "export": ("export", "write a result as GLB, OBJ, PLY or CSV"),
    "measure": ("measure", "densities, zones, groups and flows in metres, with their uncertainty"),
    "view": ("view", "write a page that shows a result in the browser"),
    "fetch": ("fetch", "get the networks that were trained on photographs"),
    "doctor": ("doctor", "list what is installed, what is missing and how to get it"),
    "ground": ("ground", "estimate camera and ground from 2D keypoints"),
    "export-weights": ("export_weights", "convert weights between the release's format and safetensors"),
}


def available_verbs() -> dict[str, str]:
    """Verb → full name of its module, for those that this installation has."""
    modules = {verb: f"crowd3d.cli.{module}" for verb, (module, _) in VERBS.items()}
    return {verb: module for verb, module in modules.items() if find_spec(module) is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``crowd3d <verb> …`` and return the exit code."""
    make_streams_safe()
    verbs = available_verbs()
    width = max(map(len, VERBS))
    parser = argparse.ArgumentParser(
        prog="crowd3d",
        description="Every person of a gigapixel crowd photograph as an SMPL body in one metric world.",
        epilog="verbs:\n" + "\n".join(f"  {verb:{width}}  {VERBS[verb][1]}" for verb in verbs),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"crowd3d {crowd3d.__version__}")
    parser.add_argument("verb", choices=verbs, metavar="verb", help="one of the verbs below; `crowd3d <verb> --help` lists its arguments")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the verb")
    chosen = parser.parse_args(argv)
    try:
        module = importlib.import_module(verbs[chosen.verb])
    except ModuleNotFoundError as error:
        return report(error)
    return run_cli(module.add_arguments, module.run, chosen.arguments, f"crowd3d {chosen.verb}", VERBS[chosen.verb][1])


if __name__ == "__main__":
    sys.exit(main())
