"""TensorFlow.js graph models: ``model.json`` and its weight shards, read without TensorFlow.

Format: the JSON holds the graph as TensorFlow's GraphDef (``modelTopology``; strings in base64, integers as strings) and lists the weights
(``weightsManifest``), which lie one after the other in the shards, as they are or quantised to 8 or 16 bits.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import read_json

STORED = {"float32": "<f4", "int32": "<i4", "bool": "?"}
QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        op: TensorFlow's name of the operation.
        inputs: tensors that it takes, as ``name`` or ``name:output``; control dependencies are left out.
        attributes: int, float, bool, str, or a list of int or str.
    """

    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class GraphModel:
    """A graph by the names of its nodes, and the values of those that are constant (float32, int32 or bool)."""

    nodes: Mapping[str, Node]
    constants: Mapping[str, np.ndarray]


def read_graph_model(path: Path) -> GraphModel:
    """Read ``model.json`` and the shards that it names, which lie beside it.

    Raises:
        MissingAsset: a file is absent, cut short, or not of this format.
    """
    try:
        content = read_json(path)
        nodes = {node["name"]: _node(node) for node in content["modelTopology"]["node"]}
        constants: dict[str, np.ndarray] = {}
        for group in content["weightsManifest"]:
            constants |= _weights(group["weights"], b"".join((path.parent / name).read_bytes() for name in group["paths"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MissingAsset(f"{path} is not a whole TensorFlow.js graph model: {error!r}; fetch it again") from error
    return GraphModel(nodes, constants)


def _node(node: Mapping[str, Any]) -> Node:
    inputs = tuple(name.removesuffix(":0") for name in node.get("input", ()) if not name.startswith("^"))
    return Node(node["op"], inputs, {name: _attribute(value) for name, value in node.get("attr", {}).items() if value})


def _attribute(value: Mapping[str, Any]) -> Any:
    if "list" in value:
        return [_attribute({kind: item}) for kind, items in value["list"].items() for item in items]
    kind, content = next(iter(value.items()))
    if kind == "s":
        return base64.b64decode(content).decode()
    return int(content) if kind == "i" else content


def _weights(entries: list[Mapping[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    arrays, start = {}, 0
    for entry in entries:
        quantisation = entry.get("quantization")
        stored = np.dtype(QUANTISED[quantisation["dtype"]] if quantisation else STORED[entry["dtype"]])
        count = math.prod(entry["shape"])
        values = np.frombuffer(data, stored, count, start)
        start += count * stored.itemsize
        if quantisation and stored.kind == "u":
            values = values.astype(np.float32) * np.float32(quantisation["scale"]) + np.float32(quantisation["min"])
        if entry["dtype"] == "int32":
            values = np.rint(values)
        arrays[entry["name"]] = values.astype(STORED[entry["dtype"]]).reshape(entry["shape"])
    return arrays
