"""The published recipe: Crowd3DNet learns centres and HVIPs first, then everything, from any mix of data sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from crowd3d.bodies import Body, load_body
from crowd3d.errors import BadConfig
from crowd3d.files import read_json, write_json
from crowd3d.model import Crowd3DNet, Maps, load_network
from crowd3d.model.checkpoints import load_backbone, save_released_checkpoint
from crowd3d.model.configs import read_config
from crowd3d.training.batches import held_out, loader, open_source
from crowd3d.training.config import TrainConfig
from crowd3d.training.datasets import TileSource
from crowd3d.training.distributed import make_fabric, synchronise_batch_norm
from crowd3d.training.loop import BEST_FILE, WEIGHTS_FILE, Loss, fit
from crowd3d.training.numbered import NumberedBatch
from crowd3d.training.recipe import Recipe, milestones
from crowd3d.training.supervision import Batch, PosePriorGmm, supervise
from crowd3d.training.supervision.network_prior import load_network_prior
from crowd3d.training.validation import figures, picture

log = logging.getLogger(__name__)

STAGES = ("foot", "all")
CONFIG_FILE = "config.json"
MAY_CHANGE = {"epoch", "device", "model_precision", "nw", "save_every", "report_every", "validation_tiles"}
"""Keys that a run may be continued with other values of."""
CENTER_START = 0.1
PRESETS = {"compact": ["lr=1.0e-3"]}
"""The published rate is for a pre-trained backbone; the small one has no pre-training and begins with random weights."""
RELEASED_BACKBONES = ("hrnet_w32", "resnet50")


@dataclass(frozen=True)
class Folders:
    """Where things are.

    Attributes:
        configs: ``foot.yml`` and ``all.yml``.
        data: the data sets, ``<name>_scale/`` each.
        log: a folder per run.
        backbone_weights: pre-trained HRNet; may be absent.
        smpl: SMPL's files; may be absent.
    """

    configs: Path
    data: Path
    log: Path
    backbone_weights: Path
    smpl: Path


def train_crowd3dnet(folders: Folders, overrides: Sequence[str], processes_per_node: int = 1) -> Path:
    """Train both stages; goes on where an earlier call was interrupted.

    Args:
        folders: where things are.
        overrides: ``key=value``, for both stages.
        processes_per_node: how many ``torchrun`` started on this machine.

    Returns:
        The best weights of the second stage; with SMPL and a backbone of the release, a file in its format lies beside them.

    Raises:
        BadConfig: a key or value is wrong, or does not fit the run that is continued.
        MissingAsset: a data set or weights are absent or broken.
        TrainingFailed: the loss is no number.
        BadOutput: the folder cannot be written.
    """
    configs = stage_configs(folders.configs, overrides)
    source = open_source(configs[0], folders.data, folders.smpl)
    fabric = make_fabric(configs[0].model_precision, processes_per_node, configs[0].device)
    body = load_body(configs[0].body_name, smpl_folder=folders.smpl)
    prior = load_network_prior(folders.smpl)
    held = held_out(configs[0]) if fabric.is_global_zero else []
    previous: Path | None = None
    for config in configs:
        folder = folders.log / config.run_name
        if fabric.is_global_zero:
            check_continued(folder, config)
        torch.manual_seed(config.seed)
        network = _initial(config, folders, previous)
        train_stage(config, network, source, held, body, prior, folder, fabric)
        previous = folder / WEIGHTS_FILE
        if fabric.is_global_zero and config.backbone in RELEASED_BACKBONES and config.body_kind == "smpl":
            save_released_checkpoint(folder / f"{config.run_name}_epoch_{config.epoch - 1}.pkl", load_network(folder / BEST_FILE)[0])
    return folder / BEST_FILE


def stage_configs(folder: Path, overrides: Sequence[str]) -> list[TrainConfig]:
    """The stages' configurations: the files, then what the backbone needs, then `overrides`."""
    path = folder / f"{STAGES[0]}.yml"
    of_backbone = PRESETS.get(read_config(path, TrainConfig, overrides).backbone, [])
    return [read_config(folder / f"{stage}.yml", TrainConfig, [*of_backbone, *overrides]) for stage in STAGES]


