from __future__ import annotations

import sys
from importlib.util import find_spec

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
    first = run(*inputs(1))
    kept = [output.clone() for output in first]
    for batch in (1, 5):
        with torch.inference_mode():
            expected = network(*inputs(batch))
        for output, truth in zip(run(*inputs(batch)), expected, strict=True):
            torch.testing.assert_close(output, truth, atol=1e-3, rtol=0)
    for output, copy in zip(first, kept, strict=True):
        assert torch.equal(output, copy), "a later call must not change earlier results"


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_bf16_is_close(engine: str) -> None:
    images = inputs(2)[0].permute(0, 3, 1, 2)
    module = small()
    with torch.inference_mode():
        truth = module(images)
    (output,) = make_engine(module, (images,), engine, "bf16")(images)
    assert output.dtype == torch.float32
    assert (output - truth).abs().max() < 0.02 * truth.abs().max()
    assert engine != "torch" or not torch.equal(output, truth)


def test_a_single_output_is_a_tuple_of_one_and_training_mode_ends() -> None:
    module = small().train()
    run = make_engine(module, (torch.zeros(1, 3, 8, 8),), "torch")
    assert not module.training
    (output,) = run(torch.zeros(2, 3, 8, 8))
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
def test_networks_that_an_engine_cannot_run_are_reported() -> None:
    with pytest.raises(BackendFailed, match="openvino cannot run this network"):
        make_engine(Stubborn(), (torch.zeros(1, 3, 3),), "openvino")


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
    monkeypatch.setattr(engines, "choose_device", lambda name: torch.device("meta"))
    module = Elsewhere()
    run = make_engine(module, inputs(2)[:2], device="cuda")
    assert run.name == "torch", "OpenVINO is for CPUs"
    (answer,) = run(*inputs(2)[:2])
    assert module.seen == ["meta"] * 3
    assert (answer.device.type, answer[0, 0].item()) == ("cpu", 7.0)
    with pytest.raises(BadConfig, match="openvino runs on the CPU, not on meta"):
        chosen_engine("openvino", "cuda")


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if cuda else 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device().type == chosen
    assert choose_device("cpu").type == chosen_engine("onnx", "auto")[1].type == "cpu"
    if cuda:
        assert choose_device("cuda:1") == torch.device("cuda", 1)
        assert chosen_engine("auto", "auto") == ("torch", torch.device("cuda"))
    for absent in ("cuda:2", "cuda:x", "tpu", "") if cuda else ("cuda", "cuda:0"):
        with pytest.raises(BadConfig, match=f"no device '{absent}' in this machine; choose auto or .*cpu"):
            choose_device(absent)
