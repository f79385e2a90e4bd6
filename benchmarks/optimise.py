"""What the bundle adjustment gains and costs: the same lifted scenes without it, with people only, and with everything free.

Usage: python benchmarks/optimise.py [--scenes FOLDER] [--plain 0.02] [--gross 0.2] [--calibrate] [--network-epoch-seconds S]

The scenes are those of ``crowd3d demo`` and ``benchmarks/accuracy.py``: folders with truth.npz, mid/ and result/image/lifted/.
`--plain` replaces the embedded networks' measurements by the true keypoints of everybody who can be seen, with that noise as a share of
their height in the picture; people are lifted from those. `--gross` moves that share of the keypoints far away. The figures under "same"
are about the people who are matched in every mode; those before also change when more people are matched. `--calibrate` prints what
`crowd3d.optimise.belief` should hold for the networks at hand. `--network-epoch-seconds` is what one epoch of the network's fine-tuning
takes on these scenes; 100 epochs are extrapolated from it, not measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from crowd3d.bodies import COCO17_FROM_SMPL54, Body, load_body
from crowd3d.evaluation import evaluate, load_truth, metrics
from crowd3d.evaluation.observables import observe
from crowd3d.evaluation.scoring import assign
from crowd3d.evaluation.truth import Truth
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.infer import read_observations
from crowd3d.pipeline.optimise import Adjustment, Lift, OptimiseMode, optimised, read_lifted
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.source import plain
from crowd3d.scene.measuring import guess_hvip
from crowd3d.scene.placing import load_lifter, reconstruct_people
from crowd3d.settings import load_settings
from crowd3d.types import Keypoints, Scene

FIGURES = (
    "fov_error_deg",
    "normal_error_deg",
    "camera_height_error_percent",
    "ground_error_median_m",
    "ppds",
    "recall",
    "mpjpe_mm",
    "pa_mpjpe_mm",
)
SQUARED = FIGURES[:3]
GROSS_SHARE_OF_SIZE = 0.4
LEAST_VISIBLE = 0.3
PLAIN_SCORE = 0.8
JOINT_GROUPS = {"head": slice(0, 5), "shoulders": slice(5, 7), "elbows": slice(7, 9), "wrists": slice(9, 11), "hips": slice(11, 13)}
JOINT_GROUPS |= {"knees": slice(13, 15), "ankles": slice(15, 17)}


class Case(NamedTuple):
    """A lifted scene, what was measured of its people, its truth, and how to lift it again."""

    scene: Scene
    rows: np.ndarray
    observed: Observations
    truth: Truth
    lift: Lift


def load_case(folder: Path, body: Body, plain: float | None, gross: float, seed: int) -> Case:
    """A scene of the pipeline; with `plain` or `gross` its people are lifted again from other keypoints."""
    mid, results, truth = MidFolder(folder / "mid"), ResultFolder(folder / "result" / "image"), load_truth(folder / "truth.npz")
    scene, rows = read_lifted(results)
    observed = read_observations(mid) if plain is None else plain_observations(truth, plain, seed)
    observed = disturbed(observed, gross, seed)
    lifter = load_lifter(DefaultWeights.shipped(load_settings()).lifter)
    lift = partial(_lift, lifter, body, observed, guess_hvip(observed))
    if plain is not None or gross > 0:
        people, rows = lift(scene.camera, scene.ground)
        scene = replace(scene, people=people)
    return Case(scene, rows, observed, truth, lift)


def _lift(lifter, body, observed, hvip_px, camera, ground):
    return reconstruct_people(lifter, body, camera, ground, observed, hvip_px)


def plain_observations(truth: Truth, noise: float, seed: int) -> Observations:
    """True keypoints with noise, as another backend might give them."""
    seen = truth.extras["visible_fraction"] > LEAST_VISIBLE
    xy = truth.scene.people.keypoints_px[seen, :, :2]
    xy = xy + noise * truth.extras["height_px"][seen, None, None] * np.random.default_rng(seed).normal(size=xy.shape)
    return Observations.from_keypoints(Keypoints(xy, np.full(xy.shape[:2], PLAIN_SCORE)), plain("plain"))


def disturbed(observed: Observations, share: float, seed: int) -> Observations:
    """The same with some keypoints somewhere else."""
    rng = np.random.default_rng(seed)
    gross = rng.random(observed.sigma_px.shape) < share
    reach = GROSS_SHARE_OF_SIZE * person_size_px(observed.xy_px)[:, None, None]
    return replace(observed, xy_px=observed.xy_px + gross[..., None] * reach * rng.normal(size=observed.xy_px.shape))


def run(case: Case, body: Body) -> dict[str, dict[str, float]]:
    """All modes on one scene."""
    scenes: dict[str, tuple[Scene, float]] = {}
    mode: OptimiseMode
    for mode in get_args(OptimiseMode):
        started = time.perf_counter()
        scene = case.scene if mode == "none" else optimised(case.scene, case.rows, Adjustment(case.observed, body, mode, case.lift))
        scenes[mode] = scene, time.perf_counter() - started
    same = same_people([scene for scene, _ in scenes.values()], case.truth, body)
    return {
        name: judge(scene, case.truth, body) | same_figures | feet(scene, body) | {"people": float(len(scene.people)), "seconds": seconds}
        for (name, (scene, seconds)), same_figures in zip(scenes.items(), same, strict=True)
    }


def judge(scene: Scene, truth: Truth, body: Body) -> dict[str, float]:
    """The usual figures."""
    figures = evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, body_pred=body)
    return {name: figures[name] for name in FIGURES}


def same_people(scenes: list[Scene], truth: Truth, body: Body) -> list[dict[str, float]]:
    """Errors of the people who are matched in all scenes."""
    true = observe(truth.scene, load_body(truth.scene.body), truth.visible)
    found = [observe(scene, body) for scene in scenes]
    matched = [dict(zip(*assign(each, true)[0], strict=True)) for each in found]
    common = sorted(set.intersection(*({row for row in pairs if truth.eligible[row]} for pairs in matched)))
    result = []
    for each, pairs in zip(found, matched, strict=True):
        rows = [pairs[row] for row in common]
        p, q = each.joints_cam_m[rows], true.joints_cam_m[common]
        pelvis_p, pelvis_q = each.pelvis_cam_m[rows, None], true.pelvis_cam_m[common, None]
        result.append(
            {
                "same_ground_m": float(np.median(np.linalg.norm(each.ground_xz_m[rows] - true.ground_xz_m[common], axis=1))),
                "same_mpjpe": float(metrics.joint_errors_mm(p - pelvis_p, q - pelvis_q).mean()),
                "same_pa": float(metrics.aligned_joint_errors_mm(p, q).mean()),
            }
        )
    return result


def feet(scene: Scene, body: Body) -> dict[str, float]:
    """How well everybody stands on the ground: median distance of the lowest vertex, 99th percentile of its depth below."""
    lowest = (scene.people.vertices_cam_m(body) @ scene.ground.normal + scene.ground.offset_m).min(1)
    return {"feet_cm": 100 * float(np.median(np.abs(lowest))), "sunk_cm": 100 * float(np.quantile(np.maximum(-lowest, 0.0), 0.99))}


def calibrate(cases: list[Case], body: Body) -> None:
    """Print what the errors of keypoints and people say about `belief.Belief`.

    The gain is the share of the difference between measured and lifted keypoints that belongs to the lifted ones. Measurements with
    independent errors that have this gain against the lifted people's spread are worth as much as these; their spread over the stated one
    is the factor.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for case in cases:
        camera, truth = case.scene.camera, case.truth
        true, found = observe(truth.scene, load_body(truth.scene.body), truth.visible), observe(case.scene, body)
        pairs = assign(found, true)[0]
        size = person_size_px(true.keypoints_px[pairs[0]])[:, None]
        lifted = camera.project(case.scene.people.joints_cam_m(body)[pairs[1]][:, COCO17_FROM_SMPL54])
        measured, sigma = case.observed.xy_px[case.rows[pairs[1]]], case.observed.sigma_px[case.rows[pairs[1]]]
        wrong = lifted - true.keypoints_px[pairs[0]]
        parts.append((wrong / size[..., None], (measured - lifted) / size[..., None], sigma / size))
        ratio = case.scene.ground.offset_m / truth.scene.ground.offset_m
        print(f"camera height estimated {100 * (ratio - 1):+.1f} % off")
    wrong, innovation, sigma = (np.concatenate(part) for part in zip(*parts, strict=True))
    print("joint".ljust(12) + "stated spread   lifted error   gain   factor   (shares of stature)")
    for name, joints in JOINT_GROUPS.items():
        e, y, s = wrong[:, joints].ravel(), innovation[:, joints].ravel(), float(np.median(sigma[:, joints]))
        known = np.isfinite(e) & np.isfinite(y)
        e, y = e[known], y[known]
        gain = float(np.clip(-(e * y).sum() / (y * y).sum(), 0.01, 0.99))
        factor = float(np.sqrt((1 - gain) / gain) * e.std() / s)
        print(f"{name:<12}{s:13.3f}{e.std():15.3f}{gain:7.2f}{factor:9.1f}")


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
    parser.add_argument("--plain", type=float, default=None, help="noise of the true keypoints that replace the measured ones")
    parser.add_argument("--gross", type=float, default=0.0, help="share of keypoints to move far away")
    parser.add_argument("--calibrate", action="store_true", help="print what the beliefs should be, and stop")
    parser.add_argument("--network-epoch-seconds", type=float, default=None)
    arguments = parser.parse_args()
    folders = sorted(path.parent for path in arguments.scenes.glob("*/truth.npz"))
    if not folders:
        parser.error(f"no scenes in {arguments.scenes}; make some with python benchmarks/accuracy.py --output {arguments.scenes}")
    body = load_body("free_low")
    cases = [load_case(folder, body, arguments.plain, arguments.gross, seed) for seed, folder in enumerate(folders)]
    if arguments.calibrate:
        calibrate(cases, body)
        return 0
    by_scene = [run(case, body) for case in cases]
    table = {mode: average([scene[mode] for scene in by_scene]) for mode in get_args(OptimiseMode)}
    print("mode".ljust(8) + "".join(name.rjust(max(len(name), 7) + 2) for name in table["none"]))
    for mode, row in table.items():
        print(mode.ljust(8) + "".join(f"{value:.3f}".rjust(max(len(name), 7) + 2) for name, value in row.items()), flush=True)
    if arguments.network_epoch_seconds is not None:
        whole = 100 * arguments.network_epoch_seconds
        seconds = max(table["all"]["seconds"], 1e-9)
        print(f"network, 100 epochs extrapolated from one: {whole:.0f} s, {whole / seconds:.0f} times as long as 'all'")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
