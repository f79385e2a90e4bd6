"""``crowd3d evaluate`` and ``test/evaluate.py``: score a reconstructed scene, or ``predict.json`` of the LargeCrowd benchmark."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from crowd3d.cli.run import run_cli
from crowd3d.errors import MissingAsset
from crowd3d.evaluation import evaluate, format_table, load_truth
from crowd3d.evaluation.annotations import find_problems
from crowd3d.evaluation.benchmark import (
    NOT_COMPARABLE,
    comparison_rows,
    scene_rows,
    score_benchmark,
    write_csv,
    write_figures,
    write_scene_csv,
)
from crowd3d.evaluation.page import write_page
from crowd3d.files import write_json
from crowd3d.imaging.largecrowd_folder import SPLITS, LargeCrowdFolder
from crowd3d.pipeline.network import body_of
from crowd3d.scene import validate_predict_json
from crowd3d.settings import load_settings
from crowd3d.types import Scene


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--predicted", type=Path, help="folder with the reconstructed scene.npz and scene.json")
    what.add_argument("--predict", type=Path, help="predict.json of the LargeCrowd benchmark")
    what.add_argument("--check", action="store_true", help="score nothing, list what is wrong with the data set")
    parser.add_argument(
        "--truth", type=Path, help="truth.npz of the synthetic scene; with --predict or --check the data set (default: largecrowd_root)"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="data set: which part")
    parser.add_argument("--scenes", nargs="+", default=[], metavar="SCENE", help="data set: only these scenes (default: all annotated)")
    parser.add_argument(
        "--output", type=Path, help="JSON file for the figures (default: metrics.json beside the prediction); CSV and HTML go beside it"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table and write the figures."""
    if args.predicted:
        if args.truth is None:
            raise MissingAsset(f"--predicted {args.predicted} needs the truth to compare with; give --truth truth.npz")
        return evaluate_scene(args.predicted, args.truth, args.output or args.predicted / "metrics.json")
    folder = LargeCrowdFolder(args.truth or load_settings().largecrowd_root, args.split)
    if args.check:
        return _check(folder)
    return evaluate_benchmark(args.predict, folder, args.scenes, args.output or args.predict.parent / "metrics.json")


def evaluate_scene(predicted_folder: Path, truth_path: Path, output: Path) -> int:
    """Score one scene."""
    truth = load_truth(truth_path)
    predicted = Scene.load(predicted_folder)
    settings = load_settings()
    figures = evaluate(
        predicted,
        truth.scene,
        eligible=truth.eligible,
        visible=truth.visible,
        body_pred=body_of(predicted.body, settings),
        body_true=body_of(truth.scene.body, settings),
    )
    print(format_table(figures))
    write_json(output, {name: value if math.isfinite(value) else None for name, value in figures.items()})
    print(f"figures: {output}")
    return 0


def evaluate_benchmark(predict: Path, folder: LargeCrowdFolder, scenes: Sequence[str], output: Path) -> int:
    """Score ``predict.json``; write the figures as JSON, CSV and a page."""
    validate_predict_json(predict)
    scores = score_benchmark(predict, folder, scenes, partial(body_of, settings=load_settings()))
    overall = scores.overall()
    print(format_table(overall), end="\n\n")
    _print_rows(list(scene_rows(scores)))
    _print_rows(list(comparison_rows(overall)))
    print(NOT_COMPARABLE)
    write_figures(output, scores)
    table, scene_table, page = (output.with_name(name) for name in ("benchmark.csv", "benchmark_scenes.csv", "benchmark.html"))
    write_csv(table, scores)
    write_scene_csv(scene_table, scores)
    write_page(page, scores, f"{len(set(scores.scene))} scenes of LargeCrowd's shape")
    print("", f"figures: {output}", f"pictures: {table}", f"scenes: {scene_table}", f"report: {page}", sep="\n")
    return 0


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *cells]))
    print()


def _check(folder: LargeCrowdFolder) -> int:
    count = 0
    for problem in find_problems(folder):
        print(problem)
        count += 1
    print(f"{count or 'no'} problems in {folder.root}")
    return int(count > 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "evaluate.py", "Score a reconstructed scene, or predict.json of the LargeCrowd benchmark.")
