"""A figure with its uncertainty, from draws of what may be true."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
ENOUGH_DRAWS = 0.8
"""A figure that fewer of the draws than this share can tell is unknown."""


class Spread(NamedTuple):
    """Middle and intervals of a figure, arrays of one shape; NaN where not enough is seen to tell.

    Attributes:
        value: median.
        low, high: ends of the 68 % interval.
        low95, high95: ends of the 95 % interval.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low95: np.ndarray
    high95: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of every field."""
        return np.shape(self.value)

    def row(self, index: Any) -> Spread:
        """The same for one or some of the figures."""
        return Spread(*(np.asarray(part)[index] for part in self))

    def known(self, where: np.ndarray) -> Spread:
        """NaN elsewhere."""
        return Spread(*(np.where(where, part, np.nan) for part in self))

    def json(self, digits: int = 3) -> dict[str, Any] | None:
        """Of a single figure: ``value``, ``interval68``, ``interval95``; None if it is unknown."""
        if not np.isfinite(self.value):
            return None
        value, low, high, low95, high95 = (round(float(part), digits) for part in self)
        return {"value": value, "interval68": [low, high], "interval95": [low95, high95]}


def spread(draws: np.ndarray) -> Spread:
    """(S, ...) draws → figures of shape (...)."""
    draws = np.asarray(draws, np.float64)
    if draws.size == 0:
        return Spread(*(np.full(draws.shape[1:], np.nan) for _ in LEVELS))
    known = np.isfinite(draws).sum(0)
    rising = np.sort(draws, axis=0)  # what is unknown goes last
    # Weibull's plotting positions: the next value falls between the ends as often as they say, however few the draws are.
    ends = []
    for level in LEVELS:
        at = np.clip(level * (known + 1) - 1.0, 0.0, np.maximum(known - 1, 0))
        below = np.floor(at).astype(int)
        first, second = (np.take_along_axis(rising, row[None], 0)[0] for row in (below, np.minimum(below + 1, np.maximum(known - 1, 0))))
        ends.append(first + (at - below) * (second - first))
    low95, low, value, high, high95 = ends
    return Spread(value, low, high, low95, high95).known(known >= ENOUGH_DRAWS * len(draws))


def reflect(plain: np.ndarray, noisy: np.ndarray, *, positive: bool = False) -> np.ndarray:
    """What the figure would be without the noise of the positions, a draw per noise.

    Measured places carry noise once. Adding as much again shows what noise does to the figure; the same step backwards undoes it, bias
    and spread (simulation-extrapolation, Cook and Stefanski 1994; the basic bootstrap, Davison and Hinkley 1997, ch. 5).

    Args:
        plain: (...) figure of the measured places.
        noisy: (...) figure after noise was added.
        positive: step in the logarithm, for figures above zero; else in the figure, cut off at zero.
    """
    if positive:
        return plain * (plain / noisy)
    return np.maximum(2.0 * plain - noisy, 0.0)
