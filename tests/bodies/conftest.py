"""Bodies as the smplx package, which this project does not use, sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

# smplx's names of the 21 extra vertices in SMPL-54 order
VERTEX_NAMES = ("nose", "reye", "leye", "rear", "lear", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
VERTEX_NAMES += tuple(f"{side}{finger}" for side in "lr" for finger in ("thumb", "index", "middle", "ring", "pinky"))


@pytest.fixture(scope="session")
def smplx_model() -> Callable[[dict[str, np.ndarray], int], Any]:
    """Makes a float64 model of so many people from SMPL's arrays; its first 45 joints are those of SMPL-54."""
    smplx = pytest.importorskip("smplx", reason="smplx, which bodies are compared with, is for non-commercial use and not installed")

    def make(arrays: dict[str, np.ndarray], people: int) -> Any:
        vertex_ids = {name: int(vertex) for name, vertex in zip(VERTEX_NAMES, arrays["extra_vertex_ids"], strict=True)}
        data = smplx.utils.Struct(**arrays)
        return smplx.SMPL("", data_struct=data, vertex_ids=vertex_ids, batch_size=people, dtype=torch.float64)

    return make
