"""``crowd3d demo``: make a crowd with known truth, reconstruct it in its two steps, score the result."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from crowd3d.cli import evaluate as evaluate_verb
from crowd3d.cli.synthesize import add_scene_arguments
from crowd3d.errors import BackendFailed
from crowd3d.files import write_json
from crowd3d.settings import load_settings


class Usage(NamedTuple):
    """What a program took."""

    name: str
    seconds: float
    peak_mb: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", type=Path, default=None, help="folder of the scene and of the results (default: demo/)")
    add_scene_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="reconstruct again instead of keeping what is done")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and print its table."""
    output = (args.output or load_settings().root / "demo").absolute()
    image, truth, results = output / "image.jpg", output / "truth.npz", output / "result" / "image"
    used = []
    scene = ["--people", str(args.people), "--size", "x".join(map(str, args.size)), "--camera", args.camera, "--seed", str(args.seed)]
    made = output / "scene_arguments.json"
    if not (made.is_file() and json.loads(made.read_text(encoding="utf-8")) == scene):
        used.append(_run("making the scene", "-m", "crowd3d", "synthesize", "--output", str(output), *scene))
        write_json(made, scene)
    common = ["--scene_image_path", str(image), "--save_mid_folder", str(output / "mid"), *(["--overwrite"] if args.overwrite else [])]
    used.append(_run("process", "-m", "crowd3d", "process", *common, "--pose_backend", "embedded"))
    used.append(_run("infer", "-m", "crowd3d", "infer", *common, "--save_res_folder", str(output / "result")))
    print()
    status = evaluate_verb.evaluate_scene(results, truth, output / "metrics.json")
    print(f"\n{'program':<18}{'seconds':>9}{'peak memory':>14}")
    for usage in used:
        print(f"{usage.name:<18}{usage.seconds:>9.1f}{usage.peak_mb:>11} MB")
    for stage, seconds, peak_mb in _stages(output / "mid", results):
        print(f"  {stage:<16}{seconds:>9.1f}{peak_mb:>11} MB")
    print("\nlook at:", *(results / name for name in ("overview.jpg", "overlay.jpg", "topview.png", "crowd.glb")), sep="\n  ")
    return status


def _run(name: str, *arguments: str) -> Usage:
    """Run a Python program to its end and measure it; its output goes to ours.

    Raises:
        BackendFailed: it failed; it has said why.
    """
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BackendFailed(f"{name} failed with exit code {process.returncode}; its message is above")
    return Usage(name, time.perf_counter() - started, usage.ru_maxrss // 1024)


def _stages(*folders: Path) -> list[tuple[str, float, int]]:
    """Name, seconds and peak memory of all stages of the manifests in `folders`."""
    rows = []
    for folder in folders:
        stages = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["stages"]
        rows += [(name, stage["seconds"], stage["peak_mb"]) for name, stage in stages.items()]
    return rows
