"""Truth: people placed in space by NumPy, seen by cameras of every attitude."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.geometry.hvip import foot_directions, ground_points, points_above, unit_planes

CAMERA = Camera(2900.0, 2850.0, 960.0, 520.0, 1920, 1080)
TILTS = {"released": 0.17, "level": 0.0, "up": -0.12, "steep": 1.2, "straight down": np.pi / 2}


def crowd(tilt: float, roll: float) -> tuple[GroundPlane, np.ndarray, np.ndarray]:
    """Plane, HVIPs and torso centres of 50 people all around the middle of the view."""
    ground = GroundPlane.from_angles(tilt, roll, 16.0)
    rng = np.random.default_rng(0)
    axis_depth = 16.0 / np.sin(tilt) if tilt > 0.5 else 60.0
    centre = ground.foot(np.array([0.0, 0.0, axis_depth]))
    spread = rng.normal(size=(50, 3)) * [3.0, 3.0, 3.0]
    feet = ground.foot(centre + spread)
    return ground, feet, feet + rng.uniform(0.4, 1.5, (50, 1)) * ground.normal


def tensors(ground: GroundPlane, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(CAMERA.K).expand(count, 3, 3), torch.from_numpy(ground.coefficients).expand(count, 4)


@pytest.mark.parametrize("roll", [0.0, 0.3, np.pi / 2, -2.0])
@pytest.mark.parametrize("tilt", TILTS.values(), ids=TILTS.keys())
def test_people_are_recovered_whatever_the_attitude_of_the_camera(tilt: float, roll: float) -> None:
    ground, feet, torso = crowd(tilt, roll)
    K, planes = tensors(ground, len(feet))
    feet_px, torso_px = torch.from_numpy(CAMERA.project(feet)), torch.from_numpy(CAMERA.project(torso))

    direction, directed = foot_directions(torso_px, K, planes)
    truth = feet_px - torso_px
    lean = ground.lean_rad(CAMERA, torso_px.numpy())
    torch.testing.assert_close(direction, torch.from_numpy(np.stack([-np.sin(lean), np.cos(lean)], 1)), rtol=0, atol=1e-9)
    np.testing.assert_allclose(direction.numpy(), (truth / truth.norm(dim=1, keepdim=True)).numpy(), atol=1e-6)
    found, on_ground = ground_points(feet_px, K, planes)
    np.testing.assert_allclose(found.numpy(), feet, atol=1e-7)
    above, in_front = points_above(torch.from_numpy(feet), torso_px, K, planes)
    np.testing.assert_allclose(above.numpy(), torso, atol=1e-8)
    assert (directed & on_ground & in_front).all()


def test_height_follows_the_release_for_its_cameras() -> None:
    ground, feet, torso = crowd(0.17, 0.02)
    K, planes = tensors(ground, len(feet))
    rows = CAMERA.project(torso)[:, 1]
    k = (rows - CAMERA.cy) / CAMERA.fy
    height = (k * feet[:, 2] - feet[:, 1]) / (ground.normal[1] - k * ground.normal[2])
    above, _ = points_above(torch.from_numpy(feet), torch.from_numpy(CAMERA.project(torso)), K, planes)
    np.testing.assert_allclose(above.numpy(), feet + height[:, None] * ground.normal, atol=1e-8)


def test_pixels_at_and_above_the_horizon_are_marked_and_finite() -> None:
    ground = GroundPlane.from_angles(0.1, 0.0, 10.0)
    horizon = CAMERA.cy - CAMERA.fy * np.tan(0.1)
    pixels = torch.tensor([[960.0, horizon + 50], [960.0, horizon], [960.0, horizon - 50]], dtype=torch.float64)
    points, valid = ground_points(pixels, *tensors(ground, 3))
    assert valid.tolist() == [True, False, False]
    assert torch.isfinite(points).all()


def test_a_torso_seen_from_straight_above_has_no_direction() -> None:
    ground = GroundPlane.from_angles(np.pi / 2, 0.0, 10.0)
    direction, valid = foot_directions(torch.tensor([[960.0, 520.0], [1000.0, 520.0]], dtype=torch.float64), *tensors(ground, 2))
    assert valid.tolist() == [False, True]
    np.testing.assert_allclose(direction[1].numpy(), [-1.0, 0.0], atol=1e-12)
    assert torch.isfinite(direction).all()


def test_points_behind_the_camera_are_marked() -> None:
    ground, feet, torso = crowd(0.17, 0.0)
    behind = ground.foot(torso * [1.0, 1.0, -1.0])
    _, valid = points_above(torch.from_numpy(behind), torch.from_numpy(CAMERA.project(torso)), *tensors(ground, len(feet)))
    assert not valid.any()


def test_planes_of_any_scale_and_sign_mean_the_same() -> None:
    plane = GroundPlane.from_angles(0.2, -0.1, 7.0).coefficients
    given = torch.from_numpy(np.stack([plane, 3.0 * plane, -0.2 * plane]))
    np.testing.assert_allclose(unit_planes(given).numpy(), np.stack([plane] * 3), atol=1e-15)


def test_gradients() -> None:
    ground, feet, torso = crowd(0.17, 0.1)
    K, planes = tensors(ground, 3)

    def place(torso_px: torch.Tensor, length_px: torch.Tensor, K: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
        planes = unit_planes(planes)
        hvip_px = torso_px + length_px * foot_directions(torso_px, K, planes)[0]
        hvip, _ = ground_points(hvip_px, K, planes)
        return points_above(hvip, torso_px, K, planes)[0]

    torso_px = torch.from_numpy(CAMERA.project(torso[:3]))
    length = (torch.from_numpy(CAMERA.project(feet[:3])) - torso_px).norm(dim=1, keepdim=True)
    inputs = [tensor.clone().requires_grad_() for tensor in (torso_px, length, K, planes)]
    np.testing.assert_allclose(place(*inputs).detach().numpy(), torso[:3], atol=1e-7)
    assert gradcheck(place, inputs, atol=1e-4)
