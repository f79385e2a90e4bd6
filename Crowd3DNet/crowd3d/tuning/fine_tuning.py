"""Fine-tuning Crowd3DNet on one scene, with 2D keypoints and the ground as the only supervision (``layer1_gc`` of the release).

Head 1 and the two embeddings learn: 187,017 numbers of HRNet-W32. Everything before them is frozen and in eval mode, so that backbone
features and the maps of the other heads are the same in every step: they are computed once. Colours are not varied for that reason.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from crowd3d.bodies import Body
from crowd3d.errors import BadConfig, TrainingFailed
from crowd3d.model import Crowd3DNet, Maps, Places
from crowd3d.model.checkpoints import load_state, save_state
from crowd3d.progress import progress_bar
from crowd3d.training.supervision import Batch, LossWeights, PosePriorGmm, Sample, collate, supervise

log = logging.getLogger(__name__)

TUNED = ("final_layers.1.", "cams_layers.", "ground_layers.")
FROZEN_BATCH = 8
MEMORY_BYTES = 3 << 30
"""Features that need more than this are kept in a file."""


@dataclass(frozen=True)
class FineTuningConfig:
    """How to fine-tune; the values are those of ``configs/optim/*.yml``.

    Attributes:
        epoch: passes over the tiles.
        batch_size: tiles per step; fewer where there are fewer, and in the last step of an epoch.
        lr: rate of Adam, times 0.1 when each of the epochs `milestones` begins.
        centermap_conf_thresh: score above which a cell is a predicted centre.
        seed: of the order of the tiles.
        save_every: epochs between states that an interrupted run goes on from.
        loss_weights: weights of the terms.
    """

    epoch: int = 100
    batch_size: int = 64
    lr: float = 5e-5
    milestones: tuple[int, ...] = (50, 65)
    centermap_conf_thresh: float = 0.2
    seed: int = 0
    save_every: int = 10
    loss_weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in ("epoch", "batch_size", "save_every"):
            if getattr(self, name) < 1:
                raise BadConfig(f"fine-tuning with {name} {getattr(self, name)}; choose at least 1")

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch."""
        return self.lr * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)


class Samples(Protocol):
    """Tiles with their keypoints, in any number."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """One of them; the same every time."""
        ...


class FrozenTiles(NamedTuple):
    """What n tiles keep while the network is tuned.

    Attributes:
        features: (n, C, S/4, S/4) float32 backbone features, in memory or in a file.
        places: maps of heads 2 to 4.
        labels: everything of the tiles but their images.
    """

    features: np.ndarray
    places: Places
    labels: Batch

    def batch(self, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Places, Batch]:
        """Features, places and labels of some tiles."""
        index = torch.from_numpy(rows)
        places = Places(*(maps[index].to(device) for maps in self.places))
        labels = Batch(*(tensor[index] for tensor in self.labels)).to(device)
        return torch.from_numpy(self.features[rows]).to(device), places, labels


def tuned_parameters(network: Crowd3DNet) -> dict[str, nn.Parameter]:
    """Name → parameter of what fine-tuning changes; head 1 is put into train mode, everything else frozen in eval mode."""
    network.eval()
    network.final_layers["1"].train()
    chosen: dict[str, nn.Parameter] = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(TUNED))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


@torch.no_grad()
def freeze(network: Crowd3DNet, samples: Samples, folder: Path) -> FrozenTiles:
    """Compute what stays constant, in batches of `FROZEN_BATCH` tiles; large features go to ``folder/features.npy``."""
    device = next(network.parameters()).device
    features: np.ndarray | None = None
    places: list[Places] = []
    labels: list[Batch] = []
    for start in progress_bar(range(0, len(samples), FROZEN_BATCH), desc="features", unit="batch", disable=None):
        batch = collate([samples[index] for index in range(start, min(start + FROZEN_BATCH, len(samples)))])
        found = network.features(batch.images.to(device).float())
        if features is None:
            features = _room((len(samples), *found.shape[1:]), folder)
        features[start : start + len(found)] = found.cpu().numpy()
        places.append(Places(*(maps.cpu() for maps in network.places(found))))
        labels.append(batch._replace(images=batch.images[:, :0]))
    if features is None:
        raise BadConfig("fine-tuning needs at least one tile with people")
    joined = Places(*(torch.cat(maps) for maps in zip(*places, strict=True)))
    return FrozenTiles(features, joined, Batch(*(torch.cat(tensors) for tensors in zip(*labels, strict=True))))


def _room(shape: tuple[int, ...], folder: Path) -> np.ndarray:
    if 4 * np.prod(shape) < MEMORY_BYTES:
        return np.empty(shape, np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, shape)


def epoch_rows(tiles: int, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Rows of the batches of an epoch: every tile once, in an order that depends on seed and epoch only."""
    order = np.random.default_rng([seed, epoch]).permutation(tiles)
    for start in range(0, tiles, batch_size):
        yield order[start : start + batch_size]


def fine_tune(
    network: Crowd3DNet, samples: Samples, body: Body, prior: PosePriorGmm | None, config: FineTuningConfig, folder: Path, key: str
) -> None:
    """Tune `network`, in place, to the people of one scene; it is in eval mode afterwards.

    A state is kept in ``folder/state.pt``; a second call with the same `key` goes on from there, or has nothing to do.

    Args:
        network: weights to start from.
        samples: tiles with keypoints.
        body: the body that the network's betas belong to.
        prior: of poses, see `crowd3d.training.supervision.network_prior`.
        config: length, rate, weights.
        folder: for state and, if they are large, features.
        key: says with which weights, tiles and ground.

    Raises:
        BadConfig: no tile.
        MissingAsset: the state is broken.
        TrainingFailed: the loss is no number; the last state is kept.
        BadOutput: the folder cannot be written; the last state is kept.
    """
    parameters = tuned_parameters(network)
    optimizer = torch.optim.Adam(parameters.values(), lr=config.lr)
    first = _resume(folder, key, network, optimizer)
    if first < config.epoch:
        frozen = freeze(network, samples, folder)
        bar = progress_bar(range(first, config.epoch), desc="fine-tuning", unit="epoch", disable=None)
        for epoch in bar:
            mean = tune_epoch(network, frozen, body, prior, config, optimizer, epoch)
            if not np.isfinite(mean):
                raise TrainingFailed(f"loss of the fine-tuning became {mean} in epoch {epoch}; go without: --optimise people or none")
            bar.set_postfix(loss=f"{mean:.2f}")
            if epoch == first:
                log.info("fine-tuning %d tiles: loss %.2f in epoch %d", len(samples), mean, epoch)
            if (epoch + 1) % config.save_every == 0 or epoch + 1 == config.epoch:
                _save(folder, key, network, optimizer, epoch + 1)
        log.info("fine-tuned: loss %.2f in epoch %d", mean, epoch)
        (folder / "features.npy").unlink(missing_ok=True)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    network.eval()


def tune_epoch(
    network: Crowd3DNet,
    frozen: FrozenTiles,
    body: Body,
    prior: PosePriorGmm | None,
    config: FineTuningConfig,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> float:
    """One pass over all tiles; returns the mean loss."""
    device = next(network.parameters()).device
    tiles = len(frozen.features)
    for group in optimizer.param_groups:
        group["lr"] = config.rate(epoch)
    total = torch.zeros((), device=device)
    for rows in epoch_rows(tiles, config.batch_size, config.seed, epoch):
        features, places, labels = frozen.batch(rows, device)
        views = labels.views
        maps = network.with_bodies(features, places, views.camera_inputs, views.ground_inputs)
        total += len(rows) / tiles * tune_step(maps, labels, body, prior, config, optimizer)
    return float(total)


def tune_step(
    maps: Maps, labels: Batch, body: Body, prior: PosePriorGmm | None, config: FineTuningConfig, optimizer: torch.optim.Optimizer
) -> Tensor:
    """One step of the optimiser on the maps of a batch; returns the loss."""
    terms = supervise(maps, labels, body, config.loss_weights, prior, threshold=config.centermap_conf_thresh)
    loss = torch.stack(list(terms.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def _tuned_state(network: Crowd3DNet) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if name.startswith(TUNED)}


def _save(folder: Path, key: str, network: Crowd3DNet, optimizer: torch.optim.Optimizer, epochs: int) -> None:
    content = {"key": key, "epochs": epochs, "network": _tuned_state(network), "optimizer": optimizer.state_dict()}
    save_state(folder / "state.pt", content)


def _resume(folder: Path, key: str, network: Crowd3DNet, optimizer: torch.optim.Optimizer) -> int:
    """Epochs done; 0 without a state, or with one of something else."""
    path = folder / "state.pt"
    if not path.is_file():
        return 0
    content = load_state(path, next(network.parameters()).device)
    if content.get("key") != key:
        return 0
    network.load_state_dict({**network.state_dict(), **content["network"]})
    optimizer.load_state_dict(content["optimizer"])
    log.info("fine-tuning goes on after epoch %d", content["epochs"])
    return int(content["epochs"])
