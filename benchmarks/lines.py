"""What lines of buildings add to the people: field of view with and without them, on synthetic scenes with buildings in view.

Every scene is made with ``crowd3d synthesize`` (random camera), its people come from ``process.py`` with the chosen 2D backend, and
the camera is estimated twice from the same keypoints. A run that was stopped continues; new weights need another folder or --overwrite.

Usage: python benchmarks/lines.py [--scenes 20] [--size 6400x2160] [--people 80] [--output demo/lines] [--overwrite]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import numpy as np

from crowd3d.cli.synthesize import image_size
from crowd3d.errors import Crowd3DError
from crowd3d.evaluation import load_truth
from crowd3d.ground import GroundEstimate
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.ground import estimate_from
from crowd3d.pipeline.infer import read_observations
from crowd3d.synthetic.plaza import FAR_EDGE, usable_ground
from crowd3d.synthetic.scene import choose_view
from crowd3d.types import Scene

ROOT = Path(__file__).resolve().parents[1]
BUILDINGS_BEHIND_M = 25.0
"""Buildings begin at most so far behind the people."""
LEAST_ROW = 0.05
"""Their feet are at least this share of the picture's height below its upper border."""


def has_buildings(seed: int, people: int, size: tuple[int, int]) -> bool:
    """Whether the random camera of a seed sees the row of buildings behind the square."""
    try:
        view = choose_view(np.random.default_rng(seed), "random", people, size)
    except Crowd3DError:
        return False
    far = float(np.percentile(-usable_ground(view)[0][:, 1], FAR_EDGE))
    foot = view.camera.project(view.ground.from_world(np.array([0.0, 0.0, -far - BUILDINGS_BEHIND_M])))
    return bool(foot[1] > LEAST_ROW * size[1])


def prepare(folder: Path, seed: int, args: argparse.Namespace) -> None:
    """Picture and people of one scene, unless they are there."""
    width, height = args.size
    make = ["-m", "crowd3d.cli.main", "synthesize", "--camera", "random", "--seed", str(seed), "--output", str(folder)]
    make += ["--people", str(args.people), "--size", f"{width}x{height}"]
    find = [str(ROOT / "single_image" / "process.py"), "--scene_image_path", str(folder / "image.jpg")]
    find += ["--save_mid_folder", str(folder / "mid"), "--pose_backend", args.pose_backend]
    steps = [] if (folder / "truth.npz").is_file() else [make]
    for step in [*steps, find + ["--overwrite"] * args.overwrite]:
        done = subprocess.run([sys.executable, *step], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(step)}\n{done.stderr[-2000:]}")


def errors(estimate: GroundEstimate, truth: Scene) -> list[float]:
    """FOV, tilt, roll in degrees, height in per cent, and the stated spread of the FOV."""
    ground, true = estimate.ground, truth.ground
    angles = np.rad2deg([ground.tilt_rad - true.tilt_rad, ground.roll_rad - true.roll_rad])
    height = 100.0 * (ground.offset_m / true.offset_m - 1.0)
    return [estimate.camera.fov_x_deg - truth.camera.fov_x_deg, *angles, height, estimate.sigma["fov_deg"]]


def main() -> int:
    """Print a row per scene and the RMS of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--size", type=image_size, default=(6400, 2160), metavar="WxH")
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--pose_backend", default="embedded")
    parser.add_argument("--output", type=Path, default=Path("demo/lines"), help="folder of the scenes")
    parser.add_argument("--overwrite", action="store_true", help="look for the people again, as after a change of weights")
    args = parser.parse_args()
    seeds = islice((seed for seed in count(1000) if has_buildings(seed, args.people, args.size)), args.scenes)
    print("errors of FOV, tilt, roll (°), camera height (%), ± FOV (°):  without lines | with lines")
    rows = []
    for seed in seeds:
        folder = args.output / f"random_{seed}"
        prepare(folder, seed, args)
        image, truth = GigapixelImage(folder / "image.jpg"), load_truth(folder / "truth.npz").scene
        observed = read_observations(MidFolder(folder / "mid"))
        pair = [errors(estimate_from(image, observed, use_lines=use), truth) for use in (False, True)]
        rows.append(pair)
        cells = " | ".join(" ".join(f"{value:7.2f}" for value in row) for row in pair)
        print(f"{seed} {truth.camera.fov_x_deg:6.1f}°  {cells}", flush=True)
    without, with_lines = np.sqrt((np.array(rows) ** 2).mean(0))
    print("RMS           " + " | ".join(" ".join(f"{value:7.2f}" for value in row) for row in (without, with_lines)))
    print(f"FOV RMS with lines / without: {with_lines[0] / without[0]:.2f} (wanted: at most 0.5), {len(rows)} scenes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
