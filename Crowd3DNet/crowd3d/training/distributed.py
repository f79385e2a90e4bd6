"""Devices, precision and processes of a training run.

``torchrun --nproc_per_node N -m crowd3d.cli.main train …`` starts N processes on each machine; each takes its part of every batch. The
result is that of one process with all of the batch: losses are divided by numbers of people of all processes
(`crowd3d.model.supervision.averages`), gradients are averaged, and batch normalisation uses the statistics of the whole batch.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

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
        # Every process has the same buffers, because batch normalisation sees the whole batch.
        options["strategy"] = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
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
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # torch's own synchronised batch normalisation runs on GPUs only.
            module.__class__ = CommonBatchNorm2d


class CommonBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes' batches, which must be equally large."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) → the same, normalised."""
        if not self.training:
            return super().forward(input)
        count = input.numel() / input.shape[1] * torch.distributed.get_world_size()
        mean = all_reduce(input.sum((0, 2, 3))) / count
        centred = input - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = cast(float, self.momentum)
            cast(Tensor, self.num_batches_tracked).add_(1)
            cast(Tensor, self.running_mean).lerp_(mean, momentum)
            cast(Tensor, self.running_var).lerp_(variance * (count / (count - 1)), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]
