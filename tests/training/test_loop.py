"""The training loop: it learns, resumes exactly, and stops before it spoils anything."""

import json
import resource
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from crowd3d.errors import BadOutput, FolderInUse, MissingAsset, TrainingFailed
from crowd3d.files import temporaries
from crowd3d.locks import locked
from crowd3d.model import load_weights
from crowd3d.training.loop import fit, fit_in_rounds, made_ahead
from crowd3d.training.recipe import Recipe, milestones

TRUE_WEIGHT = torch.tensor([[1.0, -2.0, 0.5]])


class Killed(Exception):
    """Stands for the machine going down."""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))


def batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(rng.normal(size=(32, 3))).float()
    return x, x @ TRUE_WEIGHT.T


def loss(module: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    noise = 0.01 * torch.randn(32, 1)
    return {"square": (module(data[0]) - data[1] + noise).square().mean()}


def validate(module: nn.Module) -> dict[str, float]:
    x, y = batch(np.random.default_rng(99))
    return {"error": float((module(x) - y).abs().mean())}


RECIPE = Recipe(steps=300, learning_rate=0.03, validate_every=150, save_every=20)
BATCHES = made_ahead(batch)


def test_learns_and_writes_weights_with_their_figures(tmp_path):
    fit(network(), BATCHES, loss, validate, RECIPE, tmp_path, {"network": "line"})
    state, metadata = load_weights(tmp_path / "weights.safetensors")
    assert metadata["network"] == "line"
    assert metadata["steps"] == "300"
    assert float(metadata["error"]) < 0.3
    assert set(state) == set(network().state_dict())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_killed_and_resumed_equals_not_killed(tmp_path):
    fit(network(), BATCHES, loss, validate, RECIPE, tmp_path / "whole", {})
    calls = 0

    def dying(module, data):
        nonlocal calls
        calls += 1
        if calls == 137:
            raise Killed
        return loss(module, data)

    with pytest.raises(Killed):
        fit(network(), BATCHES, dying, validate, RECIPE, tmp_path / "parts", {})
    fit(network(), BATCHES, loss, validate, RECIPE, tmp_path / "parts", {})
    whole, parts = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts"))
    for key, value in whole["network"].items():
        assert torch.equal(value, parts["network"][key]), key
    for key, value in whole["average"].items():
        assert torch.equal(value, parts["average"][key]), key


def test_what_a_killed_run_left_is_gone_after_the_next_one(tmp_path):
    recipe = replace(RECIPE, steps=40, validate_every=20, report_every=5)
    fit(network(), BATCHES, loss, validate, recipe, tmp_path / "whole", {})
    parts = tmp_path / "parts"
    fit(network(), BATCHES, loss, validate, replace(recipe, steps=20), parts, {})
    with (parts / "loss.jsonl").open("a") as lines:
        lines.write('{"step": 25, "loss": 3.0}\n{"step": 30, "lo')
    (parts / ".0123456789ab.pt").write_bytes(b"half of a st")
    fit(network(), BATCHES, loss, validate, recipe, parts, {})
    assert temporaries(parts) == []
    whole, again = ([json.loads(line) for line in (tmp_path / name / "loss.jsonl").read_text().splitlines()] for name in ("whole", "parts"))
    assert [line["step"] for line in again] == list(range(5, 45, 5))
    assert [line["step"] for line in whole] == [line["step"] for line in again]
    assert [json.loads(line)["step"] for line in (parts / "log.jsonl").read_text().splitlines()] == [20, 40]


def test_one_training_at_a_time_in_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(FolderInUse, match="another run works"):
        fit(network(), BATCHES, loss, validate, RECIPE, tmp_path, {})
    assert not (tmp_path / "state.pt").exists()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(tmp_path):
    calls = 0

    def exploding(module, data):
        nonlocal calls
        calls += 1
        return {"square": loss(module, data)["square"] * (torch.nan if calls == 50 else 1.0)}

    with pytest.raises(TrainingFailed, match="step 49"):
        fit(network(), BATCHES, exploding, validate, RECIPE, tmp_path, {})
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 40


def test_a_state_of_another_network_is_refused(tmp_path):
    torch.save({"network": {}, "optimizer": {}, "average": {}, "step": 3}, tmp_path / "state.pt")
    with pytest.raises(MissingAsset, match=r"state\.pt"):
        fit(network(), BATCHES, loss, validate, RECIPE, tmp_path, {})


def test_a_broken_state_is_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"half of a fi")
    with pytest.raises(MissingAsset, match=r"state\.pt.*delete it"):
        fit(network(), BATCHES, loss, validate, RECIPE, tmp_path, {})


