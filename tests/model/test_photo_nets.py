from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_graph import node, write_graph_model
from safetensors import safe_open
from scipy.special import expit

from crowd3d.errors import MissingAsset
from crowd3d.model.photo_nets import FINDER_CUT, MOVENET_CUT, convert_graph, load_finder, load_movenet

DRAW = np.random.default_rng(1)
IMAGE = DRAW.integers(0, 256, (64, 96, 3)).astype(np.float32)


def strided(name: str, source: str, weight: str, stride: int) -> dict:
    return node(name, "Conv2D", source, weight, strides=[1, stride, stride, 1], padding="VALID")


def made_up_finder(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Three maps of 124 linear functions of single pixels."""
    weights = {f"w{i}": DRAW.normal(size=(1, 1, 3, 124)).astype(np.float32) for i in range(3)}
    nodes = [node("nhwc", "Transpose", "input_1", "to_nhwc")]
    for i, output in enumerate(FINDER_CUT.outputs):
        nodes += [strided(f"c{i}", "nhwc", f"w{i}", 8 << i), node(output, "Transpose", f"c{i}", "to_nchw")]
    constants = {**weights, "to_nhwc": np.array([0, 2, 3, 1], np.int32), "to_nchw": np.array([0, 3, 1, 2], np.int32)}
    write_graph_model(folder / "finder.json", nodes, constants, stored={"w0": "float16", "w1": "uint8"})
    return folder / "finder.json", weights


def made_up_movenet(folder: Path) -> tuple[Path, list[np.ndarray]]:
    """Four maps of linear functions of single pixels, two of them probabilities."""
    weights = [(0.01 * DRAW.normal(size=(1, 1, 3, channels))).astype(np.float32) for channels in (1, 17, 34, 34)]
    centre, keypoints, regress, offsets = MOVENET_CUT.outputs
    nodes = [strided(name, MOVENET_CUT.start, f"w{i}", 4) for i, name in enumerate(("c", "k", regress, offsets))]
    nodes += [node(centre, "Sigmoid", "c"), node(keypoints, "Sigmoid", "k")]
    write_graph_model(folder / "movenet.json", nodes, {f"w{i}": weight for i, weight in enumerate(weights)})
    return folder / "movenet.json", weights


def batch() -> torch.Tensor:
    return torch.from_numpy(IMAGE)[None]


def test_the_finder_normalises_in_bgr_and_keeps_people(tmp_path: Path) -> None:
    source, weights = made_up_finder(tmp_path)
    convert_graph(source, FINDER_CUT, tmp_path / "nanodet.safetensors", {"licence": "none"})
    with torch.inference_mode():
        maps = load_finder(tmp_path / "nanodet.safetensors")(batch())
    bgr = (IMAGE[:, :, ::-1] - [103.53, 116.28, 123.675]) / [57.375, 57.12, 58.395]
    for i, (found, stride, tolerance) in enumerate(zip(maps, (8, 16, 32), (0.01, 0.1, 1e-4), strict=True)):
        truth = bgr[::stride, ::stride] @ weights[f"w{i}"][0, 0]
        truth = np.concatenate([truth[..., :1], truth[..., 80:]], 2).transpose(2, 0, 1)
        np.testing.assert_allclose(found[0].numpy(), truth, atol=tolerance)


def test_movenet_gives_probabilities_and_x_before_y(tmp_path: Path) -> None:
    source, weights = made_up_movenet(tmp_path)
    convert_graph(source, MOVENET_CUT, tmp_path / "movenet.safetensors", {})
    with torch.inference_mode():
        centre, keypoints, *pairs = (value[0].numpy() for value in load_movenet(tmp_path / "movenet.safetensors")(batch()))
    linear = [(IMAGE[::4, ::4] @ weight[0, 0]).transpose(2, 0, 1) for weight in weights]
    np.testing.assert_allclose(centre, expit(linear[0]), atol=1e-5)
    np.testing.assert_allclose(keypoints, expit(linear[1]), atol=1e-5)
    for found, yx in zip(pairs, linear[2:], strict=True):
        np.testing.assert_allclose(found[:, 0], yx[1::2], atol=1e-4)
        np.testing.assert_allclose(found[:, 1], yx[0::2], atol=1e-4)


def test_storing_loses_nothing_and_always_gives_the_same_bytes(tmp_path: Path) -> None:
    source, weights = made_up_finder(tmp_path)
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file in files:
        convert_graph(source, FINDER_CUT, file, {"version": "1", "licence": "x", "origin": "y"})
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(str(files[0]), framework="np") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is not a mapping
        assert file.metadata()["origin"] == "y"
        graph = json.loads(file.metadata()["graph"])
    first, _, third = (stored[f"{number - 1}.weight"] for number in graph["outputs"])
    assert (first.dtype, third.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(first[:, :, 0, 0].T, weights["w0"][0, 0].astype(np.float16))
    np.testing.assert_array_equal(third[:, :, 0, 0].T, weights["w2"][0, 0])


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    convert_graph(made_up_movenet(tmp_path)[0], MOVENET_CUT, tmp_path / "movenet.safetensors", {})
    with pytest.raises(MissingAsset, match="4 outputs instead of 3"):
        load_finder(tmp_path / "movenet.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "movenet.safetensors").read_bytes()[:300])
    with pytest.raises(MissingAsset, match=r"half\.safetensors"):
        load_movenet(tmp_path / "half.safetensors")
    shipped = Path(__file__).parents[2] / "Crowd3DNet" / "pretrained"
    with pytest.raises(MissingAsset, match="crowd3d fetch people"):
        load_movenet(next(iter(sorted(shipped.glob("*.safetensors")))))
