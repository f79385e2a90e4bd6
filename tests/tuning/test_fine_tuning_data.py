"""The per-scene data set, from files such as process.py writes them, and the pose prior that goes with it."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.optimise.pose_prior import load_pose_prior
from crowd3d.pose.alphapose_json import write_optim_annotations
from crowd3d.training.supervision import Label
from crowd3d.training.supervision.network_prior import load_network_prior
from crowd3d.tuning.data import FineTuningData
from crowd3d.types import TileLayout

CAMERA = Camera.from_fov(35, (19200, 6480))
GROUND = GroundPlane.from_angles(0.2, 0.01, 15.0)
TILE = np.array([2000, 5000, 3100, 6100])
COCO = [24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 46, 45, 4, 5, 7, 8]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One tile with a person in it, written by the pipeline's own functions."""
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(300, 700, (1, 17, 2)) + [TILE[1], TILE[0]], np.ones((1, 17, 1))], 2)
    layout = TileLayout(TILE[None], np.array([[3, 4]]), (19200, 6480))
    write_optim_annotations(tmp_path / "optim_annots_scale.pkl", keypoints, layout, "my_scene")
    np.save(tmp_path / "truth.npy", keypoints)
    (tmp_path / "tiles").mkdir()
    cv2.imwrite(str(tmp_path / "tiles" / "my_scene_3_4_2000_5000_3100_6100.jpg"), np.full((512, 512, 3), (200, 100, 50), np.uint8))
    return tmp_path


def data(folder: Path, **options: int) -> FineTuningData:
    return FineTuningData(folder / "optim_annots_scale.pkl", folder / "tiles", CAMERA, GROUND, **options)


def test_items_are_what_the_pipeline_wrote(folder: Path) -> None:
    tiles = data(folder)
    assert len(tiles) == 1
    sample = tiles[0]
    truth = np.load(folder / "truth.npy")[0, :, :2]
    np.testing.assert_allclose(sample.keypoints[0, COCO], (truth - [5000, 2000]) / 550 - 1, atol=1e-5)
    assert sorted(np.flatnonzero(sample.keypoints_known[0])) == sorted(COCO)
    assert np.flatnonzero(sample.masks[0]).tolist() == [Label.PRESENT]
    assert not sample.joints_known.any()
    assert not sample.all_people
    assert (sample.origin_px.tolist(), sample.side_px, sample.scene_width_px) == ([5000, 2000], 1100, 19200)
    np.testing.assert_allclose(sample.K, CAMERA.K, rtol=1e-6)
    np.testing.assert_allclose(sample.planes, GROUND.coefficients, rtol=1e-6)
    assert np.abs(sample.images.astype(int) - [50, 100, 200]).max() < 4
    assert data(folder, size=256)[0].images.shape == (256, 256, 3)


def test_people_with_too_few_keypoints_in_the_tile_are_left_out(folder: Path) -> None:
    people = [np.full((17, 3), 900.0), np.full((17, 3), 900.0), np.full((17, 3), 200.0)]
    people[1][5] = 100
    (folder / "optim_annots_scale.pkl").write_bytes(pickle.dumps([["my_scene_3_4_2000_5000_3100_6100.jpg", people]]))
    assert len(data(folder).annotation(0).people) == 2
    assert len(data(folder, least_inside=2).annotation(0).people) == 1
    assert data(folder, least_inside=2)[0].masks[:, Label.PRESENT].sum() == 1


def test_nobody_at_all_is_no_tile(folder: Path) -> None:
    (folder / "optim_annots_scale.pkl").write_bytes(pickle.dumps([]))
    assert len(data(folder)) == 0


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "optim_annots_scale.pkl").unlink()
    with pytest.raises(MissingAsset, match="optim_annots_scale"):
        data(folder)


def test_without_smplify_the_prior_knows_the_poses_of_crowds() -> None:
    prior = load_network_prior(None)
    own = load_pose_prior()
    mean = torch.from_numpy(own.mean_rad)[None]
    likely = mean + torch.from_numpy(own.basis_rad[:, 0])
    stiff = torch.zeros(1, 69, dtype=torch.float64)
    stiff[0, 9] = 2.5
    costs = [float(prior.cost(pose)) for pose in (mean, likely, stiff)]
    assert costs[0] < costs[1] < costs[0] + 0.51
    assert costs[2] > costs[1] + 5


def test_smplifys_prior_is_taken_where_it_is(tmp_path: Path) -> None:
    content = {"means": np.ones((2, 69)), "covars": np.tile(np.eye(69), (2, 1, 1)), "weights": np.array([0.5, 0.5])}
    (tmp_path / "gmm_08.pkl").write_bytes(pickle.dumps(content))
    assert load_network_prior(tmp_path).means.shape == (2, 69)
    assert load_network_prior(tmp_path / "elsewhere").means.shape == (1, 69)
