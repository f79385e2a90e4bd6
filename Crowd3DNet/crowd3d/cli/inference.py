"""``single_image/inference.py`` and ``crowd3d infer``: processed photograph → everybody's body in one metric world."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import get_args

from crowd3d.bodies import load_body
from crowd3d.cli.camera import add_camera_arguments, check_camera_arguments, known_of
from crowd3d.cli.process import add_image_arguments, mid_folder
from crowd3d.cli.run import run_cli
from crowd3d.imaging import GigapixelImage
from crowd3d.model.compiled import Engines
from crowd3d.model.configs import read_config
from crowd3d.model.engines import chosen_engine
from crowd3d.pipeline.folders import ResultFolder
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.network import InferenceConfig, NetworkChoice
from crowd3d.pipeline.optimise import OptimiseChoice
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.stages import own_folder, owner_of
from crowd3d.pipeline.tuning import Tuning
from crowd3d.pipeline.weights import DefaultWeights, chosen_weights
from crowd3d.settings import Settings, load_settings

log = logging.getLogger(__name__)

TUNE = "network"
LARGEST_BATCH = 32
"""More tiles at once only cost memory."""
BATCH_HELP = f"at most so many tiles per batch; more than {LARGEST_BATCH} are not taken at once (default: {LARGEST_BATCH})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_image_arguments(parser)
    add_result_arguments(parser)


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the second half alone."""
    parser.add_argument("--save_res_folder", type=Path, help="results go to NAME/ in it (default: single_image/single_image_res)")
    parser.add_argument(
        "--weights",
        type=Path,
        help="Crowd3DNet: base_69.pkl, a per-scene epoch_N.pkl or safetensors "
        "(default: Crowd3DNet/pretrained/base_69.pkl if it is there, else the shipped estimator)",
    )
    add_tuning_arguments(parser, epochs=100)
    parser.add_argument("--inference_batch_size", type=int, help=BATCH_HELP)
    add_optimise_argument(parser)
    parser.add_argument("--before_after", action="store_true", help="also draw the scene before the optimisation, into lifted/")
    parser.add_argument("--render_with_hvip", action="store_true", help="mark everybody's HVIP in the overlay")
    parser.add_argument("--blur_faces", action="store_true", help="make the heads of everybody found unrecognisable in the pictures")
    parser.add_argument("--renderer", choices=["builtin", "pytorch3d"], default=InferOptions.renderer, help="what draws the bodies")
    parser.add_argument("--save_mesh", action="store_true", help="write the release's OBJ files into extract_mesh/")
    parser.add_argument("--save_mesh_mode", choices=["single", "multi", "all"], default="all", help="which of them")
    add_camera_arguments(parser)


def add_tuning_arguments(parser: argparse.ArgumentParser, epochs: int) -> None:
    """How ``--optimise network`` fine-tunes Crowd3DNet to a photograph or scene."""
    parser.add_argument("--optim_epoch", type=int, default=epochs, help="epochs of the fine-tuning (--optimise network)")
    parser.add_argument("--optim_batch_size", type=int, default=64, help="tiles per step of the fine-tuning")


def chosen_optimisation(args: argparse.Namespace) -> OptimiseChoice:
    """What is optimised after the network has looked; nothing when the network itself is tuned."""
    return "none" if args.optimise == TUNE else args.optimise


def chosen_tuning(args: argparse.Namespace, settings: Settings, config: str) -> Tuning | None:
    """The fine-tuning that the arguments ask for."""
    if args.optimise != TUNE:
        return None
    return Tuning(args.optim_epoch, args.optim_batch_size, settings.configs_root / "optim" / config, settings.checkpoints_root)


def add_optimise_argument(parser: argparse.ArgumentParser) -> None:
    """What to optimise after lifting."""
    parser.add_argument(
        "--optimise",
        choices=[*get_args(OptimiseChoice), TUNE],
        default=InferOptions.optimise,
        help="make people, or all of people, camera and ground, agree with the keypoints; network: fine-tune Crowd3DNet to the scene, "
        "as the release does; auto: people if the keypoints come from another backend, nothing with the embedded networks'",
    )


def chosen_network(given: Path | None, settings: Settings, args: argparse.Namespace) -> NetworkChoice | None:
    """The network that the arguments ask for.

    Raises:
        MissingAsset: there are no such weights.
        BadConfig: it cannot run as the user wants.
    """
    chosen_engine(args.engine, args.device)
    path = chosen_weights(given, settings)
    log.info("weights: %s", path or "shipped default estimator")
    return None if path is None else NetworkChoice.of(path, settings.smpl_model_root, Engines(args.engine, device=args.device))


def run(args: argparse.Namespace) -> int:
    """Reconstruct the photograph."""
    check_camera_arguments(args, args.scene_image_path.name)
    infer_image(args, GigapixelImage(args.scene_image_path))
    return 0


def prepare() -> None:
    """Import what the second half needs, load its compiled code and the shipped bodies: a second that needs nothing of the first half."""
    from crowd3d.raster import load_kernels

    import_module("crowd3d.pipeline.infer")
    load_kernels()
    for body in ("free", "free_low"):
        load_body(body)


def infer_image(args: argparse.Namespace, image: GigapixelImage) -> None:
    """The second half, by the arguments."""
    from crowd3d.pipeline.infer import infer

    settings = load_settings()
    mid = mid_folder(args, settings, image)
    results = ResultFolder(own_folder(args.save_res_folder or settings.single_image_res_root, image.path.stem, owner_of(image)))
    known = known_of(args, image.size, image.path.name)
    infer(image, mid, results, infer_options(args, settings, known))
    print(results.root)


def infer_options(args: argparse.Namespace, settings: Settings, known: Known) -> InferOptions:
    """The user's choices."""
    from crowd3d.raster import find_renderer

    config = read_config(settings.configs_root / "inference" / "single_scene_image.yml", InferenceConfig)
    find_renderer(args.renderer)
    return InferOptions(
        weights=DefaultWeights.shipped(settings, args.engine, args.device),
        network=chosen_network(args.weights, settings, args),
        known=known,
        batch_size=min(args.inference_batch_size or config.val_batch_size, LARGEST_BATCH),
        threshold=config.centermap_conf_thresh,
        optimise=chosen_optimisation(args),
        before_after=args.before_after,
        with_hvip=args.render_with_hvip,
        blur_faces=args.blur_faces,
        renderer=args.renderer,
        tuning=chosen_tuning(args, settings, "optim_single_image.yml"),
        mesh_mode=args.save_mesh_mode if args.save_mesh else None,
        overwrite=args.overwrite,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_cli(add_arguments, run, argv, "inference.py", "Processed photograph to everybody's body in one metric world.")
