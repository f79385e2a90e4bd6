"""The Crowd3DNet that a user chose, and the body that its people have. Nothing is imported or read before it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from crowd3d.bodies.assets import load_body
from crowd3d.bodies.body import Body
from crowd3d.bodies.smpl_files import find_smpl
from crowd3d.errors import MissingAsset
from crowd3d.files import weights_digest
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import Engine
from crowd3d.model.place_maps import TILE_PX
from crowd3d.pipeline.weights import chosen_weights
from crowd3d.settings import Settings

if TYPE_CHECKING:
    from crowd3d.model import Crowd3DNet

RELEASE_SUFFIX = ".pkl"
RELEASED_BODY = "smpl_neutral"
INFERENCE_THRESHOLD = 0.25
"""Of the release: score above which a cell is a person's centre."""


@dataclass(frozen=True)
class InferenceConfig:
    """How the network is run; the values are those of ``configs/inference/*.yml``.

    Attributes:
        centermap_conf_thresh: score above which a cell is a person's centre.
        val_batch_size: at most so many tiles per batch.
    """

    centermap_conf_thresh: float = INFERENCE_THRESHOLD
    val_batch_size: int = 128


@dataclass(frozen=True)
class NetworkChoice:
    """The Crowd3DNet that the user chose, whose people are the result, and the body that its betas belong to.

    Attributes:
        path: weights.
        released: true for a file in the release's format, made for SMPL; false for one trained here, made for the free body.
        smpl_folder: folder of the official SMPL files.
        engines: what runs it.
    """

    path: Path
    released: bool
    smpl_folder: Path | None
    engines: Engines = AUTO

    @classmethod
    def of(cls, path: Path, smpl_folder: Path | None, engines: Engines = AUTO) -> NetworkChoice:
        """From a file of weights.

        Raises:
            MissingAsset: it is not there.
        """
        if not path.is_file():
            raise MissingAsset(f"no weights at {path}; choose another file with --weights")
        return cls(path, path.suffix == RELEASE_SUFFIX, smpl_folder, engines)

    @property
    def tile_px(self) -> int:
        """Side to which tiles are resized."""
        if self.released:
            return RELEASE_TILE_PX
        from crowd3d.model import load_weights

        return int(load_weights(self.path)[1].get("tile_px", TILE_PX))

    @property
    def body_name(self) -> str:
        """Name of the body that the result's betas belong to."""
        return RELEASED_BODY if self.released else "free"

    def fingerprint(self) -> str:
        """Digest of the weights."""
        return weights_digest(self.path)

    def key(self) -> list[str]:
        """Changes whenever results may: weights, and what runs them."""
        return [self.fingerprint(), self.engines.name, self.engines.device]

    @cached_property
    def ready(self) -> Engine:
        """The network prepared to run, once for all photographs: compiling takes seconds."""
        import torch

        from crowd3d.model import make_engine

        size = self.tile_px
        inputs = [torch.zeros(2, size, size, 3), torch.zeros(2, 3), torch.zeros(2, 4)]
        return make_engine(self.load(), inputs, self.engines.name, device=self.engines.device)

    def load(self) -> Crowd3DNet:
        """The network, in eval mode."""
        from crowd3d.model.checkpoints import load_network, read_released_checkpoint

        return read_released_checkpoint(self.path).build() if self.released else load_network(self.path)[0]

    def body(self, *, detailed: bool) -> Body:
        """Body of the betas; the free one exists in two levels of detail."""
        if not self.released:
            return load_body("free" if detailed else "free_low")
        from crowd3d.model.checkpoints import read_released_checkpoint

        checkpoint = read_released_checkpoint(self.path)
        if not checkpoint.smpl:
            return load_body("smpl", smpl_folder=self.smpl_folder)
        return Body.from_arrays(checkpoint.body_arrays(), RELEASED_BODY)


def check_tunable(choice: NetworkChoice | None) -> None:
    """Raises: MissingAsset: these weights are not of the kind that is fine-tuned to a photograph."""
    if choice is None or not choice.released:
        raise MissingAsset("--optimise network fine-tunes the release's weights; give some (--weights), or choose people, all or none")


def result_body(choice: NetworkChoice | None, *, detailed: bool) -> Body:
    """The body of the result: the network's, or without a network the lifter's, which is the free one."""
    return load_body("free" if detailed else "free_low") if choice is None else choice.body(detailed=detailed)


def body_of(name: str, settings: Settings) -> Body:
    """The body of a result by its name; SMPL's, where its files are absent, as the released weights carry it.

    Raises:
        MissingAsset: it is not there or not usable.
    """
    weights = chosen_weights(None, settings)
    released = name == RELEASED_BODY and weights is not None and weights.suffix == RELEASE_SUFFIX
    if weights is not None and released and find_smpl(settings.smpl_model_root, "neutral") is None:
        return NetworkChoice.of(weights, settings.smpl_model_root).body(detailed=True)
    return load_body(name, smpl_folder=settings.smpl_model_root)
