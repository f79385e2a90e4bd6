"""Does a reconstruction's cost grow no faster than the crowd, the picture and the folder, and how far is it from what it costs at least?

    python benchmarks/scale.py                                                                             small
    python benchmarks/scale.py --people 100 1000 10000 --megapixels 2 8 32 124 1000 --processes 1 2 4      up to what the program is for

Tables are printed and written to ``scale.md``, the figures to ``scale.json``, curves to ``scale.png``. Three parts; a part without sizes
(``--processes`` with nothing behind it) is left out.

* people: ``crowd3d reconstruct`` of made-up crowds whose keypoints are given, on one grey picture of 24 megapixels.
* megapixels: both scripts on a synthetic square, two people per megapixel, seen by one camera: twice the sides are the same view with
  four times the people at twice the size. Beyond 32 megapixels that picture is enlarged, not drawn; a mosaic would show people too small
  for its size. `networks alone` are the networks that find people and keypoints, on as many tiles, boxes and windows as that picture showed
  them, with nothing else to do. `limit`: decoding the file once, and the networks' operations at the rate of one large matrix product
  in fp32. Where the processor multiplies matrices in bfloat16 the keypoint network may take less than that.
* processes: ``torchrun`` shares the pictures of two static cameras out to processes of one thread each, started anew every time.

Seconds are those of the processor, of all threads, so that other programs do not matter much; those of processes are on the wall, and need
an idle machine. Memory is a process's at its peak, in MB; that of a stage is its process's so far. `growth` is p of a + b·sizeᵖ through the
last three sizes, 1 if it is linear; nan where they differ by less than half a second. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyvips
from costs import WHOLE, Cost, Grown, Rows, cost_of, markdown
from limit import Least, core_gflops, least_of
from log_plot import Panel, log_plot

from crowd3d.files import atomic_path, read_array, write_json, write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.imaging import write_png
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.weights import pose_assets
from crowd3d.pose.backends import scout
from crowd3d.settings import load_settings
from crowd3d.synthetic.data_set import write_largecrowd
from crowd3d.synthetic.scene import synthesize_scene

ROOT = Path(__file__).resolve().parents[1]
GREY_SIZE = (6000, 4000)
SEED = 69
"""Its first random camera has room for 2000 people, 31 to 90 pixels tall at two megapixels; so it is the same for any fewer."""
PER_MEGAPIXEL = 2.0
DRAWN_MEGAPIXELS = 32.0
ASPECT = 16 / 9
SCENES, SCENE_SIZE, SCENE_PEOPLE = 2, (1600, 900), 12
REST = "rest"
Result = TypeVar("Result")


class Picture(NamedTuple):
    """A photograph of one size.

    Attributes:
        megapixels: its size.
        found: how many people.
        costs: of both scripts and their stages.
        least: what it costs at least.
    """

    megapixels: float
    found: int
    costs: dict[str, Cost]
    least: Least


class Shared(NamedTuple):
    """A folder of pictures by so many processes.

    Attributes:
        processes: how many.
        pictures: all of them.
        wall_s: time until all were done.
        processor_s: of all processes together.
    """

    processes: int
    pictures: int
    wall_s: float
    processor_s: float


@dataclass(frozen=True)
class Scale:
    """What was measured; of a part that was left out nothing.

    Attributes:
        people: ``crowd3d reconstruct`` by people.
        pictures: both scripts by megapixels.
        shared: a folder by processes.
    """

    people: Grown | None
    pictures: list[Picture]
    shared: list[Shared]

    @property
    def megapixels(self) -> Grown | None:
        """Both scripts by megapixels."""
        if not self.pictures:
            return None
        return Grown("megapixels", [one.megapixels for one in self.pictures], [one.costs for one in self.pictures])

    def told(self) -> str:
        """One line."""
        parts = [grown.told() for grown in (self.people, self.megapixels) if grown is not None]
        if self.pictures:
            whole, least = self.pictures[-1].costs[WHOLE].seconds, self.pictures[-1].least
            parts.append(f"networks alone {least.networks_s / whole:.0%}, {whole / least.seconds:.1f} times the limit")
        if self.shared:
            first, last = self.shared[0], self.shared[-1]
            parts.append(f"{last.processes} processes {first.wall_s / last.wall_s:.2f} times as fast as {first.processes}")
        return "; ".join(parts)

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        told: dict[str, Any] = {} if self.people is None else {"people": self.people.figures()}
        if self.megapixels is not None:
            least = [
                one.least._asdict() | {"networks": [network._asdict() for network in one.least.networks], "limit_s": one.least.seconds}
                for one in self.pictures
            ]
            told["megapixels"] = self.megapixels.figures() | {"people_found": [one.found for one in self.pictures], "least": least}
        return told | {"processes": [one._asdict() for one in self.shared]}


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """A function's value, from a process of its own: its memory goes back, and no other thread uses that process's seconds."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def people_costs(folder: Path, people: int) -> dict[str, Cost]:
    """``crowd3d reconstruct`` of so many people whose keypoints are given."""
    picture, keypoints = folder / "grey.png", folder / f"people_{people}.npy"
    if not picture.is_file():
        write_png(picture, np.full((*GREY_SIZE[::-1], 3), 128, np.uint8))
    camera, ground = Camera.from_fov(60.0, GREY_SIZE), GroundPlane.from_angles(np.deg2rad(15.0), 0.0, 15.0)
    crowd = simulate_crowd(camera, ground, people, np.random.default_rng(people))
    write_npy(keypoints, crowd.keypoints)
    mid, results = folder / f"people_{people}" / "mid", folder / f"people_{people}" / picture.stem
    whole = cost_of([*_crowd3d("reconstruct", picture, mid), "--save_res_folder", str(results.parent), "--keypoints", str(keypoints)])
    return _with_rest(_stages(mid, results), whole)