def test_a_full_disk_stops_with_the_last_state_kept(tmp_path):
    """The kernel itself refuses to write: files may not become larger than a limit that a state exceeds."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    calls = 0

    def filling(module, data):
        nonlocal calls
        calls += 1
        if calls == 50:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        return loss(module, data)

    try:
        with pytest.raises(BadOutput, match=r"state\.pt.*free space"):
            fit(network(), BATCHES, filling, validate, RECIPE, tmp_path, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 40
    assert not temporaries(tmp_path)


def test_the_best_weights_stay_when_later_ones_are_worse(tmp_path):
    errors = iter([0.5, 0.9, 0.1])
    recipe = replace(RECIPE, validate_every=100, best_by="score")
    fit(network(), BATCHES, loss, lambda module: {"score": next(errors)}, recipe, tmp_path, {})
    assert load_weights(tmp_path / "best.safetensors")[1]["steps"] == "200"
    assert load_weights(tmp_path / "weights.safetensors")[1]["steps"] == "300"


def test_accumulated_halves_of_a_batch_equal_the_batch(tmp_path):
    def doubled(start, stop):
        source = iter(BATCHES(2 * start, 2 * stop))
        for first in source:
            second = next(source)
            yield torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])

    def plain(module, data):
        return {"square": (module(data[0]) - data[1]).square().mean()}

    states = []
    for name, batches, parts in (("halves", BATCHES, 2), ("whole", doubled, 1)):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        fit(module, batches, plain, validate, replace(RECIPE, steps=30, accumulate=parts), tmp_path / name, {})
        states.append(module.state_dict())
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-4, atol=1e-6)


def test_published_rate_falls_when_its_epochs_begin():
    recipe = Recipe(steps=700, learning_rate=5e-5, schedule=milestones([50, 65], steps_per_epoch=10))
    assert [recipe.rate(step) for step in (0, 499)] == [5e-5, 5e-5]
    assert [recipe.rate(step) for step in (500, 649, 650)] == pytest.approx([5e-6, 5e-6, 5e-7])


def test_a_failure_while_making_a_batch_arrives():
    def failing(rng):
        raise MissingAsset("no such picture")

    with pytest.raises(MissingAsset, match="picture"):
        next(made_ahead(failing)(0, 3))


def test_rounds_go_on_from_each_other_and_the_mean_of_their_ends_is_published(tmp_path):
    fit_in_rounds(network(), batch, loss, validate, replace(RECIPE, steps=60, rounds=3, half=False), tmp_path, {})
    ends = [load_weights(tmp_path / f"round_{number}" / "weights.safetensors")[0] for number in range(3)]
    mean, metadata = load_weights(tmp_path / "weights.safetensors")
    key = "0.weight"
    torch.testing.assert_close(mean[key], torch.stack([end[key] for end in ends]).mean(0))
    start = network().state_dict()[key]
    assert (ends[1][key] - ends[0][key]).norm() < (ends[0][key] - start).norm()
    assert metadata["steps"] == "180"
    fit_in_rounds(network(), batch, loss, validate, replace(RECIPE, steps=60, rounds=3, half=False, start_share=0.25), tmp_path, {})
    torch.testing.assert_close(load_weights(tmp_path / "weights.safetensors")[0][key], 0.75 * mean[key] + 0.25 * start)
    assert float(metadata["error"]) < 0.5


def test_finished_rounds_are_not_repeated(tmp_path):
    recipe = replace(RECIPE, steps=40, rounds=2)
    fit_in_rounds(network(), batch, loss, validate, recipe, tmp_path, {})
    before = load_weights(tmp_path / "weights.safetensors")[0]

    def no_more(rng: np.random.Generator):
        raise AssertionError

    fit_in_rounds(network(), no_more, loss, validate, recipe, tmp_path, {})
    after = load_weights(tmp_path / "weights.safetensors")[0]
    assert all(torch.equal(before[key], after[key]) for key in before)
