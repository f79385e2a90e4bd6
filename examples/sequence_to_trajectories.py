"""Pictures of a static camera: one world, ids that stay, trajectories in metres.

python examples/sequence_to_trajectories.py [FOLDER] [--fps 2] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import made_up
import numpy as np

from crowd3d.cli.main import main as crowd3d_command


def main(argv: Sequence[str] | None = None) -> Path:
    """Reconstruct the pictures, print everybody's speed, return the path of the map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="pictures, or a video; default: made-up pictures")
    parser.add_argument("--fps", type=float, help="pictures per second (default: times by EXIF, else 2)")
    parser.add_argument("--output", type=Path, default=Path("demo/examples/sequence_to_trajectories"))
    args = parser.parse_args(argv)
    pictures = args.folder or made_up.film(args.output)
    # A camera that stays where it is has often been calibrated; keypoints as well as camera may be left out.
    given = [] if args.folder else ["--keypoints", str(args.output / "keypoints"), "--camera_json", str(args.output / "camera.json")]
    fps = args.fps if args.folder else 0.5
    rate = [] if fps is None else ["--fps", str(fps)]

    folders = ["--save_mid_folder", str(args.output / "mid"), "--save_res_folder", str(args.output / "result")]
    failed = crowd3d_command(["reconstruct", str(pictures), *rate, *folders, *given])
    if failed:
        raise SystemExit(failed)

    result = args.output / "result" / pictures.stem
    places = defaultdict(list)
    with (result / "trajectories.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            places[row["id"]].append([float(row["time_s"]), float(row["smooth_x_m"]), float(row["smooth_z_m"])])
    for number, path in places.items():
        time, *place = np.array(path).T
        gone = np.hypot(*np.diff(place)).sum()
        print(f"id {number}: {len(time)} pictures, {gone:.1f} m in {time[-1] - time[0]:.1f} s")
    return result / "topview.png"


if __name__ == "__main__":
    print(main())
