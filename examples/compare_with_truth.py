"""How good is it? Everybody against the truth, where that is known.

python examples/compare_with_truth.py [--output FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import made_up

import crowd3d
from crowd3d.bodies import load_body
from crowd3d.evaluation import evaluate, format_table, load_truth
from crowd3d.render import top_view


def main(argv: Sequence[str] | None = None) -> Path:
    """Reconstruct, print the scores, return the path of a map with the true places as rings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo/examples/compare_with_truth"))
    args = parser.parse_args(argv)
    photograph = made_up.photograph(args.output)
    truth = load_truth(photograph.with_name("truth.npz"))

    scene = crowd3d.reconstruct(photograph, keypoints=photograph.with_name("keypoints.npy"))

    body = load_body("free_low")
    print(format_table(evaluate(scene, truth.scene, eligible=truth.eligible, visible=truth.visible, body_pred=body, body_true=body)))
    picture = args.output / "topview.png"
    top_view(scene, body, picture, truth=truth.scene)
    return picture


if __name__ == "__main__":
    print(main())
