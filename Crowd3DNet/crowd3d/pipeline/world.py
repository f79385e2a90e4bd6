"""Camera and ground of a photograph: as they are known, as its people tell them, or as of a usual photograph where nobody is there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import read_json, write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import check_below_horizon
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.ground import estimate_from
from crowd3d.pipeline.known import Known
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.types import Keypoints

log = logging.getLogger(__name__)

NOBODY = "nobody was found, so camera and ground are only those of usual photographs"
"""What such a result says of itself."""
CLEARLY_SEEN = 0.5
"""Ankles that are seen less clearly do not tell whether people can stand on a given ground."""


@dataclass(frozen=True)
class World:
    """Camera and ground, and what the user should know of them.

    Attributes:
        camera: intrinsics.
        ground: the plane that people stand on.
        covariance: (4, 4) as in `GroundEstimate`; None for exact ones.
        weak: why they are uncertain; empty if they are not.
        assumption: what all lengths rest on; empty if something was measured.
        height_range_m: of the camera, if the people may be children too; None where that does not matter.
    """

    camera: Camera
    ground: GroundPlane
    covariance: np.ndarray | None
    weak: str = ""
    assumption: str = ""
    height_range_m: tuple[float, float] | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """For the user."""
        return tuple(filter(None, (self.weak, self.assumption)))

    def save(self, path: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write as JSON, with `more` entries."""
        values = {
            "camera": asdict(self.camera),
            "ground": self.ground.coefficients.tolist(),
            "covariance": None if self.covariance is None else self.covariance.tolist(),
            "weak": self.weak,
            "assumption": self.assumption,
        }
        if self.height_range_m is not None:
            values["height_range_m"] = list(self.height_range_m)
        write_json(path, values | dict(more or {}))

    @classmethod
    def load(cls, path: Path) -> World:
        """Read what `save` wrote.

        Raises:
            MissingAsset: the file is absent or damaged.
        """
        try:
            values = read_json(path)
            return cls(
                Camera(**values["camera"]),
                GroundPlane.from_coefficients(values["ground"]),
                None if values["covariance"] is None else np.array(values["covariance"]),
                values["weak"],
                values["assumption"],
                tuple(values["height_range_m"]) if "height_range_m" in values else None,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingAsset(f"cannot read camera and ground {path}: {error}; run it again with --overwrite") from error


def find_world(image: GigapixelImage, observed: Observations, known: Known, groups: np.ndarray | None = None) -> World:
    """Camera and ground.

    Args:
        image: the photograph, whose lines and EXIF data count, too.
        observed: everybody in it.
        known: what the user knows.
        groups: who is the same person in several pictures of one static camera, as in `estimate_ground`.

    Raises:
        UnsolvableGround: the people do not determine them.
        ImplausibleKeypoints: hardly anybody can stand on the ground that the user gave.
        BadConfig: what is known cannot be about this photograph.
    """
    if known.world is not None:
        camera, ground = known.world
        if known.remarks is None or known.ground_covariance is None:
            check_below_horizon(np.concatenate([observed.xy_px, (observed.visible > CLEARLY_SEEN)[..., None]], -1), camera, ground)
        return World(camera, ground, known.world_covariance, "; ".join(known.remarks or ()), _scale_is_given(known, ground))
    estimate = estimate_from(image, observed if len(observed) else _somebody_unseen(), known, groups=groups if len(observed) else None)
    told = World(estimate.camera, estimate.ground, estimate.covariance, estimate.reason, estimate.assumption, estimate.height_range_m)
    return told if len(observed) else replace(told, weak=NOBODY)


def _somebody_unseen() -> Observations:
    """One person of whom nothing is known: what is left is the prior of cameras, and lines and EXIF data."""
    return Observations.from_keypoints(Keypoints(np.zeros((1, 17, 2)), np.zeros((1, 17))), plain("nobody"))


def _scale_is_given(known: Known, ground: GroundPlane) -> str:
    """What becomes of a stature beside a ground that the user gave, in words; empty if none was given."""
    if known.stature_m is None or known.remarks is not None:
        return ""
    height = f"the camera's given height of {ground.offset_m:.2f} m"
    text = f"all lengths follow from {height}; the stature of {known.stature_m:.2f} m only guides the optimisation of bodies"
    log.warning("%s", text)
    return text
