"""Everything that the user knows about camera, ground and people, carried whole through all stages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from crowd3d.errors import BadConfig
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import POPULATION_SIGMA, Knowns, Opinion, OpinionSource, StaturePrior
from crowd3d.ground.knowns import check_focal, check_height, check_positive, check_scale_points, check_stature

log = logging.getLogger(__name__)

ANY_CROWD = StaturePrior(mean_sigma=POPULATION_SIGMA)
"""Statures when the user says nothing."""
_AGREEMENT = 0.05
"""A height and a distance on the ground that differ by more are two different scales."""
_SAME_SCALE = 0.01


@dataclass(frozen=True)
class Known:
    """What is known. None is unknown; everything given is honoured together with everything else.

    The scale has one source. A camera height or a distance between ground pixels measures it, and scales a ground that was given; a given
    ground without them keeps its own height, unless `refit_height`; else people's statures tell it.

    Attributes:
        camera: exact intrinsics with the lens' distortion.
        ground: the ground plane; it needs the camera.
        ground_covariance: (4, 4) of camera and ground that were estimated elsewhere (`GroundEstimate`); None for exact ones.
        refit_height: of the ground only the direction is to be kept: its height follows from people's statures.
        focal_px: focal length in pixels of the whole image, good to about 5 %; instead of a camera.
        height_m: exact height of the camera over the ground.
        scale_points: u1, v1, u2, v2, metres: two ground pixels and the distance between them.
        stature_m: mean stature of the adults.
        opinion: of somebody else about focal length and gravity, in pixels of the whole image; or who to ask for it.
        use_exif: whether the focal length that the photograph itself tells is believed where it agrees with the people.
        most_levels: people stand on so many horizontal levels at most; 1 is the ground alone.
        remarks: what camera and ground rest on where they were found before, for the user; None where the user gave them.

    Raises:
        BadConfig: a value that cannot be meant, or two that contradict each other.
    """

    camera: Camera | None = None
    ground: GroundPlane | None = None
    ground_covariance: np.ndarray | None = None
    refit_height: bool = False
    focal_px: float | None = None
    height_m: float | None = None
    scale_points: tuple[float, float, float, float, float] | None = None
    stature_m: float | None = None
    opinion: Opinion | OpinionSource | None = None
    use_exif: bool = True
    most_levels: int = 4
    remarks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.ground is not None and self.camera is None:
            raise BadConfig("a known ground needs the camera that sees it")
        if self.camera is not None:
            _check_camera(self.camera)
        if self.camera is not None and self.focal_px is not None:
            raise BadConfig("a camera and a focal length are two answers to one question; give one of them")
        if self.height_m is not None:
            check_height(self.height_m)
        if self.scale_points is not None:
            check_scale_points(self.scale_points)
        if self.stature_m is not None:
            check_stature(self.stature_m)
        if self.focal_px is not None:
            check_positive(self.focal_px, "focal length", "px")
        if self.ground is not None and not self._sized and not self.refit_height:
            check_height(self.ground.offset_m)

    @property
    def _sized(self) -> bool:
        """Whether something was measured that gives the scale."""
        return self.height_m is not None or self.scale_points is not None

    @property
    def stature(self) -> StaturePrior:
        """What is known of people's heights."""
        return ANY_CROWD if self.stature_m is None else replace(ANY_CROWD, mean_m=self.stature_m)

    @property
    def world(self) -> tuple[Camera, GroundPlane] | None:
        """Camera and ground, if nothing of them has to be estimated; in the measured scale.

        Raises:
            BadConfig: height and distance contradict each other, or the points are not on the ground.
        """
        if self.camera is None or self.ground is None or (self.refit_height and not self._sized):
            return None
        return self.camera, replace(self.ground, offset_m=self._measured_height(self.camera, self.ground))

    def _measured_height(self, camera: Camera, ground: GroundPlane) -> float:
        told = self.height_m
        if self.scale_points is not None:
            ends = ground.intersect(camera, np.reshape(self.scale_points[:4], (2, 2)))
            if not np.isfinite(ends).all():
                raise BadConfig(f"scale points {' '.join(map('{:g}'.format, self.scale_points[:4]))}: at least one is above the horizon")
            by_distance = ground.offset_m * self.scale_points[4] / float(np.linalg.norm(ends[0] - ends[1]))
            if told is not None and abs(np.log(by_distance / told)) > _AGREEMENT:
                raise BadConfig(f"camera height {told:g} m contradicts the scale points, by which it is {by_distance:.2f} m; leave one out")
            told = by_distance if told is None else told
        if told is None:
            return ground.offset_m
        check_height(told)
        return told

    @property
    def world_covariance(self) -> np.ndarray | None:
        """(4, 4) of `world`: a measured height is exact. None for an exact world."""
        if self.ground_covariance is None or not self._sized:
            return self.ground_covariance
        covariance = np.array(self.ground_covariance, np.float64)
        covariance[3], covariance[:, 3] = 0.0, 0.0
        return covariance if covariance.any() else None

    @property
    def knowns(self) -> Knowns:
        """The same for `estimate_ground`, which takes the camera besides; see `resolved`."""
        tilt, roll = (None, None) if self.ground is None else (self.ground.tilt_rad, self.ground.roll_rad)
        opinion = self.opinion if isinstance(self.opinion, Opinion) else None
        height = self.height_m if self.world is None else self.world[1].offset_m
        return Knowns(
            focal_px=self.focal_px,
            height_m=height,
            scale_points=self.scale_points,
            tilt_rad=tilt,
            roll_rad=roll,
            opinion=opinion,
            use_exif=self.use_exif,
        )

    def resolved(self, picture: Callable[[float], np.ndarray], image_size: tuple[int, int]) -> Known:
        """The same with an opinion instead of who gives it, checked against the photograph's size.

        Args:
            picture: `GigapixelImage.reduced`; called only if somebody has to be asked.
            image_size: width and height of the photograph.

        Raises:
            BadConfig: the camera is for another size, or the focal length cannot be that of such a photograph.
            BackendFailed, MissingAsset: what the one who is asked raises.
        """
        self.check_size(image_size)
        if self.world is not None and self.ground is not None and not self.refit_height:
            given, used = self.ground.offset_m, self.world[1].offset_m
            if abs(np.log(used / given)) > _SAME_SCALE:
                log.info("the given ground, %.2f m below the camera, is scaled to %.2f m", given, used)
        if self.opinion is None or isinstance(self.opinion, Opinion) or self.world is not None:
            return self
        factor = max(1.0, max(image_size) / OPINION_PX)
        opinion = self.opinion(picture(factor)).scaled(factor)
        focal, up = opinion.focal_px, opinion.up_cam
        log.info("%s: focal length %s px, up %s", opinion.source, "?" if focal is None else f"{focal:.0f}", up)
        return replace(self, opinion=opinion)

    def check_size(self, image_size: tuple[int, int]) -> None:
        """Raise if this cannot be about a photograph of this size.

        Raises:
            BadConfig: see `resolved`.
        """
        if self.camera is not None and (self.camera.width, self.camera.height) != tuple(image_size):
            size = f"{self.camera.width}x{self.camera.height}"
            raise BadConfig(f"the given camera is for {size} pixels, the photograph has {image_size[0]}x{image_size[1]}")
        if self.focal_px is not None:
            check_focal(self.focal_px, image_size)
        _ = self.world  # contradictions show here

    def of_world(self, camera: Camera, ground: GroundPlane, covariance: np.ndarray | None, remarks: tuple[str, ...] | None) -> Known:
        """The same when camera and ground are settled for all pictures of a static camera, in which everybody is on that ground."""
        return Known(camera, ground, covariance, stature_m=self.stature_m, most_levels=1, remarks=remarks)

    def key(self) -> dict[str, Any]:
        """Everything as JSON values, for the memory of a run. Who gives an opinion is named by their name only: ask before (`resolved`)."""
        opinion = self.opinion
        told = asdict(opinion) if isinstance(opinion, Opinion) else None if opinion is None else type(opinion).__name__
        return {
            "camera": None if self.camera is None else asdict(self.camera),
            "ground": None if self.ground is None else self.ground.coefficients.tolist(),
            "ground_covariance": None if self.ground_covariance is None else np.asarray(self.ground_covariance).tolist(),
            "refit_height": self.refit_height,
            "focal_px": self.focal_px,
            "height_m": self.height_m,
            "scale_points": self.scale_points,
            "stature_m": self.stature_m,
            "opinion": told,
            "use_exif": self.use_exif,
            "most_levels": self.most_levels,
            "remarks": self.remarks,
        }


NOTHING = Known()
OPINION_PX = 1280
"""Longer side of the reduced picture that others are asked about."""


def _check_camera(camera: Camera) -> None:
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not (np.isfinite(numbers).all() and min(camera.fx, camera.fy, camera.width, camera.height) > 0):
        raise BadConfig(f"camera with fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g}: lengths must be positive")
    if camera.distortion is None:
        check_focal(camera.fx, (camera.width, camera.width))
