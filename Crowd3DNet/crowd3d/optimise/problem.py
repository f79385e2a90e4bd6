"""What is measured and what is believed of everybody, as arrays ready for the terms."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from crowd3d.bodies import Body
from crowd3d.bodies.joints import TORSO17
from crowd3d.bodies.skinning import locate
from crowd3d.errors import BackendFailed
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.ground import StaturePrior
from crowd3d.optimise.belief import Belief
from crowd3d.optimise.pose_prior import PosePrior
from crowd3d.optimise.skeleton import Skeleton
from crowd3d.optimise.state import BETAS, POSE, RISE, SHARED, Lens, Start, bones_of
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.types import Keypoints, People, Scene

POPULATION_TRUST = 0.5
"""Weight of the poses of everybody beside the given pose while camera and ground are free; without it the given pose is believed alone."""
LEAST_SIGMA_PX = 0.05
HEIGHT = 3
"""Place of the camera's height among the shared unknowns: the scene's scale, all else being equal."""


@dataclass(frozen=True)
class Measurements:
    """Measurements of N people and the centres of their priors. Inverse spreads are 0 where nothing is known.

    Attributes:
        xy_px: (N, 17, 2) keypoints.
        xy_inverse: (N, 17) 1 / spread, per pixel.
        depth_m: (N, 17) depth behind the torso centre along `ray`.
        depth_inverse: (N, 17) 1 / spread, per metre.
        ray: (N, 3) unit vector to the torso centre, camera frame.
        hvip: (N, 2) measured HVIP minus the given one, in statures.
        hvip_inverse: (N,) 1 / spread.
        pose: (N, K) centre of the prior of the pose, in coordinates relative to the given pose.
        betas: (N, 10) given betas.
    """

    xy_px: np.ndarray
    xy_inverse: np.ndarray
    depth_m: np.ndarray
    depth_inverse: np.ndarray
    ray: np.ndarray
    hvip: np.ndarray
    hvip_inverse: np.ndarray
    pose: np.ndarray
    betas: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Measurements:
        return Measurements(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Problem:
    """Everything that stays the same while the unknowns change.

    Attributes:
        skeleton, lens, start, evidence: see there.
        basis: (69, K) pose per coordinate.
        pose_inverse: () 1 / spread of the pose's coordinates around `Measurements.pose`.
        lean: spread of the horizontal part of the pelvis' up vector among people.
        stature: what is known of people's heights.
        shared_mean: (4,) and shared_information (4, 4): prior of the shared unknowns.
        shared_free: (4,) bool.
        people_free: whether bodies and places may change.
        belief: spreads of what is given.
        frame: (N,) photograph that each person is in; people of different ones do not touch.
    """

    skeleton: Skeleton
    lens: Lens
    start: Start
    evidence: Measurements
    basis: np.ndarray
    pose_inverse: float
    lean: float
    stature: StaturePrior
    shared_mean: np.ndarray
    shared_information: np.ndarray
    shared_free: np.ndarray
    people_free: bool
    belief: Belief
    frame: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: np.ndarray) -> Problem:
        return replace(self, start=self.start[rows], evidence=self.evidence[rows], frame=self.frame[rows])

    @property
    def unknowns(self) -> int:
        """P, unknowns per person."""
        return POSE + self.basis.shape[1] + BETAS


def checked(keypoints: Keypoints | Observations) -> Observations:
    """Observations in which everything known is finite and everything unknown has an infinite spread.

    Raises:
        BackendFailed: a keypoint that counts as known is not a number.
    """
    if isinstance(keypoints, Keypoints):
        unknown = ~(keypoints.score > 0)
        _refuse_nan(keypoints.xy_px, unknown)
        known = np.where(unknown[..., None], np.nan, keypoints.xy_px)
        some = ~unknown.all(1)
        middle = np.zeros((len(unknown), 1, 2))
        middle[some] = np.nanmean(known[some], axis=1, keepdims=True)
        placed = Keypoints(np.where(unknown[..., None], middle, keypoints.xy_px), keypoints.score)
        observed = Observations.from_keypoints(placed, plain("given"))
    else:
        observed = keypoints
        unknown = ~np.isfinite(observed.sigma_px) | ~(observed.visible > 0)
        _refuse_nan(observed.xy_px, unknown)
    sigma = np.where(unknown, np.inf, np.maximum(observed.sigma_px, LEAST_SIGMA_PX))
    xy = np.where(unknown[..., None], 0.0, observed.xy_px)
    values = {f.name: getattr(observed, f.name) for f in fields(observed)}
    return Observations(**(values | {"xy_px": xy, "sigma_px": sigma}))


def _refuse_nan(xy_px: np.ndarray, unknown: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(xy_px).all(-1) & ~unknown)
    if len(bad):
        person, keypoint = bad[0]
        raise BackendFailed(
            f"keypoint {keypoint} of person {person} is {xy_px[person, keypoint]} ({len(bad)} such keypoints); "
            "write 0 as its score if it is unknown, or detect the keypoints again"
        )


def upright(people: People, ground: GroundPlane) -> np.ndarray:
    """(N, 3, 3) rotations of the pelvis in the upright world."""
    return ground.rotation_cam_world.T @ axis_angle_to_matrix(people.pose_rad[:, 0].astype(np.float64))


def size_px(camera: Camera, people: People, stature_m: np.ndarray) -> np.ndarray:
    """(N,) length of everybody's upright stature in the image, seen from the side."""
    depth = np.maximum(people.hvip_cam_m[:, 2], 1e-3)
    return camera.fx * stature_m / depth


