"""Which weights a run uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import MissingAsset
from crowd3d.model.compiled import Engines
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.photo_models import photo_models
from crowd3d.pose.backends import Assets
from crowd3d.settings import Settings


@dataclass(frozen=True)
class DefaultWeights:
    """The shipped networks: detector (Crowd3DNet with the compact backbone), keypoint network, lifter."""

    detector: Path
    keypoints: Path
    lifter: Path

    @classmethod
    def shipped(cls, settings: Settings) -> DefaultWeights:
        """Those of ``Crowd3DNet/pretrained/``.

        Raises:
            MissingAsset: one of them is not there.
        """
        root = settings.pretrained_root
        weights = cls(*(root / f"{name}.safetensors" for name in ("crowd3dnet_compact", "keypoints", "lifter")))
        for path in (weights.detector, weights.keypoints, weights.lifter):
            if not path.is_file():
                raise MissingAsset(f"weights {path} are missing; restore them with `git checkout` or train them: crowd3d train default")
        return weights

    def fingerprint(self) -> list[list[int | str]]:
        """Names, sizes and times of the files: enough to notice that weights were replaced."""
        paths = (self.detector, self.keypoints, self.lifter)
        return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def pose_assets(settings: Settings, engine: EngineName = "auto", keypoint_file: Path | None = None) -> Assets:
    """What 2D pose backends can be made of on this machine."""
    root = settings.pretrained_root
    fetched = photo_models(settings.models_folder)
    return Assets(
        detector=root / "crowd3dnet_compact.safetensors",
        keypoints=root / "keypoints.safetensors",
        finder=None if fetched is None else fetched.finder,
        movenet=None if fetched is None else fetched.keypoints,
        engines=Engines(engine, settings.models_folder / "compiled"),
        alphapose_root=settings.alphapose_root,
        alphapose_python=settings.alphapose_python,
        keypoint_file=keypoint_file,
    )
