"""Fine-tuning of released weights on a photograph or a scene, kept under the release's names."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from crowd3d.files import atomic_path, file_digest
from crowd3d.model.checkpoints import read_released_checkpoint, save_released_checkpoint
from crowd3d.model.configs import read_config
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.network import NetworkChoice

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


def tuned_network(choice: NetworkChoice, tab: str, mid: MidFolder, tuning: Tuning) -> NetworkChoice:
    """Released weights, tuned to the people that `process` found; done before with the same inputs, they are kept.

    Args:
        choice: weights in the release's format.
        tab: name of the photograph, or ``optim_<scene>_ground``.
        mid: tiles and keypoints, camera and ground.
        tuning: how long and with which weights of the losses.

    Raises:
        BadConfig: the configuration is broken.
        MissingAsset: tiles or keypoints are.
        TrainingFailed: the loss is no number.
        BadOutput: the folder cannot be written.
    """
    # Only who asks for the fine-tuning pays for the code that teaches.
    from crowd3d.training.supervision.network_prior import load_network_prior
    from crowd3d.tuning import FineTuningConfig, FineTuningData, fine_tune

    config = replace(read_config(tuning.config, FineTuningConfig), epoch=tuning.epochs, batch_size=tuning.batch_size)
    tag = f"hrnet_cm64_{tab}"
    folder = tuning.checkpoints / f"{tag}_on_gpu0,1_val"
    path = folder / f"{tag}_epoch_{config.epoch - 1}.pkl"
    files = [mid.optimisation_annotations, *(mid.ground / f"{name}.npy" for name in ("ground", "cam_para", "scene_shape"))]
    facts = [choice.fingerprint(), [file_digest(file) for file in files], repr(config)]
    key = hashlib.blake2b(json.dumps(facts).encode(), digest_size=12).hexdigest()
    record = folder / "tuned_with.txt"
    if path.is_file() and record.is_file() and record.read_text(encoding="utf-8") == key:
        log.info("fine-tuned before, kept: %s", path)
        return replace(choice, path=path)
    checkpoint = read_released_checkpoint(choice.path)
    network = checkpoint.build()
    data = FineTuningData(mid.optimisation_annotations, mid.tiles, mid.ground)
    if len(data) == 0:
        log.warning("nobody stands completely in a tile: the weights are used as they are")
        return choice
    fine_tune(network, data, choice.body(detailed=False), load_network_prior(choice.smpl_folder), config, folder, key)
    save_released_checkpoint(path, network, checkpoint.smpl)
    with atomic_path(record) as temporary:
        temporary.write_text(key, encoding="utf-8")
    return replace(choice, path=path)
