"""Robust losses of squared norms, each with the weight that makes least squares follow its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import logsumexp, softmax

Kernel = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Squared norms (n, g) → costs (n, g) and weights (n, g)."""


def quadratic(squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plain least squares."""
    return 0.5 * squared, np.ones_like(squared)


def cauchy(limit: float) -> Kernel:
    """Grows with the logarithm far beyond `limit`: believed less, never ignored."""
    return partial(_cauchy, limit**2)


def _cauchy(scale: float, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 0.5 * scale * np.log1p(squared / scale), 1 / (1 + squared / scale)


def geman_mcclure(limit: np.ndarray) -> Kernel:
    """Levels off beyond `limit` (n,), one per person: what does not fit at all is ignored (Geman and McClure 1987)."""
    return partial(_geman_mcclure, limit[:, None] ** 2)


def _geman_mcclure(scale: np.ndarray, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    share = scale / (scale + squared)
    return 0.5 * squared * share, share**2


def mixture(log_weight: np.ndarray) -> Kernel:
    """Negative log of a mixture of g normal distributions with log (share / spread) `log_weight` (g,).

    The squared norms are the squared deviations from each; the whole cost stands in the first column.
    """
    return partial(_mixture, log_weight)


def _mixture(log_weight: np.ndarray, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_density = log_weight - 0.5 * squared
    cost = np.zeros_like(squared)
    cost[:, 0] = logsumexp(log_weight) - logsumexp(log_density, axis=1)
    return cost, softmax(log_density, axis=1)
