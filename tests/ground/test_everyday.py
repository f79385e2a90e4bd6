"""Ordinary photographs: few people, cut off, seated, a camera at eye level; an answer always, and an honest one."""

from dataclasses import replace

import numpy as np
import pytest

from crowd3d.errors import ImplausibleKeypoints
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import Knowns, check_below_horizon, check_inside, estimate_ground
from crowd3d.ground.cameras import camera_prior
from crowd3d.ground.simulate import CONDITIONS, SEATED, STANDING, Condition, SimulatedCrowd, everyday_picture, simulate_crowd, truth_vector

SIZE = (4000, 3000)
HAND = Camera.from_fov(65.0, SIZE), GroundPlane.from_angles(np.deg2rad(3.0), 0.0, 1.55)
DETECTED = Condition(noise_px=2.0, relative_noise=0.02, outliers=0.2)


def pull(crowd: SimulatedCrowd, estimate) -> np.ndarray:
    error = truth_vector(estimate.camera, estimate.ground) - truth_vector(crowd.camera, crowd.ground)
    return error / np.sqrt(np.diag(estimate.covariance))


def group(people: int, seed: int = 0, condition: Condition = DETECTED) -> SimulatedCrowd:
    """A camera held at eye level in front of a few people."""
    return simulate_crowd(*HAND, people, np.random.default_rng(seed), condition=condition, reach_m=20.0)


def test_intervals_hold_the_truth_in_everyday_pictures() -> None:
    """Cameras of all kinds, 1 to 10 people, some cut off or seated; the benchmark counts 400."""
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(40):
        crowd = everyday_picture(rng, DETECTED)
        estimate = estimate_ground(crowd.keypoints, (crowd.camera.width, crowd.camera.height))
        assert estimate.weak
        pulls.append(pull(crowd, estimate))
    assert 0.58 < (np.abs(pulls) < 0.9945).mean() < 0.88
    assert (np.abs(pulls) < 3.5).mean() > 0.95


@pytest.mark.parametrize(
    ("hidden", "text"),
    [([15, 16], ""), ([13, 14, 15, 16], "legs"), ([11, 12, 13, 14, 15, 16], "legs"), (list(range(5, 17)), "usual camera")],
)
def test_whatever_is_hidden_there_is_an_answer(hidden: list[int], text: str) -> None:
    """Ankles; legs; everything below the shoulders; all but the head."""
    crowd = group(6)
    keypoints = crowd.keypoints.copy()
    keypoints[:, hidden, 2] = 0.0
    estimate = estimate_ground(keypoints, SIZE)
    assert np.abs(pull(crowd, estimate)).max() < 3.0
    assert estimate.weak
    assert text in estimate.reason
    assert estimate.covariance[3, 3] >= 0.9 * estimate_ground(crowd.keypoints, SIZE).covariance[3, 3]


def test_eye_level_shows_in_the_height() -> None:
    """Heads of people near and far at one height in the picture: that of the camera."""
    crowd = group(8, condition=CONDITIONS["B"])
    estimate = estimate_ground(crowd.keypoints, SIZE)
    assert abs(estimate.ground.offset_m / 1.55 - 1.0) < 0.15
    assert abs(np.rad2deg(estimate.ground.tilt_rad) - 3.0) < 3.0


@pytest.mark.parametrize("height_m", [0.5, 0.9, 1.4])
def test_cameras_as_high_as_hips_or_shoulders(height_m: float) -> None:
    """Where the camera is as high as the joint that a person is measured from, its place on the ground tells no depth."""
    ground = GroundPlane.from_angles(0.0, 0.0, height_m)
    crowd = simulate_crowd(HAND[0], ground, 8, np.random.default_rng(4), condition=CONDITIONS["B"], reach_m=15.0)
    keypoints = crowd.keypoints.copy()
    keypoints[:, 13:, 2] = 0.0
    for points in (crowd.keypoints, keypoints):
        estimate = estimate_ground(points, SIZE)
        assert np.abs(pull(crowd, estimate)).max() < 3.0


def test_camera_that_looks_up() -> None:
    ground = GroundPlane.from_angles(np.deg2rad(-12.0), 0.0, 1.2)
    crowd = simulate_crowd(Camera.from_fov(70.0, SIZE), ground, 6, np.random.default_rng(0), reach_m=25.0)
    assert np.abs(pull(crowd, estimate_ground(crowd.keypoints, SIZE))).max() < 3.0


def test_seated_people_among_others_are_told_apart_and_do_no_harm() -> None:
    rng = np.random.default_rng(6)
    crowd = simulate_crowd(Camera.from_fov(50.0, SIZE), GroundPlane.from_angles(0.3, 0.0, 6.0), 60, rng, condition=CONDITIONS["D"])
    estimate = estimate_ground(crowd.keypoints, SIZE)
    seated = crowd.kind == SEATED
    assert estimate.roles[seated, 2:].sum(1).mean() > 0.8 > 0.1 > estimate.roles[crowd.kind == STANDING, 2:].sum(1).mean()
    assert np.abs(pull(crowd, estimate)).max() < 3.0


def test_everybody_seated() -> None:
    crowd = simulate_crowd(*HAND, 200, np.random.default_rng(0), condition=replace(CONDITIONS["B"], outliers=1.0), reach_m=12.0)
    seated = np.flatnonzero(crowd.kind == SEATED)[:12]
    estimate = estimate_ground(crowd.keypoints[seated], SIZE)
    assert estimate.weak
    assert np.abs(pull(crowd, estimate)).max() < 3.0


