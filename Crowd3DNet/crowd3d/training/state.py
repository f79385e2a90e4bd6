"""What a run needs to go on exactly where it was, and the running average of a network's weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crowd3d.errors import MissingAsset
from crowd3d.model.checkpoints import load_state, save_state


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels with weight decay, vectors without."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@dataclass
class TrainingState:
    """A network in training.

    Attributes:
        network, optimizer: as they are, not wrapped.
        average: running average of the network's state.
        scaler: state of the gradient scaler of fp16, empty otherwise.
        step: steps done.
        best: best figure so far.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    scaler: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    best: float = float("-inf")

    def update_average(self, longest_decay: float) -> None:
        """Move the average towards the network, faster in the beginning."""
        decay = min(longest_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - decay)
                else:
                    self.average[key].copy_(value)

    def save(self, path: Path) -> None:
        """Write everything atomically.

        Raises:
            BadOutput: the disk is full or the folder cannot be written; the file that was there is kept.
        """
        content = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "scaler": self.scaler,
            "step": self.step,
            "best": self.best,
        }
        save_state(path, content)

    def resume(self, path: Path, device: torch.device) -> None:
        """Go on from a file; does nothing when there is none.

        Raises:
            MissingAsset: the file is broken or of another network.
        """
        if not path.exists():
            return
        content = load_state(path, device)
        try:
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.average.update(content["average"])
            self.scaler, self.step, self.best = content["scaler"], int(content["step"]), float(content["best"])
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            reason = str(error).splitlines() or [type(error).__name__]
            raise MissingAsset(f"cannot resume from {path}: {reason[0]}; delete it to start again") from error
