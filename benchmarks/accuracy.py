"""Accuracy on synthetic scenes that the shipped weights have never seen: four random cameras, four seeds, and the mean.

Usage: python benchmarks/accuracy.py [--output FOLDER] [--people 400] [--size 19200x6480]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

SEEDS = (11, 12, 13, 14)
FIGURES = (
    "precision",
    "recall",
    "fov_error_deg",
    "normal_error_deg",
    "camera_height_error_percent",
    "ground_error_median_m",
    "ppds",
    "pcod",
    "mpjpe_mm",
    "pa_mpjpe_mm",
)


def main() -> int:
    """Make and reconstruct the scenes, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo/accuracy"), help="folder of the scenes and results")
    parser.add_argument("--people", default="400")
    parser.add_argument("--size", default="19200x6480")
    arguments = parser.parse_args()
    rows: list[dict[str, float]] = []
    print("scene".ljust(24) + "".join(name.rjust(max(len(name), 7) + 2) for name in FIGURES))
    for seed in SEEDS:
        folder = arguments.output / f"random_{seed}"
        scene = ["--people", arguments.people, "--size", arguments.size, "--camera", "random", "--seed", str(seed)]
        command = [sys.executable, "-m", "crowd3d.cli.main", "demo", "--output", str(folder), *scene]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows.append(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
        _print(f"seed {seed}", rows[-1])
    _print("mean", {name: sum(abs(row[name]) for row in rows) / len(rows) for name in FIGURES})
    return 0


def _print(title: str, row: dict[str, float]) -> None:
    print(title.ljust(24) + "".join(f"{row[name]:.3f}".rjust(max(len(name), 7) + 2) for name in FIGURES), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
