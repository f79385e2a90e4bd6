"""Labels of training crops against the exact geometry of the scenes that they are cut from."""

import cv2
import numpy as np
import pytest

from crowd3d.model.crop_points import CROP_HEIGHT_M, CROP_SIZE, HVIP, TORSO, TORSO_OFFSET_M
from crowd3d.model.place_maps import TILE_PX
from crowd3d.pose.candidates import Windows
from crowd3d.training import scene_store
from crowd3d.training.person_crops import FLIP_POINTS, TURN_SIGMA_RAD, cut_square, depth_behind_torso, sample_person_crops
from crowd3d.training.scene_store import SceneStore, render_scenes
from crowd3d.training.tile_crops import sample_tiles


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SceneStore:
    folder = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_store, "SCENES_PER_SHARD", 12)
        render_scenes(folder, seed=7, scenes=12)
    return SceneStore.load(folder)


def test_stored_scenes_are_consistent(store):
    assert len(store) == 12
    assert store.first[-1] == len(store.points_cam_m) > 20
    points = store.points_cam_m
    np.testing.assert_allclose(points[:, TORSO], points[:, [5, 6, 11, 12]].mean(1), atol=1e-4)
    scene = np.repeat(np.arange(12), np.diff(store.first))
    plane = store.ground[scene]
    height = (points[:, HVIP] * plane[:, :3]).sum(1) + plane[:, 3]
    np.testing.assert_allclose(height, 0, atol=1e-3 * np.abs(points[:, HVIP, 2]).max())
    up = points[:, TORSO] - points[:, HVIP]
    np.testing.assert_allclose(up / np.linalg.norm(up, axis=1, keepdims=True), plane[:, :3], atol=2e-3)


def test_rendering_again_keeps_what_is_there(store, tmp_path):
    (tmp_path / "scenes_0005_0000.npz").write_bytes(b"kept")
    render_scenes(tmp_path, seed=5, scenes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes_0005_0000.npz"]


def test_cut_square_keeps_positions():
    image = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(image, (60, 40), 3, (255, 255, 255), -1)
    left, top, side, size = -10, 5, 120, 96
    crop = cut_square(image, np.array([top, left, top + side, left + side]), size).astype(float)[..., 0]
    bright = crop * (crop > 150)
    rows, columns = np.mgrid[:size, :size] + 0.5
    found = np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()
    np.testing.assert_allclose(found, (np.array([60.5, 40.5]) - [left, top]) * size / side, atol=0.3)


def test_person_crops_put_points_where_the_scene_has_them(store):
    rng = np.random.default_rng(0)
    for scene in range(len(store)):
        crops = sample_person_crops(store, scene, rng, augment=False)
        if not len(crops.person):
            continue
        points = store.points_cam_m[crops.person].astype(float)
        windows = Windows.of_squares(crops.boxes, crops.turn_rad)
        in_scene = windows.to_image(crops.xy_px + [(CROP_SIZE[0] - CROP_SIZE[1]) // 2, 0])
        np.testing.assert_allclose(in_scene, store.project(scene, points), atol=0.01)
        np.testing.assert_allclose(crops.depth_m, depth_behind_torso(points), atol=1e-4)
        metres = crops.boxes[:, 2] * points[:, TORSO, 2] / store.intrinsics[scene, 0]
        assert ((metres > 0.6 * CROP_HEIGHT_M) & (metres < 1.5 * CROP_HEIGHT_M)).all()


def test_augmented_crops_are_turned_and_mirrored_exactly(store):
    """Points lie where the scene has them, either directly or, left and right exchanged, as a mirror shows them; never otherwise."""
    mirrored, turns, leans = [], [], []
    for scene in range(len(store)):
        crops = sample_person_crops(store, scene, np.random.default_rng(3), augment=True)
        count = int(crops.present.sum())
        assert crops.present[:count].all()
        people = crops.person[:count]
        windows = Windows.of_squares(crops.boxes[:count], crops.turn_rad[:count])
        true = store.project(scene, store.points_cam_m[people].astype(float))
        xy = crops.xy_px[:count]
        mirror = xy[:, FLIP_POINTS] * [-1, 1] + [CROP_SIZE[1], 0]
        margin = [(CROP_SIZE[0] - CROP_SIZE[1]) // 2, 0]
        direct, swapped = (np.isclose(windows.to_image(points + margin), true, atol=0.02).all((1, 2)) for points in (xy, mirror))
        assert (direct ^ swapped).all()
        seen = store.visibility[people]
        expected = np.where(swapped[:, None], seen[:, FLIP_POINTS[:TORSO]], seen)
        np.testing.assert_array_equal(crops.visibility[:count, :TORSO], expected)
        mirrored += swapped.tolist()
        turns += crops.turn_rad[:count].tolist()
        leans += sample_person_crops(store, scene, np.random.default_rng(3), augment=False).turn_rad.tolist()
    assert 0.25 < np.mean(mirrored) < 0.75
    leaning = np.abs(leans) > 6 * TURN_SIGMA_RAD
    assert leaning.sum() > 10
    upright = np.abs(np.subtract(turns, leans))[leaning] < 3.5 * TURN_SIGMA_RAD
    assert 0.25 < upright.mean() < 0.75


def test_empty_crops_show_nobody_at_his_place_and_scale(store):
    windows = 0
    for scene in range(len(store)):
        crops = sample_person_crops(store, scene, np.random.default_rng(9), augment=True)
        rows = np.arange(store.first[scene], store.first[scene + 1])
        torso = store.project(scene, store.points_cam_m[rows].astype(float))[:, TORSO]
        seen = (store.visible_fraction[rows] > 0.3) & ((torso > 0) & (torso < scene_store.USUAL.size_px)).all(1)
        boxes = crops.boxes[~crops.present].astype(float)
        per_metre = boxes[:, 2] / CROP_HEIGHT_M
        middle = boxes[:, :2] + boxes[:, 2:] / 2 - np.stack([0 * per_metre, TORSO_OFFSET_M * per_metre], 1)
        metres = np.linalg.norm(middle[:, None] - torso, axis=2) / per_metre[:, None]
        scale = per_metre[:, None] / (store.intrinsics[scene, 0] / store.points_cam_m[rows, TORSO, 2])
        in_the_middle = (metres < 0.2) & (np.abs(np.log(scale)) < 0.4)
        assert not in_the_middle[:, seen].any()
        windows += len(boxes)
    assert windows > 20


def test_tile_targets_peak_at_torso_centres(store):
    tiles = sample_tiles(store, np.arange(12), np.random.default_rng(2))
    size = tiles.center_map.shape[-1]
    assert tiles.images.shape == (12, TILE_PX, TILE_PX, 3)
    assert len(tiles.tile) > 10
    cells = np.minimum((tiles.torso * size).astype(int), size - 1)
    at_torso = tiles.center_map[tiles.tile, cells[:, 1], cells[:, 0]]
    counted = tiles.counted[tiles.tile, cells[:, 1], cells[:, 0]]
    assert ((at_torso == 1) | ~counted | (at_torso > 0)).all()
    peaks = (tiles.center_map == 1).sum((1, 2))
    assert (peaks <= np.bincount(tiles.tile, minlength=12)).all()
    assert peaks.sum() > 0.5 * len(tiles.tile)
    np.testing.assert_allclose(np.linalg.det(tiles.rotations), 1, atol=1e-4)