def train_stage(
    config: TrainConfig,
    network: Crowd3DNet,
    source: TileSource,
    held: Sequence[Batch],
    body: Body,
    prior: PosePriorGmm | None,
    folder: Path,
    fabric: Fabric,
) -> None:
    """Train one stage; goes on where an earlier call was interrupted.

    Args:
        config: the stage.
        network: with its first weights.
        source: tiles to train on.
        held: tiles to validate on, used by the first process.
        body: the body that the tiles are labelled with.
        prior: of poses.
        folder: for states, weights and logs.
        fabric: devices and processes.

    Raises:
        Crowd3DError: see `crowd3d.training.loop.fit`.
    """
    if config.new_training_epoch >= config.epoch:
        log.info("only centres are taught: epoch=%d is not above new_training_epoch=%d", config.epoch, config.new_training_epoch)
    synchronise_batch_norm(network, fabric)
    share = config.batch_size * config.accumulate * fabric.world_size
    steps_per_epoch = config.steps_per_epoch or max(len(source) // share, 1)
    recipe = Recipe(
        steps=config.epoch * steps_per_epoch,
        learning_rate=config.lr,
        schedule=milestones(config.milestones, steps_per_epoch),
        weight_decay=0.0,
        clip_norm=float("inf"),
        average_decay=0.0,
        accumulate=config.accumulate,
        validate_every=steps_per_epoch,
        save_every=config.save_every,
        report_every=config.report_every,
        best_by="score",
        half=False,
    )
    fit(
        network,
        loader(source, config.batch_size, config.nw, config.seed, fabric),
        stage_loss(config, steps_per_epoch * config.accumulate, body, prior, fabric),
        lambda network: figures(network, held, body, config.centermap_conf_thresh),
        recipe,
        folder,
        {
            "network": "crowd3dnet",
            "backbone": config.backbone,
            "body": config.body_kind,
            "tile_px": str(config.tile_px),
            "stage": config.tab,
        },
        fabric=fabric,
        draw=lambda network: picture(network, held[0], config.centermap_conf_thresh),
    )


def stage_loss(config: TrainConfig, batches_per_epoch: int, body: Body, prior: PosePriorGmm | None, fabric: Fabric) -> Loss:
    """Loss of a numbered batch; the number tells whether only centres are taught yet."""

    def averaged(value: Tensor) -> Tensor:
        return fabric.all_reduce(value, reduce_op="mean")  # type: ignore[return-value]

    def loss(network: nn.Module, numbered: NumberedBatch) -> dict[str, Tensor]:
        number, batch = numbered
        batch = batch.to(fabric.device)
        views = batch.views
        maps: Maps = network(batch.images.float(), views.camera_inputs, views.ground_inputs)
        terms = supervise(
            maps,
            batch,
            body,
            config.loss_weights,
            prior,
            threshold=config.centermap_conf_thresh,
            centers_only=number // batches_per_epoch < config.new_training_epoch,
            averaged=averaged,
        )
        # Gradients of processes are exchanged when each parameter has one: heads that are not taught have gradient 0.
        untaught = 0.0 * (maps.params_maps.sum() + maps.center_map.sum())
        return {name: term + untaught if index == 0 else term for index, (name, term) in enumerate(terms.items())}

    return loss


def _initial(config: TrainConfig, folders: Folders, start: Path | None) -> Crowd3DNet:
    """The network that a stage begins with."""
    if start is not None:
        return load_network(start)[0].train()
    network = Crowd3DNet(config.backbone)
    if config.backbone == "hrnet_w32" and folders.backbone_weights.is_file():
        network.apply(_published_start)
        load_backbone(network, folders.backbone_weights)
        log.info("backbone: %s", folders.backbone_weights)
    else:
        careful_start(network)
        log.info("backbone: random weights%s", f", there is no {folders.backbone_weights}" if config.backbone == "hrnet_w32" else "")
    return network.train()


def careful_start(network: Crowd3DNet) -> None:
    """Every cell is a centre with confidence 0.1: from random values the focal loss begins far above its cap and hardly moves."""
    last = cast(nn.Conv2d, cast(nn.Sequential, network.final_layers["2"])[2])
    nn.init.normal_(last.weight, std=0.01)
    nn.init.constant_(cast(Tensor, last.bias), CENTER_START)


def _published_start(module: nn.Module) -> None:
    """Small convolutions; linear layers and batch normalisation keep torch's start."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.001)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_continued(folder: Path, config: TrainConfig) -> None:
    """Write the configuration of a run, or check that it is that of the run which is continued."""
    path = folder / CONFIG_FILE
    chosen: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    if path.is_file():
        try:
            before = dict(read_json(path))
        except (OSError, ValueError, TypeError) as error:
            raise BadConfig(f"cannot read {path}: {error}; delete it to go on with the settings that are given now") from error
        changed = [key for key in chosen if key not in MAY_CHANGE and chosen[key] != before.get(key)]
        if changed:
            was = ", ".join(f"{key}={before.get(key)}" for key in changed)
            raise BadConfig(f"{folder} holds a run with {was}; continue it with that, give another name with tag=NAME, or delete it")
    write_json(path, chosen)
