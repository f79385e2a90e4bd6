"""Fixtures that several packages' tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from released_layout import SMPL_PREFIX, released_layout, seeded_array


@pytest.fixture(scope="session")
def make_released_checkpoint() -> Callable[..., Path]:
    """Function that writes a checkpoint in the release's layout: 1907 prefixed keys, random weights, made-up SMPL arrays."""

    def make(path: Path, entries: Mapping[str, torch.Tensor] | None = None) -> Path:
        """Write to `path`; `entries` replaces entries by their bare keys, such as SMPL arrays that make sense."""
        state = {}
        for key, (shape, dtype) in released_layout().items():
            value = seeded_array(key, shape) if dtype == "float32" else np.zeros(shape, np.int64)
            state["module." + key] = torch.from_numpy(np.asarray(value))
        state["module." + SMPL_PREFIX + "parents"] = torch.tensor(
            [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
        )
        state |= {"module." + key: value for key, value in (entries or {}).items()}
        torch.save(state, path)
        return path

    return make
