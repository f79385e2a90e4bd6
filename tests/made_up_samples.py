"""Made-up training samples: noise with people anywhere, for tests that ask how samples are used, not what is in them."""

from __future__ import annotations

import numpy as np

from crowd3d.training.supervision import Label, Sample

ROWS = 64


def made_up_sample(seed: int, size: int = 64, people: int = 3) -> Sample:
    """A square of `size` pixels with `people` people of whom everything is known, and nothing is right."""
    rng = np.random.default_rng(seed)
    cells = size // 8
    centers = rng.uniform(-0.8, 0.8, (ROWS, 2)).astype(np.float32)
    center_map = np.zeros((1, cells, cells), np.float32)
    x, y = ((centers[:people] + 1) / 2 * cells).astype(int).T
    center_map[0, y, x] = 1.0
    present = np.arange(ROWS) < people
    return Sample(
        images=rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        origin_px=rng.uniform(0, 600, 2),
        side_px=np.float64(400.0),
        K=np.array([[1000.0, 0.0, 500.0], [0.0, 1000.0, 500.0], [0.0, 0.0, 1.0]]),
        planes=np.array([0.0, -0.8, -0.6, 8.0]),
        scene_width_px=np.float64(1000.0),
        distortion=np.zeros(5),
        center_map=center_map,
        counted=np.ones((1, cells, cells), bool),
        all_people=np.array(True),
        person_centers=centers,
        keypoints=rng.uniform(-1, 1, (ROWS, 54, 2)).astype(np.float32),
        keypoints_known=np.repeat(present[:, None], 54, 1),
        joints_cam_m=rng.normal(size=(ROWS, 54, 3)).astype(np.float32),
        joints_known=np.repeat(present[:, None], 54, 1),
        rotations=np.tile(np.eye(3, dtype=np.float32), (ROWS, 22, 1, 1)),
        betas=rng.normal(size=(ROWS, 10)).astype(np.float32),
        hvip=rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32),
        torso=centers.copy(),
        root_cam_m=(rng.normal(size=(ROWS, 3)) + [0, 0, 20]).astype(np.float32),
        masks=np.repeat(present[:, None], len(Label), 1),
    )
