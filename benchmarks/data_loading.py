"""Does data loading keep up? Samples per second that worker processes make, against those that the network consumes in a training step.

    python benchmarks/data_loading.py                                              compact backbone, 256² synthetic tiles
    python benchmarks/data_loading.py --backbone hrnet_w32 --workers 8 --device cuda

The last line says how many workers feed this device. Wall time is counted; let nothing else run.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import islice
from pathlib import Path

import torch

from crowd3d.bodies import load_body
from crowd3d.model import Crowd3DNet
from crowd3d.model.configs import read_config
from crowd3d.training.batches import loader, open_source
from crowd3d.training.config import TrainConfig
from crowd3d.training.distributed import make_fabric
from crowd3d.training.supervision.network_prior import load_network_prior
from crowd3d.training.train_crowd3dnet import stage_loss

CONFIGS = Path(__file__).resolve().parents[1] / "Crowd3DNet" / "configs" / "train"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batches", type=int, default=6, help="timed, after as many that warm up")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    keys = [f"backbone={arguments.backbone}", "dataset=synthetic", f"batch_size={arguments.batch}", f"device={arguments.device}"]
    config = read_config(CONFIGS / "all.yml", TrainConfig, keys)
    fabric = make_fabric(config.model_precision, 1, config.device)
    source = open_source(config, Path(), Path())
    made = iter(loader(source, config.batch_size, arguments.workers, 0, fabric)(0, 10**6))
    held = list(islice(made, arguments.batches))
    start = time.perf_counter()
    held = list(islice(made, arguments.batches))
    loading = arguments.batches * arguments.batch / (time.perf_counter() - start)
    del made

    network = fabric.setup(Crowd3DNet(arguments.backbone).train())
    loss = stage_loss(config, 1, load_body("free_low"), load_network_prior(None), fabric)

    def step(index: int) -> None:
        network.zero_grad(set_to_none=True)
        fabric.backward(torch.stack(list(loss(network, held[index % len(held)]).values())).sum())
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    step(0)
    start = time.perf_counter()
    for index in range(arguments.batches):
        step(index)
    consuming = arguments.batches * arguments.batch / (time.perf_counter() - start)
    needed = math.ceil(consuming / (loading / arguments.workers))
    print(f"{arguments.workers} workers make {loading:.1f} synthetic tiles of {config.tile_px}² per second, augmented")
    print(f"{arguments.backbone} on {fabric.device} trains on {consuming:.1f} per second: {needed} workers keep it busy (nw={needed})")


if __name__ == "__main__":
    main()
