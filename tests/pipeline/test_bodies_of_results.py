"""A result is opened with the body that it was made with, wherever that comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.pipeline.network import NetworkChoice, body_of
from crowd3d.settings import Home, load_settings


def test_released_weights_lend_the_body_that_they_carry(tmp_path: Path, make_released_checkpoint: Callable[..., Path]) -> None:
    settings = replace(load_settings(), home=Home.of_checkout(tmp_path), smpl_model_root=tmp_path / "smpl", crowd3dnet_weights=None)
    with pytest.raises(MissingAsset, match="no SMPL_NEUTRAL"):
        body_of("smpl_neutral", settings)
    settings.released_weights.parent.mkdir(parents=True)
    weights = make_released_checkpoint(settings.released_weights)
    body = body_of("smpl_neutral", settings)
    pose = np.zeros((1, 24, 3)), np.zeros((1, 10))
    same = NetworkChoice.of(weights, None).body(detailed=True)
    assert body.name == "smpl_neutral"
    np.testing.assert_array_equal(body.pose(*pose)[0], same.pose(*pose)[0])
    assert body_of("free_low", settings).name == "free_body_low"
