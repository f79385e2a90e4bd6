"""Bodies as the smplx package sees them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import smplx
from smplx.utils import Struct

# smplx's names of the 21 extra vertices in SMPL-54 order
VERTEX_NAMES = ("nose", "reye", "leye", "rear", "lear", "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
VERTEX_NAMES += tuple(f"{side}{finger}" for side in "lr" for finger in ("thumb", "index", "middle", "ring", "pinky"))


@pytest.fixture(scope="session")
def smplx_model() -> Callable[[dict[str, np.ndarray], int], smplx.SMPL]:
    """Makes a model of so many people from SMPL's arrays; its first 45 joints are those of SMPL-54."""

    def make(arrays: dict[str, np.ndarray], people: int) -> smplx.SMPL:
        vertex_ids = {name: int(vertex) for name, vertex in zip(VERTEX_NAMES, arrays["extra_vertex_ids"], strict=True)}
        return smplx.SMPL("", data_struct=Struct(**arrays), vertex_ids=vertex_ids, batch_size=people)

    return make
