"""What a photograph cannot be had for less: to decode it, and to multiply what the networks multiply. Shared by the benchmarks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from crowd3d.imaging import GigapixelImage
from crowd3d.model.compiled import Engines
from crowd3d.model.engines import Engine, Precision
from crowd3d.pipeline.process import ProcessOptions, look
from crowd3d.pipeline.weights import pose_assets
from crowd3d.pose.backends import scout
from crowd3d.settings import load_settings

ENOUGH_S = 1.0
"""A network runs for so many processor seconds before it is said what an image costs it."""


class Alone(NamedTuple):
    """A network alone, on as many images as a reconstruction shows it.

    Attributes:
        name: of its weights.
        images: tiles, boxes or windows, mirrored ones included.
        seconds: of the processor.
        gflop: billions of operations; a multiplication and an addition are two.
    """

    name: str
    images: int
    seconds: float
    gflop: float


class Least(NamedTuple):
    """What a reconstruction needs at least.

    Attributes:
        networks: those that find people and their keypoints.
        decode_s: processor seconds of reading every pixel of the file once.
        gflops: billions of operations per processor second of a large matrix product in fp32.
    """

    networks: list[Alone]
    decode_s: float
    gflops: float

    @property
    def networks_s(self) -> float:
        """Processor seconds of the networks alone."""
        return sum(one.seconds for one in self.networks)

    @property
    def seconds(self) -> float:
        """Decoding, and the networks' operations at the rate of a matrix product."""
        return self.decode_s + sum(one.gflop for one in self.networks) / self.gflops


@dataclass
class _Counted:
    """An engine that counts what it is shown and keeps the first of it."""

    name: str
    engine: Engine
    gflops_each: float
    images: int = 0
    first: tuple[np.ndarray, ...] = ()

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        self.images += len(inputs[0])
        self.first = self.first or tuple(array.copy() for array in inputs)
        return self.engine(*inputs)

    def alone(self) -> Alone:
        """Show it the first batch again and again, with nothing else to do."""
        if not self.images:
            return Alone(self.name, 0, 0.0, 0.0)
        self.engine(*self.first)
        start, shown = time.process_time(), 0
        while time.process_time() - start < ENOUGH_S:
            self.engine(*self.first)
            shown += len(self.first[0])
        each = (time.process_time() - start) / shown
        return Alone(self.name, self.images, each * self.images, self.gflops_each * self.images)


@dataclass(frozen=True)
class _Counting(Engines):
    """Loads engines that count."""

    loaded: list[_Counted] = field(default_factory=list, compare=False)

    def load(
        self,
        read: Callable[[Path], nn.Module],
        weights: Path,
        examples: Sequence[np.ndarray],
        precision: Precision = "fp32",
        exact_until: str | None = None,
    ) -> Engine:
        """As `Engines`."""
        engine = super().load(read, weights, examples, precision, exact_until)
        self.loaded.append(_Counted(weights.stem, engine, gflops_each(read(weights), [torch.from_numpy(example) for example in examples])))
        return self.loaded[-1]


def least_of(path: Path, gflops: float) -> Least:
    """Find everybody in a photograph, count what the networks are shown, and run them on as much, alone; `gflops` as of `Least`."""
    assets = pose_assets(load_settings())
    counting = _Counting(assets.engines.name, assets.engines.cache, assets.engines.device)
    look(GigapixelImage(path), ProcessOptions(scout(replace(assets, engines=counting))))
    return Least([one.alone() for one in counting.loaded], decode_seconds(path), gflops)


def decode_seconds(path: Path) -> float:
    """Processor seconds of reading every pixel of a file once, in order."""
    start = time.process_time()
    pyvips.Image.new_from_file(str(path), access="sequential").avg()
    return time.process_time() - start


def gflops_each(network: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Billions of operations that one of the inputs takes."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops() / len(inputs[0]) / 1e9


def matrix_gflops(clock: Callable[[], float] = time.perf_counter, side: int = 3072, rounds: int = 8) -> float:
    """Billions of operations per second of `clock` in fp32, the best of some large matrix products."""
    a, b = torch.rand(2, side, side)
    best = math.inf
    for _ in range(rounds):
        start = clock()
        a @ b
        best = min(best, clock() - start)
    return 2 * side**3 / best / 1e9


def core_gflops() -> float:
    """Billions of operations per processor second: with more threads those that wait for others would count. Leaves one thread."""
    torch.set_num_threads(1)
    return matrix_gflops(time.process_time)
