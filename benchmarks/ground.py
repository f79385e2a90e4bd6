"""Camera and ground: against the release's recorded results, against the Cramér-Rao bound, and against the clock.

    python benchmarks/ground.py [--crowds 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import estimate_ground
from crowd3d.ground.simulate import (
    CONDITIONS,
    Condition,
    SimulatedCrowd,
    cramer_rao_bound,
    everyday_picture,
    random_crowd,
    random_view,
    simulate_crowd,
    truth_vector,
)

CASES = Path(__file__).resolve().parents[1] / "tests" / "data" / "ground_cases.npz"
SIZE = (19200, 6480)
DETECTED = Condition(noise_px=2.0, relative_noise=0.02, outliers=0.2)
"""Keypoints as a detector finds them; a tenth of the people sits and another's ankles are wrong."""
RELEASE_SECONDS = 171.0
"""What the release needs for 300 people on one core, as recorded."""


def errors(camera: Camera, ground: GroundPlane, true_camera: Camera, true_ground: GroundPlane) -> list[float]:
    """FOV in degrees, normal in degrees, camera height in per cent."""
    cosine = np.clip(ground.normal @ true_ground.normal, -1.0, 1.0)
    height = 100.0 * (ground.offset_m / true_ground.offset_m - 1.0)
    return [camera.fov_x_deg - true_camera.fov_x_deg, float(np.rad2deg(np.arccos(cosine))), height]


def bound_in_words(crowd: SimulatedCrowd) -> list[float]:
    """The bound's standard deviations as FOV in degrees, normal in degrees, camera height in per cent."""
    covariance = cramer_rao_bound(crowd)
    fov = np.rad2deg(np.sqrt(covariance[0, 0])) * np.sin(np.deg2rad(crowd.camera.fov_x_deg))
    normal = np.rad2deg(np.sqrt(covariance[1, 1] + covariance[2, 2] * np.cos(crowd.ground.tilt_rad) ** 2))
    return [fov, normal, 100.0 * np.sqrt(covariance[3, 3])]


def rms(rows: list[list[float]]) -> str:
    """One cell of the table."""
    fov, normal, height = np.sqrt((np.array(rows) ** 2).mean(0))
    return f"{fov:5.2f}° {normal:5.2f}° {height:4.1f} %"


def recorded_cases() -> None:
    """The 12 cameras with the release's results."""
    with np.load(CASES) as cases:
        data = dict(cases)
    print("RMS of FOV, normal, camera height over 12 cameras, 200 people each")
    print(f"{'':10}{'this project':24}{'bound':24}{'release':24}")
    for name, condition in CONDITIONS.items():
        ours, bound, release = [], [], []
        for i in np.flatnonzero([case.endswith(name) for case in data["name"]]):
            camera = Camera.from_fov(data["truth"][i, 0], SIZE)
            ground = GroundPlane.from_coefficients(np.append(data["normal"][i], data["truth"][i, 3]))
            keypoints = np.concatenate([data["xy_px"][i], np.full((200, 17, 1), 0.8)], -1).astype(np.float64)
            estimate = estimate_ground(keypoints, SIZE)
            ours.append(errors(estimate.camera, estimate.ground, camera, ground))
            crowd = SimulatedCrowd(keypoints, data["kind"][i], camera, ground, np.empty((200, 2)), np.empty(200), condition)
            bound.append(bound_in_words(crowd))
            theirs = GroundPlane.from_coefficients(data["release_plane"][i])
            release.append(errors(Camera.from_focal(data["release_focal_px"][i], SIZE), theirs, camera, ground))
        print(f"{name:10}{rms(ours):24}{rms(bound):24}{rms(release):24}")


def fresh_crowds(count: int, seed: int) -> None:
    """Random cameras: error over bound, and how often the 68 % intervals hold the truth."""
    chance = 100.0 * np.sqrt(0.68 * 0.32 / count)
    print(f"\n{count} fresh crowds each: log focal length, tilt, roll, log height")
    print(f"{'':10}{'RMS error / bound':32}{f'68 % intervals hold (± {chance:.1f} by chance)':40}{'weak':>6}")
    for name, condition in CONDITIONS.items():
        rng = np.random.default_rng(seed)
        ratio, pull, weak = [], [], 0
        for _ in range(count):
            crowd = random_crowd(rng, condition)
            estimate = estimate_ground(crowd.keypoints, SIZE)
            error = truth_vector(estimate.camera, estimate.ground) - truth_vector(crowd.camera, crowd.ground)
            ratio.append(error / np.sqrt(np.diag(cramer_rao_bound(crowd))))
            pull.append(error / np.sqrt(np.diag(estimate.covariance)))
            weak += estimate.weak
        over = np.sqrt((np.array(ratio) ** 2).mean(0))
        held = 100.0 * (np.abs(pull) < 0.9945).mean(0)
        print(f"{name:10}{' '.join(f'{x:6.2f}' for x in over):32}{' '.join(f'{x:4.0f} %' for x in held):40}{weak:6}")


def everyday_pictures(count: int, seed: int) -> None:
    """Usual cameras and one to ten people, some cut off or seated: how often the 68 % intervals hold the truth."""
    rng = np.random.default_rng(seed)
    pulls, people, spread = [], [], []
    for _ in range(count):
        crowd = everyday_picture(rng, DETECTED)
        estimate = estimate_ground(crowd.keypoints, (crowd.camera.width, crowd.camera.height))
        sigma = np.sqrt(np.diag(estimate.covariance))
        pulls.append((truth_vector(estimate.camera, estimate.ground) - truth_vector(crowd.camera, crowd.ground)) / sigma)
        people.append(len(crowd.kind))
        spread.append(sigma * [100.0, np.rad2deg(1.0), np.rad2deg(1.0), 100.0])
    held, many, typical = np.abs(pulls) < 0.9945, np.array(people), np.array(spread)
    print(f"\n{count} everyday pictures: log focal length, tilt, roll, log height")
    print(f"{'people':10}{'68 % intervals hold':32}{'all':>6}   median standard deviations: %, °, °, %")
    for low, high in ((1, 2), (3, 5), (6, 10), (1, 10)):
        rows = (many >= low) & (many <= high)
        cells = " ".join(f"{100 * share:4.0f} %" for share in held[rows].mean(0))
        sigmas = " ".join(f"{value:6.1f}" for value in np.median(typical[rows], axis=0))
        print(f"{f'{low} to {high}':10}{cells:32}{100 * held[rows].mean():4.0f} %   {sigmas}")


def speed(seed: int) -> None:
    """CPU time of one estimate."""
    rng = np.random.default_rng(seed)
    print("\nCPU seconds")
    for people in (300, 5000):
        crowd = simulate_crowd(*random_view(rng), people, rng, condition=CONDITIONS["C"])
        times = []
        for _ in range(5):
            start = time.process_time()
            estimate_ground(crowd.keypoints, SIZE)
            times.append(time.process_time() - start)
        took = float(np.median(times))
        note = f", {RELEASE_SECONDS / took:.0f} times the release" if people == 300 else ""
        print(f"{len(crowd.kind):6} people {took:6.3f}{note}")


def main() -> None:
    """Print the four tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crowds", type=int, default=200, help="fresh crowds per condition")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    recorded_cases()
    fresh_crowds(args.crowds, args.seed)
    everyday_pictures(2 * args.crowds, args.seed)
    speed(args.seed)


if __name__ == "__main__":
    main()
