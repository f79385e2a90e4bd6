"""The training loop of every network: one optimiser step after the other, on any number of processes, with exact resume.

All that is random in step i follows from i, the batches too, so that a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from crowd3d.errors import TrainingFailed
from crowd3d.files import temporaries
from crowd3d.locks import locked
from crowd3d.model import load_weights, save_weights
from crowd3d.training.recipe import Recipe
from crowd3d.training.record import Record
from crowd3d.training.state import TrainingState, parameter_groups

log = logging.getLogger(__name__)

AHEAD = 4
STATE_FILE, WEIGHTS_FILE, BEST_FILE = "state.pt", "weights.safetensors", "best.safetensors"

Batches = Callable[[int, int], Iterator[Any]]
"""(first, last + 1) → the batches of those numbers; step i with n batches per step takes number n · i and the following."""
Loss = Callable[[nn.Module, Any], dict[str, Tensor]]
Validate = Callable[[nn.Module], dict[str, float]]
Draw = Callable[[nn.Module], np.ndarray]


def fit(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    validate: Validate,
    recipe: Recipe,
    folder: Path,
    metadata: dict[str, str],
    *,
    fabric: Fabric | None = None,
    draw: Draw | None = None,
) -> None:
    """Train `network`; write ``weights.safetensors``, and ``best.safetensors`` if the recipe says what is best.

    The state is in ``state.pt``, figures in ``log.jsonl`` and TensorBoard files, all in `folder`.

    Args:
        network: what to train; left with its last weights.
        batches: see `Batches`; what it gives is moved to the network's device by `loss`.
        loss: weighted terms of a batch, which are summed, always the same ones. With several processes the average over them must be
            the loss of all their batches together.
        validate: figures of a network in eval mode, called without gradients in the first process only.
        recipe: length, rate and rhythm.
        folder: where everything goes.
        metadata: stored beside the weights, with the figures.
        fabric: devices, precision and processes, already launched; by default one CPU.
        draw: (H, W, 3) uint8 picture for TensorBoard at every validation.

    Raises:
        MissingAsset: ``state.pt`` does not fit the network.
        TrainingFailed: loss or gradient is no number; the last saved state is kept.
        BadOutput: the folder cannot be written, or another run works in it; the last saved state is kept.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    with _alone(folder) if fabric.is_global_zero else nullcontext():
        network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate)
        state = TrainingState(network, optimizer, {key: value.clone() for key, value in network.state_dict().items()})
        state.resume(folder / STATE_FILE, fabric.device)
        if state.step >= recipe.steps:
            log.info("trained before, %d steps: %s", state.step, folder)
            return
        if state.step:
            log.info("resuming at step %d of %d: %s", state.step, recipe.steps, folder)
        if state.scaler:
            fabric.strategy.precision.load_state_dict(state.scaler)
        trained = fabric.setup(network, optimizer)
        source = iter(batches(state.step * recipe.accumulate, recipe.steps * recipe.accumulate))
        record = Record(folder, state.step, recipe.steps) if fabric.is_global_zero else None
        with record or nullcontext():
            while state.step < recipe.steps:
                terms = _step(fabric, trained, source, loss, recipe, state, folder)
                if record is not None:
                    record.add(terms)
                    _keep(state, recipe, record, folder, metadata, validate, draw)
                if recipe.due(recipe.validate_every, state.step):
                    fabric.barrier()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder, without what killed runs have left there."""
    with locked(folder):
        for leftover in temporaries(folder):
            leftover.unlink()
        yield


def fit_in_rounds(
    network: nn.Module,
    make_batch: Callable[[np.random.Generator], Any],
    loss: Loss,
    validate: Validate,
    recipe: Recipe,
    folder: Path,
    metadata: dict[str, str],
) -> None:
    """`fit` as many times as the recipe says, in ``round_0``, ``round_1`` and so on; the mean of start and ends is in `folder`."""
    start = {key: value.clone() for key, value in network.state_dict().items()}
    ends = []
    for number in range(recipe.rounds):
        inner = folder / f"round_{number}"
        fit(network, made_ahead(make_batch, number), loss, validate, recipe, inner, metadata)
        ends.append(load_weights(inner / WEIGHTS_FILE)[0])
    mean = {key: torch.stack([end[key] for end in ends]).double().mean(0) for key in start}
    network.load_state_dict({key: torch.lerp(mean[key], start[key].double(), recipe.start_share) for key in start})
    network.eval()
    with torch.inference_mode():
        figures = validate(network)
    described = {**metadata, "steps": str(recipe.steps * recipe.rounds), **_as_text(figures)}
    save_weights(folder / WEIGHTS_FILE, network, described, half=recipe.half)


def _as_text(figures: dict[str, float]) -> dict[str, str]:
    return {name: f"{value:.5g}" for name, value in figures.items()}


def _step(
    fabric: Fabric,
    trained: tuple[Any, Any],
    source: Iterator[Any],
    loss: Loss,
    recipe: Recipe,
    state: TrainingState,
    folder: Path,
) -> dict[str, Tensor]:
    """One optimiser step; returns the loss terms, means over what is accumulated."""
    module, optimizer = trained
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(state.step)
    torch.manual_seed(state.step * fabric.world_size + fabric.global_rank)
    optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for part in range(recipe.accumulate):
        with fabric.no_backward_sync(module, enabled=part < recipe.accumulate - 1):
            terms = {name: term / recipe.accumulate for name, term in loss(module, next(source)).items()}
            fabric.backward(torch.stack(list(terms.values())).sum())
        means = {name: means.get(name, 0.0) + term.detach() for name, term in terms.items()}
    values = cast(Tensor, fabric.all_reduce(torch.stack(list(means.values())), reduce_op="mean"))
    _check("loss", values.sum(), state, folder)
    length = fabric.clip_gradients(module, optimizer, max_norm=recipe.clip_norm, error_if_nonfinite=False)
    if getattr(fabric.strategy.precision, "scaler", None) is None:
        # With fp16, infinite gradients are normal: the scaler skips such a step and scales the next one less.
        _check("gradient", length, state, folder)
    optimizer.step()
    state.step += 1
    state.update_average(recipe.average_decay)
    state.scaler = fabric.strategy.precision.state_dict()
    return dict(zip(means, values, strict=True))


def _check(what: str, value: Tensor | None, state: TrainingState, folder: Path) -> None:
    if value is not None and not torch.isfinite(value):
        raise TrainingFailed(
            f"{what} became {float(value)} at step {state.step}; the state before it is kept in {folder / STATE_FILE}; "
            "try a lower rate, or fp32 instead of fp16"
        )


def _keep(
    state: TrainingState, recipe: Recipe, record: Record, folder: Path, metadata: dict[str, str], validate: Validate, draw: Draw | None
) -> None:
    """Report, validate and save after a step, when it is time."""
    record.bar.update()
    if recipe.due(recipe.report_every, state.step):
        record.report(state.step, recipe.rate(state.step - 1))
    if recipe.due(recipe.validate_every, state.step):
        record.validation(state.step, *_publish(state, recipe, folder, {**metadata, "steps": str(state.step)}, validate, draw))
    if recipe.due(recipe.save_every, state.step):
        state.save(folder / STATE_FILE)


def _publish(
    state: TrainingState, recipe: Recipe, folder: Path, metadata: dict[str, str], validate: Validate, draw: Draw | None
) -> tuple[dict[str, float], np.ndarray | None]:
    """Validate the averaged weights and write them with their figures; the network itself is left as it was."""
    network = state.network
    current = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(state.average)
    network.eval()
    with torch.inference_mode():
        figures = validate(network)
        picture = None if draw is None else draw(network)
    metadata = {**metadata, **_as_text(figures)}
    save_weights(folder / WEIGHTS_FILE, network, metadata, half=recipe.half)
    if recipe.best_by is not None and figures[recipe.best_by] >= state.best:
        state.best = figures[recipe.best_by]
        save_weights(folder / BEST_FILE, network, metadata, half=recipe.half)
    network.load_state_dict(current)
    network.train()
    return figures, picture


def made_ahead(make_batch: Callable[[np.random.Generator], Any], seed: int = 0) -> Batches:
    """Batches from a function; batch i comes from a generator seeded with `seed` and i, in a thread that stays a few ahead."""

    def batches(start: int, stop: int) -> Iterator[Any]:
        numbers = iter(range(start, stop))
        pool = ThreadPoolExecutor(1)
        try:
            waiting = deque(pool.submit(_numbered, make_batch, seed, number) for number in islice(numbers, AHEAD))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(_numbered, make_batch, seed, number) for number in islice(numbers, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return batches


def _numbered(make_batch: Callable[[np.random.Generator], Any], seed: int, number: int) -> Any:
    return make_batch(np.random.default_rng([number, seed]))
