"""Batches of the published recipe: number i is always the same one, whoever makes it, so that a run can go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from crowd3d.model.supervision import Batch, Sample, collate
from crowd3d.training.config import TrainConfig
from crowd3d.training.datasets import SYNTHETIC, Bodies, Mixture, SyntheticTiles, TileSource, open_datasets
from crowd3d.training.loop import Batches

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
    return Mixture(datasets, config.shares)


def held_out(config: TrainConfig) -> list[Batch]:
    """Synthetic tiles that no training sees, for validation."""
    tiles = SyntheticTiles(config.tile_px, config.validation_tiles, HELD_OUT_SEED)
    rows = range(0, config.validation_tiles, HELD_OUT_BATCH)
    return [collate([tiles[i] for i in range(row, min(row + HELD_OUT_BATCH, len(tiles)))]) for row in rows]


class NumberedBatch(NamedTuple):
    """A batch of tiles and its number in the run."""

    number: int
    tiles: Batch


class NumberedBatches(Dataset[NumberedBatch]):
    """One process's part of every batch.

    All samples of a run stand in one row: the data set in a random order, then in another one, and so on. Batch i takes the next
    `batch_size` samples for each process. A sample's augmentation depends on its place in the row.

    Args:
        source: the data set.
        batch_size: samples per process.
        seed: of order and augmentation.
        rank, processes: this process among all.
    """

    def __init__(self, source: TileSource, batch_size: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.rank, self.processes = rank, processes

    def __getitem__(self, number: int) -> NumberedBatch:
        first = (number * self.processes + self.rank) * self.batch_size
        return NumberedBatch(number, collate([self._sample(place) for place in range(first, first + self.batch_size)]))

    def _sample(self, place: int) -> Sample:
        turn, position = divmod(place, len(self.source))
        row = int(shuffled(len(self.source), self.seed, turn)[position])
        return self.source.sample(row, np.random.default_rng([self.seed, place]))


@lru_cache(maxsize=2)
def shuffled(length: int, seed: int, turn: int) -> np.ndarray:
    """Rows of a data set in the order of its turn-th pass."""
    return np.random.default_rng([seed, turn]).permutation(length)


def _start_worker(_: int) -> None:
    # Threads of OpenCV and torch in every worker would get into each other's way.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def loader(source: TileSource, batch_size: int, workers: int, seed: int, fabric: Fabric) -> Batches:
    """Batches of `source`, made ahead by worker processes."""
    batches = NumberedBatches(source, batch_size, seed, fabric.global_rank, fabric.world_size)

    def between(start: int, stop: int) -> Iterator[NumberedBatch]:
        made = DataLoader(
            batches,
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            pin_memory=fabric.device.type == "cuda",
            worker_init_fn=_start_worker,
            prefetch_factor=4 if workers else None,
            # A forked worker inherits the locks of threads that it does not have, and waits for them for ever.
            multiprocessing_context="spawn" if workers else None,
        )
        yield from made

    return between
