"""The record of a run: TensorBoard, ``log.jsonl`` and ``loss.jsonl``, a progress bar and lines on the terminal."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from crowd3d.files import atomic_path

log = logging.getLogger(__name__)

OF_LOSS, OF_VALIDATION = "loss.jsonl", "log.jsonl"


class Record:
    """Use it as a context; only one process of a run keeps one.

    Args:
        folder: where the files go.
        step: first step.
        steps: length of the run.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self.folder, self.first, self.steps = folder, step, steps
        self.started = time.time()
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Record:
        # What a killed run wrote after its last saved state is written again: TensorBoard shadows it, lines are taken away.
        for name in (OF_LOSS, OF_VALIDATION):
            self._forget(name)
        self.writer = SummaryWriter(str(self.folder), purge_step=self.first + 1)
        self.bar = tqdm(total=self.steps, initial=self.first, unit="step", disable=None, dynamic_ncols=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()
        self.writer.close()

    def add(self, terms: dict[str, Tensor]) -> None:
        """Remember the loss terms of a batch; nothing waits for the device."""
        for name, value in terms.items():
            value = value.detach()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def report(self, step: int, rate: float) -> None:
        """Write the means of the terms since the last report."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        speed = (step - self.first) / max(time.time() - self.started, 1e-9)
        total = sum(means.values())
        log.info("step %d/%d, %.2f steps/s, loss %.4g %s", step, self.steps, speed, total, {k: round(v, 4) for k, v in means.items()})
        for name, mean in means.items():
            self.writer.add_scalar(f"loss/{name}", mean, step)
        self.writer.add_scalar("loss/total", total, step)
        self.writer.add_scalar("learning_rate", rate, step)
        self._line(OF_LOSS, {"step": step, "loss": total, "terms": means, "rate": rate})

    def validation(self, step: int, figures: dict[str, float], picture: np.ndarray | None) -> None:
        """Write what a validation found; `picture` is (H, W, 3) uint8."""
        log.info("validation at %d: %s", step, {k: round(v, 4) for k, v in figures.items()})
        for name, figure in figures.items():
            self.writer.add_scalar(f"validation/{name}", figure, step)
        if picture is not None:
            self.writer.add_image("validation/centres", torch.from_numpy(picture), step, dataformats="HWC")
        self.writer.flush()
        self._line(OF_VALIDATION, {"step": step, "seconds": round(time.time() - self.started), **figures})

    def _forget(self, name: str) -> None:
        """Keep the whole lines up to the first step."""
        path, kept = self.folder / name, []
        if not path.is_file():
            return
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            with suppress(ValueError, KeyError, TypeError):
                if line.endswith("\n") and json.loads(line)["step"] <= self.first:
                    kept.append(line)
        with atomic_path(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def _line(self, name: str, values: dict[str, object]) -> None:
        with open(self.folder / name, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(values) + "\n")
