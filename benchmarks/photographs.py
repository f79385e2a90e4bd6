"""Photographs of which something is known, reconstructed and scored: cameras and places, keypoints, heads; see docs/photographs.md.

A run that was stopped continues; new weights or code need another --output. Without FOLDER, a small synthetic one is made.

Usage: python benchmarks/photographs.py [FOLDER] [--output demo/photographs] [--kinds metric keypoints heads picture]
       [--pose_backend auto | --keypoints FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

import crowd3d
from crowd3d.bodies import load_body
from crowd3d.errors import Crowd3DError
from crowd3d.evaluation.observables import observe
from crowd3d.evaluation.photograph_scores import CAMERA_PARAMETERS, score_nobody, score_photograph
from crowd3d.evaluation.photographs import KINDS, Photograph, read_index, read_truth
from crowd3d.evaluation.report import finite_mean, over_scenes
from crowd3d.files import write_json
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.backends import BACKEND_NAMES
from crowd3d.settings import load_settings
from crowd3d.synthetic.scene import SyntheticScene, synthesize_scene

COLUMNS = {
    "metric": {
        "fov_error_deg": ("FOV °", 1),
        "normal_error_deg": ("up °", 1),
        "camera_height_error_percent": ("height %", 0),
        "position_error_m": ("place m", 1),
        "position_error_percent": ("place %", 0),
        "ppds": ("PPDS", 1),
        "pcod": ("PCOD", 1),
        "precision": ("precision", 2),
        "recall": ("recall", 2),
    },
    "keypoints": {
        "oks_2d": ("OKS 2D", 2),
        "oks_body": ("OKS bodies", 2),
        "precision": ("precision", 2),
        "recall": ("recall", 2),
    },
    "heads": {"precision": ("precision", 2), "recall": ("recall", 2), "f1": ("F1", 2)},
    "picture": {"predicted_people": ("people", 0), "score": ("score", 2)},
}
"""Figures of each kind's table: what they are called and how many digits are shown."""
OF_RUN = {"refused": ("refused", 2), "seconds": ("seconds", 1)}
MEDIANS = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent", "position_error_m", "position_error_percent")
"""Errors without an upper limit, of which a median over pictures says more than a mean."""
EXAMPLE_SIZE, EXAMPLE_PEOPLE = (1600, 900), 12


class Row(NamedTuple):
    """The figures of one picture, and what was said when it was refused."""

    photograph: Photograph
    figures: dict[str, float]
    message: str


def run(photograph: Photograph, results: Path, backend: str, keypoints: Path | None) -> dict[str, Any]:
    """Reconstruct a picture unless that was done with these choices: seconds, and the message of a refusal or nothing."""
    done, choices = results / "done.json", {"pose_backend": backend, "keypoints": str(keypoints or "")}
    if done.is_file():
        told = json.loads(done.read_text(encoding="utf-8"))
        if told["choices"] == choices:
            return told
    begin, message = time.perf_counter(), ""
    try:
        crowd3d.reconstruct(photograph.image, pose_backend=backend, keypoints=keypoints, folder=results)
    except Crowd3DError as error:
        message = f"{type(error).__name__}: {error}"
    told = {"choices": choices, "seconds": time.perf_counter() - begin, "message": message}
    write_json(done, told)
    return told


def figures_of(photograph: Photograph, results: Path, told: dict[str, Any]) -> Row:
    """Score what is in the folder of results."""
    message = told["message"]
    figures = {"refused": float(bool(message)), "seconds": told["seconds"]}
    size = GigapixelImage(photograph.image).size
    truth = None if photograph.kind == "picture" else read_truth(photograph, size)
    if message:
        scored = {"predicted_people": 0.0, "score": math.nan} if truth is None else score_nobody(photograph.kind, truth, size)
        return Row(photograph, figures | scored, message)
    scene = crowd3d.load(results)
    if truth is None:
        return Row(photograph, figures | {"predicted_people": float(len(scene.people)), "score": float(scene.people.score.mean())}, "")
    seen = observe(scene, load_body(scene.body, smpl_folder=load_settings().smpl_model_root))
    return Row(photograph, figures | score_photograph(photograph.kind, scene, seen, truth), "")


