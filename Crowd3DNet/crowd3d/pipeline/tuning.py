"""Fine-tuning of released weights on a photograph or a scene, kept under the release's names."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.model.configs import read_config
from crowd3d.model.engines import choose_device
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.network import NetworkChoice
from crowd3d.pipeline.stages import Owner, Run, Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    """The user's choice.

    Attributes:
        epochs: passes over the tiles.
        batch_size: tiles per step.
        config: ``optim_single_image.yml`` or ``optim.yml``.
        checkpoints: folder that a folder per photograph or scene goes to.
    """

    epochs: int
    batch_size: int
    config: Path
    checkpoints: Path


def tuned_network(
    choice: NetworkChoice, tab: str, mid: MidFolder, world: tuple[Camera, GroundPlane], tuning: Tuning
) -> NetworkChoice:
    """Released weights, tuned to the people that `process` found; done before with the same inputs, they are kept.

    Args:
        choice: weights in the release's format.
        tab: name of the photograph, or ``optim_<scene>_ground``.
        mid: tiles and keypoints.
        world: camera and ground.
        tuning: how long and with which weights of the losses.

    Raises:
        BadConfig: the configuration is broken.
        MissingAsset: tiles or keypoints are.
        TrainingFailed: the loss is no number.
        BadOutput: the folder cannot be written, or another run works in it.
    """
    # Only who asks for the fine-tuning pays for the code that teaches.
    from crowd3d.model.checkpoints import read_released_checkpoint, save_released_checkpoint
    from crowd3d.training.supervision.network_prior import load_network_prior
    from crowd3d.tuning import FineTuningConfig, FineTuningData, fine_tune

    config = replace(read_config(tuning.config, FineTuningConfig), epoch=tuning.epochs, batch_size=tuning.batch_size)
    tag = f"hrnet_cm64_{tab}"
    folder = tuning.checkpoints / f"{tag}_on_gpu0,1_val"
    path = folder / f"{tag}_epoch_{config.epoch - 1}.pkl"
    values = {
        "weights": choice.fingerprint(),
        "config": repr(config),
        "camera": asdict(world[0]),
        "ground": world[1].coefficients.tolist(),
    }
    stage = Stage("fine-tuning", 1, [mid.optimisation_annotations, mid.tiles], values, [path])
    data = FineTuningData(mid.optimisation_annotations, mid.tiles, *world)
    if len(data) == 0:
        log.warning("nobody stands completely in a tile: the weights are used as they are")
        return choice

    def tune() -> None:
        checkpoint = read_released_checkpoint(choice.path)
        device = choose_device(choice.engines.device)
        # The losses are computed in float64, which MPS has not.
        network = checkpoint.build().to("cpu" if device == "mps" else device)
        fine_tune(network, data, choice.body(detailed=False), load_network_prior(choice.smpl_folder), config, folder, stage.key())
        save_released_checkpoint(path, network.cpu(), checkpoint.smpl)

    with Run(folder, Owner(os.path.abspath(mid.root))) as run:
        run.do(stage, tune)
    return replace(choice, path=path)
