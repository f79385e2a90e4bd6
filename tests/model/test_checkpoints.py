from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from released_layout import SMPL_PREFIX, seeded_state

from crowd3d.cli import export_weights
from crowd3d.cli.main import main
from crowd3d.errors import BadOutput, MissingAsset
from crowd3d.model import Crowd3DNet, fill, load_network, load_released_checkpoint, load_weights, save_weights
from crowd3d.model.checkpoints import read_released_checkpoint, save_released_checkpoint


@pytest.fixture(scope="module")
def released(make_released_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_released_checkpoint(tmp_path_factory.mktemp("released") / "base_69.pkl")


@pytest.fixture(scope="module")
def compact() -> Crowd3DNet:
    torch.manual_seed(0)
    return Crowd3DNet("compact")


def assert_same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(other)
    for key, value in state.items():
        assert value.dtype == other[key].dtype
        assert torch.equal(value, other[key]), key


def test_released_checkpoint_fills_the_network(released: Path) -> None:
    network = load_released_checkpoint(released)
    assert not network.training
    assert_same(dict(network.state_dict()), seeded_state(network.state_dict()))


def test_released_checkpoint_offers_its_body(released: Path) -> None:
    checkpoint = read_released_checkpoint(released)
    assert "betas" not in checkpoint.smpl
    body = checkpoint.body_arrays()
    assert body["shapedirs"].shape == (6890, 3, 10)
    assert body["kintree_table"][:, 1].tolist() == [0, 1]
    assert body["extra_vertex_ids"].shape == (21,)
    posedirs = checkpoint.smpl["posedirs"].numpy()
    feature = np.random.default_rng(0).normal(size=207)
    np.testing.assert_allclose(body["posedirs"] @ feature, (feature @ posedirs).reshape(6890, 3), atol=1e-6)


def test_betas_of_any_batch_size_do_not_matter(released: Path, tmp_path: Path) -> None:
    state = torch.load(released, weights_only=True)
    state["module." + SMPL_PREFIX + "betas"] = torch.zeros(30, 10)
    torch.save({"model_state_dict": state}, tmp_path / "epoch_159.pkl")
    assert_same(read_released_checkpoint(tmp_path / "epoch_159.pkl").network, read_released_checkpoint(released).network)


@pytest.mark.parametrize("backbone", ["hrnet_w32", "resnet50"])
def test_released_format_without_smpl_goes_there_and_back(backbone: str, tmp_path: Path) -> None:
    network = Crowd3DNet(backbone)
    save_released_checkpoint(tmp_path / "w.pkl", network)
    back = load_released_checkpoint(tmp_path / "w.pkl")
    assert back.backbone_name == backbone
    assert_same(dict(back.state_dict()), dict(network.state_dict()))
    with pytest.raises(MissingAsset, match="no SMPL model"):
        read_released_checkpoint(tmp_path / "w.pkl").body_arrays()


def test_wrong_tensors_are_named(released: Path, tmp_path: Path) -> None:
    state = torch.load(released, weights_only=True)
    del state["module.backbone.conv1.weight"]
    state["module.backbone.surprise"] = torch.zeros(3)
    state["module.final_layers.2.2.weight"] = torch.zeros(1, 32, 1, 1)
    torch.save(state, tmp_path / "w.pkl")
    with pytest.raises(MissingAsset) as error:
        load_released_checkpoint(tmp_path / "w.pkl")
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "w.pkl",
        "1 missing: backbone.conv1.weight",
        "1 unknown: backbone.surprise",
        "final_layers.2.2.weight",
        "(1, 32, 1, 1)",
        "(1, 64, 1, 1)",
    ):
        assert part in message


