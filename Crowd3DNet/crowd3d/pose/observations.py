"""What the 2D stage knows of every person, whichever backend found them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crowd3d.bodies.joints import ANKLES17, HIPS17, SHOULDERS17, TORSO17
from crowd3d.errors import MissingAsset
from crowd3d.files import load_arrays, parse_json, write_npz
from crowd3d.geometry import Camera
from crowd3d.pose.source import Source
from crowd3d.types import SHARED, Keypoints, Rows

HIDDEN = 0.5
"""Probability of being seen below which a keypoint is rather hidden."""
SURE_ANKLE = 0.06
"""Spread of ankles, as a share of the person's size, below which they tell where somebody stands."""
DOUBTFUL = 0.75
"""Mean probability below which a result says that its people are doubtful: white noise gave 0.5, crowds give 0.8 to 0.97."""
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
        source: what measured them.
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
    source: Source = field(metadata=SHARED)

    @classmethod
    def from_keypoints(cls, keypoints: Keypoints, source: Source) -> Observations:
        """From plain keypoints: the spread follows from score and size by the source's calibration; depth and HVIP stay unknown."""
        size = person_size_px(keypoints.xy_px)
        return cls(
            xy_px=keypoints.xy_px,
            sigma_px=size[:, None] * source.sigma(keypoints.score),
            other_px=keypoints.xy_px,
            other_share=np.zeros(keypoints.score.shape),
            visible=np.clip(keypoints.score, 0.0, 1.0),
            depth_m=np.full(keypoints.score.shape, np.nan),
            depth_sigma_m=np.full(keypoints.score.shape, np.nan),
            hvip_px=np.full((len(keypoints.score), 2), np.nan),
            score=np.clip(keypoints.score, 0.0, 1.0).mean(1),
            source=source,
        )

    @property
    def keypoints(self) -> Keypoints:
        """Keypoints with the scores that belong to their spreads, for files that hold scores only."""
        size = person_size_px(self.xy_px)
        return Keypoints(self.xy_px, self.source.score(self.sigma_px / size[:, None]))

    @property
    def error_px(self) -> np.ndarray:
        """(N, 17) error per axis that a keypoint counts with where camera and ground are estimated, by the source's calibration."""
        calibrated = self.sigma_px * self.source.error_per_sigma(self.sigma_px / person_size_px(self.xy_px)[:, None])
        return calibrated * np.where(self.visible < HIDDEN, self.source.hidden_factor, 1.0)

    @property
    def torso_px(self) -> np.ndarray:
        """(N, 2) mean of shoulders and hips."""
        return self.xy_px[:, TORSO17].mean(1)

    @property
    def sure_ankles(self) -> np.ndarray:
        """(N,) whether both ankles tell where somebody stands."""
        return self.sigma_px[:, ANKLES17].max(1) < SURE_ANKLE * person_size_px(self.xy_px)

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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What users should know of them: of their source, and whether most may be no people at all."""
        doubtful = ""
        if self.source.scores_are_probabilities and len(self) and (mean := float(self.score.mean())) < DOUBTFUL:
            doubtful = f"people are doubtful: in the mean {100 * mean:.0f} % probable"
        return tuple(filter(None, (self.source.remark, doubtful)))

    def save(self, path: Path) -> None:
        """Write atomically as ``.npz``."""
        write_npz(path, **{name: getattr(self, name) for name in self.row_fields()}, source=np.array(json.dumps(self.source.as_dict())))

    @classmethod
    def load(cls, path: Path) -> Observations:
        """Read what `save` wrote.

        Raises:
            MissingAsset: the file is absent, damaged or of an older version.
        """
        try:
            arrays = load_arrays(path)
            source = Source.from_dict(parse_json(str(arrays["source"])))
            observed = cls(**{name: arrays[name] for name in cls.row_fields()}, source=source)
            for name, empty in vars(nobody(source)).items():
                if name != "source" and arrays[name].shape != (len(observed), *empty.shape[1:]):
                    raise ValueError(f"{name} is of shape {arrays[name].shape}")
            return observed
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MissingAsset(f"cannot read the observations {path}: {error}; run process.py again with --overwrite") from error


def nobody(source: Source) -> Observations:
    """No people."""
    points, plain = np.zeros((0, 17, 2)), np.zeros((0, 17))
    return Observations(points, plain, points, plain, plain, plain, plain, np.zeros((0, 2)), np.zeros(0), source)


def person_size_px(xy_px: np.ndarray) -> np.ndarray:
    """(N, 17, 2) → (N,) stature in pixels as far as the keypoints tell: the larger of their extent and of the scaled torso."""
    extent = (xy_px.max(1) - xy_px.min(1)).max(1)
    torso = np.linalg.norm(xy_px[:, SHOULDERS17].mean(1) - xy_px[:, HIPS17].mean(1), axis=1)
    return np.maximum(np.maximum(extent, STATURE_PER_TORSO * torso), 1.0)
