"""Starting points: for many focal lengths, the vertical vanishing point or the horizon of the sizes, then the height; and usual cameras."""

from __future__ import annotations

import numpy as np

from crowd3d.ground.prediction import PARAMETERS
from crowd3d.ground.prior import Prior
from crowd3d.ground.sightings import Sightings

_FOCALS = 28
_FOV_RANGE_DEG = (3.0, 140.0)
_ROUNDS = 8
_START_LEAN_RAD = np.deg2rad(4.0)


def starting_points(observations: Sightings, stature_m: float, prior: Prior) -> np.ndarray:
    """(B, 6) parameter vectors (see `prediction`): two per focal length of a scan, or for the known one, and the kinds of the prior."""
    if not len(observations):
        return prior.mean.copy()
    if prior.free[0]:
        wide = np.tan(np.deg2rad(_FOV_RANGE_DEG) / 2.0)
        focals = 0.5 / np.geomspace(wide[0], wide[1], _FOCALS)
    else:
        focals = np.exp(prior.fixed[:1])
    upright = np.concatenate([_from_verticals(observations, focals), _from_sizes(observations, focals)])
    seen = _with_height(observations, np.concatenate([focals, focals]), upright, stature_m)
    return np.concatenate([seen, prior.mean, _with_height(observations, *_directions(prior.mean), stature_m)])


def _directions(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths (B,) and up directions (B, 3) of parameter vectors."""
    tilt, roll = parameters[:, 1], parameters[:, 2]
    up = np.stack([np.sin(roll) * np.cos(tilt), -np.cos(roll) * np.cos(tilt), -np.sin(tilt)], -1)
    return np.exp(parameters[:, 0]), up


def _from_verticals(o: Sightings, focals: np.ndarray) -> np.ndarray:
    """Up direction that is nearest to every plane through the camera, a low and a high joint, (F, 3).

    Reweighted least squares with Cauchy weights on unit plane normals.
    """
    f = np.broadcast_to(focals[:, None], (len(focals), len(o)))
    ones = np.ones_like(f)
    low = np.stack([o.low[:, 0] / f, o.low[:, 1] / f, ones], -1)
    high = np.stack([o.high[:, 0] / f, o.high[:, 1] / f, ones], -1)
    planes = np.cross(low, high)
    planes /= np.maximum(np.linalg.norm(planes, axis=-1, keepdims=True), 1e-12)
    weight = np.broadcast_to(o.weight, f.shape)
    up = np.zeros((len(focals), 3))
    for _ in range(_ROUNDS):
        moment = np.einsum("fni,fnj,fn->fij", planes, planes, weight)
        up = np.linalg.eigh(moment)[1][..., 0]
        miss = np.abs(np.einsum("fni,fi->fn", planes, up))
        scale = np.maximum(1.5 * np.median(miss, axis=1, keepdims=True), 1e-4)
        weight = o.weight / (1.0 + (miss / scale) ** 2)
    # people stand above their feet
    rises = np.einsum("fni,fi->fn", high - low, up) > 0
    return up * np.where((rises @ o.weight)[:, None] * 2 > o.weight.sum(), 1.0, -1.0)


def _from_sizes(o: Sightings, focals: np.ndarray) -> np.ndarray:
    """Up direction from the line where people's image size vanishes, (F, 3): sizes are affine in the pixel for small tilts."""
    length = np.linalg.norm(o.high - o.low, axis=1) / o.span
    design = np.column_stack([o.low, np.ones(len(o))])
    weight = o.weight / np.maximum(length, 1e-6) ** 2
    ridge = 1e-6 * np.eye(3) * weight.sum()
    horizon = np.zeros(3)
    for _ in range(_ROUNDS):
        horizon = np.linalg.solve(design.T @ (weight[:, None] * design) + ridge, design.T @ (weight * length))
        miss = np.abs(length - design @ horizon) / np.maximum(length, 1e-6)
        scale = max(1.5 * float(np.median(miss)), 1e-3)
        weight = o.weight / np.maximum(length, 1e-6) ** 2 / (1.0 + (miss / scale) ** 2)
    normal = -np.stack([focals * horizon[0], focals * horizon[1], np.full(len(focals), horizon[2])], -1)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _with_height(o: Sightings, focals: np.ndarray, up: np.ndarray, stature_m: float) -> np.ndarray:
    """Camera height from the median person, given focal lengths (B,) and up directions (B, 3)."""
    f = focals[:, None]
    rx, ry = o.low[:, 0] / f, o.low[:, 1] / f
    down = -(up[:, :1] * rx + up[:, 1:2] * ry + up[:, 2:])
    # low + κ · span · up projects to the high joint, least squares for the inverse depth κ
    tx, ty = o.high[:, 0] / f, o.high[:, 1] / f
    ax, ay = up[:, :1] - tx * up[:, 2:], up[:, 1:2] - ty * up[:, 2:]
    near = (ax * (tx - rx) + ay * (ty - ry)) / np.maximum(ax * ax + ay * ay, 1e-12) / (o.span * stature_m)
    height = stature_m * o.low_fraction + down / np.maximum(near, 1e-4)
    start = np.zeros((len(focals), PARAMETERS))
    start[:, 0] = np.log(focals)
    start[:, 1] = np.arcsin(np.clip(-up[:, 2], -0.9999, 0.9999))
    start[:, 2] = np.arctan2(up[:, 0], -up[:, 1])
    start[:, 3] = np.log(np.maximum(np.median(height, axis=1), 0.4))
    start[:, 4] = np.log(_START_LEAN_RAD)
    return start
