"""What the 2D stage knows of every person, whichever backend found him."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import write_npz
from crowd3d.geometry import Camera
from crowd3d.types import Keypoints, Rows

SIGMA_AT_FULL_SCORE = 0.012
"""Spread of a keypoint with score 1, per axis, as a share of the person's size."""
SIGMA_PER_MISSING_SCORE = 0.15
"""How much the spread grows until the score is 0."""
SHOULDERS, HIPS, ANKLES = (5, 6), (11, 12), (15, 16)
STATURE_PER_TORSO = 3.3
"""Stature over the distance from the middle of the shoulders to the middle of the hips."""


@dataclass(frozen=True)
class Observations(Rows):
    """2D measurements of N people, scene pixels.

    Attributes:
        xy_px: (N, 17, 2) COCO-17 keypoints.
        sigma_px: (N, 17) their spread per axis.
        other_px: (N, 17, 2) where else they may be.
        other_share: (N, 17) probability that they are there, 0 where the backend does not tell.
        visible: (N, 17) probability of being seen and not hidden.
        depth_m: (N, 17) depth behind the torso centre along its ray, NaN where the backend does not tell.
        depth_sigma_m: (N, 17) its spread.
        hvip_px: (N, 2) HVIP, NaN where the backend does not tell.
        score: (N,) confidence that this is a person, 0…1.
    """

    xy_px: np.ndarray
    sigma_px: np.ndarray
    other_px: np.ndarray
    other_share: np.ndarray
    visible: np.ndarray
    depth_m: np.ndarray
    depth_sigma_m: np.ndarray
    hvip_px: np.ndarray
    score: np.ndarray

    @classmethod
    def from_keypoints(cls, keypoints: Keypoints) -> Observations:
        """From plain keypoints: the spread follows from score and size; depth and HVIP stay unknown."""
        size = person_size_px(keypoints.xy_px)
        return cls(
            xy_px=keypoints.xy_px,
            sigma_px=size[:, None] * score_to_sigma(keypoints.score),
            other_px=keypoints.xy_px,
            other_share=np.zeros(keypoints.score.shape),
            visible=np.clip(keypoints.score, 0.0, 1.0),
            depth_m=np.full(keypoints.score.shape, np.nan),
            depth_sigma_m=np.full(keypoints.score.shape, np.nan),
            hvip_px=np.full((len(keypoints.score), 2), np.nan),
            score=np.clip(keypoints.score, 0.0, 1.0).mean(1),
        )

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """The people of all parts, in order; at least one part."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @property
    def keypoints(self) -> Keypoints:
        """Keypoints with scores that tell their spread: the inverse of `score_to_sigma`."""
        size = person_size_px(self.xy_px)
        return Keypoints(self.xy_px, sigma_to_score(self.sigma_px / size[:, None]))

    @property
    def tells_depth(self) -> bool:
        """Whether these are the embedded networks' measurements: no other backend tells depth."""
        return bool(np.isfinite(self.depth_m).any())

    @property
    def torso_px(self) -> np.ndarray:
        """(N, 2) mean of shoulders and hips."""
        return self.xy_px[:, SHOULDERS + HIPS].mean(1)

    def straightened(self, camera: Camera) -> Observations:
        """The same in ideal pixels (see `geometry.camera`); what the lens cannot have shown becomes unknown."""
        if camera.distortion is None:
            return self
        xy, other, stretch = camera.to_ideal_px(self.xy_px), camera.to_ideal_px(self.other_px), camera.stretch(self.xy_px)
        lost = ~(np.isfinite(xy).all(-1) & np.isfinite(stretch))
        nowhere = lost | ~np.isfinite(other).all(-1)
        return replace(
            self,
            xy_px=np.where(lost[..., None], self.xy_px, xy),
            sigma_px=np.where(lost, np.inf, self.sigma_px * np.where(lost, 1.0, stretch)),
            other_px=np.where(nowhere[..., None], self.xy_px, other),
            other_share=np.where(nowhere, 0.0, self.other_share),
            visible=np.where(lost, 0.0, self.visible),
            hvip_px=camera.to_ideal_px(self.hvip_px),
        )

    def save(self, path: Path) -> None:
        """Write atomically as ``.npz``."""
        write_npz(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Observations:
        """Read what `save` wrote."""
        try:
            with np.load(path) as arrays:
                return cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise MissingAsset(f"cannot read the observations {path}: {error}; run process.py again with --overwrite") from error


def score_to_sigma(score: np.ndarray) -> np.ndarray:
    """Keypoint score 0…1 → spread per axis as a share of the person's size."""
    return SIGMA_AT_FULL_SCORE + SIGMA_PER_MISSING_SCORE * (1.0 - np.clip(score, 0.0, 1.0)) ** 2


def sigma_to_score(sigma: np.ndarray) -> np.ndarray:
    """Inverse of `score_to_sigma`, never quite 0, which would mean unknown."""
    missing = np.sqrt(np.clip((sigma - SIGMA_AT_FULL_SCORE) / SIGMA_PER_MISSING_SCORE, 0.0, 1.0))
    return np.clip(1.0 - missing, 0.01, 1.0)


def person_size_px(xy_px: np.ndarray) -> np.ndarray:
    """(N, 17, 2) → (N,) stature in pixels as far as the keypoints tell: the larger of their extent and of the scaled torso."""
    extent = (xy_px.max(1) - xy_px.min(1)).max(1)
    torso = np.linalg.norm(xy_px[:, SHOULDERS].mean(1) - xy_px[:, HIPS].mean(1), axis=1)
    return np.maximum(np.maximum(extent, STATURE_PER_TORSO * torso), 1.0)
