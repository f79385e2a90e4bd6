"""``crowd3d export``: a reconstructed scene or sequence in the formats of other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from crowd3d.bodies import Body, load_body
from crowd3d.errors import MissingAsset
from crowd3d.export import (
    write_bvh,
    write_coco,
    write_glb,
    write_mcs,
    write_people_csv,
    write_ply,
    write_release_objs,
    write_rigged_glb,
    write_rrd,
    write_smpl,
    write_usd,
)
from crowd3d.export.rig import Performer, Shot, performers
from crowd3d.export.trajectories import TRAJECTORY_FORMATS, RegularPaths
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.network import body_of
from crowd3d.render.colours import HUES, person_colours
from crowd3d.scene.paths import Sequence, is_sequence_result
from crowd3d.scene.predict_json import write_predict_json
from crowd3d.settings import load_settings
from crowd3d.types import Scene, result_folder

OF_A_SCENE = ("glb", "obj", "ply", "csv", "predict")
OF_MOTION = ("bvh", "smpl", "mcs")
OF_BOTH = ("rigged", "usda", "usdc", *OF_MOTION, "coco", "rrd")
OF_A_SEQUENCE = tuple(TRAJECTORY_FORMATS)
FORMATS = (*OF_A_SCENE, *OF_BOTH, *OF_A_SEQUENCE)
_PHOTOGRAPH_PX = 4096


def rate(text: str) -> float:
    """Frames per second, above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 1000.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames per second")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("scene", type=result_folder, help="folder with scene.npz and scene.json, or with trajectories.csv of a sequence")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        nargs="+",
        default=None,
        help=f"what to write: of a photograph {', '.join(OF_A_SCENE)} (default: glb csv); of both {', '.join(OF_BOTH)}; of a sequence "
        f"{', '.join(OF_A_SEQUENCE)} (default: pedpy)",
    )
    parser.add_argument("--full", action="store_true", help="GLB and PLY with every vertex of the free body (ten times larger files)")
    parser.add_argument("--photograph", type=Path, help="rigged, usda, usdc, rrd: the picture to hang behind the crowd")
    parser.add_argument(
        "--rate", type=rate, help="trajectories, bvh, smpl, mcs: frames per second (default of trajectories: that of the pictures, else 30)"
    )
    parser.add_argument("--output", type=Path, default=None, help="folder to write into (default: the scene's)")


def run(args: argparse.Namespace) -> int:
    """Write the chosen formats and print their paths."""
    if is_sequence_result(args.scene):
        return _run_sequence(args)
    kinds = args.format or ["glb", "csv"]
    if set(kinds) & set(OF_A_SEQUENCE):
        raise MissingAsset(f"{args.scene} is one photograph: {', '.join(OF_A_SEQUENCE)} need the result folder of a sequence")
    scene = Scene.load(args.scene)
    body, shown = _bodies(scene.body, args.full)
    folder = args.output or args.scene
    shots = [Shot(0.0, scene, np.arange(len(scene.people)))]
    for kind in kinds:
        print(_write_shots(kind, args, folder, shots, shown) if kind in OF_BOTH else _write_scene(kind, folder, scene, body, shown))
    return 0


def _bodies(name: str, full: bool) -> tuple[Body, Body]:
    """The body of the betas, and the one to show."""
    body = body_of(name, load_settings())
    return body, body if full or not name.startswith("free") else load_body("free_low")


def _write_scene(kind: str, folder: Path, scene: Scene, body: Body, shown: Body) -> Path:
    colours = person_colours(scene.people)
    if kind == "glb":
        written = folder / "crowd.glb"
        write_glb(written, scene, shown, colours)
    elif kind == "ply":
        written = folder / "crowd.ply"
        write_ply(written, scene, shown, colours)
    elif kind == "csv":
        written = folder / "people.csv"
        write_people_csv(written, scene, body)
    elif kind == "obj":
        written = folder / "extract_mesh"
        write_release_objs(written, Path(scene.image).stem, scene, body)
    else:
        written = folder / "predict.json"
        write_predict_json(written, [scene])
    return written


def _write_shots(kind: str, args: argparse.Namespace, folder: Path, shots: list[Shot], body: Body) -> Path:
    """Formats of one or many pictures."""
    if kind == "coco":
        written = folder / "keypoints_coco.json"
        write_coco(written, [(shot.scene, shot.ids) for shot in shots])
        return written
    people, scene = performers(shots, body), shots[-1].scene
    if kind in OF_MOTION:
        return _write_motion(kind, folder, scene, people, body, args.rate or 30.0)
    colours = person_colours(scene.people) if len(shots) == 1 else HUES[np.arange(len(people)) % len(HUES)]
    picture = None
    if args.photograph is not None:
        image = GigapixelImage(args.photograph)
        picture = image.reduced(max(1.0, max(image.size) / _PHOTOGRAPH_PX))
    if kind == "rrd":
        written = folder / "crowd.rrd"
        write_rrd(written, shots, {person.id: colour for person, colour in zip(people, colours, strict=True)}, body, picture)
    elif kind in ("usda", "usdc"):
        written = folder / f"crowd.{kind}"
        write_usd(written, scene, people, body, colours, picture)
    else:
        written = folder / "crowd_rigged.glb"
        write_rigged_glb(written, scene, people, body, colours, picture)
    return written


def _write_motion(kind: str, folder: Path, scene: Scene, people: list[Performer], body: Body, rate_hz: float) -> Path:
    """Formats with regular frames of everybody's skeleton."""
    if kind == "mcs":
        written = folder / "crowd.mcs"
        write_mcs(written, scene, people, body, rate_hz)
    elif kind == "smpl":
        written = folder / "smpl"
        write_smpl(written, people, body, rate_hz)
    else:
        written = folder / "bvh"
        write_bvh(written, people, rate_hz)
    return written


def _run_sequence(args: argparse.Namespace) -> int:
    sequence = Sequence.load(args.scene)
    kinds = args.format or ["pedpy"]
    wrong = sorted(set(kinds) & set(OF_A_SCENE))
    if wrong:
        raise MissingAsset(f"{args.scene} is a sequence: for {', '.join(wrong)} give one of the folders in {args.scene / 'frames'}")
    folder = args.output or args.scene
    shots = _shots(args.scene, sequence) if set(kinds) & set(OF_BOTH) else []
    paths = RegularPaths.of(sequence, args.rate) if set(kinds) & set(OF_A_SEQUENCE) else None
    for kind in kinds:
        if kind in OF_BOTH:
            print(_write_shots(kind, args, folder, shots, _bodies(shots[0].scene.body, args.full)[1]))
        elif paths is not None:
            name, write = TRAJECTORY_FORMATS[kind]
            write(folder / name, paths)
            print(folder / name)
    return 0


def _shots(folder: Path, sequence: Sequence) -> list[Shot]:
    """All pictures with the people that have an id."""
    shots = []
    for frame, (image, time) in enumerate(zip(sequence.images, sequence.times_s, strict=True)):
        scene = Scene.load(folder / "frames" / Path(image).stem)
        seen = sequence.sightings[sequence.sightings.frame == frame]
        people = scene.people[seen.person]
        shots.append(Shot(float(time), Scene(scene.camera, scene.ground, people, scene.body, scene.image), seen.id))
    return shots