def usable(scene: Scene) -> np.ndarray:
    """(N,) bool, people who are finite, in front of the camera, and stand below the horizon."""
    people = scene.people
    spots = np.concatenate([people.translation_cam_m, people.hvip_cam_m, people.hvip_px], 1)
    finite = np.isfinite(spots).all(1) & np.isfinite(people.pose_rad).all((1, 2)) & np.isfinite(people.betas).all(1)
    on_ground = np.isfinite(scene.ground.intersect(scene.camera, people.hvip_px)).all(1)
    return finite & on_ground & (people.hvip_cam_m[:, 2] > 0.1)


def state_problem(
    scene: Scene,
    observed: Observations,
    body: Body,
    prior: PosePrior,
    stature: StaturePrior,
    free: tuple[str, ...],
    belief: Belief,
    frame: np.ndarray,
) -> tuple[Problem, np.ndarray, np.ndarray]:
    """Set up the problem of a scene whose people are all `usable`.

    Args:
        scene: the start, and the centre of the priors that trust it.
        observed: measurements of the same people, as from `checked`.
        body: the body of the scene, with its mesh.
        prior: of poses.
        stature: of heights.
        free: what may change: ``people``, ``camera``, ``ground``.
        belief: in the given people and in the measurements.
        frame: (N,) photograph that each person is in.

    Returns:
        Problem, unknowns of the people (N, P), shared unknowns (4,).
    """
    camera, ground, people = scene.camera, scene.ground, scene.people
    skeleton = Skeleton.of(body)
    betas = people.betas.astype(np.float64)
    size = size_px(camera, people, body.stature_m(people.betas))
    pose_rad = people.pose_rad[:, 1:].reshape(-1, 69).astype(np.float64)
    basis = prior.basis_rad
    start = Start(people.hvip_px, size, upright(people, ground), pose_rad, people.off_ground_m)
    x = np.zeros((len(people), POSE + basis.shape[1] + BETAS))
    x[:, -BETAS:] = betas
    bones = bones_of(skeleton, start, basis, x)
    torso = locate(bones, skeleton.landmarks, betas)[:, TORSO17].mean(1)
    pelvis = people.translation_cam_m + skeleton.joint[0] + betas @ skeleton.joint_shape[0].T
    torso_cam = pelvis + torso @ ground.rotation_cam_world.T
    x[:, RISE] = ground.signed_distance(torso_cam)
    shared = np.array([np.log(camera.fx), ground.tilt_rad, ground.roll_rad, np.log(ground.offset_m)])
    information, shared_free = _shared_prior(scene.ground_covariance, free, belief)
    population = POPULATION_TRUST if shared_free.any() else 0.0
    precision = 1 / belief.pose**2 + population
    pull = -population / precision * prior.coefficients(pose_rad)
    problem = Problem(
        skeleton=skeleton,
        lens=Lens(camera.fy / camera.fx, camera.cx, camera.cy),
        start=start,
        evidence=_evidence(observed, belief, torso_cam, people.hvip_px, size, pull, betas),
        basis=basis,
        pose_inverse=float(np.sqrt(precision)),
        lean=prior.lean,
        stature=stature,
        shared_mean=shared,
        shared_information=information,
        shared_free=shared_free,
        people_free="people" in free,
        belief=belief,
        frame=frame,
    )
    return problem, x, shared


def _shared_prior(covariance: np.ndarray | None, free: tuple[str, ...], belief: Belief) -> tuple[np.ndarray, np.ndarray]:
    """Information (4, 4) and what is free (4,): nothing that was given as exact."""
    covariance = np.zeros((SHARED, SHARED)) if covariance is None else covariance
    allowed = np.array(["camera" in free] + 3 * ["ground" in free]) & (np.diag(covariance) > 0)
    information = np.zeros((SHARED, SHARED))
    rows = np.flatnonzero(allowed)
    information[np.ix_(rows, rows)] = np.linalg.inv(covariance[np.ix_(rows, rows)]) * belief.ground**2
    if allowed[HEIGHT]:
        others = rows[rows != HEIGHT]
        scale = np.zeros(SHARED)
        scale[others] = -np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, HEIGHT])
        scale[HEIGHT] = 1.0
        information += np.outer(scale, scale) / belief.scale**2
    return information, allowed


def _evidence(
    observed: Observations,
    belief: Belief,
    torso_cam_m: np.ndarray,
    hvip_px: np.ndarray,
    size: np.ndarray,
    pose: np.ndarray,
    betas: np.ndarray,
) -> Measurements:
    depth_sigma = observed.depth_sigma_m * belief.depth
    depth_known = np.isfinite(observed.depth_m) & np.isfinite(depth_sigma)
    hvip_known = np.isfinite(observed.hvip_px).all(1) & np.isfinite(belief.hvip)
    hvip = np.where(hvip_known[:, None], (observed.hvip_px - hvip_px) / size[:, None], 0.0)
    arrays = (
        observed.xy_px,
        1.0 / (observed.sigma_px * np.array(belief.keypoints)),
        np.where(depth_known, observed.depth_m, 0.0),
        np.where(depth_known, 1.0 / np.where(depth_known, depth_sigma, 1.0), 0.0),
        torso_cam_m / np.linalg.norm(torso_cam_m, axis=1, keepdims=True),
        hvip,
        hvip_known / belief.hvip,
        pose,
        betas,
    )
    return Measurements(*(np.asarray(array, np.float64) for array in arrays))