def draw_square(path: Path, megapixels: float) -> None:
    """Write a synthetic square as JPEG file."""
    width = round(math.sqrt(megapixels * 1e6 * ASPECT))
    drawn = round(math.sqrt(min(megapixels, DRAWN_MEGAPIXELS) * 1e6 * ASPECT))
    people = round(PER_MEGAPIXEL * megapixels)
    picture = synthesize_scene(SEED, "random", people, (drawn, round(drawn / ASPECT))).image
    with atomic_path(path) as temporary:
        # libvips enlarges and writes strip by strip.
        pyvips.Image.new_from_array(picture).resize(width / drawn, kernel="linear").jpegsave(str(temporary), Q=90)


def picture_costs(folder: Path, megapixels: float, gflops: float) -> Picture:
    """Both scripts on a picture of that size, and what it costs at least; `gflops` as of `Least`."""
    picture = folder / f"square_{megapixels:g}.jpg"
    if not picture.is_file():
        apart(draw_square, picture, megapixels)
    # Before the scripts, because it leaves the compiled networks where they are kept.
    least = apart(least_of, picture, gflops)
    mid, results = folder / "square" / f"{picture.stem}_mid", folder / "square" / picture.stem
    backend = ("--pose_backend", scout(pose_assets(load_settings())).name)
    process = cost_of([*_crowd3d("process", picture, mid), *backend])
    infer = cost_of([*_crowd3d("infer", picture, mid), "--save_res_folder", str(results.parent)])
    whole = Cost(process.seconds + infer.seconds, max(process.megabytes, infer.megabytes))
    costs = {"process.py": process, "inference.py": infer, **_with_rest(_stages(mid, results), whole)}
    return Picture(megapixels, len(read_array(MidFolder(mid).keypoints)), costs, least)


def shared_costs(folder: Path, counts: Sequence[int]) -> list[Shared]:
    """The pictures of two cameras, shared out."""
    frames = math.ceil(max(8, 2 * max(counts)) / SCENES)
    data = folder / f"pictures_{SCENES * frames}"
    if not data.is_dir():
        unfinished = data.with_name(data.name + "_unfinished")
        apart(write_largecrowd, LargeCrowdFolder(unfinished), ["random"] * SCENES, frames, SCENE_PEOPLE, SCENE_SIZE, SEED)
        unfinished.rename(data)
    roots = {"CROWD3D_TEST_MID_ROOT": str(folder / "shared_mid"), "CROWD3D_TEST_RES_ROOT": str(folder / "shared_res")}
    environment = {**os.environ, **{name: os.path.abspath(root) for name, root in roots.items()}, "OMP_NUM_THREADS": "1"}
    options = ["--data_root", str(data), "--overwrite", "--quiet"]
    cost_of([sys.executable, str(ROOT / "test" / "preprocess.py"), *options], environment)
    shared = []
    for count in counts:
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        begin = time.perf_counter()
        cost = cost_of([*run, str(ROOT / "test" / "inference_eval.py"), *options], environment)
        shared.append(Shared(count, SCENES * frames, time.perf_counter() - begin, cost.seconds))
    return shared


def least_rows(pictures: Sequence[Picture]) -> Rows:
    """What the networks take alone, and the limit, per picture."""
    seen = (f"{one.name}: images" for one in pictures[0].least.networks)
    alone = ("networks alone: s", "of all", "Gflop")
    rows: Rows = [("megapixels", "people found", *seen, *alone, "decoding: s", "Gflop/s", "limit: s", "times the limit")]
    for one in pictures:
        least, whole = one.least, one.costs[WHOLE].seconds
        images = (f"{network.images:,}" for network in least.networks)
        work = sum(network.gflop for network in least.networks)
        networks = (f"{least.networks_s:.1f}", f"{least.networks_s / whole:.0%}", f"{work:.0f}")
        limit = (f"{least.decode_s:.2f}", f"{least.gflops:.0f}", f"{least.seconds:.1f}", f"{whole / least.seconds:.1f}")
        rows.append((f"{one.megapixels:,.10g}", str(one.found), *images, *networks, *limit))
    return rows


