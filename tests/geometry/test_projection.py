from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.autograd import gradcheck

from crowd3d.geometry import Camera
from crowd3d.geometry.projection import pixel_rays, project_points

CAMERA = Camera(1200.0, 1100.0, 515.0, 490.0, 1000, 1000)
K = torch.from_numpy(CAMERA.K)[None]


def points(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(-2, 2, count), rng.uniform(-2, 2, count), rng.uniform(3, 9, count)], axis=1)


def test_pinhole_agrees_with_the_camera_type() -> None:
    pixels, valid = project_points(torch.from_numpy(points())[None], K)
    np.testing.assert_allclose(pixels[0].numpy(), CAMERA.project(points()), atol=1e-9)
    assert valid.all()


def test_radial_distortion_agrees_with_opencv() -> None:
    k1, k2, k3 = -0.2071, 0.2478, -0.0031
    expected, _ = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), CAMERA.K, np.array([k1, k2, 0.0, 0.0, k3]))
    pixels, _ = project_points(torch.from_numpy(points())[None], K, torch.tensor([[k1, k2, k3, 0.0, 0.0]], dtype=torch.float64))
    np.testing.assert_allclose(pixels[0].numpy(), expected[:, 0], atol=1e-8)


def test_tangential_distortion_follows_the_release() -> None:
    pixels, _ = project_points(
        torch.tensor([[[1.0, -0.5, 2.0]]], dtype=torch.float64), K, torch.tensor([[0.1, 0.0, 0.0, 0.01, 0.02]], dtype=torch.float64)
    )
    # x = (0.5, −0.25), r² = 0.3125, radial 1.03125, p·x = 0: x' = 1.03125·x + 0.3125·p
    expected = np.array([0.515625 + 0.003125, -0.2578125 + 0.00625]) * [1200.0, 1100.0] + [515.0, 490.0]
    np.testing.assert_allclose(pixels[0, 0].numpy(), expected, atol=1e-9)


def test_every_view_has_its_own_camera() -> None:
    cloud = torch.from_numpy(points()).reshape(4, 10, 3)
    cameras = [Camera.from_focal(f, (4000, 3000)) for f in (500.0, 900.0, 3000.0, 29000.0)]
    pixels, _ = project_points(cloud, torch.from_numpy(np.stack([c.K for c in cameras])))
    np.testing.assert_allclose(pixels.numpy(), np.stack([c.project(p) for c, p in zip(cameras, cloud.numpy(), strict=True)]), atol=1e-9)


def test_points_behind_the_camera_are_marked_and_finite() -> None:
    pixels, valid = project_points(torch.tensor([[[1.0, 1.0, 2.0], [1.0, 1.0, 0.0], [1.0, 1.0, -2.0]]]), K.float())
    assert valid.tolist() == [[True, False, False]]
    assert torch.isfinite(pixels).all()


def test_rays_are_the_inverse_of_projection() -> None:
    cloud = torch.from_numpy(points())[:, None]
    many = K.expand(len(cloud), 3, 3)
    rays = pixel_rays(project_points(cloud, many)[0][:, 0], many)
    np.testing.assert_allclose((rays * cloud[:, 0, 2:]).numpy(), cloud[:, 0].numpy(), atol=1e-12)


def test_gradients() -> None:
    distortion = torch.tensor([[-0.2, 0.25, 0.01, 1e-3, -2e-3]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p, d: project_points(p, K, d)[0], (torch.from_numpy(points(3))[None].requires_grad_(), distortion))