def test_truncated_checkpoint(released: Path, tmp_path: Path) -> None:
    content = released.read_bytes()
    for size in (0, 10, 5_000_000, len(content) - 1000):
        (tmp_path / "w.pkl").write_bytes(content[:size])
        with pytest.raises(MissingAsset, match="not a readable checkpoint"):
            load_released_checkpoint(tmp_path / "w.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Sign in</html>",
        pickle.dumps({"a": 1}, 2),
        pickle.dumps([1, 2], 2),
        pickle.dumps({"a": np.zeros(3)}, 2),
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_foreign_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(content)
    with pytest.raises(MissingAsset, match=r"w\.pkl") as error:
        load_released_checkpoint(tmp_path / "w.pkl")
    assert "\n" not in str(error.value)


def test_absent_files(tmp_path: Path) -> None:
    for load in (load_released_checkpoint, load_weights, load_network):
        with pytest.raises(MissingAsset, match="nowhere"):
            load(tmp_path / "nowhere.pkl")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_checkpoint_is_executed(zipped: bool, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "w.pkl"
    content = {"module.backbone.conv1.weight": Malicious(marker)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(MissingAsset, match="nothing in it was executed"):
        load_released_checkpoint(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(content, 2))
    assert marker.exists(), "the bait itself must work"


def test_safetensors_keep_weights_and_facts(compact: Crowd3DNet, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", compact, {"backbone": "compact", "body": "free"})
    network, metadata = load_network(tmp_path / "w.safetensors")
    assert metadata == {"backbone": "compact", "body": "free"}
    assert_same(dict(network.state_dict()), dict(compact.state_dict()))


def test_half_the_size_keeps_three_digits_and_exact_vectors(compact: Crowd3DNet, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, compact, {"backbone": "compact"}, half=True)
    assert path.stat().st_size <= 10e6
    state = load_network(path)[0].state_dict()
    for key, value in compact.state_dict().items():
        assert state[key].dtype == value.dtype
        torch.testing.assert_close(state[key], value, rtol=0 if value.dim() < 2 else 1e-3, atol=0 if value.dim() < 2 else 1e-7)


def test_broken_and_foreign_safetensors(compact: Crowd3DNet, released: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, compact, {"backbone": "compact"})
    content = path.read_bytes()
    for broken in (b"", content[:5], content[: len(content) // 2], released.read_bytes()[:100_000]):
        path.write_bytes(broken)
        with pytest.raises(MissingAsset, match=r"cannot read weights .*w\.safetensors"):
            load_network(path)
    save_weights(path, torch.nn.Linear(2, 3), {})
    with pytest.raises(MissingAsset, match="names backbone None"):
        load_network(path)
    save_weights(path, torch.nn.Linear(2, 3), {"backbone": "compact"})
    with pytest.raises(MissingAsset, match="2 unknown: bias, weight"):
        load_network(path)


def test_any_module_is_filled_strictly(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    fill(layer, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, tmp_path)
    assert layer(torch.ones(1, 2)).tolist() == [[2.0, 2.0, 2.0]]
    with pytest.raises(MissingAsset, match=r"1 wrong: weight is float32 \(2, 3\) instead of float32 \(3, 2\)"):
        fill(layer, {"weight": torch.ones(2, 3), "bias": torch.zeros(3)}, tmp_path)
    with pytest.raises(MissingAsset, match="bias is int64"):
        fill(layer, {"weight": torch.ones(3, 2), "bias": torch.zeros(3, dtype=torch.int64)}, tmp_path)


def test_unwritable_target(compact: Crowd3DNet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadOutput):
        save_weights(tmp_path / "file" / "w.safetensors", compact, {})


def test_command_converts_there_and_back(released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    middle, body, back = tmp_path / "w.safetensors", tmp_path / "smpl.npz", tmp_path / "back.pkl"
    assert main(["export-weights", str(released), str(middle), "--smpl", str(body)]) == 0
    assert main(["export-weights", str(middle), str(back)]) == 0
    assert "hrnet_w32" in capsys.readouterr().out
    assert_same(read_released_checkpoint(back).network, read_released_checkpoint(released).network)
    with np.load(body) as arrays:
        assert arrays["weights"].shape == (6890, 24)


def test_command_reports_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.pkl").write_text("no pickle")
    assert main(["export-weights", str(tmp_path / "w.pkl"), str(tmp_path / "out.safetensors")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
    assert export_weights.SAFETENSORS == ".safetensors"
