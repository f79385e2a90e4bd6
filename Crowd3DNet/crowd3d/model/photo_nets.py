"""Two small networks that were trained on photographs: NanoDet-g finds people, MoveNet Thunder finds their keypoints.

They come as TensorFlow.js graphs (`crowd3d fetch people`) and are converted once into safetensors files, float16 where that loses nothing.
Any sides that are multiples of 32 will do.

* NanoDet (RangiLyu/nanodet, version g) has no anchors: cell (i, j) of the map of stride s speaks for the point ((j + ½) s, (i + ½) s) of
  the image, whose corner is (0, 0). Its distance to each side of the box is a distribution over 0 … 10 strides: softmax of 11 bins, then
  the mean. It wants people 65 to 90 px tall.
* MoveNet (Google) is MobileNetV2 with a pyramid and the heads of CenterNet. Cell (i, j) of its maps is at (4 j, 4 i), from the image's
  corner too, and distances are in cells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from crowd3d.errors import MissingAsset
from crowd3d.files import atomic_path
from crowd3d.model.checkpoints import load_weights
from crowd3d.model.graph_net import GraphNet
from crowd3d.model.lowering import Cut, lower
from crowd3d.model.photo_maps import FINDER_CUT, MOVENET_CUT
from crowd3d.model.tfjs import read_graph_model

Network = TypeVar("Network", bound=nn.Module)

CLASSES = 80
FINDER_MEAN = (123.675, 116.28, 103.53)
FINDER_DEVIATION = (58.395, 57.12, 57.375)
"""Of the training pictures, in RGB."""


class Finder(nn.Module):
    """NanoDet, people only."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: GraphNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(FINDER_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(FINDER_DEVIATION).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Look for people.

        Args:
            images: (B, H, W, 3) RGB, 0 … 255, H and W multiples of 32.

        Returns:
            For strides 8, 16, 32: (B, 45, H / stride, W / stride), the logit of a person, then those of 4 × 11 distance bins (left, top,
            right, bottom).
        """
        maps = self.net(((_planes(images) - self.mean) / self.deviation).flip(1))
        return tuple(torch.cat([one[:, :1], one[:, CLASSES:]], 1) for one in maps)


class MoveNet(nn.Module):
    """MoveNet up to its maps; who is meant is decided outside."""

    def __init__(self, net: GraphNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Look for keypoints, in COCO's order.

        Args:
            images: (B, H, W, 3) RGB, 0 … 255, H and W multiples of 32.

        Returns:
            With h, w = H / 4, W / 4: (B, 1, h, w) probability that a person's centre is here; (B, 17, h, w) the same for each keypoint;
            (B, 17, 2, h, w) x, y in cells from a centre here to its keypoints; (B, 17, 2, h, w) x, y in cells from here to where a
            keypoint really is.
        """
        centre, keypoints, regress, offsets = self.net(_planes(images))
        return centre, keypoints, _pairs(regress), _pairs(offsets)


def _planes(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float()


def _pairs(yx: Tensor) -> Tensor:
    """(B, 2 K, h, w) with y before x → (B, K, 2, h, w) with x before y."""
    return yx.unflatten(1, (-1, 2)).flip(2)


def convert_graph(source: Path, cut: Cut, target: Path, metadata: Mapping[str, str]) -> None:
    """Convert a TensorFlow.js graph model (its ``model.json``) to a safetensors file that holds its steps as well, atomically.

    Tensors become float16 where each of their values is one, so that nothing is lost. The same source always gives the same bytes.

    Raises:
        MissingAsset: the graph cannot be read or converted.
        BadOutput: the file cannot be written.
    """
    lowered = lower(read_graph_model(source), cut)
    tensors = {name: _halved(torch.from_numpy(array)) for name, array in lowered.tensors.items()}
    graph = json.dumps({"steps": lowered.steps, "outputs": lowered.outputs}, separators=(",", ":"))
    content = _sorted_header(save(tensors, metadata={**metadata, "graph": graph}))
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def _halved(tensor: Tensor) -> Tensor:
    half = tensor.half()
    return half if torch.equal(half.float(), tensor) else tensor


def _sorted_header(content: bytes) -> bytes:
    """The same safetensors file; the library writes the metadata in random order."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def load_finder(path: Path) -> Finder:
    """NanoDet from the file that `crowd3d fetch people` made, in eval mode.

    Raises:
        MissingAsset: the file is unreadable or holds no such network.
    """
    return _load(path, Finder, len(FINDER_CUT.outputs))


def load_movenet(path: Path) -> MoveNet:
    """MoveNet Thunder from the file that `crowd3d fetch people` made, in eval mode.

    Raises:
        MissingAsset: the file is unreadable or holds no such network.
    """
    return _load(path, MoveNet, len(MOVENET_CUT.outputs))


def _load(path: Path, network: Callable[[GraphNet], Network], outputs: int) -> Network:
    tensors, metadata = load_weights(path)
    try:
        graph = json.loads(metadata["graph"])
        net = GraphNet(graph["steps"], graph["outputs"], tensors)
    except (LookupError, ValueError, TypeError) as error:
        raise MissingAsset(f"{path} holds no converted network: {error!r}; remove it and run: crowd3d fetch people") from error
    if len(net.outputs) != outputs:
        raise MissingAsset(f"{path} has {len(net.outputs)} outputs instead of {outputs}; remove it and run: crowd3d fetch people")
    return network(net).eval()
