"""Do measures, exports and pages grow no faster than the crowd? Seconds and memory by people of a photograph, pictures of a sequence.

    python benchmarks/measure_sizes.py                                                  10,000 people and 1,000 pictures at most
    python benchmarks/measure_sizes.py --people 500 1000 --pictures 20 40

The crowds are made up, bodies and all, and need no pictures: one person per square metre, seen from a height; and people who cross a
square, 80 in every picture, two pictures per second. Seconds are those of the processor, so that other programs do not matter much; memory
is that of the whole process at its peak. The last column is the exponent of the growth of the seconds, 1 if it is linear, from the last
three sizes; nan where they grow by less than half a second. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from costs import Cost, cost_of, exponent
from scipy.spatial.transform import Rotation

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.scene.motion import place_covariance
from crowd3d.scene.paths import TRAJECTORY_COLUMNS
from crowd3d.scene.tracking import smooth_tracks, track
from crowd3d.types import People, Scene

CAMERA, GROUND = Camera.from_focal(10000.0, (19200, 6480)), GroundPlane.from_angles(np.deg2rad(24.0), 0.0, 40.0)
COVARIANCE = np.diag([0.01, 0.004, 0.003, 0.02]) ** 2
NEAREST_M = 65.0
IN_SIGHT, STEP_S, ACROSS_M, DEEP_M = 80, 0.5, 40.0, 20.0
_RING = [[-3.0, 70.0], [3.0, 70.0], [3.0, 80.0], [-3.0, 80.0], [-3.0, 70.0]]
AREAS = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"name": "gate"}, "geometry": {"type": "LineString", "coordinates": [[0.0, 60.0], [0.0, 90.0]]}},
        {"type": "Feature", "properties": {"name": "middle"}, "geometry": {"type": "Polygon", "coordinates": [_RING]}},
    ],
}
FORMATS = ("pedpy", "jupedsim", "sqlite", "vadere", "coco", "rigged", "bvh")
PHOTOGRAPH = ("measure", "view", "view --measure", *(f"export {name}" for name in ("glb", "csv", *FORMATS[4:])))
SEQUENCE = ("measure", "view", "view --measure", *(f"export {name}" for name in FORMATS))


def people_at(places: np.ndarray, rng: np.random.Generator) -> People:
    """Bodies that stand at (N, 2) metres right and ahead, in random poses."""
    count = len(places)
    feet = GROUND.from_world(np.column_stack([places[:, 0], np.zeros(count), -places[:, 1]]))
    pose = rng.normal(0.0, 0.2, (count, 24, 3))
    facing = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (count, 1)) * (0.0, 1.0, 0.0)).as_matrix()
    pose[:, 0] = Rotation.from_matrix(GROUND.rotation_cam_world @ facing).as_rotvec()
    keypoints = CAMERA.project(feet)[:, None] - rng.uniform(5.0, 80.0, (count, 17, 2))
    return People(
        pose.astype(np.float32),
        rng.normal(0.0, 0.7, (count, 10)).astype(np.float32),
        feet + 0.95 * GROUND.normal,
        CAMERA.project(feet),
        feet,
        np.full(count, 0.9),
        np.concatenate([keypoints, np.ones((count, 17, 1))], -1),
    )


def write_photograph(folder: Path, count: int) -> None:
    """A square with one person per m² on the average."""
    rng = np.random.default_rng(count)
    side = math.sqrt(count)
    places = rng.uniform((-side / 2.0, NEAREST_M), (side / 2.0, NEAREST_M + side), (count, 2))
    Scene(CAMERA, GROUND, people_at(places, rng), "free_low", "crowd.jpg", COVARIANCE).save(folder)


def write_sequence(folder: Path, pictures: int) -> float:
    """People who walk across and go, as ``crowd3d reconstruct`` leaves them, with a line and a zone; seconds that following them took."""
    rng = np.random.default_rng(pictures)
    pace, duration = 1.3, ACROSS_M / 1.3
    seconds = pictures * STEP_S
    count = max(1, round(IN_SIGHT * (seconds + duration) / duration))
    begin, lane = rng.uniform(-duration, seconds, count), rng.uniform(NEAREST_M, NEAREST_M + DEEP_M, count)
    way = rng.choice([-1.0, 1.0], count)
    scenes = []
    for picture in range(pictures):
        x = way * ((picture * STEP_S - begin) * pace - ACROSS_M / 2.0)
        here = np.abs(x) <= ACROSS_M / 2.0
        places = np.column_stack([x, lane])[here] + rng.normal(0.0, 0.08, (int(here.sum()), 2))
        scenes.append(Scene(CAMERA, GROUND, people_at(places, rng), "free_low", f"plaza_{picture:04d}.jpg", COVARIANCE))
        scenes[-1].save(folder / "frames" / f"plaza_{picture:04d}")
    start = time.process_time()
    write_trajectories(folder / "trajectories.csv", scenes)
    seconds_used = time.process_time() - start
    world = {"camera": asdict(CAMERA), "ground": GROUND.coefficients.tolist(), "covariance": COVARIANCE.tolist()}
    (folder / "camera_ground.json").write_text(json.dumps(world), encoding="utf-8")
    (folder / "areas.geojson").write_text(json.dumps(AREAS), encoding="utf-8")
    return seconds_used


def write_trajectories(path: Path, scenes: Sequence[Scene]) -> None:
    """Follow everybody and write where they went."""
    places = [scene.ground.to_world(scene.people.hvip_cam_m)[:, [0, 2]] for scene in scenes]
    spread = [place_covariance(scene.camera, scene.ground, scene.people.hvip_px) for scene in scenes]
    times = STEP_S * np.arange(len(scenes))
    ids = track(places, times, spread)
    smooth = smooth_tracks(places, times, spread, ids)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TRAJECTORY_COLUMNS)
        for picture, scene in enumerate(scenes):
            state = smooth[picture].state
            sigma = np.stack([smooth[picture].place_sigma_m, smooth[picture].speed_sigma_m_s], 1)
            for row, id_ in enumerate(ids[picture]):
                figures = (*places[picture][row], *state[row, :2], np.hypot(*state[row, 2:]), 0.9, *sigma[row])
                writer.writerow([picture, scene.image, times[picture], id_, row, *figures])


def cost(folder: Path, words: str) -> Cost:
    """Run a command of crowd3d on a result folder."""
    verb, *rest = words.split()
    more = ["--format", *rest] if verb == "export" else rest
    if verb == "measure" and (folder / "areas.geojson").is_file():
        more = ["--areas", str(folder / "areas.geojson"), "--units", "metres"]
    return cost_of([sys.executable, "-m", "crowd3d", verb, str(folder), *more])


def table(output: Path, what: str, sizes: Sequence[int], commands: Sequence[str]) -> None:
    """Print a row per command as it is done."""
    head = "".join(f"{size:>9,} s".rjust(12) + "MB".rjust(7) for size in sizes)
    print(f"{what:16}{head}{'growth':>8}", flush=True)
    for command in commands:
        costs = [cost(output / f"{what}_{size}", command) for size in sizes]
        cells = "".join(f"{one.seconds:12.1f}{one.megabytes:7.0f}" for one in costs)
        print(f"{command:16}{cells}{exponent(sizes, [one.seconds for one in costs]):8.2f}", flush=True)


def main() -> int:
    """Make the crowds, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="*", default=[1250, 2500, 5000, 10000], help="of the photographs")
    parser.add_argument("--pictures", type=int, nargs="*", default=[125, 250, 500, 1000], help="of the sequences")
    parser.add_argument("--output", type=Path, default=Path("demo/sizes"), help="folder of the crowds")
    args = parser.parse_args()
    print("processor seconds, and peak memory in MB")
    if args.people:
        for count in args.people:
            write_photograph(args.output / f"people_{count}", count)
        table(args.output, "people", args.people, PHOTOGRAPH)
    if args.pictures:
        for count in args.pictures:
            seconds = write_sequence(args.output / f"pictures_{count}", count)
            print(f"following everybody in {count} pictures: {seconds:.1f} s", flush=True)
        table(args.output, "pictures", args.pictures, SEQUENCE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
