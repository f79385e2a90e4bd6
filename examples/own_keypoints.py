"""Keypoints of your own detector: an array or file of them takes the place of the search for people.

python examples/own_keypoints.py [PHOTOGRAPH KEYPOINTS] [--output FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import made_up

import crowd3d
from crowd3d.bodies import load_body
from crowd3d.imaging import GigapixelImage
from crowd3d.render import Style, render_zoom


def main(argv: Sequence[str] | None = None) -> Path:
    """Reconstruct from keypoints, draw where most people stand, return the picture's path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path, nargs="?", help="default: a made-up one, with made-up keypoints")
    parser.add_argument("keypoints", type=Path, nargs="?", help="file of COCO keypoints in pixels of the photograph, see docs/inputs.md")
    parser.add_argument("--output", type=Path, default=Path("demo/examples/own_keypoints"))
    args = parser.parse_args(argv)
    photograph = args.photograph or made_up.photograph(args.output)

    scene = crowd3d.reconstruct(photograph, keypoints=args.keypoints or photograph.with_name("keypoints.npy"))

    picture = args.output / "zoom.jpg"
    # Heads are blurred before bodies are drawn: do so whenever a picture leaves your hands.
    style = Style(with_hvip=True, with_grid=True, blur_faces=True)
    render_zoom(scene, load_body("free"), GigapixelImage(photograph), picture, style, width_px=1200)
    print(f"{len(scene.people)} people")
    return picture


if __name__ == "__main__":
    print(main())
