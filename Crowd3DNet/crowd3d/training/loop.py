"""The training loop of the default networks: one optimiser, one schedule, exact resume."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from crowd3d.errors import Crowd3DError, MissingAsset
from crowd3d.files import atomic_path
from crowd3d.model import save_weights

log = logging.getLogger(__name__)

WARMUP_STEPS = 200
COOLDOWN_SHARE = 0.35
AVERAGE_DECAY = 0.998
SAVE_EVERY = 300
REPORT_EVERY = 50


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train.

    Attributes:
        steps: length of the run; may be changed when resuming.
        learning_rate: peak, held until the last `COOLDOWN_SHARE` of the steps, then lowered linearly to 2 %.
        weight_decay: of matrices and kernels.
        validate_every: steps between validations.
    """

    steps: int
    learning_rate: float
    weight_decay: float = 0.02
    validate_every: int = 1000


def fit(
    network: nn.Module,
    make_batch: Callable[[np.random.Generator], Any],
    loss: Callable[[nn.Module, Any], dict[str, Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
    recipe: Recipe,
    folder: Path,
    metadata: dict[str, str],
) -> None:
    """Train `network` and keep the running average of its weights as ``folder/weights.safetensors``.

    Batch i comes from a generator seeded with i, made ahead in a thread, so that a run that was killed and resumed sees the
    same batches. State: ``state.pt``; figures: ``log.jsonl`` and TensorBoard files in the same folder.

    Raises:
        MissingAsset: ``state.pt`` does not fit the network.
        Crowd3DError: the loss is no longer a number; the last good state is kept.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate)
    average = {key: value.clone() for key, value in network.state_dict().items()}
    state_path = Path(folder) / "state.pt"
    step = _resume(state_path, network, optimizer, average)
    writer = SummaryWriter(str(folder))
    batches = _ahead(make_batch, step, recipe.steps)
    means: dict[str, float] = {}
    started, first = time.time(), step
    while step < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _rate(step, recipe.steps)
        torch.manual_seed(step)
        terms = loss(network, batches.get())
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            raise Crowd3DError(f"loss became {float(total.detach())} at step {step}; the state before it is kept in {state_path}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        _update_average(average, network, step)
        for name, value in terms.items():
            means[name] = 0.98 * means.get(name, float(value.detach())) + 0.02 * float(value.detach())
        if step % REPORT_EVERY == 0:
            speed = (step - first) / (time.time() - started)
            log.info("step %d/%d, %.2f steps/s, %s", step, recipe.steps, speed, {k: round(v, 4) for k, v in means.items()})
            for name, mean in means.items():
                writer.add_scalar(f"loss/{name}", mean, step)
        if step % SAVE_EVERY == 0 or step == recipe.steps:
            _save_state(state_path, network, optimizer, average, step)
        if step % recipe.validate_every == 0 or step == recipe.steps:
            weights_path = Path(folder) / "weights.safetensors"
            figures = _publish(network, average, validate, weights_path, {**metadata, "steps": str(step)})
            log.info("validation at %d: %s", step, figures)
            with open(Path(folder) / "log.jsonl", "a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, "seconds": round(time.time() - started), **figures}) + "\n")
            for name, figure in figures.items():
                writer.add_scalar(f"validation/{name}", figure, step)
    writer.close()


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(step: int, steps: int) -> float:
    left = (steps - step) / (COOLDOWN_SHARE * steps)
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(0.02, min(1.0, left))


def _update_average(average: dict[str, Tensor], network: nn.Module, step: int) -> None:
    decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)


def _publish(
    network: nn.Module, average: dict[str, Tensor], validate: Callable[[nn.Module], dict[str, float]], path: Path, metadata: dict[str, str]
) -> dict[str, float]:
    """Validate the averaged weights and write them with their figures; the network itself is left as it was."""
    current = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(average)
    network.eval()
    with torch.inference_mode():
        figures = validate(network)
    save_weights(path, network, {**metadata, **{name: f"{value:.5g}" for name, value in figures.items()}}, half=True)
    network.load_state_dict(current)
    network.train()
    return figures


def _save_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor], step: int) -> None:
    with atomic_path(path) as temporary:
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": step}, temporary)


def _resume(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]) -> int:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return 0
    try:
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        average.update(state["average"])
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise MissingAsset(f"cannot resume from {path}: {str(error).splitlines()[0]}; delete it to start again") from error
    log.info("resuming at step %d", state["step"])
    return int(state["step"])


def _ahead(make_batch: Callable[[np.random.Generator], Any], start: int, stop: int) -> Queue:
    """Batches of steps start…stop, made by a thread that stays a few ahead and dies with the program."""
    queue: Queue = Queue(maxsize=4)

    def produce() -> None:
        for step in range(start, stop):
            batch = make_batch(np.random.default_rng(step))
            while True:
                try:
                    queue.put(batch, timeout=1.0)
                    break
                except Full:
                    if not threading.main_thread().is_alive():
                        return

    threading.Thread(target=produce, daemon=True).start()
    return queue
