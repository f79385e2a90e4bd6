"""Where a copy of the LargeCrowd data set keeps its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crowd3d.errors import MissingAsset

SPLITS = ("train", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class LargeCrowdFolder:
    """A copy of the data set: scenes of one static camera each, with several pictures (frames).

    Attributes:
        root: the folder that holds ``images``, ``annotations`` and ``params``.
        split: ``train`` or ``test``.
    """

    root: Path
    split: str = "test"

    @property
    def images(self) -> Path:
        """One folder per scene with ``<scene>_<6 digits>.jpg``."""
        return self.root / "images" / self.split

    @property
    def annotations(self) -> Path:
        """``<scene>.json``: everybody in every picture."""
        return self.root / "annotations" / self.split

    def annotation(self, scene: str) -> Path:
        """Everybody in the pictures of a scene."""
        return self.annotations / f"{scene}.json"

    def params(self, scene: str) -> Path:
        """Camera and ground planes of a scene; masks of planes lie beside it."""
        return self.root / "params" / self.split / f"{scene}.json"

    def truth(self, scene: str, frame: str) -> Path:
        """The exact truth about a synthetic picture; the real data set has none."""
        return self.root / "truth" / self.split / scene / f"{frame}.npz"

    def scenes(self, wanted: Sequence[str] = ()) -> list[str]:
        """Names of the scenes that have pictures, or those of them that are wanted.

        Raises:
            MissingAsset: there are none, or a wanted one is not there.
        """
        there = sorted(path.name for path in self.images.iterdir() if path.is_dir()) if self.images.is_dir() else []
        if not there:
            raise MissingAsset(
                f"no LargeCrowd images in {self.images}; put them there as <scene>/<scene>_<6 digits>.jpg, "
                f"or make some: crowd3d synthesize --format largecrowd --output {self.root}"
            )
        for scene in wanted:
            if scene not in there:
                raise MissingAsset(f"no scene {scene!r} in {self.images}; choose from {', '.join(there)}")
        return list(wanted) or there

    def frames(self, scene: str) -> list[Path]:
        """The pictures of a scene, by name.

        Raises:
            MissingAsset: there are none.
        """
        folder = self.images / scene
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))
        if not found:
            raise MissingAsset(f"no images in {folder}; put them there as {scene}_<6 digits>.jpg")
        return found
