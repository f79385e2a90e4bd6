"""Who is found, by size and visibility: fits the constants of `crowd3d.measure.Recall` to synthetic scenes that were reconstructed.

Usage: python benchmarks/recall.py FOLDER ...      folders that `crowd3d demo --output FOLDER` wrote

The demonstration finds people with the shipped networks. For others reconstruct its image.jpg with them, into FOLDER/result of another
folder that has the same truth.npz.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from crowd3d.bodies import load_body
from crowd3d.evaluation import load_truth
from crowd3d.evaluation.observables import observe
from crowd3d.evaluation.scoring import assign
from crowd3d.measure.observed import LEAST_PX, inside, observed_pixels
from crowd3d.measure.recall import REFERENCE_PX, heights_px, visible_shares
from crowd3d.scene.heading import facing_deg
from crowd3d.types import Scene


def rows_of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(G, 3) height in pixels, visible share, found of the true people on observed ground; (M,) errors of direction in degrees."""
    truth = load_truth(folder / "truth.npz").scene
    predicted = Scene.load(next(path.parent for path in folder.glob("result/*/scene.npz")))
    body, true_body = load_body(predicted.body), load_body(truth.body)
    pairs, _ = assign(observe(predicted, body), observe(truth, true_body, truth.people.keypoints_px[..., 2] == 1.0))
    found = np.isin(np.arange(len(truth.people)), pairs[0])
    foot = truth.people.hvip_px
    height = heights_px(truth.camera, truth.ground, foot)
    rows = np.column_stack([height, visible_shares(truth.camera, truth.ground, foot, foot), found])
    turn = (facing_deg(predicted)[pairs[1]] - facing_deg(truth)[pairs[0]] + 180.0) % 360.0 - 180.0
    return rows[inside([observed_pixels(truth.camera, truth.ground, LEAST_PX)], foot)], turn


def main() -> int:
    """Print the fit, and recall in bins."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parts = [rows_of(folder) for folder in parser.parse_args().folders]
    height, visible, found = np.concatenate([rows for rows, _ in parts]).T
    turn = np.concatenate([turn for _, turn in parts])
    terms = np.stack([np.ones_like(height), np.minimum(np.log(height / REFERENCE_PX), 1.0), 1.0 - visible], -1)

    def loss(weights: np.ndarray) -> float:
        logit = terms @ weights
        return float((np.logaddexp(0.0, logit) - found * logit).sum() + 0.01 * (weights**2).sum())

    print("base, by_size, by_hidden:", np.round(minimize(loss, np.array([2.0, 0.5, -3.0])).x, 2), f"of {len(found)} people")
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.99), (0.99, 1.01)):
        of = (visible >= low) & (visible < high)
        sizes = ((LEAST_PX, 60.0), (60.0, 120.0), (120.0, np.inf))
        cells = [of & (height >= a) & (height < b) for a, b in sizes]
        print(f"visible {low:.2f}-{high:.2f}: " + ", ".join(f"{found[c].mean():.2f} of {c.sum()}" for c in cells if c.any()))
    circular = np.degrees(np.sqrt(-2.0 * np.log(np.cos(np.radians(turn)).mean())))
    print(f"facing: 68 % within {np.quantile(np.abs(turn), 0.68):.0f} degrees, circular standard deviation {circular:.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
