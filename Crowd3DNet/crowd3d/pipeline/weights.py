"""Which weights a run uses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crowd3d.errors import MissingAsset
from crowd3d.files import weights_digest
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.photo_models import photo_models
from crowd3d.pose.backends import Assets
from crowd3d.scene.placing import Lift, load_lifter
from crowd3d.settings import Settings

SHIPPED = ("crowd3dnet_compact", "keypoints", "lifter")
"""Names of the shipped networks' files without their ending."""


@dataclass(frozen=True)
class DefaultWeights:
    """The shipped networks: detector (Crowd3DNet with the compact backbone), keypoint network, lifter."""

    detector: Path
    keypoints: Path
    lifter: Path
    engines: Engines = AUTO

    @classmethod
    def shipped(cls, settings: Settings, engine: EngineName = "auto", device: str = "auto") -> DefaultWeights:
        """Those of ``Crowd3DNet/pretrained/``, and what runs them.

        Raises:
            MissingAsset: one of them is not there.
        """
        root = settings.pretrained_root
        detector, keypoints, lifter = (root / f"{name}.safetensors" for name in SHIPPED)
        weights = cls(detector, keypoints, lifter, kept_engines(settings, engine, device))
        for path in (weights.detector, weights.keypoints, weights.lifter):
            if not path.is_file():
                raise MissingAsset(f"weights {path} are missing; restore them with `git checkout` or train them: crowd3d train default")
        return weights

    @cached_property
    def loaded_lifter(self) -> Lift:
        """The lifter, loaded once."""
        return load_lifter(self.lifter, self.engines)

    @property
    def lifter_digest(self) -> str:
        """Of the only one of them that the second half uses."""
        return weights_digest(self.lifter)

    def lifter_key(self) -> list[str]:
        """Changes whenever its results may: weights, and what runs them."""
        return [self.lifter_digest, self.engines.name, self.engines.device]


def chosen_weights(given: Path | None, settings: Settings) -> Path | None:
    """The user's weights, else the released ones if they are there, else None for the shipped estimator."""
    return given or settings.crowd3dnet_weights or (settings.released_weights if settings.released_weights.is_file() else None)


def kept_engines(settings: Settings, engine: EngineName, device: str) -> Engines:
    """What runs the networks; compiled ones are kept in the user's cache folder."""
    return Engines(engine, settings.models_folder / "compiled", device)


def pose_assets(settings: Settings, engine: EngineName = "auto", keypoint_file: Path | None = None, device: str = "auto") -> Assets:
    """What 2D pose backends can be made of on this machine."""
    root = settings.pretrained_root
    fetched = photo_models(settings.models_folder)
    return Assets(
        detector=root / "crowd3dnet_compact.safetensors",
        keypoints=root / "keypoints.safetensors",
        finder=None if fetched is None else fetched.finder,
        movenet=None if fetched is None else fetched.keypoints,
        engines=kept_engines(settings, engine, device),
        alphapose_root=settings.alphapose_root,
        alphapose_python=settings.alphapose_python,
        keypoint_file=keypoint_file,
    )
