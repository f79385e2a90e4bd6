"""A small made-up crowd whose truth is known, for examples that are run without a photograph of yours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from crowd3d.files import write_json, write_npy
from crowd3d.synthetic.data_set import synthesize_frames
from crowd3d.synthetic.scene import SyntheticScene, synthesize_scene

SIZE, SEED = (1200, 800), 33


def photograph(folder: Path, people: int = 24) -> Path:
    """Write a picture, its ``truth.npz`` and the ``keypoints.npy`` that a good detector would find in it; returns the picture's path."""
    made = synthesize_scene(SEED, "random", people, SIZE)
    made.save(folder)
    write_npy(folder / "keypoints.npy", detected(made))
    return folder / "image.jpg"


def film(folder: Path, pictures: int = 3, people: int = 12) -> Path:
    """Write pictures of people who walk, 2 s apart; returns their folder.

    Beside it are ``keypoints/<picture>.npy`` and ``camera.json`` with camera and ground.
    """
    for number, made in enumerate(synthesize_frames((SEED,), "random", people, SIZE, pictures)):
        made.save_image(folder / "pictures" / f"square_{number}.jpg")
        write_npy(folder / "keypoints" / f"square_{number}.npy", detected(made))
    write_json(folder / "camera.json", {"camera": asdict(made.truth.camera), "ground": made.truth.ground.coefficients.tolist()})
    return folder / "pictures"


def detected(made: SyntheticScene) -> np.ndarray:
    """COCO keypoints (N, 17, 3) u, v, score of everybody of whom something is seen, with 1 % of their height as noise."""
    truth = made.truth
    seen = truth.visible_fraction > 0.3
    keypoints = truth.keypoints_px[seen].copy()
    noise = np.random.default_rng(0).normal(0.0, 0.01, (len(keypoints), 17, 2))
    keypoints[..., :2] += noise * truth.height_px[seen, None, None]
    keypoints[..., 2] = 0.9
    return keypoints
