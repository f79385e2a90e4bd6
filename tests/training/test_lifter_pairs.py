"""What 2D sources measure of rendered people, by networks that are always right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crowd3d.model.crop_points import TORSO
from crowd3d.pose.observations import Observations
from crowd3d.pose.photo import photo_source
from crowd3d.pose.photo_finder import Boxes
from crowd3d.training import lifter_pairs, scene_store
from crowd3d.training.lifter_pairs import PairSource, in_boxes, predicted_pairs
from crowd3d.training.scene_store import SceneKind, SceneStore, render_scenes
from crowd3d.types import Keypoints

SCENES = 6


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_store, "SCENES_PER_SHARD", SCENES)
        render_scenes(folder, 3, SCENES, SceneKind(192, (40, 150)))
    return next(folder.iterdir())


class Truthful:
    """Sees everybody where they are, in reverse order, and somebody who is nobody."""

    source = photo_source()

    def __init__(self, store: SceneStore) -> None:
        self.store, self.scene, self.boxes = store, 0, Boxes.none()

    def look_in(self, image, boxes, camera, ground):
        assert image.size == (192, 192)
        self.boxes = boxes

    def people(self, image, found) -> Observations:
        rows = np.arange(self.store.first[self.scene], self.store.first[self.scene + 1])[::-1]
        true = self.store.project(self.scene, self.store.points_cam_m[rows, :TORSO].astype(float))
        xy = np.concatenate([true, true[:1] + 1000.0])
        seen = Observations.from_keypoints(Keypoints(xy, np.full(xy.shape[:2], 0.9)), self.source)
        return replace(seen, depth_m=np.zeros(xy.shape[:2]), depth_sigma_m=np.full(xy.shape[:2], 0.1))


def test_people_are_recognised_whatever_their_order_and_strangers_left_out(shard):
    store = SceneStore.read([shard])
    truthful = Truthful(store)
    look, recognised = in_boxes(truthful, seed=0), 0
    for truthful.scene in range(len(store)):
        observed, people = look(store, truthful.scene)
        true = store.project(truthful.scene, store.points_cam_m[people, :TORSO].astype(float))
        np.testing.assert_allclose(observed.xy_px, true, atol=1e-6)
        recognised += len(people)
    assert recognised > 5


def test_boxes_hold_what_is_in_the_picture(shard, monkeypatch):
    monkeypatch.setattr(lifter_pairs, "BOX_SIGMA", 0.0)
    monkeypatch.setattr(lifter_pairs, "worth_turning", np.zeros_like)
    store = SceneStore.read([shard])
    truthful = Truthful(store)
    truthful.scene = int(np.argmax(np.diff(store.first)))
    _, people = in_boxes(truthful, seed=0)(store, truthful.scene)
    corners = truthful.boxes.corners
    assert (corners > -1e-6).all()
    assert (corners < 192 + 1e-6).all()
    pixels = store.project(truthful.scene, store.points_cam_m[np.sort(people), :TORSO].astype(float))
    seen = np.clip(pixels, 0, 192)
    height = np.ptp(pixels[..., 1], axis=1)[:, None]
    assert (corners[:, :2] < seen.min(1) + 1e-6).all()
    assert (corners[:, 2:] > seen.max(1) - 1e-6).all()
    assert (seen.min(1) - corners[:, :2] < 0.1 * height).all()


def test_pairs_are_the_measurements_and_the_truth_and_are_kept(shard, tmp_path):
    store = SceneStore.read([shard])
    truthful = Truthful(store)
    inner = in_boxes(truthful, seed=0)

    def look(store: SceneStore, scene: int):
        truthful.scene = scene
        return inner(store, scene)

    pairs = predicted_pairs(PairSource("exact", "1", look), [shard], tmp_path)
    assert len(pairs.true_depth_m) > 5
    torch.testing.assert_close(pairs.measured.tangent_m, pairs.true_tangent_m, atol=1e-3, rtol=1e-3)

    def fail(store: SceneStore, scene: int):
        raise AssertionError

    again = predicted_pairs(PairSource("exact", "1", fail), [shard], tmp_path)
    assert torch.equal(again.measured.log_sigma, pairs.measured.log_sigma)
    assert torch.equal(again.truth.rotations, pairs.truth.rotations)
    assert torch.equal(again.true_depth_m, pairs.true_depth_m)
    with pytest.raises(AssertionError):
        predicted_pairs(PairSource("exact", "2", fail), [shard], tmp_path)
