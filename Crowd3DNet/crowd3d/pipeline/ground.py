"""Camera and ground of a photograph from what was seen in it, for both halves of the reconstruction."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypedDict

import cv2
import numpy as np

from crowd3d.errors import UnsolvableGround
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import (
    GroundEstimate,
    OtherLevels,
    StaturePrior,
    detect_lines,
    estimate_ground,
    find_levels,
)
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pose.observations import Observations

log = logging.getLogger(__name__)

LINE_LEVEL_PX = 4000
"""Width of the reduced photograph in which line segments are looked for."""
LEAST_ON_LEVELS = 40
MOST_OF_A_HALF = 200
LEAST_GAIN = 12.0
"""Log likelihood that another ground must win with its levels."""


def estimate_from(
    image: GigapixelImage, observed: Observations, known: Known = NOTHING, *, groups: np.ndarray | None = None, use_lines: bool = True
) -> GroundEstimate:
    """Camera and ground from people, the photograph's line segments, what is known, and EXIF's focal length if no other is.

    With `groups` the people are those of several pictures of one static camera, as in `estimate_ground`.

    Raises:
        UnsolvableGround: the people do not determine them.
        BadConfig: what is known cannot be about this photograph.
    """
    known = known.resolved(image.reduced, image.size)
    focal = image.exif_focal_px() if known.camera is None else None
    exif = None if focal is None else (focal, image.exif_trust())
    sure = _sure(observed)
    same = None if groups is None else groups[sure]
    people = observed[sure]
    with ThreadPoolExecutor(1) as other:
        coming = other.submit(segments, image) if use_lines else None
        of_halves = _of_halves(people, image.size, known)
        lines = None if coming is None else coming.result()
    estimate = from_people(people, image.size, known, exif=exif, lines=lines, groups=same)
    most = _of_most(people, known, estimate, of_halves)
    if most is not None:
        same = None if same is None else same[most]
        estimate = from_people(people[most], image.size, known, exif=exif, lines=lines, groups=same)
    if known.ground is not None and known.ground_covariance is not None:
        # the given direction is as sure as it was, its height as sure as these people make it
        own = np.diag([1.0, 1.0, 1.0, 0.0])
        estimate = replace(estimate, covariance=estimate.covariance + own @ known.ground_covariance @ own)
    _report(estimate)
    return estimate


def from_people(
    observed: Observations,
    image_size: tuple[int, int],
    known: Known = NOTHING,
    *,
    exif: tuple[float, float] | None = None,
    lines: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> GroundEstimate:
    """`estimate_ground` from measurements: with their spreads, and where their source sees shoulders and ankles.

    Args:
        observed: people.
        image_size: width and height in pixels.
        known: what the user knows.
        exif: focal length in pixels that the photograph itself tells, and the probability that it holds.
        lines, groups: see `estimate_ground`.

    Raises:
        UnsolvableGround: the people do not determine camera and ground.
    """
    keypoints, told = _measured(observed, known, observed.error_px)
    facts = known.knowns if exif is None else replace(known.knowns, exif_focal_px=exif[0], exif_trust=exif[1])
    estimate = estimate_ground(keypoints, image_size, camera=known.camera, knowns=facts, lines=lines, groups=groups, **told)
    if facts.roll_rad is not None:
        return estimate
    return replace(estimate, covariance=estimate.covariance + np.diag([0.0, 0.0, observed.source.common_lean_rad**2, 0.0]))


def _of_halves(people: Observations, image_size: tuple[int, int], known: Known) -> list[GroundEstimate]:
    """By those of each half of the picture alone: a ground that tries to hold people of two levels may hold none. Empty of few people."""
    if known.most_levels < 2 or len(people) < LEAST_ON_LEVELS:
        return []
    return [from_people(people[half], image_size, known) for half in _halves(people)]


def _of_most(people: Observations, known: Known, estimate: GroundEstimate, of_halves: list[GroundEstimate]) -> np.ndarray | None:
    """Rows of those on the level with most people; None if everybody is on one."""
    if not of_halves:
        return None
    best = levels_of(people, estimate.camera, estimate.ground, known)
    for theirs in of_halves:
        found = levels_of(people, theirs.camera, theirs.ground, known)
        if len(found.heights_m) > 1 and found.value > best.value + LEAST_GAIN:
            best = found
    return np.flatnonzero(best.level == np.bincount(best.level).argmax()) if len(best.heights_m) > 1 else None


def _halves(people: Observations) -> list[np.ndarray]:
    """Rows of the people at the left, at the right, above and below, not more than `MOST_OF_A_HALF` of each."""
    before = people.torso_px < np.median(people.torso_px, axis=0)
    rows = [np.flatnonzero(side) for axis in (0, 1) for side in (before[:, axis], ~before[:, axis])]
    return [half[:: -(-len(half) // MOST_OF_A_HALF)] for half in rows]


def levels_of(observed: Observations, camera: Camera, ground: GroundPlane, known: Known = NOTHING) -> OtherLevels:
    """`find_levels` from measurements with their plain spreads: the tails of calibrated errors would look like another level."""
    keypoints, told = _measured(observed, known, observed.sigma_px)
    return find_levels(keypoints, camera, ground, most=known.most_levels, **told)


class _Told(TypedDict):
    stature: StaturePrior
    sigma_px: np.ndarray
    weight: np.ndarray | None


def _measured(observed: Observations, known: Known, sigma_px: np.ndarray) -> tuple[np.ndarray, _Told]:
    """(N, 17, 3) keypoints, and what goes with them and their spreads into `estimate_ground` and `find_levels`."""
    keypoints = np.concatenate([observed.xy_px, (observed.visible > 0)[..., None]], -1)
    stature = replace(known.stature, proportions=observed.source.proportions)
    weight = observed.score if observed.source.scores_are_probabilities else None
    return keypoints, {"stature": stature, "sigma_px": sigma_px, "weight": weight}


def quick_world(observed: Observations, image_size: tuple[int, int], known: Known = NOTHING) -> tuple[Camera, GroundPlane] | None:
    """Camera and ground as known, else from people alone, to plan tiles by; None where they do not determine them."""
    if known.world is not None:
        return known.world
    try:
        estimate = from_people(observed, image_size, known)
    except UnsolvableGround as error:
        log.warning("no ground from what was seen so far (%s)", error)
        return None
    return estimate.camera, estimate.ground


def _sure(observed: Observations) -> np.ndarray:
    """Rows of those who are certainly people, if there are any; scores of some sources do not tell."""
    sure = np.flatnonzero(observed.score > observed.source.sure)
    return sure if observed.source.scores_are_probabilities and len(sure) else np.arange(len(observed))


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
