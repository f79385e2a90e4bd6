"""What programs cost, and how that grows: shared by the benchmarks."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy.optimize import brentq

LEAST_S = 0.5
"""Growth by less than this is not told from noise."""
_STEEPEST = 6.0
WHOLE = "whole"
Rows = list[tuple[str, ...]]


class Cost(NamedTuple):
    """Processor seconds and peak memory of a command."""

    seconds: float
    megabytes: float


_NONE = Cost(math.nan, math.nan)

_WATCHER = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def cost_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a program, and all that it starts, to its end; SystemExit if it fails.

    Linux counts the peak of whoever starts a program as the program's, so one that is small does.
    """
    watcher = [sys.executable, "-I", "-c", _WATCHER, *command]
    told = subprocess.run(watcher, stdout=subprocess.PIPE, env=environment, check=True, text=True).stdout
    code, seconds, peak = json.loads(told)
    if code:
        raise SystemExit(f"{' '.join(command)} ended with exit code {code}")
    return Cost(seconds, peak / (2**20 if sys.platform == "darwin" else 2**10))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """p of a + b·sizeᵖ through the last three sizes, which rise; NaN where growth is too little to tell."""
    if len(sizes) < 3 or min(more - less for less, more in itertools.pairwise(seconds[-3:])) < LEAST_S:
        return float("nan")
    first, second, third = (size / sizes[-3] for size in sizes[-3:])
    ratio = (seconds[-1] - seconds[-2]) / (seconds[-2] - seconds[-3])

    def beyond(power: float) -> float:
        return (third**power - second**power) / (second**power - first**power) - ratio

    # Both ends are powers that no program has; 0 itself would divide by nothing.
    low, high = -_STEEPEST - 1e-3, _STEEPEST
    return float(brentq(beyond, low, high)) if beyond(low) < 0 < beyond(high) else float("nan")


@dataclass(frozen=True)
class Grown:
    """Costs of the same work at several sizes.

    Attributes:
        what: what grows.
        sizes: (M,) rising.
        costs: (M,) name → cost, of stages in their order, of programs, and of all together (`WHOLE`); some sizes may lack a stage.
    """

    what: str
    sizes: Sequence[float]
    costs: Sequence[Mapping[str, Cost]]

    def seconds(self, name: str = WHOLE) -> list[float]:
        """(M,) of the processor."""
        return [costs.get(name, _NONE).seconds for costs in self.costs]

    def megabytes(self, name: str = WHOLE) -> list[float]:
        """(M,) at the peak."""
        return [costs.get(name, _NONE).megabytes for costs in self.costs]

    def growth(self, name: str = WHOLE) -> float:
        """Exponent of the seconds."""
        return exponent(self.sizes, self.seconds(name))

    @property
    def names(self) -> list[str]:
        """Of all that costs something."""
        return list(dict.fromkeys(name for costs in self.costs for name in costs))

    def rows(self) -> Rows:
        """Header, and a row per name."""
        rows: Rows = [(self.what, *(cell for size in self.sizes for cell in (f"{size:,.10g}: s", "MB")), "growth")]
        for name in self.names:
            both = zip(self.seconds(name), self.megabytes(name), strict=True)
            cells = (cell for seconds, megabytes in both for cell in (f"{seconds:.1f}", f"{megabytes:.0f}"))
            rows.append((name, *cells, f"{self.growth(name):.2f}"))
        return rows

    def told(self) -> str:
        """Growth, and what one more costs at the largest sizes."""
        if len(self.sizes) < 2:
            return f"{self.what}: one size"
        more = self.sizes[-1] - self.sizes[-2]
        seconds, megabytes = ((values[-1] - values[-2]) / more for values in (self.seconds(), self.megabytes()))
        return f"{self.what}: growth {self.growth():.2f}, {1000 * seconds:.3g} ms and {megabytes:.2g} MB per one more"

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        growth = {name: self.growth(name) for name in self.names}
        return {
            "sizes": list(self.sizes),
            "costs": [{name: cost._asdict() for name, cost in costs.items()} for costs in self.costs],
            "growth": {name: power if math.isfinite(power) else None for name, power in growth.items()},
        }


def markdown(rows: Rows) -> str:
    """A table whose columns are aligned in plain text, too."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
