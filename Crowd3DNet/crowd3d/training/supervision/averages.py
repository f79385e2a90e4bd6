"""Means over people that stay right with missing labels, without waiting for the device, and over several processes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Averaged = Callable[[Tensor], Tensor]
"""Mean of a tensor over all processes of a distributed run; called equally often in each of them, whatever their data."""


def alone(value: Tensor) -> Tensor:
    """The mean over a single process."""
    return value


def masked_mean(values: Tensor, mask: Tensor, averaged: Averaged = alone) -> Tensor:
    """Mean of `values` where `mask` is true; 0, with gradient 0, where nothing is.

    Over several processes the number that is divided by is that of all processes. Their average, which is what distributed
    training takes of gradients, is then the mean over everything, however unevenly people are spread.
    """
    count = averaged(mask.sum().to(values.dtype))
    return values.where(mask, 0.0).sum() / (count + (count == 0))
