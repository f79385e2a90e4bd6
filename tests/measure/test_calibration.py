"""The 68 % intervals hold the truth about as often as they say; ``calibration.py`` prints the whole table."""

from __future__ import annotations

import pytest
from calibration import density_coverage, flow_coverage


@pytest.mark.parametrize("density", [0.5, 2.0])
def test_intervals_of_densities_hold_the_truth(density: float) -> None:
    found = density_coverage(density, scenes=3, draws=30)
    # Camera and recall are shared by a whole crowd, so of three crowds the shares stray by a sixth or so.
    assert 0.45 < found.field < 0.92
    assert 0.45 < found.cells < 0.92
    assert 0.75 < found.field_bias < 1.33
    assert 0.75 < found.cells_bias < 1.33
    assert abs(found.said - found.right) < 0.2
    assert found.recall < 0.95


def test_intervals_of_flow_and_speed_hold_the_truth() -> None:
    held, speed_held, ratio = flow_coverage(sequences=2, draws=30)
    assert held >= 0.5
    assert speed_held >= 0.5
    assert 0.85 < ratio < 1.15
