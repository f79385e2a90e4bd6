"""Tiles per second of Crowd3DNet with every engine that is installed, relative to eager PyTorch in fp32.

    python benchmarks/network.py                                    HRNet-W32 on 512² tiles, as released
    python benchmarks/network.py --backbone compact --side 256      the shipped default

How much reduced precision gains depends on the CPU: bf16 pays off where there are matrix units for it (AMX), and costs time elsewhere.
In fp32 no engine can be faster than multiplications are: the last column is the share of what one large matrix product reaches.
Run it on an idle machine: wall time counts.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec

import numpy as np
import torch
from limit import gflops_each, matrix_gflops

from crowd3d.model import Crowd3DNet, make_engine
from crowd3d.model.crowd3dnet import BACKBONES
from crowd3d.model.engines import Engine, EngineName, Precision

CANDIDATES: tuple[tuple[EngineName, Precision, str], ...] = (
    ("torch", "bf16", "torch"),
    ("openvino", "fp32", "openvino"),
    ("openvino", "bf16", "openvino"),
    ("onnx", "fp32", "onnxruntime"),
)


def tiles_per_second(run: Engine, inputs: tuple[np.ndarray, ...], seconds: float) -> float:
    """Throughput over at least `seconds`, after one call that does not count."""
    run(*inputs)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run(*inputs)
        done += len(inputs[0])
    return done / (time.perf_counter() - start)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=BACKBONES, default="hrnet_w32")
    parser.add_argument("--side", type=int, default=512, help="pixels along a tile's side (512)")
    parser.add_argument("--batch", type=int, default=4, help="tiles per call (4)")
    parser.add_argument("--seconds", type=float, default=10.0, help="time to spend on each engine (10)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (all)")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    network = Crowd3DNet(arguments.backbone)
    images = torch.rand(arguments.batch, arguments.side, arguments.side, 3) * 255
    example = (images, torch.rand(arguments.batch, 3), torch.rand(arguments.batch, 4))
    inputs = tuple(tensor.numpy() for tensor in example)
    capability, amx = torch.backends.cpu.get_cpu_capability(), torch.cpu._is_amx_tile_supported()
    print(f"{arguments.backbone}, {arguments.side}² tiles, {arguments.threads} threads, {capability}, AMX: {'yes' if amx else 'no'}")

    torch.set_num_threads(arguments.threads)
    peak = matrix_gflops() / gflops_each(network.eval(), example)
    print(f"one matrix product would be {peak:.2f} tiles/s")
    eager = make_engine(network, example, "torch", threads=arguments.threads)
    baseline, expected = tiles_per_second(eager, inputs, arguments.seconds), eager(*inputs)
    print(f"{'torch fp32':14}{baseline:8.2f} tiles/s   1.00×  {baseline / peak:5.0%} of a matrix product")
    for engine, precision, package in CANDIDATES:
        if find_spec(package) is None:
            print(f"{engine + ' ' + precision:14} not installed")
            continue
        run = make_engine(network, example, engine, precision, arguments.threads)
        speed = tiles_per_second(run, inputs, arguments.seconds)
        difference = max(float(np.abs(a - b).max()) for a, b in zip(run(*inputs), expected, strict=True))
        figures = f"{speed:8.2f} tiles/s{speed / baseline:7.2f}×  {speed / peak:5.0%} of it, largest difference {difference:.1e}"
        print(f"{engine + ' ' + precision:14}{figures}")


if __name__ == "__main__":
    main()
