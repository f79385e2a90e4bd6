"""What it is worth to know the camera: the same people with nothing known, and with intrinsics and a measured height.

python examples/known_camera.py [--output FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import made_up

import crowd3d
from crowd3d.bodies import load_body
from crowd3d.evaluation import load_truth
from crowd3d.render import top_view


def main(argv: Sequence[str] | None = None) -> Path:
    """Print both estimates beside the truth, return the path of the second one's map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo/examples/known_camera"))
    args = parser.parse_args(argv)
    photograph = made_up.photograph(args.output)
    keypoints = photograph.with_name("keypoints.npy")
    truth = load_truth(photograph.with_name("truth.npz")).scene

    guessed = crowd3d.reconstruct(photograph, keypoints=keypoints)
    measured = crowd3d.Known(camera=truth.camera, height_m=truth.ground.offset_m)
    known = crowd3d.reconstruct(photograph, keypoints=keypoints, known=measured)
    for name, scene in {"nothing known": guessed, "camera and height": known, "truth": truth}.items():
        print(f"{name:18} field of view {scene.camera.fov_x_deg:5.1f}°  height {scene.ground.offset_m:5.2f} m")

    picture = args.output / "topview.png"
    top_view(known, load_body("free_low"), picture, truth=truth)
    return picture


if __name__ == "__main__":
    print(main())
