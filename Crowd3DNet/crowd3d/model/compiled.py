"""Networks compiled by OpenVINO, kept on disk: compiling takes seconds and hundreds of megabytes, reading what came out of it tenths."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crowd3d.errors import BadOutput
from crowd3d.files import atomic_path, weights_digest
from crowd3d.model.engines import CompiledEngine, Engine, EngineName, Precision, chosen_engine, core_count, openvino_core, openvino_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

log = logging.getLogger(__name__)

MOST_KEPT = 12
"""Of compiled networks; those that were not used for longest go."""
CHECK_BYTES = 4
OPENVINO_CAPABILITY = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


@dataclass(frozen=True)
class Engines:
    """How networks run on this machine.

    Attributes:
        name: see `crowd3d.model.conversion.make_engine`.
        cache: folder where compiled networks are kept; None compiles them every time.
        device: see `crowd3d.model.engines.choose_device`.
    """

    name: EngineName = "auto"
    cache: Path | None = None
    device: str = "auto"

    def load(
        self,
        read: Callable[[Path], nn.Module],
        weights: Path,
        examples: Sequence[np.ndarray],
        precision: Precision = "fp32",
        exact_until: str | None = None,
    ) -> Engine:
        """A network ready to run, compiled earlier if it was.

        Args:
            read: makes the network from a file of weights; if it was compiled earlier it is not called, so it had better import PyTorch
                itself.
            weights: the file.
            examples: inputs of one call; only the size of the batch may be another later.
            precision: the least that this network bears; used by OpenVINO where the processor multiplies matrices in it.
            exact_until: see `crowd3d.model.conversion.compiled_engine`.

        Raises:
            MissingAsset, BackendFailed: as `read` and `make_engine`.
        """
        if chosen_engine(self.name, self.device)[0] != "openvino":
            from crowd3d.model.conversion import make_engine

            return make_engine(read(weights), _tensors(examples), self.name, device=self.device)
        if not in_hardware(precision):
            precision = "fp32"
        if self.cache is None:
            return _compiled(read(weights), examples, precision, exact_until)
        path = self.cache / f"{_key(read, weights, examples, precision, exact_until)}.bin"
        content = _read(path)
        if content is not None:
            return CompiledEngine.read(content, precision, core_count())
        engine = _compiled(read(weights), examples, precision, exact_until)
        _keep(path, engine.export())
        return engine


AUTO = Engines()


def _compiled(module: nn.Module, examples: Sequence[np.ndarray], precision: Precision, exact_until: str | None) -> CompiledEngine:
    from crowd3d.model.conversion import compiled_engine

    return compiled_engine(module.eval(), _tensors(examples), precision, core_count(), exact_until)


def _tensors(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    import torch

    return [torch.from_numpy(array) for array in arrays]


def in_hardware(precision: Precision) -> bool:
    """Whether this processor computes in that precision itself, as OpenVINO tells."""
    return OPENVINO_CAPABILITY[precision] in _processor("OPTIMIZATION_CAPABILITIES")


def _processor(about: str) -> Any:
    return openvino_core().get_property("CPU", about)


def _key(
    read: Callable[[Path], nn.Module], weights: Path, examples: Sequence[np.ndarray], precision: Precision, exact_until: str | None
) -> str:
    """Changes with everything that the compiled network depends on: weights, code, shapes, OpenVINO, the processor."""
    processor = [str(_processor(about)) for about in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    inputs = [f"{example.dtype} {example.shape[1:]}" for example in examples]
    told = [
        read.__module__,
        read.__qualname__,
        weights_digest(weights),
        openvino_of().get_version(),
        *processor,
        *inputs,
        precision,
        str(exact_until),
    ]
    digest = hashlib.blake2b("\n".join([*told, str(core_count())]).encode(), digest_size=12)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes | None:
    """A compiled network; None if there is none, or only a damaged one."""
    try:
        with path.open("rb") as file:
            check, content = file.read(CHECK_BYTES), file.read()
        path.touch()
    except OSError:
        return None
    if check == _check(content):
        return content
    log.warning("%s is damaged; compiling again", path)
    return None


def _keep(path: Path, content: bytes) -> None:
    """Write it and remove those that were not used for longest; a folder that cannot be written costs time only."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(_check(content) + content)
        kept = sorted(path.parent.glob("*.bin"), key=lambda one: one.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
    except (BadOutput, OSError) as error:
        log.info("compiled networks are not kept: %s", error)


def _check(content: bytes) -> bytes:
    """Tells damage, and takes a sixth of the time of a digest."""
    return zlib.crc32(content).to_bytes(CHECK_BYTES, "big")