def shared_rows(shared: Sequence[Shared]) -> Rows:
    """Seconds on the wall, and how many times faster than the first."""
    rows: Rows = [("processes", "pictures", "wall s", "speed-up", "processor s")]
    for one in shared:
        speed = shared[0].wall_s / one.wall_s
        rows.append((str(one.processes), str(one.pictures), f"{one.wall_s:.1f}", f"{speed:.2f}", f"{one.processor_s:.1f}"))
    return rows


def panels(scale: Scale) -> list[Panel]:
    """A row of the plot per part."""
    drawn = []
    for grown in (one for one in (scale.people, scale.megapixels) if one is not None):
        curves = {"whole": grown.seconds()}
        if grown is scale.people:
            stages = [name for name in grown.costs[-1] if name not in (WHOLE, REST)]
            curves |= {name: grown.seconds(name) for name in sorted(stages, key=lambda name: -grown.seconds(name)[-1])[:3]}
        else:
            curves["networks alone"] = [one.least.networks_s for one in scale.pictures]
            curves["limit"] = [one.least.seconds for one in scale.pictures]
        drawn.append(Panel("processor seconds; dashed: linear", grown.what, grown.sizes, curves))
        drawn.append(Panel("peak memory, MB; dashed: linear", grown.what, grown.sizes, {"whole": grown.megabytes()}))
    if scale.shared:
        counts = [float(one.processes) for one in scale.shared]
        wall, work = {"all pictures": [one.wall_s for one in scale.shared]}, {"all processes": [one.processor_s for one in scale.shared]}
        drawn.append(Panel("seconds on the wall; dashed: shared out ideally", "processes", counts, wall, -1.0))
        drawn.append(Panel("processor seconds; dashed: no more than the first", "processes", counts, work, 0.0))
    return drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Measure part by part, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="*", default=[100, 400, 1600], help="of the crowds")
    parser.add_argument("--megapixels", type=float, nargs="*", default=[2, 8, 32], help="of the pictures")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="that share a folder")
    parser.add_argument("--output", type=Path, default=Path("demo/scale"), help="folder of pictures, results, table and plot")
    args = parser.parse_args(argv)
    said: list[str] = []

    def say(text: str) -> None:
        print(text + "\n", flush=True)
        said.append(text)

    counts, sizes, processes = (sorted(set(one)) for one in (args.people, args.megapixels, args.processes))
    people = Grown("people", counts, [people_costs(args.output, count) for count in counts]) if counts else None
    if people is not None:
        say(markdown(people.rows()))
    gflops = apart(core_gflops) if sizes else math.nan
    scale = Scale(people, [picture_costs(args.output, size, gflops) for size in sizes], [])
    if scale.megapixels is not None:
        say(markdown(scale.megapixels.rows()))
        say(markdown(least_rows(scale.pictures)))
    if processes:
        scale = replace(scale, shared=shared_costs(args.output, processes))
        say(markdown(shared_rows(scale.shared)))
        cores = os.cpu_count() or 1
        if processes[-1] > cores:
            say(f"{processes[-1]} processes share {cores} cores: beyond {cores} nothing gets faster")
    say(scale.told())
    with atomic_path(args.output / "scale.md") as temporary:
        temporary.write_text("\n\n".join(said) + "\n", encoding="utf-8")
    write_json(args.output / "scale.json", scale.figures())
    write_png(args.output / "scale.png", log_plot(panels(scale)))
    return 0


def _crowd3d(verb: str, picture: Path, mid: Path) -> list[str]:
    """A command that does everything again, in this folder."""
    arguments = ["--scene_image_path", str(picture), "--save_mid_folder", str(mid), "--overwrite", "--quiet"]
    return [sys.executable, "-m", "crowd3d", verb, *arguments]


def _stages(*folders: Path) -> dict[str, Cost]:
    """Of the manifests in these folders, in the order in which they ended."""
    stages: dict[str, Any] = {}
    for folder in folders:
        stages |= json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["stages"]
    return {name: Cost(stage["processor_seconds"], stage["peak_mb"]) for name, stage in stages.items()}


def _with_rest(stages: dict[str, Cost], whole: Cost) -> dict[str, Cost]:
    """Starting, stopping and what is between stages is the rest."""
    rest = whole.seconds - sum(cost.seconds for cost in stages.values())
    return {**stages, REST: Cost(rest, whole.megabytes), WHOLE: whole}


if __name__ == "__main__":
    raise SystemExit(main())
