"""Which weights a run uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import MissingAsset
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
