"""Can the published recipe learn eight synthetic tiles by heart? It must, or something is wrong with losses, labels or decoding.

    python benchmarks/overfit.py                         compact backbone; aim: centre F1 ≥ 0.99 and PA-MPJPE ≤ 30 mm

Trains with the losses of configs/train/all.yml, without augmentation, and measures on the same tiles. Stops when both aims are reached.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crowd3d.bodies import load_body
from crowd3d.model import Crowd3DNet
from crowd3d.model.configs import read_config
from crowd3d.model.supervision import collate
from crowd3d.optimise.network_prior import load_network_prior
from crowd3d.training.batches import NumberedBatch
from crowd3d.training.config import TrainConfig
from crowd3d.training.datasets import SyntheticTiles
from crowd3d.training.distributed import make_fabric
from crowd3d.training.loop import fit
from crowd3d.training.recipe import Recipe
from crowd3d.training.train_crowd3dnet import careful_start, stage_loss
from crowd3d.training.validation import figures

CONFIG = Path(__file__).resolve().parents[1] / "Crowd3DNet" / "configs" / "train" / "all.yml"
F1, PA_MPJPE_MM = 0.99, 30.0


class Learned(Exception):
    """Both aims are reached."""


def main() -> None:
    """Train and print figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3000, help="at most (3000)")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--side", type=int, default=256, help="pixels along a tile's side (256)")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = read_config(CONFIG, TrainConfig, ["backbone=compact", "dataset=synthetic", "device=cpu"])
    tiles = SyntheticTiles(arguments.side, arguments.tiles, seed=5)
    batch = collate([tiles[index] for index in range(arguments.tiles)])
    body, fabric, started = load_body("free_low"), make_fabric("fp32", 1, "cpu"), time.process_time()
    network = Crowd3DNet("compact")
    careful_start(network)

    def batches(start: int, stop: int) -> Iterator[NumberedBatch]:
        for number in range(start, stop):
            yield NumberedBatch(number, batch)

    def measure(module: nn.Module) -> dict[str, float]:
        found = figures(module, [batch], body, config.centermap_conf_thresh)
        print({name: round(value, 3) for name, value in found.items()}, f"{time.process_time() - started:.0f} CPU s", flush=True)
        if found["f1"] >= F1 and found["pa_mpjpe_mm"] <= PA_MPJPE_MM:
            raise Learned
        return found

    recipe = Recipe(arguments.steps, arguments.rate, weight_decay=0.0, clip_norm=float(np.inf), average_decay=0.0, validate_every=50)
    loss = stage_loss(config, 1, body, load_network_prior(None), fabric)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fit(network, batches, loss, measure, recipe, Path(folder), {}, fabric=fabric)
    except Learned:
        print(f"centre F1 ≥ {F1} and PA-MPJPE ≤ {PA_MPJPE_MM} mm")


if __name__ == "__main__":
    main()
