"""Batches of the published recipe: number i is always the same one, whoever makes it, so that a run can go on in the middle of an epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from crowd3d.training.config import TrainConfig
from crowd3d.training.datasets import SYNTHETIC, Bodies, MixedData, SyntheticTiles, TileSource, open_datasets
from crowd3d.training.loop import Batches
from crowd3d.training.numbered import NumberedBatch, NumberedBatches, start_worker
from crowd3d.training.supervision import Batch, collate

HELD_OUT_SEED = 900
HELD_OUT_BATCH = 8


def open_source(config: TrainConfig, root: Path, smpl_folder: Path) -> TileSource:
    """The data sets that a configuration names, mixed.

    Args:
        config: names and probabilities.
        root: folder of the published data sets.
        smpl_folder: SMPL's files, for those that annotate SMPL's parameters.

    Raises:
        MissingAsset: a data set is not there or broken.
    """
    names = [name if name == SYNTHETIC else f"{name}_scale" for name in config.datasets]
    datasets = open_datasets(
        names, root, config.tile_px, bodies=Bodies(smpl_folder), augmentation=config.augmentation, seed=config.seed
    )
    return MixedData(datasets, config.shares)


def held_out(config: TrainConfig) -> list[Batch]:
    """Synthetic tiles that no training sees, for validation."""
    tiles = SyntheticTiles(config.tile_px, config.validation_tiles, HELD_OUT_SEED)
    rows = range(0, config.validation_tiles, HELD_OUT_BATCH)
    return [collate([tiles[i] for i in range(row, min(row + HELD_OUT_BATCH, len(tiles)))]) for row in rows]


def loader(source: TileSource, batch_size: int, workers: int, seed: int, fabric: Fabric) -> Batches:
    """Batches of `source`, made ahead by worker processes, at most one for each core of the machine: more take turns only."""
    workers = min(workers, os.cpu_count() or 1)
    batches = NumberedBatches(source, batch_size, seed, fabric.global_rank, fabric.world_size)

    def between(start: int, stop: int) -> Iterator[NumberedBatch]:
        made = DataLoader(
            batches,
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            pin_memory=fabric.device.type == "cuda",
            worker_init_fn=start_worker,
            prefetch_factor=4 if workers else None,
            # A forked worker inherits the locks of threads that it does not have, and waits for them for ever.
            multiprocessing_context="spawn" if workers else None,
        )
        yield from made

    return between
