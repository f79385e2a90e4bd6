"""Rounding to bf16, against PyTorch's and by what it is for."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from crowd3d.model.bf16 import prepared_for_bf16, rounded_to_bf16
from crowd3d.model.conversion import _trace
from crowd3d.model.engines import CompiledEngine, openvino_core, openvino_of, openvino_properties

NUMBERS = st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=NUMBERS))
def test_every_weight_becomes_a_number_of_bf16(weights: np.ndarray) -> None:
    rounded = rounded_to_bf16(weights)
    np.testing.assert_array_equal(torch.from_numpy(rounded).bfloat16().float().numpy(), rounded)


@given(arrays(np.float32, (5, 1), elements=NUMBERS))
def test_a_single_weight_becomes_the_nearest(weights: np.ndarray) -> None:
    np.testing.assert_array_equal(rounded_to_bf16(weights), torch.from_numpy(weights).bfloat16().float().numpy())


def test_sums_are_kept_and_hardly_any_weight_moves_further() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (40, 300)).astype(np.float32)
    nearest = torch.from_numpy(weights).bfloat16().float().numpy()
    rounded = rounded_to_bf16(weights)

    def off(one: np.ndarray) -> np.ndarray:
        return np.abs(one.sum(1, dtype=np.float64) - weights.sum(1, dtype=np.float64))

    assert np.median(off(rounded)) < 0.1 * np.median(off(nearest))
    assert np.abs(rounded - weights).std() < 2.5 * np.abs(nearest - weights).std()


@pytest.mark.skipif(find_spec("openvino") is None, reason="optional engine, not installed: pip install openvino")
@pytest.mark.parametrize("groups", [1, 4])
def test_weights_of_convolutions_are_rounded(groups: int) -> None:
    """Run in fp32, so that nothing else is rounded."""
    torch.manual_seed(0)
    network = nn.Conv2d(8, 12, 3, groups=groups).eval()
    images = torch.rand(2, 8, 6, 6)
    model = prepared_for_bf16(openvino_of().convert_model(_trace(network, [images]), example_input=(images,)), None)
    (found,) = CompiledEngine(openvino_core().compile_model(model, "CPU", openvino_properties("fp32", 1)))(images.numpy())
    with torch.inference_mode():
        plain = network(images).numpy()
        network.weight.copy_(torch.from_numpy(rounded_to_bf16(network.weight.reshape(12, -1).numpy())).reshape(network.weight.shape))
        np.testing.assert_allclose(found, network(images).numpy(), atol=1e-5)
    assert np.abs(found - plain).max() > 1e-4
