"""Fit to synthetic scenes what the shipped networks' answers are worth: who is a person (`crowd3d.pose.embedded.certainty`), and what
keypoints err by.

Usage: python benchmarks/certainty.py SCENE_FOLDER…   (folders of `crowd3d synthesize` or `crowd3d demo`)

Prints the constants for `pose/embedded.py`, then precision and recall over thresholds. Use scenes that nothing is reported on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize
from scipy.spatial.distance import cdist

from crowd3d.bodies.joints import TORSO17
from crowd3d.evaluation import load_truth
from crowd3d.evaluation.truth import Truth
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.ground import quick_world
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.embedded import EmbeddedSeeker, certainty_features
from crowd3d.pose.nms import distinct
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.settings import load_settings

NEAR = 0.15
"""A candidate is somebody when torso centres and, in the mean, keypoints are within this share of their size."""
THRESHOLDS = np.arange(0.3, 0.95, 0.05)


class Seen(NamedTuple):
    """Candidates of one scene, their features, the person that each is (−1: nobody's), and the truth."""

    observed: Observations
    features: np.ndarray
    person: np.ndarray
    truth: Truth


def look(folder: Path, seeker: EmbeddedSeeker) -> Seen:
    """Everything that the search takes into consideration in a scene."""
    image, truth = GigapixelImage(folder / "image.jpg"), load_truth(folder / "truth.npz")
    found = seeker.first_look(image)
    world = quick_world(seeker.sure(image, found), image.size)
    candidates, observed = seeker.close_looks(image, found if world is None else seeker.look_again(image, found, *world))
    return Seen(observed, certainty_features(observed, candidates), whose(observed, truth), truth)


def whose(observed: Observations, truth: Truth) -> np.ndarray:
    """(N,) index of the true person that an observation shows well, −1 if there is none."""
    true = truth.scene.people.keypoints_px[..., :2]
    size = person_size_px(true)
    torso = np.nan_to_num(true[:, TORSO17].mean(1), nan=1e9)
    nearest = (cdist(observed.torso_px, torso) / size).argmin(1)
    off = np.linalg.norm(observed.torso_px - torso[nearest], axis=1) / size[nearest]
    spread = np.nanmean(np.linalg.norm(observed.xy_px - true[nearest], axis=-1), axis=1) / size[nearest]
    return np.where((off < NEAR) & (spread < NEAR), nearest, -1)


def fit(scenes: list[Seen]) -> np.ndarray:
    """Offset and weights of the logistic regression; people who need not be found do not count."""
    rows = [np.where(s.person >= 0, s.truth.eligible[s.person], True) for s in scenes]
    features = np.concatenate([s.features[r] for s, r in zip(scenes, rows, strict=True)])
    label = np.concatenate([s.person[r] >= 0 for s, r in zip(scenes, rows, strict=True)])
    design = np.c_[np.ones(len(features)), features]

    def cost(weights: np.ndarray) -> float:
        return float(np.logaddexp(0.0, np.where(label, -1.0, 1.0) * (design @ weights)).mean() + 1e-4 * (weights**2).sum())

    return minimize(cost, np.zeros(design.shape[1])).x


def fit_errors(scenes: list[Seen]) -> tuple[float, float]:
    """Factor and power by which errors per axis follow from spreads, both as shares of the person's size: maximum likelihood."""
    spreads, errors = [], []
    for seen in scenes:
        rows = np.flatnonzero(seen.person >= 0)
        xy, size = seen.observed.xy_px[rows], person_size_px(seen.observed.xy_px[rows])[:, None]
        apart = np.linalg.norm(xy - seen.truth.scene.people.keypoints_px[seen.person[rows], :, :2], axis=-1)
        known = np.isfinite(apart)
        spreads.append((seen.observed.sigma_px[rows] / size)[known])
        errors.append((apart / size)[known] / np.sqrt(2))
    log_spread, squared = np.log(np.concatenate(spreads)), np.concatenate(errors) ** 2

    def cost(weights: np.ndarray) -> float:
        log_sigma = weights[0] + weights[1] * log_spread
        return float((2 * log_sigma + squared * np.exp(-2 * log_sigma)).mean())

    log_factor, power = minimize(cost, np.array([0.0, 1.0])).x
    return float(np.exp(log_factor)), float(power)


def counts(seen: Seen, score: np.ndarray, threshold: float) -> np.ndarray:
    """Found, wanted and offered people of one scene; people who need not be found count neither way."""
    chosen = np.flatnonzero(score > threshold)
    observed = replace(seen.observed, score=score)[chosen]
    chosen = chosen[distinct(observed)]
    person = seen.person[chosen]
    cost = np.where(person[:, None] == np.arange(len(seen.truth.eligible)), 0.0, 1.0)
    pairs = linear_sum_assignment(cost)
    matched = cost[pairs] == 0
    of_eligible = seen.truth.eligible[pairs[1][matched]]
    return np.array([of_eligible.sum(), seen.truth.eligible.sum(), len(chosen) - (~of_eligible).sum()])


def main() -> int:
    """Fit, print the constants and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="*", help="folders with image.jpg and truth.npz (default: demo/)")
    settings = load_settings()
    weights = DefaultWeights.shipped(settings)
    folders = parser.parse_args().scenes or [folder for folder in [settings.root / "demo"] if (folder / "truth.npz").is_file()]
    if not folders:
        print("no scenes: make some with `crowd3d synthesize`, or `make demo`")
        return 0
    seeker = EmbeddedSeeker(weights.detector, weights.keypoints)
    scenes = [look(folder, seeker) for folder in folders]
    offset, *slopes = fit(scenes)
    print(f"CERTAINTY_OFFSET, CERTAINTY_WEIGHTS = {offset:.3f}, ({', '.join(f'{w:.3f}' for w in slopes)})")
    print("ERROR_FACTOR, ERROR_POWER = {:.2f}, {:.2f}".format(*fit_errors(scenes)))
    print("threshold  precision  recall")
    for threshold in THRESHOLDS:
        found, wanted, offered = sum(counts(s, 1 / (1 + np.exp(-(offset + s.features @ slopes))), threshold) for s in scenes)
        print(f"{threshold:9.2f}{found / offered:11.3f}{found / wanted:8.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
