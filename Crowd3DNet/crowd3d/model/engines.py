"""Running networks for inference: eager PyTorch, OpenVINO or ONNX Runtime behind one call.

An engine takes the module's positional tensors and returns its output tensors as a tuple; a single output is a tuple of one.
The size of the batch may change from call to call, every other dimension is that of the example inputs.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from crowd3d.errors import BackendFailed, BadConfig, MissingAsset

EngineName = Literal["auto", "torch", "openvino", "onnx"]
ON_CPU = ("openvino", "onnx")
Precision = Literal["fp32", "bf16", "fp16"]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
OPENVINO_PRECISION = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class Engine(Protocol):
    """A network ready to run."""

    name: str

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run one batch; outputs are float tensors on the inputs' device."""
        ...


def make_engine(
    module: nn.Module,
    example: Sequence[Tensor],
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    threads: int | None = None,
    device: str = "auto",
) -> Engine:
    """Prepare `module` for inference. The module is put into eval mode.

    Args:
        module: takes tensors positionally and returns a tensor or a tuple of tensors.
        example: inputs of the right shapes and dtypes.
        engine: ``auto`` takes OpenVINO on a CPU where it is installed, PyTorch otherwise.
        precision: of the arithmetic inside; fp32 agrees with eager PyTorch to 1e-3, the others to about 1e-2.
        threads: CPU threads; by default what PyTorch uses.
        device: see `choose_device`; OpenVINO and ONNX Runtime run on the CPU only.

    Raises:
        BadConfig: there is no such engine or device, or they do not go together.
        MissingAsset: the engine is not installed.
        BackendFailed: the engine cannot run this network.
    """
    module.eval()
    threads = threads or torch.get_num_threads()
    engine, where = chosen_engine(engine, device)
    if engine == "openvino":
        return OpenVINOEngine(module, example, precision, threads)
    if engine == "onnx":
        return ONNXEngine(module, example, precision, threads)
    return TorchEngine(module, precision, threads, where)


def chosen_engine(engine: EngineName, device: str) -> tuple[EngineName, torch.device]:
    """What ``auto`` means on this machine: the engine, and the device that it runs on.

    Raises:
        BadConfig: as of `make_engine`.
    """
    if engine not in get_args(EngineName):
        raise BadConfig(f"no engine {engine!r}; there are {', '.join(get_args(EngineName))}")
    where = torch.device("cpu") if engine in ON_CPU and device == "auto" else choose_device(device)
    if engine in ON_CPU and where.type != "cpu":
        raise BadConfig(f"engine {engine} runs on the CPU, not on {where}; choose --engine torch, or --device cpu")
    if engine != "auto":
        return engine, where
    return ("openvino" if where.type == "cpu" and find_spec("openvino") is not None else "torch"), where


