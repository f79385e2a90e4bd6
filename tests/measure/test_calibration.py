"""The 68 % intervals hold the truth about as often as they say; ``benchmarks/measure_calibration.py`` prints the whole table."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from crowd3d.measure.simulate import RECALL

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "measure_calibration.py"


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_calibration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("density", [0.5, 2.0])
def test_intervals_of_densities_hold_the_truth(density: float, calibration: ModuleType) -> None:
    found = calibration.density_coverage(density, scenes=3, draws=30)
    # Camera and recall are shared by a whole crowd, so of three crowds the shares stray by a sixth or so.
    assert 0.45 < found.field < 0.92
    assert 0.45 < found.cells < 0.92
    assert 0.75 < found.field_bias < 1.33
    assert 0.75 < found.cells_bias < 1.33
    assert abs(found.said - found.right) < 0.2
    assert found.recall < 0.95


def test_intervals_of_flow_and_speed_hold_the_truth(calibration: ModuleType) -> None:
    found = calibration.flow_coverage(2, RECALL, draws=30)
    assert found.across >= 0.5
    assert found.speed >= 0.5
    assert 0.85 < found.ratio < 1.15
