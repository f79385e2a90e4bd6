"""A mixture of normal distributions over the parameters of camera and ground."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Prior:
    """K kinds of cameras, each with independent normal parameters (see `prediction`).

    Attributes:
        log_weight: (K,) log of the share of each kind, up to a constant.
        mean: (K, 6) expected values; what is not free has the same value in all.
        sigma: (K, 6) standard deviations of the free parameters.
        free: (6,) bool: the parameters to be found.
    """

    log_weight: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray
    free: np.ndarray

    @classmethod
    def around(cls, mean: np.ndarray, sigma: np.ndarray) -> Prior:
        """One kind; a standard deviation of 0 fixes a parameter."""
        return cls(np.zeros(1), mean[None], np.where(sigma > 0, sigma, 1.0)[None], sigma > 0)

    def given(self, index: int, value: float, sigma: float) -> Prior:
        """The prior after a measurement of one parameter, with its standard deviation; 0 fixes it."""
        variance = self.sigma[:, index] ** 2
        total = variance + sigma**2
        log_weight = self.log_weight - 0.5 * (value - self.mean[:, index]) ** 2 / total - 0.5 * np.log(total)
        mean, spread, free = self.mean.copy(), self.sigma.copy(), self.free.copy()
        mean[:, index] += variance / total * (value - mean[:, index])
        if sigma > 0:
            spread[:, index] = np.sqrt(variance / total) * sigma
        else:
            mean[:, index] = value
            free[index] = False
        return replace(self, log_weight=log_weight, mean=mean, sigma=spread, free=free)

    @property
    def fixed(self) -> np.ndarray:
        """(6,) values of what is not free."""
        return self.mean[0]

    @property
    def spread(self) -> np.ndarray:
        """(6,) standard deviations of the whole mixture, 0 for what is not free."""
        share = np.exp(self.log_weight - np.logaddexp.reduce(self.log_weight))
        mean = share @ self.mean
        return np.where(self.free, np.sqrt(share @ (self.sigma**2 + (self.mean - mean) ** 2)), 0.0)

    def _log_kinds(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B, K) log of weight times density."""
        f = self.free
        away = (parameters[:, None, f] - self.mean[:, f]) / self.sigma[:, f]
        return self.log_weight - np.log(self.sigma[:, f]).sum(-1) - 0.5 * (away**2).sum(-1)

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,) up to a constant."""
        return np.logaddexp.reduce(self._log_kinds(parameters), axis=1)

    def score_and_information(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(6,) → gradient (6,) and the information (6, 6) of the kinds that are probable there."""
        kinds = self._log_kinds(parameters[None])[0]
        share = np.exp(kinds - np.logaddexp.reduce(kinds))
        precision = np.where(self.free, 1.0 / np.where(self.free, self.sigma, 1.0) ** 2, 0.0)
        gradient = share @ (precision * (self.mean - parameters))
        return gradient, np.diag(share @ precision)
