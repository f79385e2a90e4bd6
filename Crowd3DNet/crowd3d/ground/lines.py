"""Straight edges of buildings, poles and paving: verticals meet below the camera, horizontals on the horizon.

People say roughly where both are; segments that agree with that sharpen it. A segment tells the line through its midpoint towards a
vanishing point, and how far its ends are off. Horizontal segments come in frames of two directions at a right angle (façades, paving,
pitches: Manhattan frames), whose azimuth is fitted along; that right angle tells the focal length. Which lines are used is the matter of
`line_search`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from crowd3d.geometry import Camera
from crowd3d.ground.prediction import VIEW, up_vectors
from crowd3d.ground.sightings import image_units

_FRAMES = 3
_FRAME_SHARE = 0.1
_LEAST_SEGMENTS = 6
# several segments often lie on one and the same edge, and some members of a frame are strangers
REPEATS = 4.0
_AZIMUTH_STEP = 1e-4


def detect_lines(image_gray: np.ndarray, pixel_size: float = 1.0, least_length_px: float = 36.0) -> np.ndarray:
    """Line segments of a level of the image pyramid (von Gioi et al. 2010, LSD), (L, 4) u1, v1, u2, v2 in pixels of the whole image.

    Args:
        image_gray: (h, w) uint8; a level 2000 to 5000 pixels wide suits most photographs.
        pixel_size: pixels of the whole image per pixel of `image_gray`.
        least_length_px: shortest segment, in pixels of the level: of shorter ones too many point at any vanishing point by chance.
    """
    found = cv2.createLineSegmentDetector().detect(np.ascontiguousarray(image_gray))[0]
    if found is None:
        return np.empty((0, 4))
    segments = np.asarray(found, np.float64).reshape(-1, 4)
    length = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    # OpenCV counts from the centre of the first pixel, scene pixels from its corner
    return (segments[length >= least_length_px] + 0.5) * pixel_size


def segments_of(lines: np.ndarray, camera: Camera, unit_px: float) -> np.ndarray:
    """(L, 4) pixels → (L, 2, 2) ends in image units (see `Sightings`)."""
    ends = image_units(np.asarray(lines, np.float64).reshape(-1, 2, 2), camera, unit_px)
    return ends[np.isfinite(ends).all((1, 2)) & (ends[:, 0] != ends[:, 1]).any(1)]


def sampled(ends: np.ndarray, most: int) -> np.ndarray:
    """Every k-th of (L, 2, 2) segments by length, `most` at most: the longest alone may all be of one direction."""
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    return ends[np.argsort(-length, kind="stable")[:: max(1, -(-len(ends) // most))]]


@dataclass(frozen=True)
class LineEvidence:
    """Likelihood of segments that are taken for vertical or for horizontal in some frame (see `solver.Evidence`).

    Attributes:
        ends: (L, 2, 2) image units.
        frame: (L,) −1 for vertical, else index into `azimuth`.
        across: (L,) bool, horizontals at a right angle to the azimuth of their frame.
        weight: (L,) inverse variances of the ends' distance from the line, 0 for segments of no account.
        azimuth: (G,) directions of the frames on the ground, radians.
    """

    ends: np.ndarray
    frame: np.ndarray
    across: np.ndarray
    weight: np.ndarray
    azimuth: np.ndarray
    which: ClassVar[tuple[int, ...]] = VIEW

    def log_density(self, parameters: np.ndarray) -> np.ndarray:
        """(B, 6) → (B,)."""
        azimuth = self.fit_azimuth(parameters)
        return -0.5 * (self.misses(parameters, azimuth) ** 2) @ self.weight

    def fit_azimuth(self, parameters: np.ndarray) -> np.ndarray:
        """(B, G) best azimuths for each parameter vector, Gauss-Newton."""
        azimuth = np.broadcast_to(self.azimuth, (len(parameters), len(self.azimuth)))
        member = (self.frame[:, None] == np.arange(len(self.azimuth))) * self.weight[:, None]
        for _ in range(2 if len(self.azimuth) else 0):
            miss = self.misses(parameters, azimuth)
            slope = (self.misses(parameters, azimuth + _AZIMUTH_STEP) - miss) / _AZIMUTH_STEP
            azimuth = azimuth - (miss * slope) @ member / np.maximum((slope**2) @ member, 1e-12)
        return azimuth

    def misses(self, parameters: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        """(B, L) distance of the ends from the line through the midpoint towards the vanishing point, image units."""
        up, right, forward = axes(parameters)
        turn = np.concatenate([azimuth, np.zeros((len(parameters), 1))], 1)[:, self.frame] + np.pi / 2 * self.across
        level = np.cos(turn)[..., None] * right[:, None] + np.sin(turn)[..., None] * forward[:, None]
        direction = np.where((self.frame < 0)[:, None], up[:, None], level)
        return miss(self.ends, np.exp(parameters[:, 0]), direction)


def miss(ends: np.ndarray, focal: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(L, 2, 2) segments, (B,) focal lengths, (B, L, 3) directions in space → (B, L) distance of the ends from their ideal line."""
    middle, half = ends.mean(1), (ends[:, 1] - ends[:, 0]) / 2
    towards = direction[..., :2] * focal[:, None, None] - direction[..., 2:] * middle
    across = half[:, 0] * towards[..., 1] - half[:, 1] * towards[..., 0]
    return across / np.maximum(np.linalg.norm(towards, axis=-1), 1e-12)


