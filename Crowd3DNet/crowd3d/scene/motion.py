"""How people move on the ground: constant velocity with random accelerations, as the Kalman filter wants it (Bar-Shalom 2001, ch. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance

SWAY_SIGMA_M = 0.1
"""How far per axis the point under somebody's torso strays from the path that they walk."""
_SEEN = np.eye(2, 4)
"""Of a state (x, z, vx, vz) only the place is seen."""


@dataclass(frozen=True)
class Motion:
    """Walking people.

    Attributes:
        acceleration: spectral density of the random acceleration per axis, m²/s³: after a second a velocity is off by its square root.
        speed_sigma_m_s: standard deviation of a velocity per axis when nothing is known of it.
    """

    acceleration: float = 0.25
    speed_sigma_m_s: float = 1.0

    def start(self, place_m: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) places and their (N, 2, 2) covariances → states (N, 4) of unknown velocity with their covariances (N, 4, 4)."""
        return at_rest(place_m, covariance, self.speed_sigma_m_s)

    def transition(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """(4, 4) matrix that moves a state on by `seconds`, backwards if negative, and (4, 4) covariance of what it does not know."""
        step, noise = np.eye(4), np.zeros((4, 4))
        step[[0, 1], [2, 3]] = seconds
        grown = self.acceleration * abs(seconds)
        noise[[0, 1], [0, 1]], noise[[2, 3], [2, 3]] = grown * seconds**2 / 3.0, grown
        noise[[0, 1, 2, 3], [2, 3, 0, 1]] = grown * seconds / 2.0
        return step, noise

    def predict(self, state: np.ndarray, covariance: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """States (..., 4) and covariances (..., 4, 4) `seconds` later."""
        step, noise = self.transition(seconds)
        return state @ step.T, step @ covariance @ step.T + noise


def at_rest(place_m: np.ndarray, covariance: np.ndarray, speed_sigma_m_s: float) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places and their (N, 2, 2) covariances → states (N, 4), (N, 4, 4) with velocities of mean 0 and the given spread."""
    state = np.concatenate([place_m, np.zeros_like(place_m)], axis=1)
    spread = np.zeros((len(state), 4, 4))
    spread[:, :2, :2] = covariance
    spread[:, 2:, 2:] = speed_sigma_m_s**2 * np.eye(2)
    return state, spread


def correct(
    state: np.ndarray, covariance: np.ndarray, place_m: np.ndarray, place_covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kalman update by measured places.

    Args:
        state, covariance: (..., 4) and (..., 4, 4) as predicted.
        place_m, place_covariance: (..., 2) and (..., 2, 2) as measured.
    """
    total = covariance[..., :2, :2] + place_covariance
    gain = np.swapaxes(np.linalg.solve(total, covariance[..., :2, :]), -1, -2)
    corrected = state + (gain @ (place_m - state[..., :2])[..., None])[..., 0]
    # Joseph's form: stays symmetric and positive however small the measurement's covariance is.
    rest = np.eye(4) - gain @ _SEEN
    return corrected, rest @ covariance @ np.swapaxes(rest, -1, -2) + gain @ place_covariance @ np.swapaxes(gain, -1, -2)


def place_covariance(camera: Camera, ground: GroundPlane, hvip_px: np.ndarray, sigma_m: float = HVIP_SIGMA_M) -> np.ndarray:
    """(N, 2, 2) square metres of x, z by what differs from picture to picture; errors of a static camera stay the same and do not count.

    Args:
        camera, ground: of all pictures.
        hvip_px: (N, 2) where everybody is.
        sigma_m: spread of that across the line of sight.
    """
    sigma_px = sigma_m * ground.pixels_per_metre(camera, hvip_px)
    return ground_position_covariance(camera, ground, np.zeros((4, 4)), hvip_px, sigma_px) + SWAY_SIGMA_M**2 * np.eye(2)
