"""A tiny stage of the published recipe; the tests run it here, in processes that get killed, and in several processes at once."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import torch
from made_up_samples import made_up_sample

from crowd3d.bodies import load_body
from crowd3d.model import Crowd3DNet
from crowd3d.model.configs import read_config
from crowd3d.training.config import TrainConfig
from crowd3d.training.distributed import make_fabric
from crowd3d.training.supervision import Sample, collate
from crowd3d.training.train_crowd3dnet import train_stage

CONFIGS = Path(__file__).resolve().parents[2] / "Crowd3DNet" / "configs" / "train"
TINY = ["backbone=compact", "dataset=synthetic", "device=cpu", "epoch=2", "steps_per_epoch=3", "save_every=2", "report_every=1", "lr=1e-3"]
EVERYWHERE = "centermap_conf_thresh=-9"
"""Lets the untrained network see somebody everywhere, so that all losses have something to say."""


@dataclass(frozen=True)
class MadeUpTiles:
    """Seven tiles with different numbers of people, whose noise depends on the generator; SIGKILL ends what asks for too many."""

    deadly: int | None = None
    asked: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return 7

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        if next(self.asked) == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        sample = made_up_sample(index, people=1 + index)
        return sample._replace(images=rng.integers(0, 256, sample.images.shape, dtype=np.uint8))


def run(folder: Path, *overrides: str, deadly: int | None = None, processes: int = 1) -> None:
    """Train two epochs of three steps in `folder`."""
    config = read_config(CONFIGS / "all.yml", TrainConfig, [*TINY, EVERYWHERE, *overrides])
    fabric = make_fabric("fp32", processes, "cpu")
    torch.manual_seed(config.seed)
    network = Crowd3DNet("compact").train()
    held = [collate([made_up_sample(seed) for seed in (100, 101)])]
    train_stage(config, network, MadeUpTiles(deadly), held, load_body("free_low"), None, folder, fabric)


if __name__ == "__main__":
    run(
        Path(sys.argv[1]),
        *sys.argv[2:],
        deadly=int(os.environ["DEADLY"]) if "DEADLY" in os.environ else None,
        processes=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
    )
