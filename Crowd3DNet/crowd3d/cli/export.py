"""``crowd3d export``: a reconstructed scene as GLB, OBJ, PLY, CSV or predict.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from crowd3d.bodies import load_body
from crowd3d.export import write_glb, write_people_csv, write_ply, write_release_objs
from crowd3d.render.colours import person_colours
from crowd3d.scene.predict_json import write_predict_json
from crowd3d.settings import load_settings
from crowd3d.types import Scene

FORMATS = ("glb", "obj", "ply", "csv", "predict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=Path, help="folder with scene.npz and scene.json")
    parser.add_argument("--format", choices=FORMATS, nargs="+", default=["glb", "csv"], help="what to write")
    parser.add_argument("--full", action="store_true", help="GLB and PLY with every vertex of the free body (ten times larger files)")
    parser.add_argument("--output", type=Path, default=None, help="folder to write into (default: the scene's)")


def run(args: argparse.Namespace) -> int:
    """Write the chosen formats and print their paths."""
    scene = Scene.load(args.scene)
    body = load_body(scene.body, smpl_folder=load_settings().smpl_model_root)
    shown = body if args.full or not scene.body.startswith("free") else load_body("free_low")
    folder = args.output or args.scene
    name = Path(scene.image).stem
    colours = person_colours(scene.people)
    for kind in args.format:
        if kind == "glb":
            written = folder / "crowd.glb"
            write_glb(written, scene, shown, colours)
        elif kind == "ply":
            written = folder / "crowd.ply"
            write_ply(written, scene, shown, colours)
        elif kind == "csv":
            written = folder / "people.csv"
            write_people_csv(written, scene, body)
        elif kind == "obj":
            written = folder / "extract_mesh"
            write_release_objs(written, name, scene, body)
        else:
            written = folder / "predict.json"
            write_predict_json(written, [scene])
        print(written)
    return 0
