"""ONNX files with the inputs and outputs of rtmlib's balanced mode (YOLOX-m with NMS, RTMPose-m 256×192), which find a red spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, save_model

OFFSETS = np.stack([np.linspace(-8, 8, 17), np.linspace(-30, 30, 17)], axis=1).round()
"""(17, 2) keypoints around the middle of the spot, in pixels of the pose network's input."""
RED, BLUE = 200.0, 100.0
"""The spot has more red and less blue than this."""
MEAN_RED, STD_RED, MEAN_BLUE, STD_BLUE = 123.675, 58.395, 103.53, 57.375
"""RTMPose was trained on red, green, blue that were normalised with these."""
PEAK = 1.1


def write_detector(path: Path) -> None:
    """Blue, green, red (1, 3, 640, 640) in 0…255 → ``dets`` (1, 2, 5) left, top, right, bottom, score; ``labels`` (1, 2).

    The first box is the spot's, with score 0 where there is none; the second is hardly anything.
    """
    graph = _Graph()
    spot = graph.spot(red=(2, RED), blue=(0, BLUE))
    ends = {}
    for along, across in (("u", 2), ("v", 3)):
        line = graph.node("ReduceMax", spot, graph.constant([across], np.int64), keepdims=0)
        first = graph.node("ArgMax", line, axis=2)
        last = graph.node("ArgMax", line, axis=2, select_last_index=1)
        ends[along] = first, graph.node("Add", last, graph.constant(1, np.int64))
    (left, right), (top, bottom) = ends["u"], ends["v"]
    box = graph.node("Cast", graph.node("Concat", left, top, right, bottom, axis=2), to=TensorProto.FLOAT)
    there = graph.node("ReduceMax", spot, graph.constant([3], np.int64), keepdims=0)
    there = graph.node("ReduceMax", there, graph.constant([2], np.int64), keepdims=1)
    sure = graph.node("Concat", box, graph.node("Mul", there, graph.constant(0.9)), axis=2)
    graph.node("Concat", sure, graph.constant([[[10, 10, 90, 200, 0.2]]]), axis=1, name="dets")
    graph.node("Identity", graph.constant([[0, 0]], np.int64), name="labels")
    graph.save(path, (1, 3, 640, 640), dets=(1, 2, 5), labels=(1, 2))


def write_pose(path: Path) -> None:
    """Normalised red, green, blue (1, 3, 256, 192) → ``simcc_x`` (1, 17, 384) and ``simcc_y`` (1, 17, 512)."""
    graph = _Graph()
    spot = graph.spot(red=(0, (RED - MEAN_RED) / STD_RED), blue=(2, (BLUE - MEAN_BLUE) / STD_BLUE))
    for name, across, side, offset in (("simcc_x", 2, 192, OFFSETS[:, 0]), ("simcc_y", 3, 256, OFFSETS[:, 1])):
        line = graph.node("ReduceSum", spot, graph.constant([across], np.int64), keepdims=0)
        share = graph.node("Div", line, graph.node("ReduceSum", line, graph.constant([2], np.int64), keepdims=1))
        away = np.arange(2 * side) / 2.0 - np.arange(side)[:, None] - offset[:, None, None]
        # The mean square distance from all pixels of the spot is least at its middle.
        fall = graph.node("MatMul", share, graph.constant(-(away**2) / side**2))
        highest = graph.node("ReduceMax", fall, graph.constant([2], np.int64), keepdims=1)
        peaks = graph.node("Add", graph.node("Sub", fall, highest), graph.constant(PEAK))
        graph.node("Reshape", peaks, graph.constant([1, 17, 2 * side], np.int64), name=name)
    graph.save(path, (1, 3, 256, 192), simcc_x=(1, 17, 384), simcc_y=(1, 17, 512))


class _Graph:
    """Nodes and constants of one file; values go by name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: int) -> str:
        name = name or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def spot(self, red: tuple[int, float], blue: tuple[int, float]) -> str:
        """(1, 1, H, W) 1 in the spot, else 0; given are the channel and the limit of both."""
        more = self.node("Greater", self._channel(red[0]), self.constant(red[1]))
        less = self.node("Less", self._channel(blue[0]), self.constant(blue[1]))
        return self.node("Cast", self.node("And", more, less), to=TensorProto.FLOAT)

    def _channel(self, index: int) -> str:
        return self.node("Gather", "input", self.constant([index], np.int64), axis=1)

    def save(self, path: Path, shape: tuple[int, ...], **outputs: tuple[int, ...]) -> None:
        kinds = {name: TensorProto.INT64 if name == "labels" else TensorProto.FLOAT for name in outputs}
        images = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
        ends = [helper.make_tensor_value_info(name, kinds[name], size) for name, size in outputs.items()]
        graph = helper.make_graph(self.nodes, path.stem, [images], ends, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        checker.check_model(model, full_check=True)
        save_model(model, path)
