"""A convolutional network that is given as a list of steps: what other frameworks' graphs become here, in plain PyTorch, NCHW throughout.

Value 0 is the image; step i makes value i + 1 from earlier ones. A step is a JSON object: ``op``, ``inputs`` (values), and

============  ======================================================================
conv          ``stride``, ``dilation``, ``groups``, ``pads`` ([left, right, top, bottom], or
              "same" as TensorFlow means it); tensors weight and bias, which may be absent
max_pool      ``kernel``, ``stride``, ``pads`` as above; what is padded is never the maximum
pad           ``pads``, ``value``
add           also sub and mul: two inputs, or one and the tensor constant; ``reversed`` if
              the constant comes first
resize        ``factor``; bilinear, pixel centres at halves
slice         channels ``bounds`` [first, end)
concat        over channels
relu, relu6   also sigmoid and leaky_relu (``slope``)
============  ======================================================================

Its tensors are named ``i.weight``, ``i.bias``, ``i.constant``, i counting the steps from 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Step = Mapping[str, Any]
Tensors = Mapping[str, Tensor]
TENSORS = ("weight", "bias", "constant")


class GraphNet(nn.Module):
    """The network of a list of steps.

    Args:
        steps: see the module's description.
        outputs: values that the network returns.
        tensors: weights and constants by name.

    Raises:
        LookupError: a step is of an unknown kind, or a convolution has no weight.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[int], tensors: Tensors) -> None:
        super().__init__()
        self.inputs = [tuple(step["inputs"]) for step in steps]
        self.outputs = tuple(outputs)
        self.steps = nn.ModuleList(_Step(step, _of_step(i, tensors)) for i, step in enumerate(steps))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the steps.

        Args:
            images: (B, C, H, W); sides are multiples of the network's largest stride.

        Returns:
            One tensor (B, C', h, w) per output.
        """
        values = [images]
        for step, inputs in zip(self.steps, self.inputs, strict=True):
            values.append(step(*(values[i] for i in inputs)))
        return tuple(values[i] for i in self.outputs)


class _Step(nn.Module):
    def __init__(self, step: Step, tensors: Tensors) -> None:
        super().__init__()
        self.step = dict(step)
        self.run = OPERATIONS[step["op"]]
        for kind, tensor in tensors.items():
            self.register_parameter(kind, nn.Parameter(tensor))

    def forward(self, *values: Tensor) -> Tensor:
        tensors = {kind: tensor for kind, tensor in self._parameters.items() if tensor is not None}
        return self.run(self.step, tensors, *values)


def _of_step(number: int, tensors: Tensors) -> dict[str, Tensor]:
    return {kind: tensors[name] for kind in TENSORS if (name := f"{number}.{kind}") in tensors}


def _conv(step: Step, tensors: Tensors, x: Tensor) -> Tensor:
    weight = tensors["weight"]
    left, right, top, bottom = pads = _pads(step, x, tuple(weight.shape[2:]))
    if left != right or top != bottom:
        x, left, top = F.pad(x, pads), 0, 0
    return F.conv2d(x, weight, tensors.get("bias"), step["stride"], (top, left), step["dilation"], step["groups"])


def _max_pool(step: Step, tensors: Tensors, x: Tensor) -> Tensor:
    padded = F.pad(x, _pads(step, x, tuple(step["kernel"])), value=torch.finfo(x.dtype).min)
    return F.max_pool2d(padded, step["kernel"], step["stride"])


def _pads(step: Step, x: Tensor, kernel: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, right, top, bottom. "same" makes as many outputs as inputs over stride, rounded up; an odd one is padded at the end."""
    if step["pads"] != "same":
        left, right, top, bottom = step["pads"]
        return left, right, top, bottom
    both = []
    for side, cells, stride in zip((int(n) for n in x.shape[2:]), kernel, step["stride"], strict=True):
        reach = (cells - 1) * step.get("dilation", 1) + 1
        total = max((-(-side // stride) - 1) * stride + reach - side, 0)
        both.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = both
    return left, right, top, bottom


def _pad(step: Step, tensors: Tensors, x: Tensor) -> Tensor:
    return F.pad(x, tuple(step["pads"]), value=step["value"])


def _resize(step: Step, tensors: Tensors, x: Tensor) -> Tensor:
    height, width = (int(int(side) * Fraction(step["factor"])) for side in x.shape[2:])
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


def _arithmetic(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def apply(step: Step, tensors: Tensors, *values: Tensor) -> Tensor:
        first, second = values if len(values) == 2 else (values[0], tensors["constant"])
        return function(second, first) if step.get("reversed", False) else function(first, second)

    return apply


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "max_pool": _max_pool,
    "pad": _pad,
    "resize": _resize,
    "add": _arithmetic(operator.add),
    "sub": _arithmetic(operator.sub),
    "mul": _arithmetic(operator.mul),
    "slice": lambda step, tensors, x: x[:, slice(*step["bounds"])],
    "concat": lambda step, tensors, *values: torch.cat(values, 1),
    "relu": lambda step, tensors, x: F.relu(x),
    "relu6": lambda step, tensors, x: F.relu6(x),
    "leaky_relu": lambda step, tensors, x: F.leaky_relu(x, step["slope"]),
    "sigmoid": lambda step, tensors, x: torch.sigmoid(x),
}