def choose_device(name: str = "auto") -> torch.device:
    """Where networks run: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` is a GPU if there is one.

    Raises:
        BadConfig: there is no such device in this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable in there.items() if usable))
    kind, _, number = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there.get(kind, False) or (number and not (number.isdecimal() and int(number) < count)):
        usable = ", ".join(kind for kind, usable in there.items() if usable)
        raise BadConfig(f"no device {name!r} in this machine; choose auto or {usable}")
    return torch.device(name)


class TorchEngine:
    """Eager PyTorch on any device; inputs are taken there, and outputs come back to where the inputs were."""

    name = "torch"

    def __init__(self, module: nn.Module, precision: Precision, threads: int, device: torch.device) -> None:
        torch.set_num_threads(threads)
        self.module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision, self.device = precision, device

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        reduced = AUTOCAST.get(self.precision)
        with nullcontext() if reduced is None else torch.autocast(self.device.type, dtype=reduced):
            outputs = self.module(*(tensor.to(self.device) for tensor in inputs))
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        return tuple(output.float().to(inputs[0].device) for output in outputs)


class OpenVINOEngine:
    """OpenVINO on the CPU. Every thread works on tiles of its own: that scales better than several threads on one convolution."""

    name = "openvino"
    content: bytes

    def __init__(self, module: nn.Module, example: Sequence[Tensor], precision: Precision, threads: int) -> None:
        openvino = openvino_of()
        shapes = [openvino.PartialShape([-1, *tensor.shape[1:]]) for tensor in example]
        failures = (RuntimeError, ValueError, openvino.frontend.OpConversionFailure, openvino.frontend.GeneralFailure)
        try:
            model = openvino.convert_model(_trace(module, example), example_input=tuple(example), input=shapes)
            self._use(openvino.Core().compile_model(model, "CPU", _properties(precision, threads)), threads)
        except failures as error:
            raise _unusable("openvino", error) from error

    @classmethod
    def of_compiled(cls, content: bytes, precision: Precision, threads: int) -> OpenVINOEngine:
        """From what `compiled.export_model` gave on this machine."""
        engine = cls.__new__(cls)
        # OpenVINO may go on reading the weights where they are.
        engine.content = content
        engine._use(openvino_of().Core().import_model(content, "CPU", _properties(precision, threads)), threads)
        return engine

    def _use(self, compiled: Any, threads: int) -> None:
        self.compiled = compiled
        self.requests = [compiled.create_infer_request() for _ in range(threads)]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        chunks = list(zip(*(tensor.tensor_split(min(len(self.requests), len(tensor))) for tensor in inputs), strict=True))
        busy = self.requests[: len(chunks)]
        for request, chunk in zip(busy, chunks, strict=True):
            request.start_async([tensor.numpy() for tensor in chunk])
        for request in busy:
            request.wait()
        # Concatenating copies the results out of the requests' buffers, which the next call overwrites.
        outputs = [[torch.from_numpy(tensor.data) for tensor in request.output_tensors] for request in busy]
        return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))


def _properties(precision: Precision, threads: int) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": OPENVINO_PRECISION[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}


class ONNXEngine:
    """ONNX Runtime on the CPU, fp32 only."""

    name = "onnx"

    def __init__(self, module: nn.Module, example: Sequence[Tensor], precision: Precision, threads: int) -> None:
        runtime = _import("onnxruntime", "onnxruntime onnx onnxscript")
        _import("onnxscript", "onnxruntime onnx onnxscript")
        if precision != "fp32":
            raise BackendFailed(f"ONNX Runtime runs these networks in fp32, not {precision}; choose --engine openvino or fp32")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = runtime.InferenceSession(_onnx(module, example), options, providers=["CPUExecutionProvider"])
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise _unusable("onnx", error) from error
        self.names = [argument.name for argument in self.session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        feed = {name: tensor.numpy() for name, tensor in zip(self.names, inputs, strict=True)}
        return tuple(torch.from_numpy(output) for output in self.session.run(None, feed))


@torch.inference_mode()
def _trace(module: nn.Module, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    # OpenVINO would trace by itself, and check the trace by tracing twice more: half of the preparation's time.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, tuple(example), check_trace=False)


def _onnx(module: nn.Module, example: Sequence[Tensor]) -> bytes:
    batch = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, tuple(example), dynamo=True, verbose=False, dynamic_shapes=tuple({0: batch} for _ in example))
    buffer = io.BytesIO()
    program.save(buffer)  # type: ignore[union-attr, arg-type]
    return buffer.getvalue()


def openvino_of() -> Any:
    """The package.

    Raises:
        MissingAsset: it is not installed.
    """
    return _import("openvino", "openvino")


def _import(name: str, packages: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise MissingAsset(f"engine needs the package {name}: {error}; pip install {packages}, or choose --engine torch") from error


def _unusable(engine: str, error: Exception) -> BackendFailed:
    return BackendFailed(f"{engine} cannot run this network: {str(error).strip().splitlines()[-1]}; choose --engine torch")
