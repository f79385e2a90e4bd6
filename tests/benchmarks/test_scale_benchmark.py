"""`benchmarks/scale.py` and what it shares with others: growth that is known is found, and what programs cost is counted."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def in_benchmarks() -> Iterator[None]:
    """Scripts find what they share beside them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield


@pytest.fixture(scope="module")
def costs() -> ModuleType:
    return importlib.import_module("costs")


@pytest.fixture(scope="module")
def limit() -> ModuleType:
    return importlib.import_module("limit")


@pytest.fixture(scope="module")
def log_plot() -> ModuleType:
    return importlib.import_module("log_plot")


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    return importlib.import_module("scale")


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("sizes", [(100, 200, 400), (2, 8, 32), (1, 100, 400, 10_000)])
def test_exponent_of_a_power_that_starts_somewhere(costs: ModuleType, power: float, sizes: tuple[int, ...]) -> None:
    seconds = [7.0 + 3.0 * size**power for size in sizes]
    assert costs.exponent(sizes, seconds) == pytest.approx(power, abs=1e-6)


def test_a_stage_that_some_sizes_lack(costs: ModuleType) -> None:
    some, all_ = {"whole": costs.Cost(1.0, 10.0)}, {"meshes": costs.Cost(2.0, 20.0), "whole": costs.Cost(4.0, 20.0)}
    grown = costs.Grown("people", [1, 2, 4], [some, all_, all_])
    assert grown.rows()[1:] == [
        ("whole", "1.0", "10", "4.0", "20", "4.0", "20", "nan"),
        ("meshes", "nan", "nan", "2.0", "20", "2.0", "20", "nan"),
    ]
    assert "nan" not in json.dumps(grown.figures()).lower()


def test_too_little_growth_has_no_exponent(costs: ModuleType) -> None:
    assert math.isnan(costs.exponent((1, 2), (1.0, 9.0)))
    assert math.isnan(costs.exponent((1, 2, 4), (9.0, 9.2, 9.6)))
    assert math.isnan(costs.exponent((1, 2, 4), (9.0, 20.0, 10.0)))


BUSY = """
import subprocess, sys, time
held = bytearray(400 << 20)
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.3: pass"], check=True)
while time.process_time() < 0.3:
    pass
"""


def test_a_program_and_what_it_starts_are_counted(costs: ModuleType) -> None:
    cost = costs.cost_of([sys.executable, "-c", BUSY])
    assert 0.6 <= cost.seconds < 1.5
    assert cost.megabytes > 400
    held = bytearray(300 << 20)
    assert costs.cost_of([sys.executable, "-c", "pass"]).megabytes < 100
    assert len(held) > 0
    with pytest.raises(SystemExit, match="exit code 3"):
        costs.cost_of([sys.executable, "-c", "raise SystemExit(3)"])


def test_networks_are_counted_and_run_alone(limit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    each = limit.gflops_each(network, [torch.zeros(2, 3, 8, 10)])
    assert each == pytest.approx(2 * 3 * 5 * 9 * 8 * 10 / 1e9)
    shown: list[int] = []

    def engine(images: np.ndarray) -> tuple[np.ndarray, ...]:
        shown.append(len(images))
        end = limit.time.process_time() + 0.01 * len(images)
        while limit.time.process_time() < end:
            pass
        return (images,)

    monkeypatch.setattr(limit, "ENOUGH_S", 0.1)
    counted = limit._Counted("conv", engine, each)
    counted(np.zeros((4, 3, 8, 10)))
    counted(np.zeros((1, 3, 8, 10)))
    alone = counted.alone()
    assert (alone.name, alone.images) == ("conv", 5)
    assert alone.seconds == pytest.approx(0.05, rel=0.5)
    assert alone.gflop == pytest.approx(5 * each)
    assert set(shown[2:]) == {4}
    assert limit._Counted("unused", engine, each).alone() == ("unused", 0, 0.0, 0.0)
    least = limit.Least([alone, alone], 0.25, 2.0)
    assert least.seconds == pytest.approx(0.25 + 10 * each / 2.0)


def test_every_pixel_is_decoded(limit: ModuleType, tmp_path: Path) -> None:
    pictures = [tmp_path / f"{side}.png" for side in (64, 1500)]
    for path, side in zip(pictures, (64, 1500), strict=True):
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))
    small, large = (limit.decode_seconds(path) for path in pictures)
    assert large > 5 * small


