"""Time of an epoch of per-scene fine-tuning, features computed once against the whole network in every step, in one run.

    python benchmarks/finetune.py                        HRNet-W32 on 512² tiles, as released
    python benchmarks/finetune.py --tiles 8 --people 20

The tiles are noise with made-up keypoints: only time is measured. CPU time is counted, so that other programs do not matter much. Computing
the features once costs as much as one forward pass and is reported beside.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from crowd3d.bodies import load_body
from crowd3d.model import Crowd3DNet
from crowd3d.model.configs import read_config
from crowd3d.training.supervision import Label, Sample, collate
from crowd3d.training.supervision.network_prior import load_network_prior
from crowd3d.tuning.fine_tuning import FineTuningConfig, epoch_rows, freeze, tune_epoch, tune_step, tuned_parameters

CONFIG = Path(__file__).resolve().parents[1] / "Crowd3DNet" / "configs" / "optim" / "optim_single_image.yml"
ROWS = 64
EVERYWHERE = "centermap_conf_thresh=-9"
"""Lets random weights see somebody everywhere, so that all people are matched."""


def noise(seed: int, size: int, people: int) -> Sample:
    """A tile with the labels that fine-tuning has."""
    rng = np.random.default_rng(seed)
    present = np.arange(ROWS) < people
    masks = np.zeros((ROWS, len(Label)), bool)
    masks[:, Label.PRESENT] = present
    nothing = np.zeros((ROWS, 54), bool)
    return Sample(
        images=rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        origin_px=rng.uniform(0, 600, 2),
        side_px=np.float64(400.0),
        K=np.array([[1000.0, 0.0, 500.0], [0.0, 1000.0, 500.0], [0.0, 0.0, 1.0]]),
        planes=np.array([0.0, -0.8, -0.6, 8.0]),
        scene_width_px=np.float64(1000.0),
        distortion=np.zeros(5),
        center_map=np.zeros((1, size // 8, size // 8), np.float32),
        counted=np.ones((1, size // 8, size // 8), bool),
        all_people=np.array(False),
        person_centers=rng.uniform(-0.9, 0.9, (ROWS, 2)).astype(np.float32),
        keypoints=rng.uniform(-1, 1, (ROWS, 54, 2)).astype(np.float32),
        keypoints_known=np.repeat(present[:, None], 54, 1),
        joints_cam_m=np.zeros((ROWS, 54, 3), np.float32),
        joints_known=nothing,
        rotations=np.zeros((ROWS, 22, 3, 3), np.float32),
        betas=np.zeros((ROWS, 10), np.float32),
        hvip=np.zeros((ROWS, 2), np.float32),
        torso=np.zeros((ROWS, 2), np.float32),
        root_cam_m=np.zeros((ROWS, 3), np.float32),
        masks=masks,
    )


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="hrnet_w32")
    parser.add_argument("--side", type=int, default=512, help="pixels along a tile's side (512)")
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--people", type=int, default=8, help="in each tile")
    parser.add_argument("--epochs", type=int, default=3, help="of the cached fine-tuning; the slow one runs once")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = Crowd3DNet(arguments.backbone)
    samples = [noise(seed, arguments.side, arguments.people) for seed in range(arguments.tiles)]
    body, prior, config = load_body("free_low"), load_network_prior(None), read_config(CONFIG, FineTuningConfig, [EVERYWHERE])
    optimizer = torch.optim.Adam(tuned_parameters(network).values(), lr=config.lr)

    def uncached() -> None:
        for rows in epoch_rows(len(samples), config.batch_size, config.seed, 0):
            batch = collate([samples[row] for row in rows])
            views = batch.views
            maps = network(batch.images.float(), views.camera_inputs, views.ground_inputs)
            tune_step(maps, batch, body, prior, config, optimizer)

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        frozen = freeze(network, samples, Path(folder))
        once = time.process_time() - start
        tune_epoch(network, frozen, body, prior, config, optimizer, 0)
        cached = seconds(lambda: [tune_epoch(network, frozen, body, prior, config, optimizer, epoch) for epoch in range(arguments.epochs)])
    cached /= arguments.epochs
    whole = seconds(uncached)
    print(f"{arguments.backbone}, {arguments.tiles} tiles of {arguments.side}² with {arguments.people} people, one thread, CPU seconds")
    print(f"features once        {once:8.2f}")
    print(f"epoch, cached        {cached:8.2f}")
    print(f"epoch, whole network {whole:8.2f}   {whole / cached:.1f}× as long")


if __name__ == "__main__":
    main()
