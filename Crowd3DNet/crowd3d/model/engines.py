"""Networks ready to run: arrays in, arrays out, whatever computes.

Nothing here needs PyTorch, which takes two seconds to import: a network that was compiled earlier runs without it. `conversion` makes
engines of modules.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from crowd3d.errors import BadConfig, MissingAsset

EngineName = Literal["auto", "torch", "openvino", "onnx"]
ON_CPU = ("openvino", "onnx")
Precision = Literal["fp32", "bf16", "fp16"]
OPENVINO_PRECISION = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
DEVICES, GPU_FILES = Path("/dev"), ("nvidia*", "nvhost*", "kfd", "dxg")
"""Where Linux shows drivers, and those of GPUs that PyTorch computes on (NVIDIA, AMD, either of them behind Windows)."""


class Engine(Protocol):
    """A network ready to run; the size of the batch may change from call to call."""

    name: str

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run one batch of arrays, pixels uint8 and all else float32; outputs are float32, a single one is a tuple of one."""
        ...


def chosen_engine(engine: EngineName, device: str) -> tuple[EngineName, str]:
    """What ``auto`` means on this machine: the engine, and the device that it runs on.

    Raises:
        BadConfig: there is no such engine or device, or they do not go together.
    """
    if engine not in get_args(EngineName):
        raise BadConfig(f"no engine {engine!r}; there are {', '.join(get_args(EngineName))}")
    where = "cpu" if engine in ON_CPU and device == "auto" else choose_device(device)
    if engine in ON_CPU and where != "cpu":
        raise BadConfig(f"engine {engine} runs on the CPU, not on {where}; choose --engine torch, or --device cpu")
    if engine != "auto":
        return engine, where
    return ("openvino" if where == "cpu" and find_spec("openvino") is not None else "torch"), where


def choose_device(name: str = "auto") -> str:
    """Where networks run: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` is a GPU if there is one.

    Raises:
        BadConfig: there is no such device in this machine.
    """
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, usable in there.items() if usable)
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there.get(kind, False) or (number and not (number.isdecimal() and int(number) < count)):
        usable = ", ".join(kind for kind, usable in there.items() if usable)
        raise BadConfig(f"no device {name!r} in this machine; choose auto or {usable}")
    return name


def may_have_gpu() -> bool:
    """False where PyTorch need not be asked: it is a build for CPUs, or Linux has no driver of a GPU."""
    with suppress(PackageNotFoundError):  # some systems install it without telling its version
        if version("torch").endswith("+cpu"):
            return False
    return sys.platform != "linux" or any(any(DEVICES.glob(pattern)) for pattern in GPU_FILES)


def core_count() -> int:
    """Threads that a network gets: ``OMP_NUM_THREADS`` if it is set, as PyTorch has it; else one for each core that this process may use,
    without hyper-threads where Linux tells them."""
    told = os.environ.get("OMP_NUM_THREADS", "")  # noqa: TID251 (as PyTorch reads it)
    if told.isdecimal() and int(told) > 0:
        return int(told)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    siblings = {path.read_text() for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")}
    return min(usable, len(siblings)) if siblings else usable


class CompiledEngine:
    """A network of OpenVINO on the CPU. Every thread works on inputs of its own: that scales better than several threads on one
    convolution.

    Args:
        compiled: the network.
        content: where its weights may lie.
    """

    name = "openvino"

    def __init__(self, compiled: Any, content: bytes = b"") -> None:
        self.compiled = compiled
        # OpenVINO may go on reading the weights where they are.
        self.content = content
        self.requests = [compiled.create_infer_request() for _ in range(int(compiled.get_property("NUM_STREAMS")))]

    @classmethod
    def read(cls, content: bytes, precision: Precision, threads: int) -> CompiledEngine:
        """From what `export` gave on this machine."""
        return cls(openvino_core().import_model(content, "CPU", openvino_properties(precision, threads)), content)

    def export(self) -> bytes:
        """For `read`."""
        return self.compiled.export_model().getvalue()

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        chunks = list(zip(*(np.array_split(array, min(len(self.requests), len(array))) for array in inputs), strict=True))
        busy = self.requests[: len(chunks)]
        for request, chunk in zip(busy, chunks, strict=True):
            request.start_async([np.ascontiguousarray(array) for array in chunk])
        for request in busy:
            request.wait()
        # Concatenating copies the results out of the requests' buffers, which the next call overwrites.
        outputs = [[tensor.data for tensor in request.output_tensors] for request in busy]
        return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))


def openvino_properties(precision: Precision, threads: int) -> dict[str, Any]:
    """How OpenVINO is to run a network."""
    return {"INFERENCE_PRECISION_HINT": OPENVINO_PRECISION[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}


@cache
def openvino_core() -> Any:
    """The package's runtime; making it takes hundredths of a second.

    Raises:
        MissingAsset: OpenVINO is not installed.
    """
    return openvino_of().Core()


def openvino_of() -> Any:
    """The package, which is not to tell its makers of every import, over the network: it does so where it finds this other one.

    Raises:
        MissingAsset: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # imports of it fail
    return package_of("openvino", "openvino")


def package_of(name: str, packages: str) -> Any:
    """A package that an engine needs, and those that come with it.

    Raises:
        MissingAsset: it is not installed.
    """
    try:
        return __import__(name)
    except ImportError as error:
        raise MissingAsset(f"engine needs the package {name}: {error}; pip install {packages}, or choose --engine torch") from error
