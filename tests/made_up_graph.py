"""Small TensorFlow.js graph models, written as that format wants them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np


def attribute(value: Any) -> dict[str, Any]:
    """A value as GraphDef's JSON has it: strings in base64, integers as strings."""
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": value}
    if isinstance(value, str):
        return {"s": base64.b64encode(value.encode()).decode()}
    lists: dict[str, list[Any]] = {}
    for item in value:
        ((kind, content),) = attribute(item).items()
        lists.setdefault(kind, []).append(content)
    return {"list": lists}


def node(name: str, op: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    """One operation of the graph."""
    return {"name": name, "op": op, "input": list(inputs), "attr": {key: attribute(value) for key, value in attributes.items()}}


def quantise(array: np.ndarray, dtype: str) -> tuple[bytes, dict[str, Any]]:
    """Stored bytes and the manifest's entry."""
    if dtype == "float16":
        return array.astype("<f2").tobytes(), {"dtype": dtype}
    low, steps = float(array.min()), np.iinfo(dtype).max
    scale = (float(array.max()) - low) / steps
    return np.rint((array - low) / scale).astype(np.dtype(dtype).newbyteorder("<")).tobytes(), {"dtype": dtype, "min": low, "scale": scale}


def write_graph_model(
    path: Path, nodes: list[dict[str, Any]], constants: dict[str, np.ndarray], stored: dict[str, str] | None = None, shards: int = 1
) -> None:
    """Write ``path`` and its weights beside it; `stored` names constants that are quantised and how."""
    weights, data = [], b""
    for name, array in constants.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": "int32" if array.dtype.kind == "i" else "float32"}
        if stored and name in stored:
            content, entry["quantization"] = quantise(array, stored[name])
        else:
            content = array.astype("<i4" if array.dtype.kind == "i" else "<f4").tobytes()
        weights.append(entry)
        data += content
    cuts = np.linspace(0, len(data), shards + 1).astype(int)
    files = [path.with_suffix(f".{i}.bin") if shards > 1 else path.with_suffix(".bin") for i in range(shards)]
    for file, start, end in zip(files, cuts[:-1], cuts[1:], strict=True):
        file.write_bytes(data[start:end])
    everything = [*nodes, *(node(name, "Const") for name in constants)]
    manifest = [{"paths": [file.name for file in files], "weights": weights}]
    path.write_text(json.dumps({"format": "graph-model", "modelTopology": {"node": everything}, "weightsManifest": manifest}))
