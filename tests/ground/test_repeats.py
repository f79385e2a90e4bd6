"""The same people seen again and again by one static camera."""

import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import GroundEstimate, StaturePrior, estimate_ground
from crowd3d.ground.simulate import Condition, simulate_crowd, truth_vector

SIZE = (1920, 1080)
SEEN = Condition(noise_px=1.0, relative_noise=0.015, outliers=0.1)
PEOPLE, PICTURES = 10, 12


def walkers(rng: np.random.Generator) -> tuple[Camera, GroundPlane, np.ndarray, np.ndarray]:
    """A camera, the views of ten people who cross what it sees, and who is who."""
    camera = Camera.from_fov(rng.uniform(40.0, 80.0), SIZE)
    ground = GroundPlane.from_angles(np.deg2rad(rng.uniform(10, 30)), np.deg2rad(rng.normal(0, 1.5)), rng.uniform(4, 8))
    start, end = rng.uniform([300, 500], [1620, 1000], (2, PEOPLE, 2))
    tall = rng.normal(1.7, StaturePrior().sd_m, PEOPLE)
    ways = [start + share * (end - start) for share in np.linspace(0, 1, PICTURES)]
    seen = [simulate_crowd(camera, ground, PEOPLE, rng, condition=SEEN, feet_px=way, stature_m=tall) for way in ways]
    who = [np.searchsorted(tall[np.argsort(tall)], crowd.stature_m) for crowd in seen]
    return camera, ground, np.concatenate([crowd.keypoints for crowd in seen]), np.concatenate(who)


def errors(estimate: GroundEstimate, camera: Camera, ground: GroundPlane) -> tuple[np.ndarray, np.ndarray]:
    error = truth_vector(estimate.camera, estimate.ground) - truth_vector(camera, ground)
    return error, error / np.sqrt(np.diag(estimate.covariance))


def test_walkers_tell_the_height_and_intervals_stay_true() -> None:
    rng = np.random.default_rng(0)
    plain, grouped = [], []
    for _ in range(6):
        camera, ground, keypoints, who = walkers(rng)
        plain.append(errors(estimate_ground(keypoints, SIZE), camera, ground))
        grouped.append(errors(estimate_ground(keypoints, SIZE, groups=who), camera, ground))
    (errors_plain, pulls_plain), (errors_grouped, pulls_grouped) = (map(np.array, zip(*rows, strict=True)) for rows in (plain, grouped))
    rms = np.sqrt((errors_grouped**2).mean(0) / (errors_plain**2).mean(0))
    assert rms[3] < 0.9, "one stature per person"
    assert rms[0] < 1.2
    assert (np.abs(pulls_grouped) < 1.96).mean() > 0.9
    assert np.sqrt((pulls_plain[:, 3] ** 2).mean()) > 1.5, "as independent people they would be too sure"


def test_people_seen_once_change_nothing() -> None:
    keypoints = walkers(np.random.default_rng(1))[2]
    once = estimate_ground(keypoints, SIZE, groups=np.full(len(keypoints), -1))
    assert once.covariance.tolist() == estimate_ground(keypoints, SIZE).covariance.tolist()
