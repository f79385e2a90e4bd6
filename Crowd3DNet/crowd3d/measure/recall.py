"""Who is missed: the chance of finding somebody, by size and by how much of the person the others leave to be seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import NOMINAL_STATURE_M

WIDTH_M = 0.45
"""Silhouette of an average person: height, and breadth of the shoulders."""
_SAMPLES = np.stack(np.meshgrid([-0.3, 0.0, 0.3], [0.15, 0.35, 0.55, 0.75, 0.92]), -1).reshape(-1, 2) * (WIDTH_M, NOMINAL_STATURE_M)
"""(15, 2) metres across and up where a silhouette is probed."""
_BUFFER_PX = 3_000_000
_BEHIND_M = 0.15
ENOUGH = 0.3
"""Where fewer than this share would be found, not enough is seen to say how many there are."""
REFERENCE_PX = 60.0
LEAST = 0.1
"""No chance counts as smaller: somebody who was found stands for ten at most."""
_ROUNDS = 6


@dataclass(frozen=True)
class Recall:
    """Chance of being found: logistic in log height in the picture and in the visible share.

    The default follows the shipped networks on this project's own synthetic crowds (``benchmarks/recall.py`` prints it anew), widened
    for photographs.

    Attributes:
        base: logit for a person of `REFERENCE_PX` who is seen whole.
        by_size: per unit of log height.
        by_hidden: per hidden share, negative.
        sigma: how far the logit of a whole photograph strays.
    """

    base: float = 1.3
    by_size: float = 1.5
    by_hidden: float = -3.1
    sigma: float = 0.5

    @classmethod
    def everybody(cls) -> Recall:
        """Nobody is missed."""
        return cls(np.inf, 0.0, 0.0, 0.0)

    @classmethod
    def constant(cls, share: float) -> Recall:
        """`share` of the people is found, in 0…1, whoever they are."""
        return cls(float(np.log(share / (1 - share))), 0.0, 0.0, 0.0) if share < 1 else cls.everybody()

    def probability(self, height_px: np.ndarray, visible: np.ndarray, off: float = 0.0) -> np.ndarray:
        """(...) heights in pixels and visible shares → (...) chances; `off` moves the logit, in units of `sigma`."""
        size = np.log(np.maximum(height_px, 1e-3) / REFERENCE_PX)
        logit = self.base + self.by_size * np.minimum(size, 1.0) + self.by_hidden * (1.0 - visible) + off * self.sigma
        return 1.0 / (1.0 + np.exp(-logit))

    def among_found(self, height_px: np.ndarray, visible: np.ndarray, off: float = 0.0) -> np.ndarray:
        """`probability`, where `visible` is the share past the people who were *found*; those who were missed stand in the way, too.

        For each of those in front who was found, 1/p − 1 were missed. Most of them is behind others who hide already, so they hide with
        less than a whole body: what is seen of somebody falls to its power of 1 + (1/p − 1)·√seen, which is what made crowds of 1 to 5
        people per m² show.
        """
        chance, seen = self.probability(height_px, visible, off), visible
        for _ in range(_ROUNDS):
            seen = visible ** (1.0 + (1.0 / np.maximum(chance, LEAST) - 1.0) * np.sqrt(seen))
            chance = np.maximum(self.probability(height_px, seen, off), LEAST)
        return chance


def heights_px(camera: Camera, ground: GroundPlane, foot_px: np.ndarray) -> np.ndarray:
    """(..., 2) ground pixels → (...) height in the picture of an average person standing there; NaN above the horizon."""
    return NOMINAL_STATURE_M * ground.pixels_per_metre(camera, foot_px)


def visible_shares(camera: Camera, ground: GroundPlane, people_px: np.ndarray, places_px: np.ndarray) -> np.ndarray:
    """How much of somebody who stands at a place would be seen past the people in front.

    Everybody is an upright rectangle, drawn into a coarse depth image.

    Args:
        camera, ground: of the scene.
        people_px: (N, 2) ground pixels of the people who hide others.
        places_px: (M, 2) ground pixels of those who may be hidden.

    Returns:
        (M,) shares in 0…1; what lies outside the picture does not count as seen.
    """
    coarse = min(1.0, float(np.sqrt(_BUFFER_PX / (camera.width * camera.height))))
    shape = int(np.ceil(camera.height * coarse)), int(np.ceil(camera.width * coarse))
    nearest = np.full(shape, np.inf, np.float32)
    feet = ground.intersect(camera, people_px)
    for box, depth in zip(_boxes(camera, ground, people_px) * coarse, feet[:, 2], strict=True):
        if np.isfinite(box).all() and np.isfinite(depth):
            left, top, right, bottom = np.clip(np.rint(box), 0, [shape[1], shape[0]] * 2).astype(int)
            part = nearest[top:bottom, left:right]
            np.minimum(part, depth, out=part)
    probes, depth = _probes(camera, ground, places_px)
    pixel = np.floor(np.nan_to_num(probes, nan=-1.0) * coarse).astype(int)
    inside = ((pixel >= 0) & (pixel < (shape[1], shape[0]))).all(-1)
    row, column = np.where(inside, pixel[..., 1], 0), np.where(inside, pixel[..., 0], 0)
    return (inside & (nearest[row, column] >= depth[:, None] - _BEHIND_M)).mean(-1)


def _boxes(camera: Camera, ground: GroundPlane, foot_px: np.ndarray) -> np.ndarray:
    """(N, 4) left, top, right, bottom of silhouettes in pixels."""
    feet = ground.intersect(camera, foot_px)
    head = camera.project(feet + NOMINAL_STATURE_M * ground.normal)
    half = 0.5 * WIDTH_M * camera.fx / feet[:, 2]
    ends = np.stack([foot_px, head], 1)
    low, high = ends.min(1), ends.max(1)
    return np.stack([low[:, 0] - half, low[:, 1], high[:, 0] + half, high[:, 1]], -1)


def _probes(camera: Camera, ground: GroundPlane, foot_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 15, 2) pixels of the points that silhouettes are probed at, and (M,) depths of the feet."""
    feet = ground.intersect(camera, foot_px)
    right = ground.rotation_cam_world[:, 0]
    across = _SAMPLES[:, :1] * right + _SAMPLES[:, 1:] * ground.normal
    return camera.project(feet[:, None] + across), feet[:, 2]
