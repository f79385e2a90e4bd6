"""Can a run go wrong without saying so? Damaged inputs, runs that are killed, options in any order, two runs in one folder, full disks.

    python benchmarks/torture.py                                                        a few minutes
    python benchmarks/torture.py --inputs 10000 --kills 500 --options 200 --disks 100   two hours; what was stopped goes on where it was

Every case is drawn from its number and --seed. A damaged input may be read or refused in one line, within LEAST_S seconds and MOST_MB of
memory; anything else is a fault: a traceback, a crash, a hang. After a kill, after other options, after a second run, after a disk that was
full or closed, the same command must end with the same bytes as in an empty folder. What went wrong is tried again by --again.
Needs Linux or macOS; disks of its own, which it mounts, Linux and the right to do so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture_cases.disks import troubled_disk
from torture_cases.good import make_good_inputs
from torture_cases.inputs import damaged_input
from torture_cases.runs import Fresh, killed_run, other_options, two_at_once

from crowd3d.settings import load_settings

SOUND = ("read", "refused", "same", "skipped")
Case = Callable[[random.Random], dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=load_settings().root / "demo" / "torture")
    parser.add_argument("--inputs", type=int, default=100, help="damaged inputs")
    parser.add_argument("--kills", type=int, default=3, help="processes to kill at work: of photographs, sequences and training")
    parser.add_argument("--options", type=int, default=3, help="sequences of options")
    parser.add_argument("--twice", type=int, default=1, help="runs that meet another one")
    parser.add_argument("--disks", type=int, default=3, help="runs on disks that are full or closed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="once more what went wrong before")
    args = parser.parse_args()
    bench = Bench(args.output.absolute(), args.seed, args.again)
    fresh = Fresh(bench.good, bench.folder / "fresh")
    work, disk = bench.folder / "work", bench.folder / "disk"
    kinds: dict[str, tuple[int, Case]] = {
        "input": (args.inputs, lambda rng: damaged_input(bench.good, work, rng)),
        "kill": (args.kills, lambda rng: killed_run(fresh, work, rng)),
        "options": (args.options, lambda rng: other_options(fresh, work, rng)),
        "twice": (args.twice, lambda rng: two_at_once(fresh, work, rng)),
        "disk": (args.disks, lambda rng: troubled_disk(fresh, disk, rng)),
    }
    for name, (count, case) in kinds.items():
        for number in itertools.count():
            if number == count or (name == "kill" and bench.kills() >= count):
                break
            bench.case(f"{name} {number}", case)
    return int(bench.table() > 0)


class Bench:
    """Cases and what became of them, a line each in ``torture_SEED.jsonl``.

    Args:
        folder: for everything.
        seed: of all cases.
        again: forget those that went wrong.
    """

    def __init__(self, folder: Path, seed: int, again: bool) -> None:
        self.folder, self.seed = folder, seed
        self.path, self.good = folder / f"torture_{seed}.jsonl", folder / "good"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        self.results: dict[str, dict[str, Any]] = {result["case"]: result for result in map(json.loads, lines)}
        if again:
            self.results = {name: result for name, result in self.results.items() if result["outcome"] in SOUND}
        make_good_inputs(self.good)

    def case(self, name: str, run: Case) -> None:
        """Run it unless it was; faults are printed."""
        if name in self.results:
            return
        started = time.perf_counter()
        result = {"case": name, **run(random.Random(f"{self.seed} {name}"))}
        self.results[name] = result | {"seconds": round(time.perf_counter() - started, 2)}
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(self.results[name]) + "\n")
        if result["outcome"] not in SOUND:
            print(self.results[name], flush=True)

    def kills(self) -> int:
        """How many processes were killed at work."""
        return sum(result["kills"] for name, result in self.results.items() if name.startswith("kill"))

    def table(self) -> int:
        """Print all outcomes by kind of case; returns the number of faults."""
        counts = Counter((name.rsplit(" ", 1)[0], result["what"], result["outcome"]) for name, result in self.results.items())
        for (kind, what, outcome), count in sorted(counts.items()):
            print(f"{kind:10}{what:32}{outcome:12}{count:6}")
        slow = max((result["seconds"] for name, result in self.results.items() if name.startswith("input")), default=0.0)
        large = max((result.get("mb", 0) for result in self.results.values()), default=0)
        faults = sum(result["outcome"] not in SOUND for result in self.results.values())
        print(f"faults {faults} of {len(self.results)} cases, {self.kills()} processes killed at work; {self.path}")
        print(f"slowest input {slow:.1f} s, largest {large} MB")
        return faults


if __name__ == "__main__":
    raise SystemExit(main())
