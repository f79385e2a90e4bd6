"""What the keypoint network is shown of a person, and from what it answers to points with their spreads.

A crop shows 17 keypoints, torso centre and HVIP; see `crowd3d.model.keypoint_net`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import expit, softmax

from crowd3d.bodies.joints import COCO17_FLIP

CROP_SIZE = (256, 192)
"""Height and width of a crop in pixels."""
CROP_HEIGHT_M = 2.4
"""Metres across the height of a crop at the person's distance."""
TORSO_OFFSET_M = 0.15
"""The crop's middle lies this far below the torso centre."""
POINTS = 19
"""COCO-17 keypoints, then torso centre and HVIP."""
TORSO, HVIP = 17, 18
FLIP_POINTS = np.r_[COCO17_FLIP, TORSO, HVIP]
"""Which point of a mirrored crop is which."""
STRIDE = 8
"""Crop pixels per cell of a heat map."""
ENLARGED = 0.85
"""Share of a crop's sides that its enlarged view shows."""


def all_views(
    network: Callable[[np.ndarray], tuple[np.ndarray, ...]], images: np.ndarray, plain: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """What `network` says of four views of crops: as they are, mirrored, the middle enlarged, and that mirrored.

    Args:
        network: an engine that runs a `KeypointNet`.
        images: (B, 256, 192, 3) crops.
        plain: its outputs for `images`; the other views are shown to it.

    Returns:
        Outputs as of `KeypointNet`: the heat of all views as one mixture of log probabilities, the mean of the attributes. A point that
        the enlarged view puts at its border, and the HVIP, which may lie outside of it, are left to the whole crop.
    """
    close = np.stack([cv2.resize(_middle(image), CROP_SIZE[::-1], interpolation=cv2.INTER_LINEAR) for image in images])
    heat, attributes = network(np.concatenate([images[:, :, ::-1], close, close[:, :, ::-1]]))
    mirrored, near, near_mirrored = np.split(_probability(heat), 3)
    spoken = (plain[1], *np.split(attributes, 3))
    whole = (_probability(plain[0]) + mirrored[:, FLIP_POINTS, :, ::-1]) / 2
    near = (near + near_mirrored[:, FLIP_POINTS, :, ::-1]) / 2
    inner = near[:, :, 1:-1, 1:-1].max((2, 3), keepdims=True) == near.max((2, 3), keepdims=True)
    inner[:, HVIP] = False
    probability = np.where(inner, (whole + _shrunk(near)) / 2, whole)
    mean = (spoken[0] + spoken[1][:, FLIP_POINTS] + spoken[2] + spoken[3][:, FLIP_POINTS]) / 4
    return np.log(np.maximum(probability, 1e-12)), mean


def _probability(heat: np.ndarray) -> np.ndarray:
    return softmax(heat, axis=(2, 3))


def _middle(image: np.ndarray) -> np.ndarray:
    """(H, W, C) → its middle, `ENLARGED` of both sides."""
    height, width = image.shape[:2]
    top, left = (round((1 - ENLARGED) / 2 * side) for side in (height, width))
    return image[top : height - top, left : width - left]


def _shrunk(maps: np.ndarray) -> np.ndarray:
    """Probabilities (B, K, H, W) of enlarged views where they belong in the whole ones; outside of the middle there is nothing."""
    down, across = (_shrinking(side) for side in maps.shape[2:])
    shrunk = down @ maps @ across.T
    return shrunk / np.maximum(shrunk.sum((2, 3), keepdims=True), 1e-6)


def _shrinking(side: int) -> np.ndarray:
    """(side, side) float32 linear interpolation of an enlarged view's cells at the cells of the whole one, 0 beyond its borders."""
    place = (np.arange(side) + 0.5 - side / 2) / ENLARGED + side / 2 - 0.5
    return np.maximum(1 - np.abs(place[:, None] - np.arange(side)), 0.0).astype(np.float32)


@dataclass(frozen=True)
class CropPoints:
    """Decoded points of B crops.

    Attributes:
        xy_px: (B, 19, 2) crop pixels.
        sigma_px: (B, 19) standard deviation per axis, crop pixels.
        other_xy_px: (B, 19, 2) second most probable place, crop pixels.
        other_share: (B, 19) probability that the point is there.
        visible: (B, 19) probability that the point is seen and not hidden; of the torso centre: that a person is there.
        depth_m: (B, 19) depth behind the torso centre along its ray, metres.
        depth_sigma_m: (B, 19) its spread, metres.
    """

    xy_px: np.ndarray
    sigma_px: np.ndarray
    other_xy_px: np.ndarray
    other_share: np.ndarray
    visible: np.ndarray
    depth_m: np.ndarray
    depth_sigma_m: np.ndarray


def decode_crop_points(heat: np.ndarray, attributes: np.ndarray) -> CropPoints:
    """Position = expectation in a 5×5 window about the maximum; spread = standard deviation of the whole map about it.

    The second place is found likewise in what lies outside of the first window.

    Args:
        heat: (B, 19, H, W), attributes: (B, 19, 3): as of `KeypointNet`.
    """
    height, width = heat.shape[-2:]
    probability = _probability(heat).reshape(*heat.shape[:2], -1)
    cells = np.stack([np.tile(np.arange(width), height), np.repeat(np.arange(height), width)], -1).astype(np.float32)
    mean, near = _peak(probability, cells)
    other, other_near = _peak(probability - near, cells)
    square = (cells[:, 0] - mean[..., :1]) ** 2 + (cells[:, 1] - mean[..., 1:]) ** 2
    return CropPoints(
        xy_px=(mean + np.float32(0.5)) * STRIDE,
        sigma_px=np.sqrt((probability * square).sum(-1) / 2) * STRIDE,
        other_xy_px=(other + np.float32(0.5)) * STRIDE,
        other_share=other_near.sum(-1),
        visible=expit(attributes[..., 0]),
        depth_m=attributes[..., 1],
        depth_sigma_m=np.exp(attributes[..., 2]),
    )


def _peak(probability: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, K, 2) cell of the maximum, refined, and (B, K, N) the part of `probability` in the 5×5 window about it."""
    highest = cells[probability.argmax(-1)]
    near = probability * ((np.abs(cells[:, 0] - highest[..., :1]) <= 2) & (np.abs(cells[:, 1] - highest[..., 1:]) <= 2))
    return near / np.maximum(near.sum(-1, keepdims=True), 1e-12) @ cells, near