def test_spreads_are_used_as_they_are() -> None:
    """People whose joints are surer count for more; unknown joints are those with an infinite spread."""
    crowd = group(10)
    size = np.ptp(crowd.keypoints[..., 1], axis=1)[:, None] * np.ones(17)
    sure, unsure = (estimate_ground(crowd.keypoints, SIZE, sigma_px=s * size) for s in (0.01, 0.1))
    # the focal length of a level camera is the prior's matter
    assert (np.diag(sure.covariance)[1:] < np.diag(unsure.covariance)[1:]).all()
    hidden = np.where(np.arange(17) < 13, 0.02, np.inf) * size
    scores = crowd.keypoints.copy()
    scores[:, 13:, 2] = 0.0
    same = [estimate_ground(points, SIZE, sigma_px=hidden).camera.fx for points in (crowd.keypoints, scores)]
    assert same[0] == same[1]


def test_weights_and_repeats_count_less() -> None:
    crowd = simulate_crowd(Camera.from_fov(50.0, SIZE), GroundPlane.from_angles(0.3, 0.0, 8.0), 70, np.random.default_rng(7))
    plain = estimate_ground(crowd.keypoints, SIZE)
    half = estimate_ground(crowd.keypoints, SIZE, weight=np.full(70, 0.5))
    groups = estimate_ground(crowd.keypoints, SIZE, groups=np.repeat(np.arange(10), 7))
    single = estimate_ground(crowd.keypoints, SIZE, groups=np.full(70, -1))
    assert half.covariance[0, 0] > 1.5 * plain.covariance[0, 0]
    assert groups.covariance[3, 3] > 1.5 * plain.covariance[3, 3]
    np.testing.assert_array_equal(single.covariance, plain.covariance)
    nobody = estimate_ground(crowd.keypoints, SIZE, weight=(np.arange(70) < 40) * 1.0)
    np.testing.assert_allclose(nobody.camera.fx, estimate_ground(crowd.keypoints[:40], SIZE).camera.fx, rtol=0.02)


def test_exif_is_believed_where_people_agree() -> None:
    """The whole frame sharpens the estimate; the same EXIF in a picture of half the width gives way to the people."""
    camera, ground = Camera.from_fov(60.0, SIZE), GroundPlane.from_angles(0.35, 0.0, 6.0)
    crowd = simulate_crowd(camera, ground, 60, np.random.default_rng(8), condition=CONDITIONS["B"])
    plain = estimate_ground(crowd.keypoints, SIZE)
    told = estimate_ground(crowd.keypoints, SIZE, knowns=Knowns(exif_focal_px=camera.fx))
    assert told.covariance[0, 0] < 0.8 * plain.covariance[0, 0]
    assert abs(told.camera.fx / camera.fx - 1.0) < 0.05
    cropped = estimate_ground(crowd.keypoints, SIZE, knowns=Knowns(exif_focal_px=0.5 * camera.fx))
    assert abs(np.log(cropped.camera.fx / plain.camera.fx)) < np.sqrt(plain.covariance[0, 0])
    ignored = estimate_ground(crowd.keypoints, SIZE, knowns=Knowns(exif_focal_px=0.5 * camera.fx, use_exif=False))
    assert ignored.camera == plain.camera


def test_prior_is_a_mixture_of_real_cameras() -> None:
    """Each kind is a normal density; a value that is given moves shares to the kinds that have it."""
    prior = camera_prior(SIZE, 0.035)
    assert np.exp(prior.log_weight).sum() == pytest.approx(1.0)
    high = prior.given(3, np.log(15.0), 0.0)
    tilt = [np.exp(p.log_weight - np.logaddexp.reduce(p.log_weight)) @ p.mean[:, 1] for p in (prior, high)]
    assert np.rad2deg(tilt[0]) < 9.0 < 12.0 < np.rad2deg(tilt[1])
    at = prior.mean[0] + 0.1
    step = 1e-5 * np.eye(6)
    numeric = [(prior.log_density((at + s)[None]) - prior.log_density((at - s)[None]))[0] / 2e-5 for s in step]
    np.testing.assert_allclose(prior.score_and_information(at)[0], numeric, rtol=1e-5, atol=1e-6)
    wide = camera_prior((19200, 6480), 0.0)
    assert np.exp(wide.log_weight[-2:]).sum() > 0.5 > 0.01 > np.exp(prior.log_weight[-2:]).sum()


def test_points_that_cannot_be_in_the_picture() -> None:
    crowd = group(6)
    keypoints = crowd.keypoints
    check_inside(keypoints, SIZE)
    check_inside(np.zeros((3, 17, 3)), SIZE)
    with pytest.raises(ImplausibleKeypoints, match="normalised"):
        check_inside(keypoints / [*SIZE, 1.0], SIZE)
    with pytest.raises(ImplausibleKeypoints, match="another picture"):
        check_inside(keypoints * [4.0, 4.0, 1.0] + [SIZE[0], 0.0, 0.0], SIZE)
    right = keypoints + [0.0, 0.0, 0.0]
    right[..., 0] = 3700.0 + 0.05 * (right[..., 0] - 2000.0)
    with pytest.raises(ImplausibleKeypoints, match="swapped"):
        estimate_ground(right[..., [1, 0, 2]], (4000, 2200))


def test_people_above_the_horizon_of_a_given_camera() -> None:
    crowd = group(6)
    check_below_horizon(crowd.keypoints, crowd.camera, crowd.ground)
    with pytest.raises(ImplausibleKeypoints, match="above the horizon"):
        check_below_horizon(crowd.keypoints, crowd.camera, GroundPlane.from_angles(np.deg2rad(-40.0), 0.0, 1.5))
