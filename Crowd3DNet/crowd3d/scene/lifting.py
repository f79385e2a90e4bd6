"""How sure it is where everybody stands."""

from __future__ import annotations

import numpy as np

from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance
from crowd3d.types import Scene


def position_covariance(scene: Scene) -> np.ndarray | None:
    """(N, 2, 2) square metres of everybody's place to the right of and in front of the camera, None for a given camera."""
    if scene.ground_covariance is None:
        return None
    hvip_px = scene.people.hvip_px
    sigma_px = HVIP_SIGMA_M * scene.ground.pixels_per_metre(scene.camera, hvip_px)
    world = ground_position_covariance(scene.camera, scene.ground, scene.ground_covariance, hvip_px, sigma_px)
    return world * [[1.0, -1.0], [-1.0, 1.0]]  # the upright world's z axis points at the viewer
