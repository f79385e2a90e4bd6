"""What the lifter is told of people, and what it says: arrays, or tensors where it is trained."""

from __future__ import annotations

from typing import Any, NamedTuple

LOG_SIGMA_UNKNOWN = 0.0
"""Log spread (log m) of a coordinate that was not measured: a metre says nothing about a person."""


class LifterInput(NamedTuple):
    """Measurements of N people in their viewing frames.

    Attributes:
        tangent_m: (N, 17, 2) right and up on the tangent plane through the assumed torso centre.
        depth_m: (N, 17) depth behind the torso centre along its ray, 0 where unknown.
        log_sigma: (N, 17, 2) log metres, spread of tangent_m per axis, and of depth_m.
        visible: (N, 17) probability of being seen and not hidden.
        other_m: (N, 17, 2) from tangent_m to where else the keypoint may be.
        other_share: (N, 17) probability that it is there.
        elevation_rad: (N,) ray to the torso centre below the horizon.
        distance_m: (N,) assumed distance of the torso centre.
        hvip_tangent_m: (N, 2) assumed HVIP.
    """

    tangent_m: Any
    depth_m: Any
    log_sigma: Any
    visible: Any
    other_m: Any
    other_share: Any
    elevation_rad: Any
    distance_m: Any
    hvip_tangent_m: Any


class LifterOutput(NamedTuple):
    """Estimates for N people.

    Attributes:
        rotations: (N, 24, 3, 3) SMPL joint rotations, the global one in the upright frame (right, up, towards the camera).
        betas: (N, 10).
        hvip_tangent_m: (N, 2) HVIP on the tangent plane.
        torso_tangent_m: (N, 2) torso centre on the tangent plane.
    """

    rotations: Any
    betas: Any
    hvip_tangent_m: Any
    torso_tangent_m: Any
