"""Preparing OpenVINO's models for bf16, which keeps eight digits of a number: what rounding must not touch, and rounding that does not
shift sums."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from crowd3d.model.engines import openvino_core, openvino_of

CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}
"""Kinds of convolutions, and how many of their weights' first dimensions count outputs."""
WITHOUT_PRECISION = ("Const", "Parameter")


def prepared_for_bf16(model: Any, exact_until: str | None) -> Any:
    """An OpenVINO model that differs less from itself in fp32 when it runs in bf16.

    Args:
        model: is changed.
        exact_until: operations whose names begin with this, and all that they depend on, stay in fp32.
    """
    exact = set() if exact_until is None else _needed_by(model, exact_until)
    for node in model.get_ops():
        if node.get_type_name() in CONVOLUTIONS and node.get_friendly_name() not in exact:
            _round_weights(node)
    return _kept_exact(model, exact) if exact else model


def rounded_to_bf16(weights: np.ndarray) -> np.ndarray:
    """(outputs, N) weights as bf16 has them, each output's with nearly the same sum (error diffusion, the largest weights first).

    What a convolution sees after rectification is positive on average: rounded one by one, its weights shift everything by their common
    error.
    """
    rounded = np.empty_like(weights, np.float32)
    owed = np.zeros(len(weights))
    for column in np.argsort(-np.abs(weights).mean(0), kind="stable"):
        wanted = weights[:, column] + owed
        rounded[:, column] = _nearest(wanted)
        owed = wanted - rounded[:, column]
    return rounded


def _nearest(values: np.ndarray) -> np.ndarray:
    """float32 whose lower 16 bits are 0."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _round_weights(node: Any) -> None:
    source = node.input_value(1).get_node()
    while source.get_type_name() == "Reshape":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or source.get_element_type() != openvino_of().Type.f32:
        return
    shape = node.input_value(1).get_shape()
    outputs = int(np.prod(list(shape)[: CONVOLUTIONS[node.get_type_name()]]))
    rounded = rounded_to_bf16(source.data.reshape(outputs, -1)).reshape(list(shape))
    node.input(1).replace_source_output(openvino_of().opset13.constant(rounded).output(0))


def _needed_by(model: Any, name: str) -> set[str]:
    """Names of operations that begin with `name` and of all that they depend on."""
    following = [node for node in model.get_ops() if node.get_friendly_name().startswith(name)]
    assert following, name
    needed: set[str] = set()
    while following:
        node = following.pop()
        if node.get_friendly_name() not in needed:
            needed.add(node.get_friendly_name())
            following += [source.get_node() for source in node.input_values()]
    return needed


def _kept_exact(model: Any, exact: set[str]) -> Any:
    """A copy in which these operations are marked, in OpenVINO's file format: Python has no function for it."""
    with tempfile.TemporaryDirectory(prefix="crowd3d-") as folder:
        graph, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino_of().serialize(model, graph, weights)
        root, content = ElementTree.fromstring(graph.read_text()), weights.read_bytes()
    for layer in root.iter("layer"):
        if layer.get("name") in exact and layer.get("type") not in WITHOUT_PRECISION:
            marks = layer.find("rt_info")
            if marks is None:
                marks = ElementTree.Element("rt_info")
                layer.insert(0 if layer.find("data") is None else 1, marks)
            ElementTree.SubElement(marks, "attribute", {"name": "precise", "version": "0"})
    return openvino_core().read_model(ElementTree.tostring(root), content)
