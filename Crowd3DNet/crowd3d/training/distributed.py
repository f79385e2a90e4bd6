"""Devices, precision and processes of a training run.

``torchrun --nproc_per_node N -m crowd3d.cli.main train …`` starts N processes on each machine; each takes its part of every batch. The
result is that of one process with all of the batch: losses are divided by numbers of people of all processes
(`crowd3d.training.supervision.averages`), gradients are averaged, and batch normalisation uses the statistics of the whole batch.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn

from crowd3d.errors import BadConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: dict[str, Precision] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_fabric(precision: str = "auto", processes_per_node: int = 1, device: str = "auto") -> Fabric:
    """The processes that ``torchrun`` started, or this one alone, ready to train.

    Args:
        precision: fp32, bf16, fp16, or ``auto`` for the published fp16 on a GPU and fp32 elsewhere. Losses and geometry are
            computed in fp32 and float64 whatever it is.
        processes_per_node: how many ``torchrun`` started on this machine.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        BadConfig: the precision is none of these, or the device is not there.
    """
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise BadConfig(f"device {device} is not there; use device=auto, cpu or cuda")
    cuda = device != "cpu" and torch.cuda.is_available()
    if precision == "auto":
        precision = "fp16" if cuda else "fp32"
    if precision not in PRECISIONS or (precision == "fp16" and not cuda):
        raise BadConfig(f"precision {precision} cannot be used here; use precision=fp32 or bf16, on a GPU also fp16")
    options: dict[str, Any] = {}
    if torch.distributed.is_torchelastic_launched():
        options["num_nodes"] = TorchElasticEnvironment().world_size() // processes_per_node
        options["strategy"] = DDPStrategy(gradient_as_bucket_view=True)
    fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=processes_per_node, precision=PRECISIONS[precision], **options)
    fabric.launch()
    return fabric


def synchronise_batch_norm(network: nn.Module, fabric: Fabric) -> None:
    """Let every batch normalisation of `network` see the batches of all processes, in place; nothing to do for a single one."""
    if fabric.world_size == 1:
        return
    if fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                common = CommonBatchNorm2d(child.num_features, child.eps, child.momentum)
                common.load_state_dict(child.state_dict())
                setattr(parent, name, common)


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes; a gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradient: Tensor) -> Tensor:
        total = gradient[0].clone()
        torch.distributed.all_reduce(total)
        return total


class CommonBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes' batches, which must be equally large; torch's own runs on GPUs only."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) → the same, normalised."""
        if not self.training:
            return super().forward(input)
        count = input.numel() / input.shape[1] * torch.distributed.get_world_size()
        mean = _Sum.apply(input.sum((0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = cast(float, self.momentum)
            cast(Tensor, self.num_batches_tracked).add_(1)
            cast(Tensor, self.running_mean).lerp_(mean, momentum)
            cast(Tensor, self.running_var).lerp_(variance * (count / (count - 1)), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]
