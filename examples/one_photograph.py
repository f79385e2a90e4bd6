"""One photograph: everybody as a body in one metric world.

python examples/one_photograph.py [PHOTOGRAPH] [--output FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import made_up

import crowd3d


def main(argv: Sequence[str] | None = None) -> Path:
    """Reconstruct, say who stands where, return the path of the overlay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path, nargs="?", help="default: a made-up one")
    parser.add_argument("--output", type=Path, default=Path("demo/examples/one_photograph"))
    args = parser.parse_args(argv)

    scene = crowd3d.reconstruct(args.photograph or made_up.photograph(args.output), folder=args.output / "result")

    world = scene.ground.to_world(scene.people.hvip_cam_m)
    print(f"{len(scene.people)} people, field of view {scene.camera.fov_x_deg:.1f}°, camera {scene.ground.offset_m:.1f} m above the ground")
    for (right, _, back), score in zip(world, scene.people.score, strict=True):
        print(f"  {right:+7.1f} m to the right, {-back:6.1f} m ahead, score {score:.2f}")
    for remark in scene.remarks:
        print(f"mind: {remark}")
    return args.output / "result" / "overview.jpg"


if __name__ == "__main__":
    print(main())
