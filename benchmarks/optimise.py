"""What the bundle adjustment gains and costs: the same reconstructed scenes before it, with people only, and with everything free.

Usage: python benchmarks/optimise.py [--scenes FOLDER] [--gross 0.2] [--network-epoch-seconds S]

The scenes are those of ``crowd3d demo`` and ``benchmarks/accuracy.py``: folders with truth.npz, mid/observations.npz and
result/image/scene.npz. Whoever was already optimised there starts from there. `--gross` moves that share of the keypoints far
away. `--network-epoch-seconds` is what one epoch of the network's fine-tuning takes on these scenes; 100 epochs are extrapolated
from it, not measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies import load_body
from crowd3d.evaluation import evaluate, load_truth
from crowd3d.optimise import Part, refine
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.types import Scene

MODES: dict[str, tuple[Part, ...]] = {"none": (), "people": ("people",), "all": ("people", "camera", "ground")}
FIGURES = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent", "ground_error_median_m", "ppds", "mpjpe_mm", "pa_mpjpe_mm")
SQUARED = FIGURES[:3]
GROSS_SHARE_OF_SIZE = 0.4


def observations_of(folder: Path, scene: Scene) -> Observations:
    """The 2D stage's measurements of the scene's people, by the keypoints that the scene keeps of them."""
    observed = Observations.load(folder / "mid" / "observations.npz")
    return observed[cKDTree(observed.torso_px).query(scene.people.keypoints_px[:, [5, 6, 11, 12], :2].mean(1))[1]]


def disturbed(observed: Observations, share: float, seed: int) -> Observations:
    """The same with some keypoints somewhere else."""
    rng = np.random.default_rng(seed)
    gross = rng.random(observed.sigma_px.shape) < share
    reach = GROSS_SHARE_OF_SIZE * person_size_px(observed.xy_px)[:, None, None]
    return replace(observed, xy_px=observed.xy_px + gross[..., None] * reach * rng.normal(size=observed.xy_px.shape))


def run(folder: Path, free: tuple[Part, ...], gross: float, seed: int) -> dict[str, float]:
    """Refine one scene and score it."""
    scene, truth = Scene.load(folder / "result" / "image"), load_truth(folder / "truth.npz")
    observed = disturbed(observations_of(folder, scene), gross, seed)
    body = load_body("free_low" if scene.body == "free" else scene.body)
    started = time.perf_counter()
    if free:
        scene, _ = refine(scene, observed, body=body, free=free)
    seconds = time.perf_counter() - started
    figures = evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, body_pred=body)
    return {name: figures[name] for name in FIGURES} | {"people": float(len(scene.people)), "seconds": seconds}


def average(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean over scenes, root mean square for camera and ground."""
    return {
        name: float(np.sqrt(np.mean([row[name] ** 2 for row in rows])) if name in SQUARED else np.mean([row[name] for row in rows]))
        for name in rows[0]
    }


def main() -> int:
    """Run all modes on all scenes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("demo/accuracy"), help="folder with a folder per scene")
    parser.add_argument("--gross", type=float, default=0.0, help="share of keypoints to move far away")
    parser.add_argument("--network-epoch-seconds", type=float, default=None)
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in arguments.scenes.glob("*/truth.npz"))
    if not folders:
        parser.error(f"no scenes in {arguments.scenes}; make some with python benchmarks/accuracy.py --output {arguments.scenes}")
    print("mode".ljust(10) + "".join(name.rjust(max(len(name), 7) + 2) for name in (*FIGURES, "people", "seconds")))
    for mode, free in MODES.items():
        row = average([run(folder, free, arguments.gross, seed) for seed, folder in enumerate(folders)])
        print(mode.ljust(10) + "".join(f"{value:.3f}".rjust(max(len(name), 7) + 2) for name, value in row.items()), flush=True)
    if arguments.network_epoch_seconds is not None:
        whole = 100 * arguments.network_epoch_seconds
        print(f"network, 100 epochs extrapolated from one: {whole:.0f} s, {whole / max(row['seconds'], 1e-9):.0f} times as long as 'all'")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