def axes(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 3) each: up, right and forward along the ground."""
    up = up_vectors(parameters[:, 1], parameters[:, 2])
    forward = np.array([0.0, 0.0, 1.0]) - up[:, 2:] * up
    forward /= np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-9)
    return up, np.cross(forward, up), forward


def choose(ends: np.ndarray, parameters: np.ndarray, gate: float, least_sigma: float) -> LineEvidence | None:
    """Segments that point at the vertical vanishing point or belong to a frame, within `gate` radians; None if few."""
    focal = np.exp(parameters[:1])
    up, right, forward = (axis[0] for axis in axes(parameters[None]))
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    upright = np.abs(miss(ends, focal, np.broadcast_to(up, (1, len(ends), 3)))[0]) * 2 / length < gate
    frame, across = np.full(len(ends), -1), np.zeros(len(ends), bool)
    azimuths: list[float] = []
    angle, known = _azimuths(ends, focal[0], up, right, forward)
    left = known & ~upright
    total = length[left].sum()
    for _ in range(_FRAMES):
        if not left.any():
            break
        centre, members = _densest(angle, length, left, gate)
        if members.sum() < _LEAST_SEGMENTS or length[members].sum() < _FRAME_SHARE * total:
            break
        frame[members] = len(azimuths)
        across[members] = np.cos(2 * (angle[members] - centre)) < 0
        azimuths.append(centre)
        left &= ~members & (np.abs(_turn(angle - centre)) > 3 * gate)
    used = upright | (frame >= 0)
    if used.sum() < _LEAST_SEGMENTS:
        return None
    chosen = LineEvidence(ends[used], frame[used], across[used], np.ones(used.sum()), np.array(azimuths))
    distance = np.abs(chosen.misses(parameters[None], chosen.fit_azimuth(parameters[None]))[0])
    sigma = np.full(len(distance), least_sigma)
    for k in range(-1, len(azimuths)):
        members = chosen.frame == k
        if members.any():
            sigma[members] = max(1.4826 * float(np.median(distance[members])), least_sigma)
    return replace(chosen, weight=1.0 / (1.0 + (distance / (2.0 * sigma)) ** 2) ** 2 / sigma**2 / REPEATS)


def _azimuths(
    ends: np.ndarray, focal: float, up: np.ndarray, right: np.ndarray, forward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(L,) direction that each segment has if it is horizontal, and (L,) whether that can be told (not close to the horizon)."""
    rays = np.concatenate([ends / focal, np.ones((len(ends), 2, 1))], -1)
    plane = np.cross(rays[:, 0], rays[:, 1])
    plane /= np.maximum(np.linalg.norm(plane, axis=1, keepdims=True), 1e-12)
    level = np.cross(plane, up)
    return np.arctan2(level @ forward, level @ right), np.linalg.norm(level, axis=1) > 0.03


def _turn(angle: np.ndarray) -> np.ndarray:
    """Angle to the nearest of two directions without sense at a right angle, −π/4…π/4."""
    return (angle + np.pi / 4) % (np.pi / 2) - np.pi / 4


def _densest(angle: np.ndarray, length: np.ndarray, among: np.ndarray, gate: float) -> tuple[float, np.ndarray]:
    """The azimuth of the frame with most length within `gate`, and (L,) its members."""
    grid = np.linspace(0.0, np.pi / 2, 181)[:-1]
    near = np.abs(_turn(angle[among] - grid[:, None])) < gate
    centre = grid[int(np.argmax(near @ length[among]))]
    members = among & (np.abs(_turn(angle - centre)) < gate)
    return float(centre + np.average(_turn(angle[members] - centre), weights=length[members])), members
