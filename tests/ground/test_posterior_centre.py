"""What the posterior of few people gives as its answer, and how wide it says that this is."""

from __future__ import annotations

import numpy as np
import pytest

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import estimate, estimate_ground, posterior
from crowd3d.ground.simulate import simulate_crowd


def test_the_median_is_that_of_samples_repeated_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    samples, count = rng.gamma(0.5, size=401), rng.integers(1, 60, 401)
    repeated = np.repeat(samples, count)
    near = np.ptp(np.quantile(repeated, [0.495, 0.505]))
    assert posterior._median(samples, count / count.sum()) == pytest.approx(np.median(repeated), abs=near)
    assert abs(np.mean(repeated) - np.median(repeated)) > 5 * near, "lopsided"


def test_the_answer_is_the_median_focal_length_with_what_belongs_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the mean, which the same samples give: the others move along the posterior's covariance."""
    camera, ground = Camera.from_fov(36.0, (768, 576)), GroundPlane.from_angles(0.29, 0.0, 7.0)
    crowd = simulate_crowd(camera, ground, 5, np.random.default_rng(3))
    size = (768, 576)
    median = estimate_ground(crowd.keypoints, size)
    monkeypatch.setattr(posterior, "_median", lambda samples, weight: float(weight @ samples))
    mean = estimate_ground(crowd.keypoints, size)
    ratio = np.log(median.camera.fx / mean.camera.fx)
    assert abs(ratio) > 1e-3
    slope = mean.covariance[:, 0] / mean.covariance[0, 0]
    moved = [
        ratio,
        median.ground.tilt_rad - mean.ground.tilt_rad,
        median.ground.roll_rad - mean.ground.roll_rad,
        np.log(median.ground.offset_m / mean.ground.offset_m),
    ]
    np.testing.assert_allclose(moved[:3], ratio * slope[:3], rtol=1e-6, atol=1e-9)


def test_told_noise_is_not_widened_as_if_it_had_been_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = simulate_crowd(Camera.from_fov(50.0, (1600, 900)), GroundPlane.from_angles(0.3, 0.0, 6.0), 8, np.random.default_rng(1))
    given = crowd.keypoints, (1600, 900)
    sigma_px = np.full(crowd.keypoints.shape[:2], 2.0)
    told = estimate_ground(*given, sigma_px=sigma_px)
    monkeypatch.setattr(estimate, "_FITTED_WITHOUT_NOISE", estimate._FITTED)
    as_if_fitted = estimate_ground(*given, sigma_px=sigma_px)
    standing = told.inliers.sum()
    widened = (1 + 8 / (standing + 8)) / (1 + 3 / (standing + 3))
    np.testing.assert_allclose(as_if_fitted.covariance[:3, :3], told.covariance[:3, :3] * widened, rtol=1e-9)
