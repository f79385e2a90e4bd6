"""All benchmarks one after the other, small enough for an afternoon's patience, and one table of what they say.

Usage: python benchmarks [--output demo/bench] [--only accuracy ground …]

The table, ``bench.md``, and the same as ``bench.json`` are written anew after every script, with everything that each has printed. For
figures worth quoting run a script alone, at its own size. A script that fails does not stop the others; the exit code says so.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crowd3d.files import atomic_path, write_json

HERE = Path(__file__).resolve().parent
SMALL = ["--size", "3200x1080", "--people", "40"]


@dataclass(frozen=True)
class Bench:
    """How a script is run here.

    Attributes:
        script: its name.
        arguments: those that make it quick; ``{output}`` is this run's folder.
        tells: how the line begins that goes into the table.
        omitted: why it is not run; empty if it is.
    """

    script: str
    arguments: tuple[str, ...] = ()
    tells: str = ""
    omitted: str = ""


ACCURACY = "{output}/accuracy"
SCENES = tuple(f"{ACCURACY}/random_{seed}" for seed in (11, 12, 13, 14))
BENCHES = (
    Bench("accuracy.py", ("--output", ACCURACY, *SMALL), "mean"),
    Bench("certainty.py", SCENES, "CERTAINTY"),
    Bench("recall.py", SCENES, "base"),
    Bench("optimise.py", ("--scenes", ACCURACY), "people"),
    Bench("given_keypoints.py", ("--output", "{output}/given_keypoints", "--scenes", "2", *SMALL), "mean estimated"),
    Bench("lines.py", ("--output", "{output}/lines", "--scenes", "2", *SMALL), "FOV RMS"),
    Bench("ground.py", ("--crowds", "8")),
    Bench("joint_ground.py", ("--views", "6")),
    Bench("photographs.py", ("--output", "{output}/photographs")),
    Bench("measure_calibration.py", ("--scenes", "2", "--densities", "1", "--found", "0.9"), "1.0"),
    Bench("measure_sizes.py", ("--output", "{output}/sizes", "--people", "500", "1000", "--pictures", "10", "20"), "measure"),
    Bench("scale.py", ("--output", "{output}/scale", "--people", "100", "200", "400", "--megapixels", "2", "4", "8"), "people: growth"),
    Bench("network.py", ("--backbone", "compact", "--side", "256", "--seconds", "2"), "torch fp32"),
    Bench("finetune.py", ("--backbone", "compact", "--side", "256")),
    Bench("data_loading.py", ("--batch", "4", "--batches", "2"), "compact"),
    Bench("overfit.py", ("--steps", "20")),
    Bench("torture.py", ("--output", "{output}/torture", "--inputs", "60", "--kills", "6", "--options", "1", "--disks", "2"), "faults"),
    Bench("documentation.py", omitted="runs what README and documentation say rather than measures: python benchmarks/documentation.py"),
    Bench("largecrowd.sh", omitted="a check that kills and restarts runs rather than a measurement: benchmarks/largecrowd.sh FOLDER"),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a script.

    Attributes:
        script, arguments: what was run.
        question: first sentence of its docstring.
        answer: the line that goes into the table, or why there is none.
        seconds: wall time; None if it was not run.
        failed: whether its exit code says so.
        printed: everything that it has printed.
    """

    script: str
    arguments: tuple[str, ...]
    question: str
    answer: str
    seconds: float | None = None
    failed: bool = False
    printed: str = ""


def run(bench: Bench, output: Path, folder: Path = HERE) -> Outcome:
    """Run one script of `folder` to its end, whatever that is."""
    arguments = tuple(one.format(output=output) for one in bench.arguments)
    path = folder / bench.script
    if bench.omitted:
        return Outcome(bench.script, arguments, "", bench.omitted)
    question = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
    start = time.perf_counter()
    # A progress bar of every step would be most of what is kept.
    quiet = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False, env=quiet)
    seconds = time.perf_counter() - start
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        said = done.stderr.strip().splitlines() or lines or ["nothing was said"]
        printed = done.stdout + done.stderr
        return Outcome(bench.script, arguments, question, f"exit code {done.returncode}: {said[-1]}", seconds, True, printed)
    answer = next((line for line in lines if line.startswith(bench.tells)), "") if bench.tells else (lines or [""])[-1]
    return Outcome(bench.script, arguments, question, " ".join(answer.split()), seconds, False, done.stdout)


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a row per script, then all that they printed."""
    rows = ["| script | seconds | says |", "|---|---|---|"]
    for one in outcomes:
        seconds = "not run" if one.seconds is None else f"{one.seconds:.0f}"
        cell = one.answer.replace("|", "/")
        rows.append(f"| `{' '.join((one.script, *one.arguments))}` | {seconds} | {'**failed** ' * one.failed}{cell} |")
    parts = [f"## {one.script}\n\n{one.question}\n\n```\n{one.printed.strip()}\n```\n" for one in outcomes if one.seconds is not None]
    return "# Benchmarks, small sizes\n\n" + "\n".join(rows) + "\n\n" + "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; print and write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo/bench"), help="folder of scenes, results and table")
    names = [Path(bench.script).stem for bench in BENCHES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"some of {', '.join(names)}")
    args = parser.parse_args(argv)
    output, outcomes = args.output, []
    for bench in BENCHES:
        if Path(bench.script).stem in args.only:
            print(f"== {bench.script}", flush=True)
            outcomes.append(run(bench, output))
            print(outcomes[-1].answer, flush=True)
            with atomic_path(output / "bench.md") as temporary:
                temporary.write_text(table(outcomes), encoding="utf-8")
            write_json(output / "bench.json", [asdict(one) for one in outcomes])
    print(output / "bench.md")
    return int(any(one.failed for one in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
