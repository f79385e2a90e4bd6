from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from crowd3d.model import compiled, conversion
from crowd3d.model.compiled import Engines, in_hardware

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="optional engine, not installed: pip install openvino")

EXAMPLES = [np.zeros((2, 3, 8, 8), np.float32)]
IMAGES = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)


class Reader:
    """Reads a small network and counts how often."""

    def __init__(self) -> None:
        self.times = 0
        self.__module__, self.__qualname__ = __name__, "reader"

    def __call__(self, path: Path) -> nn.Module:
        self.times += 1
        module = nn.Conv2d(3, 4, 3)
        module.load_state_dict(load_file(path))
        return module


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write(tmp_path / "weights.safetensors", 1)


def write(path: Path, seed: int) -> Path:
    draw = torch.Generator().manual_seed(seed)
    save_file({"weight": torch.randn(4, 3, 3, 3, generator=draw), "bias": torch.randn(4, generator=draw)}, path)
    return path


def truth(path: Path) -> np.ndarray:
    return nn.functional.conv2d(torch.from_numpy(IMAGES), **load_file(path)).numpy()


def test_the_second_time_the_network_is_neither_read_nor_compiled_and_says_the_same(tmp_path: Path, weights: Path) -> None:
    read, engines = Reader(), Engines("openvino", tmp_path / "cache")
    first, second = (engines.load(read, weights, EXAMPLES) for _ in range(2))
    assert read.times == 1
    np.testing.assert_allclose(first(IMAGES)[0], truth(weights), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(second(IMAGES)[0], first(IMAGES)[0])
    (kept,) = (tmp_path / "cache").iterdir()
    assert second.content == kept.read_bytes()[compiled.CHECK_BYTES :], "OpenVINO reads weights from these bytes as long as it runs"


def test_other_weights_or_shapes_are_compiled_anew(tmp_path: Path, weights: Path) -> None:
    read, engines = Reader(), Engines("openvino", tmp_path / "cache")
    engines.load(read, weights, EXAMPLES)
    write(weights, 2)
    np.testing.assert_allclose(engines.load(read, weights, EXAMPLES)(IMAGES)[0], truth(weights), atol=1e-5, rtol=0)
    engines.load(read, weights, [np.zeros((2, 3, 16, 16), np.float32)])
    assert read.times == 3


@pytest.mark.parametrize("damage", [b"", b"no network", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, weights: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    read, engines = Reader(), Engines("openvino", tmp_path / "cache")
    engines.load(read, weights, EXAMPLES)
    (kept,) = (tmp_path / "cache").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        again = engines.load(read, weights, EXAMPLES)
    assert "damaged" in caplog.text
    np.testing.assert_allclose(again(IMAGES)[0], truth(weights), atol=1e-5, rtol=0)
    assert kept.read_bytes()[: compiled.CHECK_BYTES] == compiled._check(kept.read_bytes()[compiled.CHECK_BYTES :])


def test_a_folder_that_cannot_be_used_costs_time_only(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    read = Reader()
    for _ in range(2):
        run = Engines("openvino", tmp_path / "cache").load(read, weights, EXAMPLES)
    np.testing.assert_allclose(run(IMAGES)[0], truth(weights), atol=1e-5, rtol=0)
    assert read.times == 2


def test_networks_that_were_not_used_for_longest_go(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "MOST_KEPT", 2)
    read, folder = Reader(), tmp_path / "cache"
    long_ago = time.time() - 100
    for number, side in enumerate((8, 16, 24)):
        before = set(folder.glob("*"))
        Engines("openvino", folder).load(read, weights, [np.zeros((2, 3, side, side), np.float32)])
        for new in set(folder.glob("*")) - before:
            os.utime(new, (long_ago + number, long_ago + number))
    assert len(list(folder.iterdir())) == 2
    Engines("openvino", folder).load(read, weights, [np.zeros((2, 3, 24, 24), np.float32)])
    assert read.times == 3, "the last one is still there"


def test_other_engines_keep_nothing(tmp_path: Path, weights: Path) -> None:
    run = Engines("torch", tmp_path / "cache").load(Reader(), weights, EXAMPLES)
    np.testing.assert_allclose(run(IMAGES)[0], truth(weights), atol=1e-6, rtol=0)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("has", [True, False])
def test_reduced_precision_only_where_the_processor_has_it(
    tmp_path: Path, weights: Path, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    make = conversion.compiled_engine
    monkeypatch.setattr(compiled, "in_hardware", lambda precision: has or precision == "fp32")
    monkeypatch.setattr(conversion, "compiled_engine", lambda *told: asked.append(told[2]) or make(*told))
    for _ in range(2):
        run = Engines("openvino", tmp_path / "cache").load(Reader(), weights, EXAMPLES, "bf16")
        np.testing.assert_allclose(run(IMAGES)[0], truth(weights), atol=5e-2 if has else 1e-5, rtol=0)
    assert asked == ["bf16" if has else "fp32"]


class Cancelling(nn.Module):
    """Its first layers' weights nearly cancel each other, and what they see hardly differs: bf16 tells neither."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.second = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.last = nn.Conv2d(8, 4, 1)
        with torch.no_grad():
            self.second.weight *= 100
            self.second.weight -= self.second.weight.mean((2, 3), keepdim=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(images) + 10.0))))


def test_what_must_be_exact_is(tmp_path: Path) -> None:
    if not in_hardware("bf16"):
        pytest.skip("this processor computes everything in fp32")
    torch.manual_seed(0)
    network = Cancelling().eval()
    path = tmp_path / "weights.bin"
    path.write_bytes(b"made up")
    with torch.inference_mode():
        expected = network(torch.from_numpy(IMAGES)).numpy()
    error = {}
    for exact_until in (None, "second"):
        for _ in range(2):
            run = Engines("openvino", tmp_path / "cache").load(lambda _: network, path, EXAMPLES, "bf16", exact_until)
            error[exact_until] = np.abs(run(IMAGES)[0] - expected).max() / expected.std()
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert error["second"] < 0.05 < 0.2 < error[None]


def test_what_was_compiled_earlier_runs_without_pytorch(tmp_path: Path) -> None:
    """The shipped networks, loaded by two processes one after the other."""
    code = f"""
import sys
from pathlib import Path
from crowd3d.model.compiled import Engines, in_hardware
from crowd3d.pose.embedded import EmbeddedSeeker
from crowd3d.scene.placing import load_lifter
from crowd3d.settings import load_settings
engines, root = Engines("openvino", Path({str(tmp_path)!r}), "cpu"), load_settings().pretrained_root
EmbeddedSeeker(root / "crowd3dnet_compact.safetensors", root / "keypoints.safetensors", engines)
load_lifter(root / "lifter.safetensors", engines)
print("torch" in sys.modules)
"""
    needed = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert needed == ["True\n", "False\n"]
