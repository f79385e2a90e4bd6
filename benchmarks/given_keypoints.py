"""Bodies from 2D keypoints alone: true keypoints with 2 % noise, as another backend might give them, on synthetic scenes.

Calls estimator and lifter directly, not the `file` backend; the second row of a scene has its true ground as well as its camera.

Usage: python benchmarks/given_keypoints.py [SCENE_FOLDER…]   (folders of `crowd3d demo` or `crowd3d synthesize`; by default demo/)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from crowd3d.bodies import load_body
from crowd3d.evaluation import evaluate, load_truth
from crowd3d.ground import detect_lines, estimate_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.infer import LINE_LEVEL_PX
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.observations import Observations
from crowd3d.scene.measuring import guess_hvip
from crowd3d.scene.placing import load_lifter, reconstruct_people
from crowd3d.settings import load_settings
from crowd3d.types import Keypoints, Scene

NOISE = 0.02
LEAST_VISIBLE = 0.3
CAMERA_FIGURES = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent", "ground_error_median_m")
FIGURES = (*CAMERA_FIGURES, "ppds", "pcod", "mpjpe_mm", "pa_mpjpe_mm")


def main() -> int:
    """Print a table: every scene with estimated and with true camera and ground."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="*", default=[Path("demo")], help="folders with image.jpg and truth.npz")
    folders = parser.parse_args().scenes
    body = load_body("free_low")
    lifter = load_lifter(DefaultWeights.shipped(load_settings()).lifter)
    print("scene".ljust(40) + "".join(name.rjust(len(name) + 2) for name in FIGURES))
    for folder in folders:
        truth, image = load_truth(folder / "truth.npz"), GigapixelImage(folder / "image.jpg")
        seen = truth.extras["visible_fraction"] > LEAST_VISIBLE
        keypoints = truth.scene.people.keypoints_px[seen].copy()
        noise = np.random.default_rng(0).normal(0, NOISE, keypoints[..., :2].shape)
        keypoints[..., :2] += noise * truth.extras["height_px"][seen, None, None]
        keypoints[..., 2] = 0.8
        factor = max(1.0, image.size[0] / LINE_LEVEL_PX)
        lines = detect_lines(cv2.cvtColor(image.reduced(factor), cv2.COLOR_RGB2GRAY), factor)
        estimate = estimate_ground(keypoints, image.size, lines=lines)
        observed = Observations.from_keypoints(Keypoints.from_array(keypoints))
        hvip_px = guess_hvip(observed, np.zeros((0, 2)))
        for name, known in (("estimated", estimate), ("true camera and ground", truth.scene)):
            people, _ = reconstruct_people(lifter, body, known.camera, known.ground, observed, hvip_px)
            scene = Scene(known.camera, known.ground, people, "free_low", image.path.name)
            figures = evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, body_pred=body, body_true=body)
            cells = (f"{figures[key]:.2f}".rjust(len(key) + 2) for key in FIGURES)
            print(f"{folder.name[-16:]} {name}".ljust(40) + "".join(cells), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
