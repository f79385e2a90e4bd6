"""Fine-tuning: cached equals uncached, only what may change changes, any number of tiles, exact resume."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_samples import made_up_sample

from crowd3d.bodies import Body, load_body
from crowd3d.errors import BadConfig
from crowd3d.model import Crowd3DNet
from crowd3d.training.supervision import LossWeights, Sample, collate, supervise
from crowd3d.tuning import fine_tuning
from crowd3d.tuning.fine_tuning import FineTuningConfig, epoch_rows, fine_tune

WEIGHTS = LossWeights(
    center_map=160.0,
    keypoints_2d=400.0,
    mpjpe=0.0,
    pa_mpjpe=0.0,
    pose=0.0,
    shape=0.0,
    prior=1.6,
    hvip=0.0,
    torso_offset=0.0,
    root_cam=0.0,
    out_of_bound=800.0,
    ground_normal=25.0,
)
CONFIG = FineTuningConfig(epoch=10, batch_size=4, lr=1e-3, milestones=(5,), centermap_conf_thresh=-9.0, save_every=2, loss_weights=WEIGHTS)
"""The threshold makes the untrained network see somebody everywhere. Seven tiles: two steps in each epoch."""


@pytest.fixture(scope="module")
def network() -> Crowd3DNet:
    torch.manual_seed(0)
    network = Crowd3DNet("compact")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [made_up_sample(seed) for seed in range(7)]


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module")
def tuned(network, samples, body, tmp_path_factory) -> Crowd3DNet:
    tuned = copy.deepcopy(network)
    fine_tune(tuned, samples, body, None, CONFIG, tmp_path_factory.mktemp("tuned"), "key")
    return tuned


def test_cached_equals_uncached_after_20_steps(network, samples, body, tuned) -> None:
    """The whole network in every step, as the release does it."""
    whole = copy.deepcopy(network)
    whole.final_layers["1"].train()
    parameters = [p for name, p in whole.named_parameters() if name.split(".")[0] in ("cams_layers", "ground_layers") or ".1." in name[:15]]
    optimizer = torch.optim.Adam(parameters)
    steps = 0
    for epoch in range(10):
        optimizer.param_groups[0]["lr"] = 1e-3 if epoch < 5 else 1e-4
        for rows in epoch_rows(7, 4, CONFIG.seed, epoch):
            batch = collate([samples[row] for row in rows])
            views = batch.views
            maps = whole(batch.images.float(), views.camera_inputs, views.ground_inputs)
            loss = torch.stack(list(supervise(maps, batch, body, WEIGHTS, None, threshold=-9.0).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
    assert steps == 20
    for (name, value), expected in zip(tuned.state_dict().items(), whole.state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5, msg=name)


def test_what_the_release_tunes_changes_and_nothing_else(network, tuned) -> None:
    before, after = network.state_dict(), tuned.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parameters = dict(tuned.named_parameters())
    assert len(changed) == 45
    assert sum(parameters[name].numel() for name in changed if name in parameters) == 187_017
    assert sum(name in parameters for name in changed) == 30
    assert {name.split(".")[0] for name in changed} == {"final_layers", "cams_layers", "ground_layers"}
    assert not tuned.training
    assert all(parameter.requires_grad for parameter in parameters.values())


def test_the_published_backbone_has_as_many_numbers_to_tune() -> None:
    parameters = fine_tuning.tuned_parameters(Crowd3DNet("hrnet_w32"))
    assert (len(parameters), sum(p.numel() for p in parameters.values())) == (30, 187_017)


def test_interrupted_and_continued_equals_uninterrupted(network, samples, body, tuned, tmp_path, monkeypatch) -> None:
    interrupted = copy.deepcopy(network)
    tune_epoch = fine_tuning.tune_epoch

    def dying(*arguments):
        if arguments[-1] == 7:
            raise KeyboardInterrupt
        return tune_epoch(*arguments)

    monkeypatch.setattr(fine_tuning, "tune_epoch", dying)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(interrupted, samples, body, None, CONFIG, tmp_path, "key")
    monkeypatch.setattr(fine_tuning, "tune_epoch", tune_epoch)
    for _ in range(2):  # the second time there is nothing left to do
        continued = copy.deepcopy(network)
        fine_tune(continued, samples, body, None, CONFIG, tmp_path, "key")
        for name, value in tuned.state_dict().items():
            assert torch.equal(value, continued.state_dict()[name]), name
    other = copy.deepcopy(network)
    fine_tune(other, samples, body, None, replace(CONFIG, epoch=1), tmp_path, "another key")
    assert not torch.equal(other.state_dict()["cams_layers.0.weight"], tuned.state_dict()["cams_layers.0.weight"])


def test_large_features_go_to_a_file_and_change_nothing(network, samples, body, tuned, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(fine_tuning, "MEMORY_BYTES", 1000)
    frozen = fine_tuning.freeze(copy.deepcopy(network), samples, tmp_path)
    assert isinstance(frozen.features, np.memmap)
    from_file = copy.deepcopy(network)
    fine_tune(from_file, samples, body, None, CONFIG, tmp_path, "key")
    for name, value in tuned.state_dict().items():
        assert torch.equal(value, from_file.state_dict()[name]), name
    assert [path.name for path in Path(tmp_path).iterdir()] == ["state.pt"]


@pytest.mark.parametrize(("tiles", "batch"), [(1, 64), (5, 64), (5, 2), (4, 4), (65, 64)])
def test_every_tile_is_seen_once_in_an_epoch(tiles: int, batch: int) -> None:
    epochs = [list(epoch_rows(tiles, batch, 0, epoch)) for epoch in range(2)]
    for rows in epochs:
        assert sorted(np.concatenate(rows)) == list(range(tiles))
        assert max(map(len, rows)) <= batch
    if tiles > 4:
        assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))


def test_nothing_to_tune_on_is_said(network, body, tmp_path) -> None:
    with pytest.raises(BadConfig, match="at least one tile"):
        fine_tune(copy.deepcopy(network), [], body, None, CONFIG, tmp_path, "key")
    with pytest.raises(BadConfig, match="batch_size 0"):
        FineTuningConfig(batch_size=0)
