"""Robust losses of squared norms, each with the weight that makes least squares follow its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Kernel = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Squared norms (n, g) → costs (n, g) and weights (n, g)."""


def quadratic(squared: Tensor) -> tuple[Tensor, Tensor]:
    """Plain least squares."""
    return 0.5 * squared, torch.ones_like(squared)


def cauchy(limit: float) -> Kernel:
    """Grows with the logarithm far beyond `limit`: believed less, never ignored."""
    return partial(_cauchy, limit**2)


def _cauchy(scale: float, squared: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * scale * torch.log1p(squared / scale), 1 / (1 + squared / scale)


def geman_mcclure(limit: Tensor) -> Kernel:
    """Levels off beyond `limit` (n,), one per person: what does not fit at all is ignored (Geman and McClure 1987)."""
    return partial(_geman_mcclure, limit.square()[:, None])


def _geman_mcclure(scale: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    share = scale / (scale + squared)
    return 0.5 * squared * share, share.square()


def mixture(log_weight: Tensor) -> Kernel:
    """Negative log of a mixture of g normal distributions with log (share / spread) `log_weight` (g,).

    The squared norms are the squared deviations from each; the whole cost stands in the first column.
    """
    return partial(_mixture, log_weight)


def _mixture(log_weight: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    log_density = log_weight - 0.5 * squared
    cost = torch.zeros_like(squared)
    cost[:, 0] = log_weight.logsumexp(0) - log_density.logsumexp(1)
    return cost, log_density.softmax(1)
