"""Can the published recipe learn eight synthetic tiles by heart? It must, or something is wrong with losses, labels or decoding.

    python benchmarks/overfit.py                         compact backbone; aim: centre F1 ≥ 0.99 and PA-MPJPE ≤ 30 mm

Trains with the losses of configs/train/all.yml, without augmentation, and measures on the same tiles. Stops when both aims are reached.

Two people whose centres fall into one 5×5 window of the centre map are one peak at most, however well the network has learned: the
published decoding cannot say them apart. So the tiles are the first ones of a fixed row in which everybody has a window of their own, and
two people at least. What the decoding makes of the targets themselves, the best that any network can reach, is printed first, for these
tiles and for the first ones of the row as they come (--any trains on those).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crowd3d.bodies import Body, load_body
from crowd3d.model import Crowd3DNet, Maps
from crowd3d.model.configs import read_config
from crowd3d.training.config import TrainConfig
from crowd3d.training.datasets import SyntheticTiles
from crowd3d.training.distributed import make_fabric
from crowd3d.training.loop import fit
from crowd3d.training.numbered import NumberedBatch
from crowd3d.training.recipe import Recipe
from crowd3d.training.supervision import Batch, Label, Sample, collate
from crowd3d.training.supervision.network_prior import load_network_prior
from crowd3d.training.train_crowd3dnet import careful_start, stage_loss
from crowd3d.training.validation import figures

CONFIG = Path(__file__).resolve().parents[1] / "Crowd3DNet" / "configs" / "train" / "all.yml"
F1, PA_MPJPE_MM = 0.99, 30.0
SEED = 5
LEAST_PEOPLE = 2
WARMUP_STEPS, VALIDATE_EVERY = 30, 25
UNEQUAL = 1e-3
"""No two cells of a network's map have the same value; in a target all centres have 1, and neighbours would both count as peaks."""


def rate(step: int, steps: int) -> float:
    """Factor of the rate: it rises over `WARMUP_STEPS` and falls to 0 in the second half."""
    return min(1.0, (step + 1) / WARMUP_STEPS, 2 * (1 - step / steps))


class Learned(Exception):
    """Both aims are reached."""


class Targets(nn.Module):
    """Says the target centre map of a batch, with peaks of slightly different heights; nothing about the people."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        lower = UNEQUAL * torch.rand(batch.center_map.shape, generator=torch.Generator().manual_seed(SEED))
        self.center_map = nn.Parameter(batch.center_map - lower, requires_grad=False)

    def forward(self, images: torch.Tensor, *_: torch.Tensor) -> Maps:
        """Maps whose parameters are those of a body at rest in the middle of everything."""
        params = torch.full((len(images), 148, *self.center_map.shape[2:]), 0.5)
        return Maps(params, self.center_map)


def ceiling(samples: Sequence[Sample], body: Body, threshold: float) -> float:
    """Centre F1 of the targets themselves."""
    batch = collate(samples)
    return figures(Targets(batch), [batch], body, threshold)["f1"]


def choose(side: int, number: int, body: Body, threshold: float) -> tuple[list[Sample], list[Sample], int]:
    """The first tiles, the first ones of several people who can all be said apart, and how many were passed over for those."""
    tiles = SyntheticTiles(side, seed=SEED)

    def good(index: int) -> bool:
        sample = tiles[index]
        return sample.masks[:, Label.PRESENT].sum() >= LEAST_PEOPLE and ceiling([sample], body, threshold) == 1

    rows = list(islice(filter(good, count()), number))
    return [tiles[index] for index in range(number)], [tiles[index] for index in rows], rows[-1] + 1 - number


def main() -> None:
    """Train and print figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400, help="at most (400)")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--side", type=int, default=256, help="pixels along a tile's side (256)")
    parser.add_argument("--any", action="store_true", help="tiles as they come, people who cannot be said apart included")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    config = read_config(CONFIG, TrainConfig, ["backbone=compact", "dataset=synthetic", "device=cpu"])
    body, fabric = load_body("free_low"), make_fabric("fp32", 1, "cpu")
    first, separable, passed = choose(arguments.side, arguments.tiles, body, config.centermap_conf_thresh)
    for name, samples in (("first tiles", first), (f"first tiles with everybody apart, {passed} passed over", separable)):
        people = sum(int(sample.masks[:, Label.PRESENT].sum()) for sample in samples)
        best = ceiling(samples, body, config.centermap_conf_thresh)
        print(f"{len(samples)} {name}: {people} people, targets themselves reach centre F1 {best:.3f}", flush=True)
    batch, started = collate(first if arguments.any else separable), time.process_time()
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

    recipe = Recipe(
        arguments.steps, arguments.rate, rate, weight_decay=0.0, clip_norm=float(np.inf), average_decay=0.0, validate_every=VALIDATE_EVERY
    )
    loss = stage_loss(config, 1, body, load_network_prior(None), fabric)
    try:
        with tempfile.TemporaryDirectory() as folder:
            fit(network, batches, loss, measure, recipe, Path(folder), {}, fabric=fabric)
    except Learned:
        print(f"centre F1 ≥ {F1} and PA-MPJPE ≤ {PA_MPJPE_MM} mm")


if __name__ == "__main__":
    main()
