from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from crowd3d.bodies import load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.model import Detections, TileViews, decode_maps, lift_people, torso_root
from crowd3d.pipeline.network import INFERENCE_THRESHOLD
from crowd3d.types import TileLayout

CAMERA = Camera.from_fov(40.0, (19200, 6480))
GROUND = GroundPlane.from_angles(0.17, 0.02, 16.0)
GRID = 64
SIDE_PX = 1100


def layout(torso_px: np.ndarray, side: int) -> TileLayout:
    """One tile around each person, off centre."""
    corner = np.floor(torso_px - np.array([0.37, 0.42]) * side).astype(np.int64)
    boxes = np.concatenate([corner[:, ::-1], corner[:, ::-1] + side], axis=1)
    return TileLayout(boxes, np.zeros((len(boxes), 2), np.int64), (CAMERA.width, CAMERA.height))


def crowd(ground: GroundPlane, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """HVIPs and torso centres in the camera frame, metres."""
    rng = np.random.default_rng(0)
    feet = ground.from_world(np.stack([rng.uniform(-15, 15, count), np.zeros(count), rng.uniform(-90, -55, count)], axis=1))
    return feet, feet + rng.uniform(0.5, 1.3, (count, 1)) * ground.normal


def told(tiles: TileViews, torso_px: np.ndarray, hvip_px: np.ndarray) -> Detections:
    """What a perfect network would say of one person in each tile."""
    torso, hvip = (tiles.to_tile(torch.from_numpy(points)) for points in (torso_px, hvip_px))
    in_tile = (torso + 1) / 2
    cell = (in_tile * GRID).long()
    numbers = torch.zeros(len(cell), 148, dtype=torch.float64)
    numbers[:, 0] = (hvip - torso).norm(dim=1) / 1.5
    numbers[:, 1:3] = ((in_tile - cell / GRID) / 0.25 + 1) / 2
    numbers[:, 3:6] = 0.5
    assert ((numbers[:, :6] >= 0) & (numbers[:, :6] <= 1)).all()
    return Detections(cell, torch.ones(len(cell)), torch.arange(len(cell)), numbers, GRID)


def test_people_agree_with_the_release(reference) -> None:
    released = reference.released
    detections = decode_maps(reference.maps, INFERENCE_THRESHOLD)
    people = lift_people(detections, reference.tiles)
    corner = torch.from_numpy(released["patch_leftTop"])[detections.image_index]
    np.testing.assert_allclose(people.torso_tile.numpy(), released["lifted__torso_center"], atol=1e-5)
    np.testing.assert_allclose(people.hvip_tile.numpy(), released["lifted__old_hvip2d"], atol=1e-5)
    np.testing.assert_allclose((people.hvip_px - corner).numpy(), released["lifted__hvip2d_org"], atol=1e-2)
    np.testing.assert_allclose(people.hvip_px.numpy(), released["lifted__hvip2d_in_scene"], atol=1e-2)
    np.testing.assert_allclose(people.hvip_cam_m.numpy(), released["lifted__hvip3d"], atol=1e-3)
    np.testing.assert_allclose(people.torso_cam_m.numpy(), released["lifted__tc3d"], atol=1e-3)
    assert people.valid.all()


@pytest.mark.parametrize("tilt", [0.17, 0.0, -0.03], ids=["down", "level", "up"])
def test_a_perfect_prediction_recovers_the_crowd(tilt: float) -> None:
    ground = GroundPlane.from_angles(tilt, 0.02, 16.0)
    feet, torso = crowd(ground)
    torso_px, feet_px = CAMERA.project(torso), CAMERA.project(feet)
    tiles = TileViews.of_scene(layout(torso_px, SIDE_PX), CAMERA, ground)
    people = lift_people(told(tiles, torso_px, feet_px), tiles)
    assert people.valid.all()
    np.testing.assert_allclose(people.hvip_px.numpy(), feet_px, atol=1e-6)
    np.testing.assert_allclose(people.hvip_cam_m.numpy(), feet, atol=1e-6)
    np.testing.assert_allclose(people.torso_cam_m.numpy(), torso, atol=1e-6)


def test_space_offset_moves_the_torso_by_up_to_40_cm() -> None:
    feet, torso = crowd(GROUND)
    tiles = TileViews.of_scene(layout(CAMERA.project(torso), SIDE_PX), CAMERA, GROUND)
    detections = told(tiles, CAMERA.project(torso), CAMERA.project(feet))
    detections.numbers[:, 3:6] = torch.tensor([0.0, 0.75, 1.0], dtype=torch.float64)
    people = lift_people(detections, tiles)
    np.testing.assert_allclose(people.torso_cam_m.numpy() - torso, np.tile([-0.4, 0.2, 0.4], (len(torso), 1)), atol=1e-6)


def test_translation_puts_the_bodys_torso_where_it_was_lifted_to() -> None:
    feet, torso = crowd(GROUND)
    tiles = TileViews.of_scene(layout(CAMERA.project(torso), SIDE_PX), CAMERA, GROUND)
    people = lift_people(told(tiles, CAMERA.project(torso), CAMERA.project(feet)), tiles)
    joints = torch.from_numpy(np.random.default_rng(1).normal(size=(len(torso), 54, 3)))
    moved = joints + people.translation_cam_m(torso_root(joints))[:, None]
    np.testing.assert_allclose(moved[:, [16, 17, 45, 46]].mean(1).numpy(), torso, atol=1e-6)


def test_people_above_the_horizon_are_marked_and_finite() -> None:
    horizon_px = CAMERA.cy - CAMERA.fy * np.tan(0.17)
    torso_px = np.array([[9600.0, horizon_px - 500], [9600.0, horizon_px + 500], [5000.0, horizon_px - 300]])
    tiles = TileViews.of_scene(layout(torso_px, SIDE_PX), CAMERA, GroundPlane.from_angles(0.17, 0.0, 16.0))
    people = lift_people(told(tiles, torso_px, torso_px + [0.0, 100.0]), tiles)
    assert people.valid.tolist() == [False, True, False]
    for field in dataclasses.fields(people)[:-1]:
        assert torch.isfinite(getattr(people, field.name)).all()


def test_sign_and_scale_of_the_ground_do_not_matter() -> None:
    feet, torso = crowd(GROUND)
    boxes = layout(CAMERA.project(torso), SIDE_PX)
    flipped = GroundPlane.from_coefficients(-5.0 * GROUND.coefficients)
    tiles, same = TileViews.of_scene(boxes, CAMERA, GROUND), TileViews.of_scene(boxes, CAMERA, flipped)
    torch.testing.assert_close(tiles.ground_inputs, same.ground_inputs)
    detections = told(tiles, CAMERA.project(torso), CAMERA.project(feet))
    torch.testing.assert_close(lift_people(detections, tiles).torso_cam_m, lift_people(detections, same).torso_cam_m)


def test_nobody_is_a_valid_crowd() -> None:
    tiles = TileViews.of_scene(layout(np.full((2, 2), 3000.0), SIDE_PX), CAMERA, GROUND)
    nobody = torch.zeros(0, dtype=torch.int64)
    assert lift_people(Detections(nobody.reshape(0, 2), nobody.float(), nobody, torch.zeros(0, 148), GRID), tiles).torso_cam_m.shape == (
        0,
        3,
    )


def test_pixels_survive_the_way_into_the_tile_and_back() -> None:
    points = np.random.default_rng(2).uniform([0, 0], [19200, 6480], (40, 2))
    tiles = TileViews.of_scene(layout(points, 713), CAMERA, GROUND)
    in_tile = tiles.to_tile(torch.from_numpy(points))
    assert (in_tile.abs() <= 1).all()
    np.testing.assert_allclose(tiles.to_scene_px(in_tile).numpy(), points, atol=1e-9)
    np.testing.assert_allclose(tiles.to_scene_px(torch.full((40, 2), -1.0)).numpy(), tiles.origin_px.numpy(), atol=1e-9)


def test_gradients_from_numbers_to_translation() -> None:
    feet, torso = crowd(GROUND, 3)
    tiles = TileViews.of_scene(layout(CAMERA.project(torso), SIDE_PX), CAMERA, GROUND)
    detections = told(tiles, CAMERA.project(torso), CAMERA.project(feet))

    def translation(located: torch.Tensor) -> torch.Tensor:
        numbers = torch.cat([located, detections.numbers[:, 6:]], dim=1)
        people = lift_people(dataclasses.replace(detections, numbers=numbers), tiles)
        return people.translation_cam_m(torch.ones(3, 3, dtype=torch.float64))

    assert gradcheck(translation, detections.numbers[:, :6].clone().requires_grad_(), atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.3], ids=["identity", "posed"])
def test_gradients_from_6d_rotations_to_joints(noise: float) -> None:
    body = load_body("free_low").restrict()
    numbers = torch.zeros(1, 148, dtype=torch.float64)
    numbers[:, 6:138] = torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64).repeat(22)
    numbers += noise * torch.randn(1, 148, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centre = torch.zeros(1, 2, dtype=torch.int64)

    def joints(numbers: torch.Tensor) -> torch.Tensor:
        people = Detections(centre, torch.ones(1), centre[:, 0], numbers, GRID)
        return body.forward(people.pose_rad, people.betas).joints54

    assert gradcheck(joints, numbers.requires_grad_())
