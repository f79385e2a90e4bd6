"""Camera and ground from five pictures of a static camera against one picture: by how much the errors shrink.

    python benchmarks/joint_ground.py [--views 40] [--people 100] [--pictures 5]
    python benchmarks/joint_ground.py --mid DIR --truth DATA [--scenes square_00 …]    # processed pictures of a synthetic LargeCrowd

With simulated keypoints there are two kinds of crowds: other people in every picture, and the same people who have walked on for two
seconds, whose statures stay as they are and so do not average out. Keypoint noise, lean and stride are drawn anew in every picture.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.published_cameras import PUBLISHED, published_camera
from crowd3d.ground import estimate_ground
from crowd3d.ground.simulate import CONDITIONS, Condition, SimulatedCrowd, cramer_rao_bound, random_view, simulate_crowd
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.ground import estimate_from
from crowd3d.pipeline.infer import read_observations
from crowd3d.pose.observations import Observations

SIZE = (19200, 6480)
STEP_M = 2.6
"""How far a walker comes in the two seconds between two pictures."""
WALKERS = 0.6
EXACT = Condition(noise_px=0.01, relative_noise=0.0, lean_rad=0.0, stride_m=0.0)
"""Keypoints without noise of people who stand straight: what a camera that never stops looking at the same people comes down to."""


def errors(camera: Camera, ground: GroundPlane, true_camera: Camera, true_ground: GroundPlane) -> list[float]:
    """FOV in degrees, normal in degrees, camera height in per cent."""
    cosine = np.clip(ground.normal @ true_ground.normal, -1.0, 1.0)
    height = 100.0 * (ground.offset_m / true_ground.offset_m - 1.0)
    return [camera.fov_x_deg - true_camera.fov_x_deg, float(np.rad2deg(np.arccos(cosine))), height]


def views(count: int, rng: np.random.Generator) -> list[tuple[Camera, GroundPlane]]:
    """LargeCrowd's cameras, then random ones."""
    known = [published_camera(name, SIZE) for name in PUBLISHED]
    return [*known, *(random_view(rng) for _ in range(count))][:count]


def walked_on(crowd: SimulatedCrowd, rng: np.random.Generator, condition: Condition) -> SimulatedCrowd:
    """The same people two seconds later."""
    angle = rng.uniform(-np.pi, np.pi, len(crowd.kind))
    step = STEP_M * (rng.random(len(angle)) < WALKERS)
    feet = crowd.feet_m + step[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    world = np.insert(feet, 1, 0.0, axis=1)
    feet_px = crowd.camera.project(crowd.ground.from_world(world))
    usable = np.isfinite(feet_px).all(1) & (feet[:, 1] < -1.0)
    return simulate_crowd(
        crowd.camera, crowd.ground, len(feet), rng, condition=condition, feet_px=feet_px[usable], stature_m=crowd.stature_m[usable]
    )


def simulated(count: int, people: int, pictures: int, seed: int) -> None:
    """RMS errors and their ratios on simulated keypoints, and what the statures of the same people leave of the errors at least."""
    print(f"{count} cameras, {people} people a picture; RMS of FOV, normal, camera height; ratio {pictures} pictures / 1")
    for name in ("B", "C"):
        rows: dict[str, list[list[float]]] = {"one picture": [], "other people": [], "same people": []}
        least: list[np.ndarray] = []
        rng = np.random.default_rng(seed)
        for camera, ground in tqdm(views(count, rng), desc=f"condition {name}", unit="camera"):
            condition = CONDITIONS[name]
            first = simulate_crowd(camera, ground, people, rng, condition=condition)
            others = [simulate_crowd(camera, ground, people, rng, condition=condition) for _ in range(pictures - 1)]
            same = [walked_on(first, rng, condition) for _ in range(pictures - 1)]
            if len(first.kind) < people / 2:
                continue
            for key, crowds in (("one picture", [first]), ("other people", [first, *others]), ("same people", [first, *same])):
                estimate = estimate_ground(np.concatenate([crowd.keypoints for crowd in crowds]), SIZE)
                rows[key].append(errors(estimate.camera, estimate.ground, camera, ground))
            least.append(np.diag(cramer_rao_bound(replace(first, condition=EXACT))))
        print_rows(name, rows)
        height = 100.0 * np.sqrt(np.mean(least, 0)[3])
        print(f"{name}  the same people without noise, only their statures unknown: height {height:4.1f} % (Cramér-Rao bound)")


def print_rows(name: str, rows: dict[str, list[list[float]]]) -> None:
    """One line per kind; the first is what the others are compared with."""
    base = rms(next(iter(rows.values())))
    for key, values in rows.items():
        own = rms(values)
        ratio = "  ".join(f"{a / b:5.2f}" for a, b in zip(own, base, strict=True))
        print(f"{name}  {key:14} {own[0]:6.2f}° {own[1]:6.2f}° {own[2]:6.1f} %    ratio {ratio}    ({len(values)} estimates)")


def rms(values: list[list[float]]) -> np.ndarray:
    """(3,) root mean squares."""
    return np.sqrt((np.array(values) ** 2).mean(0))


def processed(mid_root: Path, data: LargeCrowdFolder, scenes: list[str]) -> None:
    """Every picture on its own and all of a scene together, with the keypoints that `process` found, lines as the pipeline uses them."""
    rows: dict[str, list[list[float]]] = {"each picture": [], "all together": []}
    for scene in data.scenes(scenes):
        frames = [path for path in data.frames(scene) if MidFolder(mid_root / scene / path.stem).keypoints.is_file()]
        if len(frames) < 2:
            print(f"{scene}: fewer than two processed pictures in {mid_root}")
            continue
        with np.load(data.truth(scene, frames[0].stem)) as truth:
            camera = Camera.from_K(truth["K"], GigapixelImage(frames[0]).size)
            ground = GroundPlane.from_coefficients(truth["ground"])
        observed = [read_observations(MidFolder(mid_root / scene / path.stem)) for path in frames]
        for path, one in zip(frames, observed, strict=True):
            try:
                found = estimate_from(GigapixelImage(path), one)
                rows["each picture"].append(errors(found.camera, found.ground, camera, ground))
            except UnsolvableGround as error:
                print(f"{path.name}: {error}")
        found = estimate_from(GigapixelImage(frames[0]), Observations.joined(observed))
        rows["all together"].append(errors(found.camera, found.ground, camera, ground))
    if rows["each picture"]:
        print_rows("embedded", rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=40, help="cameras: the four of LargeCrowd, then random ones")
    parser.add_argument("--people", type=int, default=100, help="people per picture")
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mid", type=Path, help="test_mid of a run of test/inference_eval.py on a synthetic LargeCrowd")
    parser.add_argument("--truth", type=Path, help="that data set")
    parser.add_argument("--scenes", nargs="+", default=[], help="only these of its scenes")
    args = parser.parse_args()
    if args.mid:
        processed(args.mid, LargeCrowdFolder(args.truth), args.scenes)
    else:
        simulated(args.views, args.people, args.pictures, args.seed)


if __name__ == "__main__":
    main()
