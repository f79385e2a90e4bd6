"""TensorFlow.js graphs as the steps of a `GraphNet`: always NCHW, batch and sides free, everything behind the named outputs cut off.

TensorFlow mixes layouts by transposing. Here the data always lie as NCHW and a tensor's axes are only a label, so transposing is
relabelling. Padding waits for what comes next: most convolutions can do it themselves. Sizes that the graph fixes (those of resized maps)
become factors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.model.tfjs import GraphModel, Node

NEVER_THE_MAXIMUM = -1e30
NO_PADS = (0, 0, 0, 0)


@dataclass(frozen=True)
class Cut:
    """Which part of a graph is wanted.

    Attributes:
        start: tensor whose place the image takes.
        axes: its layout, ``NHWC`` or ``NCHW``; it has three channels.
        size: side of the square image that the graph's own sizes are meant for.
        outputs: tensors at which it ends.
    """

    start: str
    axes: str
    size: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """What a `GraphNet` is made of: steps, values that it returns, float32 tensors by name."""

    steps: list[dict[str, Any]]
    outputs: list[int]
    tensors: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Value:
    """A tensor of the graph.

    Attributes:
        number: of the value in `GraphNet`.
        axes: its layout in the graph.
        channels: how many it has.
        cell: its side in pixels of the image.
        pads: what it still has to be padded by: left, right, top, bottom.
        fill: and with what.
    """

    number: int
    axes: str
    channels: int
    cell: Fraction
    pads: tuple[int, int, int, int] = NO_PADS
    fill: float = 0.0


@dataclass
class _Lowering:
    constants: Mapping[str, np.ndarray]
    users: Counter[str]
    size: int
    values: dict[str, _Value]
    steps: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def step(self, op: str, *inputs: _Value, channels: int | None = None, cell: Fraction | None = None, **options: Any) -> _Value:
        """One more step; its tensor is like the first input but for what is given."""
        x = inputs[0]
        self.steps.append({"op": op, "inputs": [value.number for value in inputs], **options})
        return _Value(len(self.steps), x.axes, channels or x.channels, cell or x.cell)

    def attach(self, kind: str, array: np.ndarray) -> None:
        """Give the last step a tensor."""
        self.tensors[f"{len(self.steps) - 1}.{kind}"] = np.ascontiguousarray(array, dtype=np.float32)

    def value(self, name: str) -> _Value:
        """A tensor, padded if that was still to be done."""
        value = self.values[name]
        if value.pads != NO_PADS:
            value = self.values[name] = self.step("pad", value, pads=list(value.pads), value=value.fill)
        return value


def lower(model: GraphModel, cut: Cut) -> Steps:
    """The steps between the cut's start and its outputs.

    Raises:
        MissingAsset: a tensor is not in the graph, or an operation or one of its options is not supported; the message names it.
    """
    order = _needed(model, cut)
    users = Counter(source for name in order for source in model.nodes[name].inputs)
    users.update(cut.outputs)
    work = _Lowering(model.constants, users, cut.size, {cut.start: _Value(0, cut.axes, 3, Fraction(1))})
    for name in order:
        node = model.nodes[name]
        try:
            results = _lower_node(work, node)
        except (LookupError, TypeError, ValueError) as error:
            raise MissingAsset(f"this graph cannot be converted: {node.op} {name}: {error!r}; use the pinned version") from error
        work.values |= {f"{name}:{i}" if i else name: value for i, value in enumerate(results)}
    return Steps(work.steps, [work.value(name).number for name in cut.outputs], work.tensors)


def _needed(model: GraphModel, cut: Cut) -> list[str]:
    """Nodes that the outputs depend on, without constants and what lies before the start, in an order in which they can be computed."""
    graph: dict[str, list[str]] = {}
    wanted = [name.partition(":")[0] for name in cut.outputs]
    while wanted:
        name = wanted.pop()
        if name in graph:
            continue
        if name not in model.nodes:
            raise MissingAsset(f"this graph cannot be converted: no tensor {name}; use the pinned version")
        sources = [source.partition(":")[0] for source in model.nodes[name].inputs]
        graph[name] = [source for source in sources if source not in model.constants and source != cut.start]
        wanted += graph[name]
    return list(TopologicalSorter(graph).static_order())


def _lower_node(work: _Lowering, node: Node) -> list[_Value]:
    match node.op:
        case "Identity":
            return [work.values[node.inputs[0]]]
        case "Transpose":
            return [_transpose(work, node)]
        case "Conv2D" | "_FusedConv2D" | "DepthwiseConv2dNative" | "FusedDepthwiseConv2dNative":
            return [_conv(work, node)]
        case "Add" | "AddV2" | "BiasAdd":
            return [_arithmetic(work, node, "add")]
        case "Sub" | "Mul":
            return [_arithmetic(work, node, node.op.lower())]
        case "Relu" | "Relu6" | "Sigmoid" | "LeakyRelu":
            return [_activate(work, work.value(node.inputs[0]), node.op, node.attributes.get("alpha"))]
        case "Pad" | "PadV2":
            return [_pad(work, node)]
        case "MaxPool":
            return [_max_pool(work, node)]
        case "ResizeBilinear":
            return [_resize(work, node)]
        case "ConcatV2":
            return [_concat(work, node)]
        case "Split" | "SplitV":
            return _split(work, node)
    raise ValueError("no such operation here")


def _transpose(work: _Lowering, node: Node) -> _Value:
    value = work.values[node.inputs[0]]
    axes = "".join(value.axes[i] for i in work.constants[node.inputs[1]])
    if axes not in ("NCHW", "NHWC"):
        raise ValueError(f"layout {axes}")
    return replace(value, axes=axes)


def _conv(work: _Lowering, node: Node) -> _Value:
    weight = work.constants[node.inputs[1]]
    rows, columns, channels, filters = weight.shape
    x, pads = _padded(work, node, fill=0.0)
    stride, dilation = _sides(x, node, "strides"), _sides(x, node, "dilations")
    if stride[0] != stride[1] or dilation[0] != dilation[1]:
        raise ValueError(f"stride {stride}, dilation {dilation}")
    if "Depthwise" in node.op:
        weight = weight.transpose(2, 3, 0, 1).reshape(channels * filters, 1, rows, columns)
    else:
        weight = weight.transpose(3, 2, 0, 1)
    groups = x.channels // weight.shape[1]
    options = {"stride": stride, "pads": pads, "dilation": dilation[0], "groups": groups}
    y = work.step("conv", x, channels=len(weight), cell=x.cell * stride[0], **options)
    work.attach("weight", weight)
    fused = node.attributes.get("fused_ops", [])
    if "BiasAdd" in fused:
        work.attach("bias", work.constants[node.inputs[2]].reshape(-1))
    for name in fused:
        if name != "BiasAdd":
            y = _activate(work, y, name, node.attributes.get("leakyrelu_alpha"))
    return y


def _sides(x: _Value, node: Node, name: str) -> list[int]:
    """An attribute that has a number per axis: those of height and width."""
    numbers = node.attributes.get(name, [1, 1, 1, 1])
    return [numbers[x.axes.index("H")], numbers[x.axes.index("W")]]


def _padded(work: _Lowering, node: Node, fill: float) -> tuple[_Value, Any]:
    """The first input and how the operation has to pad it."""
    x = work.values[node.inputs[0]]
    wanted, neutral = node.attributes["padding"], x.fill <= fill if fill else x.fill == 0
    if wanted == "VALID" and (x.pads == NO_PADS or neutral):
        return replace(x, pads=NO_PADS), list(x.pads)
    if wanted not in ("SAME", "VALID"):
        raise ValueError(f"padding {wanted}")
    return work.value(node.inputs[0]), "same" if wanted == "SAME" else list(NO_PADS)


def _activate(work: _Lowering, x: _Value, name: str, slope: float | None) -> _Value:
    if name == "LeakyRelu":
        return work.step("leaky_relu", x, slope=0.2 if slope is None else slope)
    if name not in ("Relu", "Relu6", "Sigmoid"):
        raise ValueError(f"activation {name}")
    return work.step(name.lower(), x)


def _arithmetic(work: _Lowering, node: Node, op: str) -> _Value:
    first, second = node.inputs
    if first not in work.constants and second not in work.constants:
        a, b = work.value(first), work.value(second)
        if a.axes != b.axes:
            raise ValueError(f"layouts {a.axes} and {b.axes}")
        return work.step(op, a, b, channels=max(a.channels, b.channels))
    name, constant = (second, work.constants[first]) if first in work.constants else (first, work.constants[second])
    x = work.value(name)
    constant = constant.reshape((1,) * (4 - constant.ndim) + constant.shape).transpose([x.axes.index(axis) for axis in "NCHW"])
    if constant.size not in (1, x.channels) or constant.shape[1] != constant.size:
        raise ValueError(f"a constant of shape {constant.shape}")
    mergeable = 0 < x.number == len(work.steps) and work.steps[-1]["op"] == "conv" and work.users[name] == 1
    if op == "add" and mergeable and constant.size == x.channels and f"{len(work.steps) - 1}.bias" not in work.tensors:
        work.attach("bias", constant.reshape(-1))
        return x
    y = work.step(op, x, reversed=first in work.constants)
    work.attach("constant", constant)
    return y


def _pad(work: _Lowering, node: Node) -> _Value:
    x, amounts = work.value(node.inputs[0]), work.constants[node.inputs[1]].tolist()
    fill = float(work.constants[node.inputs[2]]) if node.op == "PadV2" else 0.0
    by_axis = dict(zip(x.axes, amounts, strict=True))
    if any(by_axis["N"] + by_axis["C"]):
        raise ValueError(f"pads {amounts}")
    left, right, top, bottom = by_axis["W"] + by_axis["H"]
    return replace(x, pads=(left, right, top, bottom), fill=fill)


def _max_pool(work: _Lowering, node: Node) -> _Value:
    x, pads = _padded(work, node, fill=NEVER_THE_MAXIMUM)
    stride, kernel = _sides(x, node, "strides"), _sides(x, node, "ksize")
    if stride[0] != stride[1]:
        raise ValueError(f"stride {stride}")
    return work.step("max_pool", x, cell=x.cell * stride[0], kernel=kernel, stride=stride, pads=pads)


def _resize(work: _Lowering, node: Node) -> _Value:
    x = work.value(node.inputs[0])
    height, width = work.constants[node.inputs[1]].tolist()
    if height != width or not node.attributes.get("half_pixel_centers") or node.attributes.get("align_corners"):
        raise ValueError("only squares with pixel centres at halves")
    cell = Fraction(work.size, int(height))
    return work.step("resize", x, cell=cell, factor=str(x.cell / cell))


def _concat(work: _Lowering, node: Node) -> _Value:
    values = [work.value(name) for name in node.inputs[:-1]]
    if {value.axes[int(work.constants[node.inputs[-1]])] for value in values} != {"C"}:
        raise ValueError("only over channels")
    return work.step("concat", *values, channels=sum(value.channels for value in values))


def _split(work: _Lowering, node: Node) -> list[_Value]:
    if node.op == "Split":
        axis, x = work.constants[node.inputs[0]], work.value(node.inputs[1])
        count = node.attributes["num_split"]
        sizes = [x.channels // count] * count
    else:
        x, axis = work.value(node.inputs[0]), work.constants[node.inputs[2]]
        sizes = work.constants[node.inputs[1]].tolist()
    if x.axes[int(axis)] != "C" or sum(sizes) != x.channels or min(sizes) < 1:
        raise ValueError(f"parts {sizes} over axis {axis}")
    ends = np.cumsum(sizes).tolist()
    return [work.step("slice", x, channels=size, bounds=[end - size, end]) for size, end in zip(sizes, ends, strict=True)]
