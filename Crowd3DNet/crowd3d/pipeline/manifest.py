"""A run's memory: which stages are done, with which inputs, so that a second run does only what is missing."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crowd3d.files import write_json
from crowd3d.pipeline.memory import peak_memory_mb

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class Run:
    """The stages of one photograph in one folder, recorded in its ``manifest.json``.

    A stage is skipped when it was finished with the same inputs and its files are still there. When a stage runs, the stages after it
    run too, because their inputs name it.

    Args:
        folder: where ``manifest.json`` lives.
        overwrite: forget what was done.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.path = Path(folder) / MANIFEST
        self.stages: dict[str, dict[str, Any]] = {} if overwrite else _read(self.path)
        self._upstream = ""

    def stage(self, name: str, inputs: Mapping[str, Any], outputs: Sequence[Path], make: Callable[[], None]) -> None:
        """Run `make` unless it was done: `inputs` (JSON values) as before, all `outputs` there."""
        key = hashlib.blake2b(json.dumps([name, inputs, self._upstream], sort_keys=True).encode(), digest_size=12).hexdigest()
        self._upstream = key
        if self.stages.get(name, {}).get("key") == key and all(path.exists() for path in outputs):
            log.info("%s: done before, kept", name)
            return
        self.stages.pop(name, None)
        started = time.perf_counter()
        make()
        seconds = time.perf_counter() - started
        peak = peak_memory_mb()
        self.stages[name] = {"key": key, "inputs": dict(inputs), "seconds": round(seconds, 2), "peak_mb": peak}
        write_json(self.path, {"stages": self.stages})
        log.info("%s: %.1f s%s", name, seconds, "" if peak is None else f", {peak} MB at most")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (OSError, ValueError, KeyError):
        return {}
