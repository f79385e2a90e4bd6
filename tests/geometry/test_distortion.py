"""Lens distortion against OpenCV, its inverse, and what lies beyond the lens."""

from __future__ import annotations

from dataclasses import asdict

import cv2
import numpy as np
import pytest

from crowd3d.geometry import Camera, Fisheye, RadialTangential
from crowd3d.geometry.distortion import distortion_from

LENSES = [
    RadialTangential(k1=-0.3, k2=0.1),
    RadialTangential(k1=-0.28, k2=0.07, k3=-0.005, p1=1e-3, p2=-2e-3),
    RadialTangential(k1=0.15, k2=-0.02, p1=-5e-4),
    RadialTangential(k1=8.0, k2=4.0, k3=0.2, k4=8.3, k5=5.9, k6=1.0, p1=1e-4, p2=2e-4),
]
FISHEYES = [Fisheye(), Fisheye(k1=-0.02, k2=0.003, k3=-0.001, k4=1e-4), Fisheye(k1=0.05)]


def inside(lens, rng: np.random.Generator, count: int = 500) -> np.ndarray:
    """Undistorted coordinates well within the lens."""
    reach = min(0.95 * lens.valid_radius, 3.0)
    r, angle = reach * np.sqrt(rng.uniform(size=count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], -1)


@pytest.mark.parametrize("lens", LENSES)
def test_radial_tangential_is_opencvs(lens):
    xy = inside(lens, np.random.default_rng(0))
    coefficients = np.array([lens.k1, lens.k2, lens.p1, lens.p2, lens.k3, lens.k4, lens.k5, lens.k6])
    points = np.concatenate([xy, np.ones((len(xy), 1))], 1)
    theirs = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), coefficients)[0][:, 0]
    np.testing.assert_allclose(lens.distort(xy), theirs, atol=1e-12)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 500, 1e-14)
    near = np.linalg.norm(xy, axis=1) < 0.6 * min(lens.valid_radius, 2.0)  # OpenCV's iteration does not converge farther out
    back = cv2.undistortPoints(theirs[near, None].copy(), np.eye(3), coefficients, criteria=criteria)[:, 0]
    np.testing.assert_allclose(lens.undistort(theirs[near]), back, atol=1e-6)


@pytest.mark.parametrize("lens", FISHEYES)
def test_fisheye_is_opencvs(lens):
    xy = inside(lens, np.random.default_rng(1))
    coefficients = np.array([lens.k1, lens.k2, lens.k3, lens.k4])
    theirs = cv2.fisheye.distortPoints(xy[:, None], np.eye(3), coefficients)[:, 0]
    np.testing.assert_allclose(lens.distort(xy), theirs, atol=1e-12)
    back = cv2.fisheye.undistortPoints(theirs[:, None], np.eye(3), coefficients)[:, 0]
    np.testing.assert_allclose(lens.undistort(theirs), back, atol=1e-6)


@pytest.mark.parametrize("lens", [*LENSES, *FISHEYES])
def test_inverse(lens):
    xy = inside(lens, np.random.default_rng(2), 5000)
    np.testing.assert_allclose(lens.undistort(lens.distort(xy)), xy, atol=1e-6)
    assert (lens.undistort(np.zeros(2)) == 0).all()
    assert distortion_from(asdict(lens)) == lens


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lens", [*LENSES, *FISHEYES, RadialTangential(k1=-0.6), RadialTangential(k1=-0.3, p1=0.01, p2=-0.01)])
def test_anything_may_be_asked(lens):
    wanted = np.random.default_rng(3).uniform(-4, 4, (2000, 2))
    found = lens.undistort(wanted)
    known = np.isfinite(found).all(1)
    assert known.any()
    assert (np.linalg.norm(found[known], axis=1) <= 1.01 * lens.valid_radius).all()
    again = lens.distort(found[known])
    inside = np.isfinite(again).all(1)
    np.testing.assert_allclose(again[inside], wanted[known][inside], atol=1e-7)


def test_nothing_is_seen_beyond_the_lens():
    lens = RadialTangential(k1=-0.3)
    edge = lens.valid_radius
    assert edge == pytest.approx(np.sqrt(1 / 0.9))
    assert np.isnan(lens.distort(np.array([edge * 1.01, 0.0]))).all()
    most = np.linalg.norm(lens.distort(np.array([edge * 0.999999, 0.0])))
    assert np.isnan(lens.undistort(np.array([0.0, most * 1.05]))).all()
    assert np.isnan(Fisheye().undistort(np.array([1.6, 0.0]))).all()


def test_camera_with_a_lens():
    lens = RadialTangential(k1=-0.25, k2=0.05, p1=1e-3)
    camera = Camera(800.0, 820.0, 630.0, 370.0, 1280, 720, lens)
    pixels = np.random.default_rng(3).uniform([0, 0], [1280, 720], (200, 2))
    rays = camera.rays(pixels)
    np.testing.assert_allclose(camera.project(5.0 * rays), pixels, atol=1e-6)
    np.testing.assert_allclose(camera.ideal.project(rays), camera.to_ideal_px(pixels), atol=1e-9)
    np.testing.assert_allclose(camera.from_ideal_px(camera.to_ideal_px(pixels)), pixels, atol=1e-6)
    part = camera.part(100.0, 50.0, (320, 180), 2.0)
    np.testing.assert_allclose(part.rays((pixels - [100.0, 50.0]) / 2.0), rays, atol=1e-9)
    assert Camera(**asdict(camera)) == camera
    assert Camera(**asdict(camera.ideal)) == camera.ideal
    assert camera.fov_x_deg > camera.ideal.fov_x_deg
    assert camera.stretch(np.array([camera.cx, camera.cy])) == pytest.approx(1.0, abs=1e-3)
    assert camera.stretch(np.array([0.0, 0.0])) > 1.3


def test_equidistant_field_of_view():
    camera = Camera(400.0, 400.0, 500.0, 400.0, 1000, 800, Fisheye())
    assert camera.fov_x_deg == pytest.approx(np.rad2deg(1000 / 400))
    assert Camera(200.0, 200.0, 500.0, 400.0, 1000, 800, Fisheye()).fov_x_deg == pytest.approx(180.0)


def test_unknown_coefficients_are_refused():
    with pytest.raises(ValueError, match="no k5"):
        distortion_from({"model": "fisheye", "k5": 0.1})
    with pytest.raises(ValueError, match="not known"):
        distortion_from({"model": "thin prism"})
    with pytest.raises(ValueError, match="finite"):
        distortion_from({"k1": float("nan")})
