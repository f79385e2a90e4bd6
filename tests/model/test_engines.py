from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crowd3d.errors import BackendFailed, BadConfig, MissingAsset
from crowd3d.model import Crowd3DNet, engines, make_engine
from crowd3d.model.engines import choose_device, chosen_engine

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="optional engine, not installed: pip install openvino")
needs_onnx = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("onnxscript") is None,
    reason="optional engine, not installed: pip install onnxruntime onnx onnxscript",
)
ENGINES = ["torch", pytest.param("openvino", marks=needs_openvino), pytest.param("onnx", marks=needs_onnx)]


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(batch)
    return torch.rand(batch, 64, 64, 3, generator=draw) * 255, torch.randn(batch, 3, generator=draw), torch.randn(batch, 4, generator=draw)


def arrays(batch: int) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in inputs(batch)]


@pytest.fixture(scope="module")
def network() -> Crowd3DNet:
    torch.manual_seed(0)
    network = Crowd3DNet("compact")
    with torch.no_grad():
        for images in range(1, 4):
            network(*inputs(images + 1))
    return network.eval()


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 3)).eval()


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_equal_eager_for_every_batch_size(network: Crowd3DNet, engine: str) -> None:
    automatic = "openvino" if find_spec("openvino") else "torch"
    run = make_engine(network, inputs(2), "auto" if engine == automatic else engine)
    assert run.name == engine
    first = run(*arrays(1))
    kept = [output.copy() for output in first]
    for batch in (1, 5):
        with torch.inference_mode():
            expected = network(*inputs(batch))
        for output, truth in zip(run(*arrays(batch)), expected, strict=True):
            np.testing.assert_allclose(output, truth, atol=1e-3, rtol=0)
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy, "a later call must not change earlier results")


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_bf16_is_close(engine: str) -> None:
    images = inputs(2)[0].permute(0, 3, 1, 2)
    module = small()
    with torch.inference_mode():
        truth = module(images).numpy()
    (output,) = make_engine(module, (images,), engine, "bf16")(images.numpy())
    assert output.dtype == np.float32
    assert np.abs(output - truth).max() < 0.02 * np.abs(truth).max()
    assert engine != "torch" or not np.array_equal(output, truth)


def test_a_single_output_is_a_tuple_of_one_and_training_mode_ends() -> None:
    module = small().train()
    run = make_engine(module, (torch.zeros(1, 3, 8, 8),), "torch")
    assert not module.training
    (output,) = run(np.zeros((2, 3, 8, 8), np.float32))
    assert output.shape == (2, 4, 4, 4)


@pytest.mark.parametrize(("engine", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_absent_engines_say_what_to_install(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingAsset, match=f"pip install {package}"):
        make_engine(nn.Linear(2, 2), (torch.zeros(1, 2),), engine)


class Stubborn(nn.Module):
    """No engine but eager PyTorch can run this."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x).real


@needs_openvino
def test_openvino_sends_nothing_to_its_makers() -> None:
    code = """
import sys
heard = []
sys.addaudithook(lambda event, _: heard.append(event) if event.startswith(("socket.", "os.fork")) else None)
from crowd3d.model.engines import openvino_core
openvino_core()
import time
time.sleep(0.2)
print(sorted(set(heard)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@needs_openvino
def test_networks_that_an_engine_cannot_run_are_reported() -> None:
    root = logging.getLogger()
    before = root.level, root.filters[:]
    with pytest.raises(BackendFailed, match="openvino cannot run this network"):
        make_engine(Stubborn(), (torch.zeros(1, 3, 3),), "openvino")
    assert (root.level, root.filters) == before, "the user still hears what others warn of"


class Elsewhere(nn.Module):
    """Notes where it and its inputs are, on a device that computes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.seen: list[str] = []

    def forward(self, images: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        self.seen += [self.weight.device.type, images.device.type, camera.device.type]
        return torch.full((2, 3), 7.0)


def test_weights_and_inputs_go_to_the_device_and_answers_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "choose_device", lambda name: "meta")
    module = Elsewhere()
    run = make_engine(module, inputs(2)[:2], device="cuda")
    assert run.name == "torch", "OpenVINO is for CPUs"
    (answer,) = run(*arrays(2)[:2])
    assert module.seen == ["meta"] * 3
    np.testing.assert_array_equal(answer, np.full((2, 3), 7.0))
    with pytest.raises(BadConfig, match="openvino runs on the CPU, not on meta"):
        chosen_engine("openvino", "cuda")


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if cuda else 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(engines, "may_have_gpu", lambda: True)
    assert choose_device() == chosen
    assert choose_device("cpu") == chosen_engine("onnx", "auto")[1] == "cpu"
    if cuda:
        assert choose_device("cuda:1") == "cuda:1"
        assert chosen_engine("auto", "auto") == ("torch", "cuda")
    for absent in ("cuda:2", "cuda:x", "tpu", "") if cuda else ("cuda", "cuda:0"):
        with pytest.raises(BadConfig, match=f"no device '{absent}' in this machine; choose auto or .*cpu"):
            choose_device(absent)


@pytest.mark.parametrize(
    ("build", "platform", "files", "asked"),
    [
        ("2.13.0+cpu", "linux", ["nvidiactl"], False),
        ("2.13.0", "linux", ["null", "zero"], False),
        ("2.13.0", "linux", ["nvidia0"], True),
        ("2.13.0+rocm7.0", "linux", ["kfd"], True),
        ("2.13.0", "linux", ["dxg"], True),
        ("2.13.0", "win32", [], True),
        ("2.13.0", "darwin", [], True),
    ],
)
def test_pytorch_is_asked_for_a_gpu_unless_there_can_be_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: str, platform: str, files: list[str], asked: bool
) -> None:
    for name in files:
        (tmp_path / name).touch()
    monkeypatch.setattr(engines, "version", lambda package: build)
    monkeypatch.setattr(engines.sys, "platform", platform)
    monkeypatch.setattr(engines, "DEVICES", tmp_path)
    assert engines.may_have_gpu() is asked


def test_threads_are_those_that_were_asked_for_else_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert engines.core_count() == 3
    for nonsense in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert 1 <= engines.core_count() <= (os.cpu_count() or 1)
