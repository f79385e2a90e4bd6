"""The layout of the released checkpoint, and the weights with which the reference values were made."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parent / "data"
SMPL_PREFIX = "_result_parser.params_map_parser.smpl_model."


def released_layout() -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of the 1907 entries of the released checkpoint, in order, without the prefix ``module.``."""
    lines = (DATA / "state_dict_keys.txt").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split(" ") for line in lines]
    return {key: (tuple(int(n) for n in shape.strip("()").split(",") if n), dtype) for key, shape, dtype in rows}


def seeded_array(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 weight that entry `key` had when ``network_reference.npz`` was made."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    kinds = {
        "running_var": (0.5, 1.0, rng.random),
        "running_mean": (0.0, 0.1, rng.standard_normal),
        "bias": (0.0, 0.1, rng.standard_normal),
    }
    kind = next((value for suffix, value in kinds.items() if key.endswith(suffix)), None)
    if kind is None and len(shape) >= 2:
        kind = (0.0, np.sqrt(1.0 / np.prod(shape[1:])), rng.standard_normal)
    offset, scale, draw = kind or (0.6, 0.4, rng.random)
    return (offset + scale * draw(shape)).astype(np.float32)


def seeded_state(layout: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Reference weights for every entry of a state dict; integer entries are zero."""
    return {
        key: torch.from_numpy(seeded_array(key, tuple(value.shape))) if value.is_floating_point() else torch.zeros_like(value)
        for key, value in layout.items()
    }
