"""Camera and ground of a photograph from what was seen in it, for both halves of the reconstruction."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import (
    POPULATION_SIGMA,
    GroundEstimate,
    Knowns,
    Proportions,
    StaturePrior,
    detect_lines,
    estimate_ground,
)
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.observations import Observations

log = logging.getLogger(__name__)

ANY_CROWD = StaturePrior(mean_sigma=POPULATION_SIGMA)
"""Statures when the user says nothing."""
LINE_LEVEL_PX = 4000
"""Width of the reduced photograph in which line segments are looked for."""


def estimate_from(
    image: GigapixelImage,
    observed: Observations,
    camera: Camera | None = None,
    knowns: Knowns | None = None,
    *,
    stature: StaturePrior = ANY_CROWD,
    use_lines: bool = True,
) -> GroundEstimate:
    """Camera and ground from people, the photograph's line segments, and EXIF's focal length if no other is known.

    Raises:
        UnsolvableGround: the people do not determine them.
    """
    knowns = knowns or Knowns()
    if knowns.focal_px is None and camera is None and (focal := image.exif_focal_px()) is not None:
        knowns = replace(knowns, focal_px=focal)
    lines = segments(image) if use_lines else None
    estimate = from_people(_sure(observed), image.size, stature, camera=camera, knowns=knowns, lines=lines)
    _report(estimate)
    return estimate


def from_people(observed: Observations, image_size: tuple[int, int], stature: StaturePrior = ANY_CROWD, **known: Any) -> GroundEstimate:
    """`estimate_ground` from measurements: with their spreads, and where their source sees shoulders and ankles.

    Args:
        observed: people.
        image_size: width and height in pixels.
        stature: what is known of their heights.
        known: ``camera``, ``knowns`` and ``lines`` of `estimate_ground`.
    """
    keypoints = np.concatenate([observed.xy_px, (observed.visible > 0)[..., None]], -1)
    stature = replace(stature, proportions=Proportions(**vars(observed.source.proportions)))
    return estimate_ground(keypoints, image_size, stature=stature, sigma_px=observed.sigma_px, **known)


def quick_world(observed: Observations, image_size: tuple[int, int]) -> tuple[Camera, GroundPlane] | None:
    """Camera and ground from people alone, to plan tiles by; None where they do not determine them."""
    try:
        estimate = from_people(observed, image_size)
    except UnsolvableGround as error:
        log.warning("no ground from what was seen so far (%s)", error)
        return None
    return estimate.camera, estimate.ground


def _sure(observed: Observations) -> Observations:
    """Those who are certainly people, if there are any; scores of some sources do not tell."""
    sure = np.flatnonzero(observed.score > observed.source.sure)
    return observed[sure] if observed.source.scores_are_probabilities and len(sure) else observed


def segments(image: GigapixelImage) -> np.ndarray:
    """(L, 4) line segments of the reduced photograph, in pixels of the whole (see `detect_lines`)."""
    factor = max(1.0, image.size[0] / LINE_LEVEL_PX)
    return detect_lines(cv2.cvtColor(image.reduced(factor), cv2.COLOR_RGB2GRAY), factor)


def _report(estimate: GroundEstimate) -> None:
    sigma = estimate.sigma
    log.info(
        "field of view %.1f ± %.1f°, tilt %.1f ± %.1f°, roll %.1f ± %.1f°, camera %.2f ± %.2f m above the ground, from %d standing people",
        *(estimate.camera.fov_x_deg, sigma["fov_deg"]),
        *(np.rad2deg(estimate.ground.tilt_rad), sigma["tilt_deg"]),
        *(np.rad2deg(estimate.ground.roll_rad), sigma["roll_deg"]),
        *(estimate.ground.offset_m, sigma["height_m"]),
        estimate.inliers.sum(),
    )
    if estimate.weak:
        log.warning("camera and ground are uncertain: %s", estimate.reason)
    if estimate.assumption:
        log.warning("%s; the camera is then between %.1f and %.1f m high", estimate.assumption, *estimate.height_range_m)
