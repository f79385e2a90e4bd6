"""``crowd3d view``: a reconstructed scene as one page for the browser."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from crowd3d.bodies import load_body
from crowd3d.render import person_colours
from crowd3d.settings import load_settings
from crowd3d.types import Scene
from crowd3d.view import write_viewer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=Path, help="folder with scene.npz and scene.json")
    parser.add_argument("--output", type=Path, default=None, help="HTML file to write (default: viewer.html in the scene's folder)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path."""
    scene = Scene.load(args.scene)
    # Both levels of detail of the free body share their betas; the low one keeps the page small.
    name = "free_low" if scene.body.startswith("free") else scene.body
    body = load_body(name, smpl_folder=load_settings().smpl_model_root)
    output = args.output or args.scene / "viewer.html"
    write_viewer(scene, body, person_colours(scene.people), output)
    print(output)
    if args.open:
        webbrowser.open(output.resolve().as_uri())
    return 0
