"""Made-up crowds with exact truth, and how well anybody could do on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.cameras import camera_prior
from crowd3d.ground.likelihood import fisher_information
from crowd3d.ground.prediction import PARAMETERS
from crowd3d.ground.sightings import Sightings, observe
from crowd3d.ground.stature import LANDMARKS, StaturePrior

# COCO-17 joints of somebody who stands: right and forward of the body's axis, up from the sole, as fractions of stature
_RIGHT = np.array([0, -0.02, 0.02, -0.045, 0.045, -0.13, 0.13, -0.15, 0.15, -0.155, 0.155, -0.07, 0.07, -0.06, 0.06, -0.055, 0.055])
_FORWARD = np.array([0.07, 0.06, 0.06, *[0.0] * 14])
_UP = np.array(
    [0.915, *np.repeat([LANDMARKS.eye, 0.93, LANDMARKS.shoulder, 0.63, 0.485, LANDMARKS.hip, LANDMARKS.knee, LANDMARKS.ankle], 2)]
)
_STRIDE_SHARE = np.array([0.0] * 13 + [0.5, 0.5, 1.0, 1.0])
STANDING, SEATED, WRONG_ANKLES = 0, 1, 2
_SIZES = ((4000, 3000), (3000, 4000), (1920, 1080), (6000, 4000))
_WIDEST_DEG = 130.0


@dataclass(frozen=True)
class Condition:
    """How a made-up crowd stands and how well it is seen.

    Attributes:
        noise_px: least standard deviation of a keypoint per axis.
        relative_noise: standard deviation of a keypoint as a fraction of the person's image height, where that is more.
        lean_rad: standard deviation of the lean about each of two axes.
        stride_m: longest distance between the ankles along the body's direction.
        outliers: share of people who are seated (half) or have wrong ankles (half).
    """

    noise_px: float = 1.5
    relative_noise: float = 0.015
    lean_rad: float = float(np.deg2rad(3.0))
    stride_m: float = 0.3
    outliers: float = 0.0


CONDITIONS = {
    "A": Condition(relative_noise=0.0, lean_rad=0.0, stride_m=0.0),
    "B": Condition(),
    "C": Condition(outliers=0.1),
    "D": Condition(outliers=0.3),
}


@dataclass(frozen=True)
class SimulatedCrowd:
    """A made-up crowd.

    Attributes:
        keypoints: (N, 17, 3) u, v, score.
        kind: (N,) STANDING, SEATED or WRONG_ANKLES.
        camera, ground: the truth; the plane of the soles.
        feet_m: (N, 2) x, z on the ground in the upright world.
        stature_m: (N,).
        condition: how it was made.
    """

    keypoints: np.ndarray
    kind: np.ndarray
    camera: Camera
    ground: GroundPlane
    feet_m: np.ndarray
    stature_m: np.ndarray
    condition: Condition


def simulate_crowd(
    camera: Camera,
    ground: GroundPlane,
    people: int,
    rng: np.random.Generator,
    *,
    condition: Condition | None = None,
    stature: StaturePrior | None = None,
    feet_px: np.ndarray | None = None,
    stature_m: np.ndarray | None = None,
    reach_m: float = 160.0,
    cut_off: bool = False,
) -> SimulatedCrowd:
    """People scattered evenly over the visible ground, or at `feet_px` (M, 2), all keypoints inside the image before noise.

    With `cut_off` the ground goes on below the picture, shoulders inside suffice and keypoints outside are unknown, score 0.

    `stature_m` (M,) gives the statures of those at `feet_px`, all of them usable: the same people again, in another picture.

    Fewer than `people` come back where the view has no room for them or `feet_px` are partly unusable.
    """
    condition, stature = condition or Condition(), stature or StaturePrior(child_share=0.0)
    below = 3.0 * camera.height if cut_off else 0.0
    feet = _scatter(camera, ground, 8 * people + 400, reach_m, rng, below) if feet_px is None else _on_ground(camera, ground, feet_px)
    count = len(feet)
    child = rng.random(count) < stature.child_share
    mean = np.where(child, stature.child_mean_m, stature.mean_m)
    tall = mean + rng.normal(size=count) * np.where(child, stature.child_sd_m, stature.sd_m)
    if stature_m is not None:
        tall = np.asarray(stature_m, np.float64)
    kind = np.where(rng.random(count) < condition.outliers, rng.integers(1, 3, count), STANDING)
    joints = _bodies(feet, tall, kind, condition, rng)
    points = camera.project(ground.from_world(joints))
    inside = np.all((points >= 0) & (points < [camera.width, camera.height]), axis=-1)
    usable = inside[:, 5:7].all(1) & (inside[:, 11:13].all(1) | inside[:, 0]) if cut_off else inside.all(1)
    keep = np.flatnonzero(usable)[:people]
    points, kind = points[keep], kind[keep]
    size = np.ptp(points[..., 1], axis=1) / 0.897
    sigma = np.maximum(condition.noise_px, condition.relative_noise * size)
    points = points + sigma[:, None, None] * rng.normal(size=points.shape)
    _spoil_ankles(points, kind == WRONG_ANKLES, rng)
    keypoints = np.concatenate([points, np.where(inside[keep], 0.8, 0.0)[..., None]], -1)
    return SimulatedCrowd(keypoints, kind, camera, ground, feet[keep], tall[keep], condition)


def random_view(rng: np.random.Generator, image_size: tuple[int, int] = (19200, 6480)) -> tuple[Camera, GroundPlane]:
    """A camera on a mast or a stand: FOV 30–100°, tilt 5–40°, roll N(0, 1.5°), 5–30 m above the soles."""
    camera = Camera.from_fov(rng.uniform(30.0, 100.0), image_size)
    tilt, roll = np.deg2rad(rng.uniform(5.0, 40.0)), np.deg2rad(rng.normal(0.0, 1.5))
    return camera, GroundPlane.from_angles(tilt, roll, rng.uniform(5.0, 30.0))


def random_crowd(rng: np.random.Generator, condition: Condition, people: int = 200, at_least: int = 150) -> SimulatedCrowd:
    """A crowd in a random view that has room for it."""
    while True:
        crowd = simulate_crowd(*random_view(rng), people, rng, condition=condition)
        if len(crowd.kind) >= at_least:
            return crowd


def everyday_picture(rng: np.random.Generator, condition: Condition, most_people: int = 10) -> SimulatedCrowd:
    """One to `most_people` people in front of one of the usual cameras (`cameras`), some of them cut off."""
    while True:
        size = _SIZES[rng.integers(len(_SIZES))]
        prior = camera_prior(size, 0.0)
        kind = rng.choice(len(prior.log_weight), p=np.exp(prior.log_weight))
        focal, tilt, roll, height = prior.mean[kind, :4] + prior.sigma[kind, :4] * rng.normal(size=4)
        camera, ground = Camera.from_focal(max(size) * np.exp(focal), size), GroundPlane.from_angles(tilt, roll, np.exp(height))
        reach = 12.0 * np.exp(height) * rng.uniform(0.3, 1.0)
        crowd = simulate_crowd(camera, ground, int(rng.integers(1, most_people + 1)), rng, condition=condition, reach_m=reach, cut_off=True)
        if len(crowd.kind) and camera.fov_x_deg < _WIDEST_DEG:
            return crowd


def truth_vector(camera: Camera, ground: GroundPlane) -> np.ndarray:
    """(4,) log focal length in pixels, tilt, roll, log height: the order of `GroundEstimate.covariance`."""
    return np.array([np.log(camera.fx), ground.tilt_rad, ground.roll_rad, np.log(ground.offset_m)])


def cramer_rao_bound(crowd: SimulatedCrowd, stature: StaturePrior | None = None) -> np.ndarray:
    """(4, 4) least covariance of any unbiased estimate from the ankle and shoulder midpoints of the standing people.

    The feet are free; stature, lean and pixel noise have their true distributions, known to the estimator.
    """
    stature = stature or StaturePrior(child_share=0.0)
    observations = observe(crowd.keypoints[crowd.kind == STANDING], crowd.camera)
    observations = with_true_noise(observations, crowd)
    unit = observations.unit_px
    parameters = np.zeros(PARAMETERS)
    parameters[:4] = truth_vector(crowd.camera, crowd.ground) - np.array([np.log(unit), 0.0, 0.0, 0.0])
    parameters[4] = np.log(max(crowd.condition.lean_rad, 1e-4))
    information = fisher_information(parameters, observations, stature)[:4, :4]
    return np.linalg.inv(information)


def with_true_noise(observations: Sightings, crowd: SimulatedCrowd) -> Sightings:
    """The same people with the noise that `crowd` was made with."""
    points = crowd.keypoints[crowd.kind == STANDING][..., :2]
    size = np.ptp(points[..., 1], axis=1) / 0.897
    sigma = np.maximum(crowd.condition.noise_px, crowd.condition.relative_noise * size) / np.sqrt(2.0) / observations.unit_px
    return replace(observations, sigma=np.repeat(sigma[:, None], 5, 1))


def _scatter(
    camera: Camera, ground: GroundPlane, count: int, reach_m: float, rng: np.random.Generator, below_px: float = 0.0
) -> np.ndarray:
    """(count, 2) x, z of points spread evenly over the ground that the image shows, if it went on `below_px` further down."""
    found: list[np.ndarray] = []
    for _ in range(400):
        distance = reach_m * np.sqrt(rng.random(4 * count))
        azimuth = rng.uniform(-np.pi, np.pi, 4 * count)
        xz = np.stack([distance * np.sin(azimuth), -distance * np.cos(azimuth)], -1)
        pixel = camera.project(ground.from_world(np.stack([xz[:, 0], np.zeros(len(xz)), xz[:, 1]], -1)))
        with np.errstate(invalid="ignore"):
            found.append(xz[((pixel >= 0) & (pixel < [camera.width, camera.height + below_px])).all(1)])
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count]


def _on_ground(camera: Camera, ground: GroundPlane, feet_px: np.ndarray) -> np.ndarray:
    world = ground.to_world(ground.intersect(camera, feet_px))
    return world[np.isfinite(world).all(1)][:, [0, 2]]


def _bodies(feet: np.ndarray, tall: np.ndarray, kind: np.ndarray, condition: Condition, rng: np.random.Generator) -> np.ndarray:
    """(N, 17, 3) joints in the upright world."""
    count = len(feet)
    right, forward, up = (np.broadcast_to(v, (count, 17)).copy() for v in (_RIGHT, _FORWARD, _UP))
    seated = kind == SEATED
    # a seat at knee height: the trunk comes down and back, the knees stay, the feet are under the knees
    thigh, drop = 0.23, LANDMARKS.hip - LANDMARKS.knee
    up[seated, :13] -= drop
    forward[seated, :13] -= thigh
    stride = rng.uniform(-0.5, 0.5, count) * condition.stride_m / tall
    forward += np.where(seated, 0.0, stride)[:, None] * _STRIDE_SHARE * np.sign(_RIGHT)
    lean = condition.lean_rad * rng.normal(size=(count, 2, 1))
    right, up_ = right + np.tan(lean[:, 0]) * up, up / np.sqrt(1.0 + np.tan(lean[:, 0]) ** 2 + np.tan(lean[:, 1]) ** 2)
    forward = forward + np.tan(lean[:, 1]) * up_
    right = right - np.tan(lean[:, 0]) * (up - up_)
    yaw = rng.uniform(-np.pi, np.pi, (count, 1))
    x = feet[:, :1] + tall[:, None] * (np.cos(yaw) * right + np.sin(yaw) * forward)
    z = feet[:, 1:] + tall[:, None] * (np.cos(yaw) * forward - np.sin(yaw) * right)
    return np.stack([x, tall[:, None] * up_, z], -1)


def _spoil_ankles(points: np.ndarray, wrong: np.ndarray, rng: np.random.Generator) -> None:
    """Move both ankles of some people up towards the hips, in place, as when legs are hidden."""
    share = rng.uniform(0.2, 0.8, wrong.sum())[:, None, None]
    points[wrong, 15:17] += share * (points[wrong, 11:13] - points[wrong, 15:17])
