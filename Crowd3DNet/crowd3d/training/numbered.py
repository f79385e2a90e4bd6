"""The row of all samples of a run, cut into numbered batches. Worker processes import this module, so it leaves heavy ones out."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from crowd3d.training.datasets import TileSource
from crowd3d.training.supervision import Batch, Sample, collate


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


def start_worker(_: int) -> None:
    """First thing that a worker process does."""
    # Threads of OpenCV and torch in every worker would get into each other's way.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
