"""Bodies from 2D keypoints alone: true keypoints with 2 % noise as `file` input of the two scripts, on synthetic scenes.

Every scene is made with ``crowd3d synthesize``; its keypoints go through ``process.py --pose_backend file``, then ``inference.py``
runs three times: with nothing known, with the true intrinsics, and with the true intrinsics and ground (both as --camera_json).

Usage: python benchmarks/given_keypoints.py [--scenes 4] [--size 9600x3240] [--people 200] [--output demo/given_keypoints] [FOLDER…]

Folders of ``crowd3d demo`` or ``crowd3d synthesize`` take the place of fresh scenes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from crowd3d.bodies import load_body
from crowd3d.cli.synthesize import image_size
from crowd3d.evaluation import evaluate, load_truth
from crowd3d.evaluation.truth import Truth
from crowd3d.files import write_json, write_npy
from crowd3d.types import Scene

SCRIPTS = Path(__file__).resolve().parents[1] / "single_image"
NOISE = 0.02
LEAST_VISIBLE = 0.3
FIRST_SEED = 500
CAMERA_FIGURES = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent", "ground_error_median_m")
FIGURES = ("recall", *CAMERA_FIGURES, "ppds", "pcod", "mpjpe_mm", "pa_mpjpe_mm")


def run(*command: str) -> None:
    """A Python program, whose messages are shown only if it fails."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def noisy_keypoints(truth: Truth) -> np.ndarray:
    """(N, 17, 3) of everybody of whom something is seen."""
    seen = truth.extras["visible_fraction"] > LEAST_VISIBLE
    keypoints = truth.scene.people.keypoints_px[seen].copy()
    noise = np.random.default_rng(0).normal(0, NOISE, keypoints[..., :2].shape)
    keypoints[..., :2] += noise * truth.extras["height_px"][seen, None, None]
    keypoints[..., 2] = 0.8
    return keypoints


def reconstruct(folder: Path, work: Path, truth: Truth) -> dict[str, Scene]:
    """Run the scripts; results by what was known of the camera."""
    image, camera = str(folder / "image.jpg"), asdict(truth.scene.camera)
    write_npy(work / "keypoints.npy", noisy_keypoints(truth))
    write_json(work / "intrinsics.json", camera)
    write_json(work / "camera.json", {"camera": camera, "ground": truth.scene.ground.coefficients.tolist()})
    base = ["--scene_image_path", image, "--save_mid_folder", str(work / "mid")]
    run(str(SCRIPTS / "process.py"), *base, "--pose_backend", "file", "--keypoints", str(work / "keypoints.npy"))
    known = {"estimated": None, "intrinsics": work / "intrinsics.json", "camera and ground": work / "camera.json"}
    scenes = {}
    for name, path in known.items():
        results = work / name.replace(" ", "_")
        extra = [] if path is None else ["--camera_json", str(path)]
        run(str(SCRIPTS / "inference.py"), *base, "--save_res_folder", str(results), *extra)
        scenes[name] = Scene.load(results / "image")
    return scenes


def main() -> int:
    """Print three rows per scene and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="folders with image.jpg and truth.npz instead of fresh scenes")
    parser.add_argument("--scenes", type=int, default=4, help="number of fresh scenes, each with a random camera")
    parser.add_argument("--size", type=image_size, default=(9600, 3240), metavar="WxH")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("demo/given_keypoints"), help="folder of scenes and results")
    args = parser.parse_args()
    width, height = args.size
    fresh = [args.output / f"random_{seed}" for seed in range(FIRST_SEED, FIRST_SEED + args.scenes)]
    body = load_body("free_low")
    rows: dict[str, list[dict[str, float]]] = {}
    print("known".ljust(38) + "".join(name.rjust(len(name) + 2) for name in FIGURES), flush=True)
    for folder in args.folders or fresh:
        if not args.folders and not (folder / "truth.npz").is_file():
            make = ["--camera", "random", "--seed", folder.name.removeprefix("random_"), "--people", str(args.people)]
            run("-m", "crowd3d.cli.main", "synthesize", "--output", str(folder), "--size", f"{width}x{height}", *make)
        truth = load_truth(folder / "truth.npz")
        for name, scene in reconstruct(folder, args.output / f"{folder.name}_given", truth).items():
            figures = evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, body_pred=body, body_true=body)
            rows.setdefault(name, []).append(figures)
            _print(f"{folder.name[-18:]} {name}", figures)
    for name, found in rows.items():
        _print(f"mean {name}", {key: float(np.mean(np.abs([row[key] for row in found]))) for key in FIGURES})
    return 0


def _print(title: str, figures: dict[str, float]) -> None:
    print(title.ljust(38) + "".join(f"{figures[key]:.2f}".rjust(len(key) + 2) for key in FIGURES), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
