"""Does every command and every Python snippet of README and documentation work as it stands?

Runs all code blocks of the pages one after the other in a copy of the checkout, in which what they name has been made before: pictures,
keypoints, zones, results to measure. What `make` does besides the demonstration is left to continuous integration; snippets of the pages on
extending and on frames are run by the tests.

Usage: python benchmarks/documentation.py [--output demo/documentation] [--pages README.md docs/measure.md …]

A line per command says how long it took, or what it said in the end when it failed; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from crowd3d.files import write_json

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/index.md", "docs/accuracy.md", "docs/photographs.md", "docs/examples.md", "docs/measure.md", "docs/privacy.md")
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("make install", "make test", "make docs", "make bench")
GIVEN = """
import numpy as np
from crowd3d.imaging import GigapixelImage
photo = GigapixelImage("photo.jpg")
array, my_keypoints = photo.region(np.array([0, 0, *photo.size[::-1]])), np.load("keypoints.npy")
"""
"""What snippets take for granted."""

TO_MEASURE = (
    ".venv/bin/crowd3d reconstruct plaza.jpg",
    ".venv/bin/crowd3d reconstruct video",
    "cp -r single_image/single_image_res/plaza/. out",
)
"""Makes the results that the page on measuring names."""


def copy_of_checkout(target: Path) -> None:
    """All files that belong to it, and its environment."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)


def make_inputs(folder: Path) -> None:
    """Everything that the pages name and do not make."""
    made_up = runpy.run_path(str(ROOT / "examples" / "made_up.py"))
    picture = made_up["photograph"](folder / "made")
    for name in ("photo.jpg", "plaza.jpg", "crowd.jpg"):
        shutil.copy(picture, folder / name)
    keypoints = np.load(shutil.copy(picture.with_name("keypoints.npy"), folder / "keypoints.npy"))
    people = [{"image_id": "photo.jpg", "keypoints": person.ravel().tolist(), "score": float(person[:, 2].mean())} for person in keypoints]
    write_json(folder / "keypoints.json", people)
    for name in ("pictures", "video"):
        shutil.copytree(made_up["film"](folder / "film"), folder / name)
    width, height = made_up["SIZE"]
    corners = [[0.2 * width, 0.9 * height], [0.8 * width, 0.9 * height], [0.7 * width, 0.6 * height], [0.3 * width, 0.6 * height]]
    for name, kind, points in (("zones", "Polygon", [[*corners, corners[0]]]), ("lines", "LineString", corners[1:3])):
        shape = {"type": "Feature", "properties": {"name": name}, "geometry": {"type": kind, "coordinates": points}}
        write_json(folder / f"{name}.geojson", {"type": "FeatureCollection", "features": [shape]})
    runpy.run_path(str(ROOT / "benchmarks" / "photographs.py"))["write_example"](folder / "my_photographs")


def commands_of(page: str) -> list[list[str]]:
    """What is run of a page, in its order; all snippets of a page are one program."""
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    lines = [line for language, block in blocks if language == "bash" for line in block.replace("\\\n", " ").splitlines()]
    commands = [["bash", "-c", line.partition("  #")[0].strip()] for line in lines if line and not line.startswith(ELSEWHERE)]
    snippets = "\n".join(block for language, block in blocks if language == "python")
    return [*commands, [".venv/bin/python", "-c", GIVEN + snippets]] if snippets else commands


def main() -> int:
    """Run what the pages say; print a line per command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo/documentation"), help="folder of the copy, made anew")
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=PAGES, metavar="PAGE", help=f"some of {', '.join(PAGES)}")
    args = parser.parse_args()
    folder = args.output.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    copy_of_checkout(folder)
    make_inputs(folder)
    prepared = [["bash", "-c", command] for command in TO_MEASURE]
    environment = {**os.environ, "PYTHONPATH": str(folder / "Crowd3DNet"), "TQDM_DISABLE": "1"}
    failed = 0
    for page in args.pages:
        for command in [*(prepared if page == "docs/measure.md" else []), *commands_of(page)]:
            start = time.perf_counter()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
            failed += done.returncode != 0
            said = f"FAILED: {(done.stderr.strip() or 'nothing was said').splitlines()[-1]}" if done.returncode else "works"
            what = command[-1] if command[0] == "bash" else "snippets"
            print(f"{page}: {what}: {said}, {time.perf_counter() - start:.0f} s", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
