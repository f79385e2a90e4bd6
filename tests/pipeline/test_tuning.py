"""Fine-tuned weights of a photograph: found again under the release's name, made again when something changed."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crowd3d.bodies import load_body
from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.model import Crowd3DNet, checkpoints
from crowd3d.model.checkpoints import ReleasedCheckpoint
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.network import NetworkChoice
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.tuning import Tuning, tuned_network
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.settings import load_settings

CONFIG = Path(__file__).resolve().parents[2] / "Crowd3DNet" / "configs" / "optim" / "optim_single_image.yml"
WORLD = Camera.from_focal(600.0, (800, 600)), GroundPlane.from_angles(0.4, 0.0, 6.0)
TILE = "crowd_0_0_0_0_256_256.jpg"


class Smaller(Crowd3DNet):
    """Stands for the published network, which would take too long."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__("compact")
        torch.nn.init.constant_(self.final_layers["2"][2].bias, 5.0)


@pytest.fixture
def mid(tmp_path: Path) -> MidFolder:
    """One tile with one person."""
    mid = MidFolder(tmp_path / "mid")
    mid.tiles.mkdir(parents=True)
    cv2.imwrite(str(mid.tiles / TILE), np.random.default_rng(0).integers(0, 255, (512, 512, 3)))
    person = np.concatenate([np.random.default_rng(1).uniform(150, 350, (17, 2)), np.ones((17, 1))], 1)
    mid.optimisation_annotations.write_bytes(pickle.dumps([[TILE, [person]]]))
    return mid


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NetworkChoice:
    path = tmp_path / "base_69.pkl"
    path.write_bytes(b"weights")
    monkeypatch.setattr(ReleasedCheckpoint, "build", lambda _: Smaller())
    monkeypatch.setattr(checkpoints, "read_released_checkpoint", lambda path: ReleasedCheckpoint({}, {}, path))
    monkeypatch.setattr(NetworkChoice, "body", lambda *_, **__: load_body("free_low"))
    return NetworkChoice(path, True, None)


def test_tuned_weights_are_kept_under_the_releases_name(mid: MidFolder, choice: NetworkChoice, tmp_path: Path) -> None:
    how = Tuning(epochs=2, batch_size=64, config=CONFIG, checkpoints=tmp_path / "checkpoints")
    tuned = tuned_network(choice, "crowd", mid, WORLD, how)
    assert tuned.path == tmp_path / "checkpoints" / "hrnet_cm64_crowd_on_gpu0,1_val" / "hrnet_cm64_crowd_epoch_1.pkl"
    assert tuned.released
    state, start = torch.load(tuned.path, weights_only=True), Smaller().state_dict()
    assert set(state) == {f"module.{key}" for key in start}
    assert sum(not torch.equal(state[f"module.{key}"], value) for key, value in start.items()) == 45

    def written() -> int:
        return tuned.path.stat().st_mtime_ns

    first = written()
    assert tuned_network(choice, "crowd", mid, WORLD, how) == tuned
    assert written() == first
    choice.path.write_bytes(b"other weights")
    tuned_network(choice, "crowd", mid, WORLD, how)
    assert written() > first
    longer = tuned_network(choice, "crowd", mid, WORLD, replace(how, epochs=1))
    assert longer.path.name == "hrnet_cm64_crowd_epoch_0.pkl"


def test_without_anybody_to_tune_on_the_weights_stay(mid: MidFolder, choice: NetworkChoice, tmp_path: Path) -> None:
    mid.optimisation_annotations.write_bytes(pickle.dumps([]))
    how = Tuning(epochs=2, batch_size=64, config=CONFIG, checkpoints=tmp_path / "checkpoints")
    assert tuned_network(choice, "crowd", mid, WORLD, how) == choice
    assert not how.checkpoints.exists()


def test_shipped_weights_are_not_tuned_and_nothing_is_begun(mid: MidFolder, tmp_path: Path) -> None:
    photograph, results = tmp_path / "crowd.png", ResultFolder(tmp_path / "results")
    cv2.imwrite(str(photograph), np.zeros((60, 80, 3), np.uint8))
    np.save(mid.keypoints, np.zeros((1, 17, 3)))
    how = Tuning(epochs=2, batch_size=64, config=CONFIG, checkpoints=tmp_path / "checkpoints")
    with pytest.raises(MissingAsset, match="--weights"):
        infer(GigapixelImage(photograph), mid, results, InferOptions(DefaultWeights.shipped(load_settings()), tuning=how))
    assert not how.checkpoints.exists()
    assert not results.estimate.exists()
