"""The training loop: it learns, resumes exactly, and stops before it spoils anything."""

import numpy as np
import pytest
import torch
from torch import nn

from crowd3d.errors import Crowd3DError, MissingAsset
from crowd3d.model import load_weights
from crowd3d.training import loop
from crowd3d.training.loop import Recipe, fit

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


@pytest.fixture(autouse=True)
def frequent_saves(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 20)


RECIPE = Recipe(steps=300, learning_rate=0.03, validate_every=150)


def test_learns_and_writes_weights_with_their_figures(tmp_path):
    fit(network(), batch, loss, validate, RECIPE, tmp_path, {"network": "line"})
    state, metadata = load_weights(tmp_path / "weights.safetensors")
    assert metadata["network"] == "line"
    assert metadata["steps"] == "300"
    assert float(metadata["error"]) < 0.3
    assert set(state) == set(network().state_dict())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_killed_and_resumed_equals_not_killed(tmp_path):
    fit(network(), batch, loss, validate, RECIPE, tmp_path / "whole", {})
    calls = 0

    def dying(module, data):
        nonlocal calls
        calls += 1
        if calls == 137:
            raise Killed
        return loss(module, data)

    with pytest.raises(Killed):
        fit(network(), batch, dying, validate, RECIPE, tmp_path / "parts", {})
    fit(network(), batch, loss, validate, RECIPE, tmp_path / "parts", {})
    whole, parts = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts"))
    for key, value in whole["network"].items():
        assert torch.equal(value, parts["network"][key]), key
    for key, value in whole["average"].items():
        assert torch.equal(value, parts["average"][key]), key


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(tmp_path):
    calls = 0

    def exploding(module, data):
        nonlocal calls
        calls += 1
        return {"square": loss(module, data)["square"] * (torch.nan if calls == 50 else 1.0)}

    with pytest.raises(Crowd3DError, match="step 49"):
        fit(network(), batch, exploding, validate, RECIPE, tmp_path, {})
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 40


def test_a_state_of_another_network_is_refused(tmp_path):
    torch.save({"network": {}, "optimizer": {}, "average": {}, "step": 3}, tmp_path / "state.pt")
    with pytest.raises(MissingAsset, match=r"state\.pt"):
        fit(network(), batch, loss, validate, RECIPE, tmp_path, {})
