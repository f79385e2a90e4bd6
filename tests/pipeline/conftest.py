"""What tests of whole runs share."""

from __future__ import annotations

import numpy as np
import pytest

import crowd3d.pipeline.infer as infer_module
from crowd3d.files import write_npz
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.types import People


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowd3DNet sees nobody: people come from their keypoints."""

    def run_network(image, name, mid, results: ResultFolder, *others) -> None:
        shapes = ((24, 3), (10,), (3,), (2,), (3,))
        write_npz(results.network, **vars(People(*(np.zeros((0, *s)) for s in shapes), np.zeros(0), np.zeros((0, 17, 3)))))
        results.all_result.touch()

    monkeypatch.setattr(infer_module, "run_network", run_network)
