"""``crowd3d train default`` from nothing to weights that the pipeline can load, in a small way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from crowd3d.cli import train_default
from crowd3d.cli.main import main
from crowd3d.model import load_weights
from crowd3d.model.keypoint_net import KeypointNet
from crowd3d.model.lifter import Lifter
from crowd3d.model.lifter_values import LifterInput
from crowd3d.scene.placing import MEASURED_SHAPES, load_lifter
from crowd3d.training import scene_store
from crowd3d.training.lifter_data import PairMaker
from crowd3d.training.scene_store import SceneKind

SCENES = 5


def train(folder: Path, stage: str, steps: int, *options: str) -> None:
    arguments = ["--stage", stage, "--folder", str(folder), "--scenes", str(SCENES), "--steps", str(steps)]
    assert main(["train", "default", *arguments, *options]) == 0


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Few small scenes, and no photo networks, be they on this machine or not."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (scene_store, train_default):
            patch.setattr(module, "SCENES_PER_SHARD", SCENES)
        patch.setattr(PairMaker.__init__, "__defaults__", (200,))
        patch.setattr(train_default, "LARGE", SceneKind(256, (60, 200)))
        patch.setattr(train_default, "photo_models", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def trained(small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("default")
    train(folder, "scenes", 1)
    train(folder, "keypoints", 2)
    train(folder, "lifter", 2)
    return folder


def test_scenes_with_and_without_people_are_rendered(trained):
    names = sorted(path.name for path in (trained / "scenes").iterdir())
    assert names == [f"scenes_{1 + more:04d}_0000.npz" for more in (0, train_default.EMPTY_SEED, train_default.LARGE_SEED)]
    people = [np.load(trained / "scenes" / name)["count"].sum() for name in names]
    assert people[0] > SCENES
    assert people[1] == 0
    assert people[2] > SCENES


@pytest.mark.parametrize(("stage", "network"), [("keypoints", KeypointNet), ("lifter", Lifter)])
def test_training_writes_weights_and_says_how_good_they_are(trained, stage, network):
    weights, metadata = load_weights(trained / stage / "weights.safetensors")
    assert int(metadata["steps"]) == 2 * train_default.RECIPES[stage].rounds
    fresh = network()
    assert weights.keys() == fresh.state_dict().keys()
    assert all(torch.isfinite(value).all() for value in weights.values())
    figure = {"keypoints": "pck10", "lifter": "embedded_pa_mpjpe_mm"}[stage]
    assert float(metadata[figure]) >= 0


def test_the_pipeline_loads_the_lifter(trained):
    lift = load_lifter(trained / "lifter" / "weights.safetensors")
    said = lift(LifterInput(*(np.zeros(shape, np.float32) for shape in MEASURED_SHAPES)))
    np.testing.assert_allclose(np.linalg.det(said.rotations), np.ones((2, 24)), atol=1e-4)


def test_a_training_begins_with_given_weights_and_changes_them(trained, tmp_path):
    start = trained / "lifter" / "weights.safetensors"
    (tmp_path / "scenes").symlink_to(trained / "scenes")
    (tmp_path / "held_out").symlink_to(trained / "held_out")
    train(tmp_path, "lifter", 1, "--start", str(start))
    before, after = load_weights(start)[0], load_weights(tmp_path / "lifter" / "weights.safetensors")[0]
    change = torch.cat([(after[key] - before[key]).flatten() for key in before])
    apart = torch.cat([(Lifter().state_dict()[key] - before[key]).flatten() for key in before])
    assert 0 < change.norm() < 0.01 * apart.norm()


def test_what_a_training_begins_with_must_fit(trained, capsys):
    weights = str(trained / "keypoints" / "weights.safetensors")
    assert main(["train", "default", "--folder", str(trained), "--stage", "lifter", "--steps", "9", "--start", weights]) != 0
    assert weights in capsys.readouterr().err
    assert main(["train", "default", "--folder", str(trained), "--start", weights]) != 0
    assert "--stage" in capsys.readouterr().err


def test_a_finished_training_is_not_repeated(trained):
    weights = trained / "keypoints" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    train(trained, "keypoints", 2)
    assert weights.stat().st_mtime_ns == before
