from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_graph import node, write_graph_model
from scipy.ndimage import map_coordinates
from scipy.special import expit

from crowd3d.errors import MissingAsset
from crowd3d.model import make_engine
from crowd3d.model.graph_net import GraphNet
from crowd3d.model.lowering import Cut, lower
from crowd3d.model.tfjs import read_graph_model

DRAW = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def run(
    tmp_path: Path, nodes: list[dict[str, Any]], constants: dict[str, np.ndarray], image: np.ndarray, *outputs: str, axes: str = "NHWC"
) -> list[np.ndarray]:
    """Outputs (H, W, C) of a graph for one image (H, W, 3)."""
    write_graph_model(tmp_path / "model.json", nodes, constants)
    steps = lower(read_graph_model(tmp_path / "model.json"), Cut("image", axes, 32, outputs))
    net = GraphNet(steps.steps, steps.outputs, {name: torch.from_numpy(array) for name, array in steps.tensors.items()})
    with torch.inference_mode():
        return [value[0].permute(1, 2, 0).numpy() for value in net(torch.from_numpy(image).permute(2, 0, 1)[None])]


def correlate(image: np.ndarray, weight: np.ndarray, stride: int, same: bool, dilation: int = 1) -> np.ndarray:
    """TensorFlow's convolution by its definition: (H, W, C), (rows, columns, C, filters) → (H', W', filters)."""
    rows, columns = weight.shape[:2]
    before, size = [], []
    for side, cells in zip(image.shape[:2], (rows, columns), strict=True):
        reach = (cells - 1) * dilation + 1
        size.append(-(-side // stride) if same else (side - reach) // stride + 1)
        before.append(max((size[-1] - 1) * stride + reach - side, 0) // 2 if same else 0)
    out = np.zeros((*size, weight.shape[3]))
    for y in range(size[0]):
        for x in range(size[1]):
            for r in range(rows):
                for c in range(columns):
                    at = y * stride + r * dilation - before[0], x * stride + c * dilation - before[1]
                    if 0 <= at[0] < image.shape[0] and 0 <= at[1] < image.shape[1]:
                        out[y, x] += image[at] @ weight[r, c]
    return out


CONVOLUTIONS = [(3, 2, "SAME", 1), (2, 1, "SAME", 1), (3, 1, "VALID", 1), (3, 1, "SAME", 2)]
CONV = {"data_format": "NHWC", "dilations": [1, 1, 1, 1]}


@pytest.mark.parametrize("size", [(32, 32), (7, 10)])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_convolutions_pad_as_tensorflow_does(
    tmp_path: Path, kernel: int, stride: int, padding: str, dilation: int, size: tuple[int, int]
) -> None:
    image, weight, bias = normal(*size, 3), normal(kernel, kernel, 3, 4), normal(4)
    options = {**CONV, "strides": [1, stride, stride, 1], "padding": padding, "dilations": [1, dilation, dilation, 1]}
    nodes = [node("y", "_FusedConv2D", "image", "w", "b", fused_ops=["BiasAdd", "Relu6"], **options)]
    (y,) = run(tmp_path, nodes, {"w": weight, "b": bias}, image, "y")
    truth = np.clip(correlate(image, weight, stride, padding == "SAME", dilation) + bias, 0, 6)
    np.testing.assert_allclose(y, truth, atol=1e-4)


def test_depthwise_convolutions_keep_channels_apart(tmp_path: Path) -> None:
    image, weight = normal(8, 8, 3), normal(3, 3, 3, 2)
    nodes = [node("y", "DepthwiseConv2dNative", "image", "w", strides=[1, 2, 2, 1], padding="SAME", **CONV)]
    (y,) = run(tmp_path, nodes, {"w": weight}, image, "y")
    truth = np.concatenate([correlate(image[..., c : c + 1], weight[:, :, c : c + 1], 2, same=True) for c in range(3)], 2)
    np.testing.assert_allclose(y, truth, atol=1e-4)


def test_resizing_keeps_its_factor_at_other_sizes(tmp_path: Path) -> None:
    image = normal(10, 6, 3)
    nodes = [
        node("half", "MaxPool", "image", ksize=[1, 1, 1, 1], strides=[1, 2, 2, 1], padding="VALID"),
        node("y", "ResizeBilinear", "half", "size", half_pixel_centers=True, align_corners=False),
    ]
    (y,) = run(tmp_path, nodes, {"size": ints(64, 64)}, image, "y")
    assert y.shape == (20, 12, 3)
    rows, columns = (np.arange(20) + 0.5) / 4 - 0.5, (np.arange(12) + 0.5) / 4 - 0.5
    for c in range(3):
        truth = map_coordinates(image[::2, ::2, c], np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
        np.testing.assert_allclose(y[..., c], truth, atol=1e-5)


def test_layouts_pads_splits_and_constants(tmp_path: Path) -> None:
    image, weight, added, scale = normal(8, 8, 3), normal(3, 3, 3, 4), normal(4), normal(4, 1, 1)
    nodes = [  # an NCHW graph whose convolution is done in NHWC, as converters make them
        node("padded", "Pad", "image", "pads"),
        node("nhwc", "Transpose", "padded", "to_nhwc"),
        node("conv", "Conv2D", "nhwc", "w", strides=[1, 2, 2, 1], padding="VALID", **CONV),
        node("biased", "Add", "conv", "added"),
        node("nchw", "Transpose", "biased", "to_nchw"),
        node("parts", "SplitV", "nchw", "sizes", "one"),
        node("steep", "LeakyRelu", "parts:1", alpha=0.1),
        node("joined", "ConcatV2", "steep", "parts", "one"),
        node("scaled", "Mul", "scale", "joined"),
        node("rest", "Sub", "unit", "scaled"),
        node("y", "Sigmoid", "rest"),
        node("unused", "ArgMax", "y", "one"),
    ]
    constants = {
        "pads": np.array([[0, 0], [0, 0], [1, 0], [0, 2]], np.int32),
        "to_nhwc": ints(0, 2, 3, 1),
        "to_nchw": ints(0, 3, 1, 2),
        "w": weight,
        "added": added,
        "sizes": ints(1, 3),
        "one": np.array(1, np.int32),
        "scale": scale,
        "unit": np.array(1, np.float32),
    }
    y, padded = run(tmp_path, nodes, constants, image, "y", "padded", axes="NCHW")
    wide = np.pad(image, ((1, 0), (0, 2), (0, 0)))
    np.testing.assert_array_equal(padded, wide)
    conv = correlate(wide, weight, 2, same=False) + added
    first, others = conv[..., :1], conv[..., 1:]
    joined = np.concatenate([np.where(others > 0, others, 0.1 * others), first], 2)
    np.testing.assert_allclose(y, expit(1 - joined * scale[:, 0, 0]), atol=1e-5)


@pytest.mark.parametrize("lowest", [-np.inf, -3.4e38, 0.5])
def test_pooling_takes_padding_as_it_is_written(tmp_path: Path, lowest: float) -> None:
    image = normal(6, 6, 3)
    nodes = [
        node("padded", "PadV2", "image", "pads", "lowest"),
        node("y", "MaxPool", "padded", ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="VALID"),
    ]
    pads = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    (y,) = run(tmp_path, nodes, {"pads": pads, "lowest": np.array(lowest, np.float32)}, image, "y")
    wide = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=lowest)
    truth = np.array([[wide[r : r + 3, c : c + 3].max((0, 1)) for c in (0, 2, 4)] for r in (0, 2, 4)])
    np.testing.assert_array_equal(y, truth)


@pytest.mark.parametrize(("kind", "bits"), [("uint8", 8), ("uint16", 16)])
def test_quantised_weights_in_several_shards(tmp_path: Path, kind: str, bits: int) -> None:
    weight, other = normal(3, 3, 3, 5), normal(7)
    write_graph_model(tmp_path / "model.json", [], {"w": weight, "o": other}, stored={"w": kind}, shards=3)
    constants = read_graph_model(tmp_path / "model.json").constants
    np.testing.assert_array_equal(constants["o"], other)
    assert np.abs(constants["w"] - weight).max() <= 0.51 * np.ptp(weight) / (2**bits - 1) + 1e-6


def test_float16_weights_are_what_they_were(tmp_path: Path) -> None:
    weight = normal(40)
    write_graph_model(tmp_path / "model.json", [], {"w": weight}, stored={"w": "float16"})
    np.testing.assert_array_equal(read_graph_model(tmp_path / "model.json").constants["w"], weight.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("damage", ["half the weights", "half the graph", "no weights", "a web page", "a list"])
def test_damaged_models_are_named(tmp_path: Path, damage: str) -> None:
    path, weights = tmp_path / "model.json", tmp_path / "model.bin"
    write_graph_model(path, [node("y", "Relu", "image")], {"w": normal(50)})
    if damage == "half the weights":
        weights.write_bytes(weights.read_bytes()[:99])
    elif damage == "half the graph":
        path.write_bytes(path.read_bytes()[:80])
    elif damage == "no weights":
        weights.unlink()
    else:
        path.write_text("<html>" if damage == "a web page" else "[]")
    with pytest.raises(MissingAsset, match="is not a whole"):
        read_graph_model(path)


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([node("y", "ArgMax", "image")], "ArgMax y"),
        ([node("z", "Relu", "image")], "no tensor y"),
        ([node("y", "ResizeBilinear", "image", "size", half_pixel_centers=False)], "ResizeBilinear y"),
        ([node("y", "_FusedConv2D", "image", "w", "size", fused_ops=["Elu"], padding="SAME")], "Elu"),
        ([node("y", "Conv2D", "image", "w", padding="EXPLICIT")], "EXPLICIT"),
        ([node("y", "Transpose", "image", "size")], "Transpose y"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, nodes: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(MissingAsset, match=complaint):
        run(tmp_path, nodes, {"size": ints(16, 16), "w": normal(1, 1, 3, 1)}, normal(8, 8, 3), "y")


@pytest.mark.skipif(find_spec("openvino") is None, reason="optional engine, not installed: pip install openvino")
def test_engines_agree(tmp_path: Path) -> None:
    nodes = [
        node("a", "_FusedConv2D", "image", "w", "b", fused_ops=["BiasAdd", "Relu"], strides=[1, 2, 2, 1], padding="SAME"),
        node("c", "ResizeBilinear", "a", "size", half_pixel_centers=True),
        node("y", "ConcatV2", "c", "image", "last"),
    ]
    constants = {"w": normal(3, 3, 3, 4), "b": normal(4), "size": ints(32, 32), "last": np.array(3, np.int32)}
    write_graph_model(tmp_path / "model.json", nodes, constants)
    steps = lower(read_graph_model(tmp_path / "model.json"), Cut("image", "NHWC", 32, ("y", "a")))
    net = GraphNet(steps.steps, steps.outputs, {name: torch.from_numpy(array) for name, array in steps.tensors.items()})
    images = torch.from_numpy(normal(3, 3, 64, 32))
    with torch.inference_mode():
        expected = net(images)
    for output, truth in zip(make_engine(net, (images[:1],), "openvino")(images.numpy()), expected, strict=True):
        np.testing.assert_allclose(output, truth, atol=1e-3)