def table(kind: str, rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Header, a line per scene, their mean, and the median over pictures where that says more."""
    columns = COLUMNS[kind] | OF_RUN
    yield kind, "pictures", *(label for label, _ in columns.values())
    names = [row.photograph.scene for row in rows]
    scenes = over_scenes(names, [row.figures for row in rows])
    for scene, figures in scenes.items():
        yield scene, str(names.count(scene)), *_cells(columns, figures)
    yield "mean over scenes", str(len(rows)), *_cells(columns, _over(list(scenes.values())))
    if kind == "metric":
        yield "median over pictures", "", *_cells(columns, {name: _median(rows, name) for name in MEDIANS})


def intervals(rows: Sequence[Row]) -> str:
    """How often the stated 68 % intervals of the camera hold the truth."""
    held = {name: [row.figures[f"held_{name}"] for row in rows] for name in CAMERA_PARAMETERS}
    count = int(np.isfinite(held[CAMERA_PARAMETERS[0]]).sum())
    cells = ", ".join(f"{name.replace('_', ' ')} {100 * finite_mean(values):.0f} %" for name, values in held.items())
    return f"68 % intervals hold the truth in: {cells} of {count} pictures" if count else "no picture states how certain its camera is"


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures for JSON: of every picture, of every scene, and means over scenes; null for none."""
    kinds = {kind: [row for row in rows if row.photograph.kind == kind] for kind in KINDS}
    scenes = {kind: over_scenes([row.photograph.scene for row in of], [row.figures for row in of]) for kind, of in kinds.items() if of}
    return _finite(
        {
            "kinds": {kind: _over(list(of.values())) for kind, of in scenes.items()},
            "scenes": scenes,
            "pictures": {row.photograph.id: {"kind": row.photograph.kind, "message": row.message, **row.figures} for row in rows},
        }
    )


def write_example(folder: Path) -> None:
    """A folder in the schema: one synthetic picture, of which everything is known, once as each kind."""
    if (folder / "index.json").is_file():
        return
    scene = synthesize_scene(7, "random", EXAMPLE_PEOPLE, EXAMPLE_SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "square.jpg"), scene.image[..., ::-1])
    write_json(folder / "truth.json", truth_of(scene))
    entries = [{"id": f"square_{kind}", "file": "square.jpg", "kind": kind, "scene": "square", "truth": "truth.json"} for kind in KINDS[:3]]
    write_json(folder / "index.json", [*entries, {"id": "square_picture", "file": "square.jpg", "kind": "picture"}])


def truth_of(scene: SyntheticScene) -> dict[str, Any]:
    """The truth file of a synthetic picture; the world has x to the right, y ahead, z up, its origin under the camera."""
    truth, ground = scene.truth, scene.truth.ground
    place = ground.to_world(truth.hvip_cam_m)[:, [0, 2]] * [1.0, -1.0]
    seen = (truth.height_px >= 30.0) & (truth.visible_fraction >= 0.5)
    boxes = np.concatenate([truth.bbox[:, :2], truth.bbox[:, 2:] - truth.bbox[:, :2]], axis=1)
    heads = truth.keypoints_px[:, :5, :2].mean(1)
    columns = {"box": boxes, "keypoints": truth.keypoints_px, "head": heads, "position_m": place, "visible": seen}
    lists = {name: values.tolist() for name, values in columns.items()}
    return {
        "camera": {
            "K": truth.camera.K.tolist(),
            "R": (ground.rotation_cam_world[:, [0, 2, 1]] * [1.0, -1.0, 1.0]).tolist(),
            "t": ground.from_world(np.zeros(3)).tolist(),
            "distortion": None,
        },
        "people": [dict(zip(lists, person, strict=True)) for person in zip(*lists.values(), strict=True)],
        "people_complete": True,
        "dontcare_boxes": [],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Reconstruct what is missing, print a table per kind, write ``figures.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="index.json, pictures and truths (default: a synthetic example is made)")
    parser.add_argument("--output", type=Path, default=Path("demo/photographs"), help="folder of results and figures.json")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=f"only these of {', '.join(KINDS)}")
    parser.add_argument("--pose_backend", choices=BACKEND_NAMES, default="auto")
    parser.add_argument("--keypoints", type=Path, help="folder with keypoints of every picture, ID.npy or ID.json, for the backend file")
    args = parser.parse_args(argv)
    folder = args.folder or args.output / "example"
    if args.folder is None:
        write_example(folder)
    rows = []
    for photograph in read_index(folder, args.kinds):
        results = args.output / photograph.id
        told = run(photograph, results, args.pose_backend, _keypoints_of(photograph, args.keypoints))
        rows.append(figures_of(photograph, results, told))
        print(f"{photograph.id}: {told['seconds']:.1f} s, {told['message'] or _short(rows[-1])}", flush=True)
    for kind in KINDS:
        of_kind = [row for row in rows if row.photograph.kind == kind]
        if of_kind:
            print()
            _print(list(table(kind, of_kind)))
        if of_kind and kind == "metric":
            print(intervals(of_kind))
    write_json(args.output / "figures.json", summary(rows))
    print(f"\nfigures: {args.output / 'figures.json'}")
    return 0


def _keypoints_of(photograph: Photograph, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    choices = [folder / f"{photograph.id}.{suffix}" for suffix in ("npy", "json")]
    return next((path for path in choices if path.is_file()), choices[0])


def _cells(columns: dict[str, tuple[str, int]], figures: dict[str, float]) -> list[str]:
    values = ((figures.get(name, math.nan), digits) for name, (_, digits) in columns.items())
    return [f"{value:.{digits}f}" if math.isfinite(value) else "–" for value, digits in values]


def _short(row: Row) -> str:
    columns = COLUMNS[row.photograph.kind]
    return ", ".join(f"{label} {cell}" for (label, _), cell in zip(columns.values(), _cells(columns, row.figures), strict=True))


def _over(scenes: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: finite_mean([scene[name] for scene in scenes]) for name in scenes[0]}


def _median(rows: Sequence[Row], name: str) -> float:
    finite = [row.figures[name] for row in rows if math.isfinite(row.figures[name])]
    return float(np.median(finite)) if finite else math.nan


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        print("  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]))


if __name__ == "__main__":
    raise SystemExit(main())
