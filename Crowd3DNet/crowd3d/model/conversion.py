"""PyTorch modules → engines: eager PyTorch, OpenVINO or ONNX Runtime.

The size of the batch may change from call to call, every other dimension is that of the example inputs.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from crowd3d.errors import BackendFailed
from crowd3d.model.bf16 import prepared_for_bf16
from crowd3d.model.engines import (
    CompiledEngine,
    Engine,
    EngineName,
    Precision,
    chosen_engine,
    core_count,
    openvino_core,
    openvino_of,
    openvino_properties,
    package_of,
)

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
        threads: CPU threads; by default `core_count`, of PyTorch what it uses.
        device: see `choose_device`; OpenVINO and ONNX Runtime run on the CPU only.

    Raises:
        BadConfig: there is no such engine or device, or they do not go together.
        MissingAsset: the engine is not installed.
        BackendFailed: the engine cannot run this network.
    """
    module.eval()
    engine, where = chosen_engine(engine, device)
    if engine == "openvino":
        return compiled_engine(module, example, precision, threads or core_count())
    if engine == "onnx":
        return ONNXEngine(module, example, precision, threads or core_count())
    return TorchEngine(module, precision, threads, where)


class TorchEngine:
    """Eager PyTorch on any device."""

    name = "torch"

    def __init__(self, module: nn.Module, precision: Precision, threads: int | None, device: str) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = torch.device(device)
        self.module = module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = precision

    @torch.inference_mode()
    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        reduced = AUTOCAST.get(self.precision)
        with nullcontext() if reduced is None else torch.autocast(self.device.type, dtype=reduced):
            outputs = self.module(*(torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs))
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        return tuple(output.float().cpu().numpy() for output in outputs)


def compiled_engine(
    module: nn.Module, example: Sequence[Tensor], precision: Precision, threads: int, exact_until: str | None = None
) -> CompiledEngine:
    """By OpenVINO.

    Args:
        module, example, precision, threads: as of `make_engine`.
        exact_until: a submodule that stays in fp32 where the precision is bf16, with all that comes before it.

    Raises:
        MissingAsset, BackendFailed: as of `make_engine`.
    """
    openvino, root = openvino_of(), logging.getLogger()
    level, filters = root.level, root.filters[:]
    shapes = [openvino.PartialShape([-1, *tensor.shape[1:]]) for tensor in example]
    failures = (RuntimeError, ValueError, openvino.frontend.OpConversionFailure, openvino.frontend.GeneralFailure)
    try:
        model = openvino.convert_model(_trace(module, example), example_input=tuple(example), input=shapes)
        if precision == "bf16":
            model = prepared_for_bf16(model, exact_until and f"__module.{exact_until}/")
        return CompiledEngine(openvino_core().compile_model(model, "CPU", openvino_properties(precision, threads)))
    except failures as error:
        raise _unusable("openvino", error) from error
    finally:
        # Where it fails, OpenVINO leaves everybody's warnings switched off.
        root.setLevel(level)
        root.filters = filters


class ONNXEngine:
    """ONNX Runtime on the CPU, fp32 only."""

    name = "onnx"

    def __init__(self, module: nn.Module, example: Sequence[Tensor], precision: Precision, threads: int) -> None:
        runtime = package_of("onnxruntime", "onnxruntime onnx onnxscript")
        package_of("onnxscript", "onnxruntime onnx onnxscript")
        if precision != "fp32":
            raise BackendFailed(f"ONNX Runtime runs these networks in fp32, not {precision}; choose --engine openvino or fp32")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = runtime.InferenceSession(_onnx(module, example), options, providers=["CPUExecutionProvider"])
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise _unusable("onnx", error) from error
        self.names = [argument.name for argument in self.session.get_inputs()]

    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(self.session.run(None, dict(zip(self.names, map(np.ascontiguousarray, inputs), strict=True))))


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


def _unusable(engine: str, error: Exception) -> BackendFailed:
    return BackendFailed(f"{engine} cannot run this network: {str(error).strip().splitlines()[-1]}; choose --engine torch")