def test_a_linear_curve_lies_on_its_guide_and_nothing_is_cut_off(log_plot: ModuleType) -> None:
    x = [100.0, 1000.0, 10_000.0]
    linear = log_plot.draw_panel(log_plot.Panel("seconds", "people", x, {"whole": [3.0, 30.0, 300.0]}))
    steeper = log_plot.draw_panel(log_plot.Panel("seconds", "people", x, {"whole": [3.0, 300.0, 30_000.0], "none": [0.0, math.nan, 1.0]}))
    guide = [(image == log_plot._GUIDE).all(-1).sum() for image in (linear, steeper)]
    assert guide[0] == 0
    assert guide[1] > 100
    for image in (linear, steeper):
        framed = image.copy()
        framed[6:-6, 6:-6] = 255
        assert (framed == 255).all()
    assert log_plot.log_ticks(0.9, 40) == pytest.approx([1, 2, 5, 10, 20])
    assert log_plot.log_plot([log_plot.Panel("seconds", "people", x, {"whole": x})] * 3).shape == (1200, 1800, 3)


def test_tables_plot_and_figures_of_known_costs(
    scale: ModuleType, costs: ModuleType, limit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def known(size: float) -> dict:
        stage = costs.Cost(3.0 * size, 100.0)
        return scale._with_rest({"ground": stage}, costs.Cost(3.0 * size + 4.0, 150.0 + 2.0 * size))

    def picture(folder: Path, megapixels: float, gflops: float) -> tuple:
        least = limit.Least([limit.Alone("finder", 5, 1.5 * megapixels, 20.0 * megapixels)], 0.5 * megapixels, gflops)
        return scale.Picture(megapixels, 12, known(megapixels), least)

    monkeypatch.setattr(scale, "people_costs", lambda folder, people: known(people))
    monkeypatch.setattr(scale, "picture_costs", picture)
    monkeypatch.setattr(scale, "apart", lambda function, *arguments: 40.0)
    monkeypatch.setattr(scale, "shared_costs", lambda folder, counts: [scale.Shared(one, 8, 60.0 / one**0.5, 60.0 + one) for one in counts])
    sizes = ["--people", "8", "2", "4", "--megapixels", "2", "4", "8", "--processes", "1", "100000", "--output", str(tmp_path)]
    assert scale.main(sizes) == 0
    said = capsys.readouterr().out
    assert "people: growth 1.00, 3e+03 ms and 2 MB per one more" in said
    # 28 s in all; alone 12 s; at least 8 megapixels of half a second, and 160 Gflop at 40 a second.
    assert "networks alone 43%, 3.5 times the limit" in said
    assert "nothing gets faster" in said
    assert said.strip() == (tmp_path / "scale.md").read_text(encoding="utf-8").strip()
    told = json.loads((tmp_path / "scale.json").read_text(encoding="utf-8"))
    assert told["people"]["sizes"] == [2, 4, 8]
    assert told["people"]["growth"] == {"ground": pytest.approx(1.0), "rest": None, "whole": pytest.approx(1.0)}
    assert told["megapixels"]["costs"][-1]["rest"]["seconds"] == pytest.approx(4.0)
    assert told["megapixels"]["least"][-1]["limit_s"] == pytest.approx(8.0)
    assert [one["processes"] for one in told["processes"]] == [1, 100_000]
    assert cv2.imread(str(tmp_path / "scale.png")).shape == (1800, 1800, 3)
    assert scale.main(["--people", "--megapixels", "--processes", "1", "--output", str(tmp_path / "one")]) == 0
