"""How long, how fast and how carefully to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

WARMUP_STEPS = 200
COOLDOWN_SHARE = 0.35
LOWEST_RATE = 0.02


def trapezoid(step: int, steps: int) -> float:
    """Rise over `WARMUP_STEPS`, hold, then fall linearly to `LOWEST_RATE` over the last `COOLDOWN_SHARE` of the steps."""
    left = (steps - step) / (COOLDOWN_SHARE * steps)
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(LOWEST_RATE, min(1.0, left))


def linear(step: int, steps: int) -> float:
    """Rise over `WARMUP_STEPS`, then fall linearly to `LOWEST_RATE`: for a network that has been trained before."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(LOWEST_RATE, 1.0 - step / steps)


def milestones(epochs: Sequence[int], steps_per_epoch: int, gamma: float = 0.1) -> Callable[[int, int], float]:
    """Multiply the rate by `gamma` when each of `epochs` begins, as the published recipe does."""
    return partial(_at_milestones, tuple(epochs), steps_per_epoch, gamma)


def _at_milestones(epochs: tuple[int, ...], steps_per_epoch: int, gamma: float, step: int, _: int) -> float:
    return gamma ** sum(step // steps_per_epoch >= epoch for epoch in epochs)


@dataclass(frozen=True)
class Recipe:
    """How to train a network. The rate is a function of the step and of nothing else, so that it needs no state to resume.

    Attributes:
        steps: length of the run; may be changed when resuming.
        learning_rate: peak of AdamW's rate.
        schedule: (step, steps) → factor of the peak.
        weight_decay: of matrices and kernels; 0 makes AdamW the plain Adam.
        clip_norm: longest gradient; infinite for no limit.
        average_decay: the published weights are a running average with this decay; 0 for the weights themselves.
        accumulate: batches whose mean gradient makes one step.
        validate_every, save_every, report_every: steps between validations, saved states, and lines of the log.
        best_by: figure of the validation, the larger the better, that chooses ``best.safetensors``; None for no such file.
        half: write float16 weights.
        rounds: runs of so many steps, each from the end of the one before; what is published is the mean of their ends.
        start_share: what the weights that a training begins with count in that mean: what they could do is kept (Wortsman et al., Robust
            fine-tuning of zero-shot models, CVPR 2022).
    """

    steps: int
    learning_rate: float
    schedule: Callable[[int, int], float] = trapezoid
    weight_decay: float = 0.02
    clip_norm: float = 5.0
    average_decay: float = 0.998
    accumulate: int = 1
    validate_every: int = 1000
    save_every: int = 300
    report_every: int = 50
    best_by: str | None = None
    half: bool = True
    rounds: int = 1
    start_share: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * self.schedule(step, self.steps)

    def due(self, every: int, step: int) -> bool:
        """Whether something that happens `every` so many steps happens after this step; everything happens after the last one."""
        return step % every == 0 or step == self.steps
