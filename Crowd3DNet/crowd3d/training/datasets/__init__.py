"""Data sets of the published recipe, synthetic crowds, and mixtures of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crowd3d.errors import MissingAsset
from crowd3d.training.augment import NONE, Augmentation
from crowd3d.training.datasets.agora import AgoraScale
from crowd3d.training.datasets.base import ANNOTATIONS, IMAGES, AnnotatedTiles, Bodies, ReleasedTiles, TileSource
from crowd3d.training.datasets.h36m import H36MScale
from crowd3d.training.datasets.largecrowd import LargeCrowdScale
from crowd3d.training.datasets.mixing import MixedData
from crowd3d.training.datasets.muco import MuCoScale
from crowd3d.training.datasets.synthetic import SyntheticTiles

__all__ = [
    "DATASETS",
    "PUBLISHED_SHARES",
    "SYNTHETIC",
    "AnnotatedTiles",
    "Augmentation",
    "Bodies",
    "MixedData",
    "ReleasedTiles",
    "SyntheticTiles",
    "TileSource",
    "missing_datasets",
    "open_datasets",
]

SYNTHETIC = "synthetic"
RELEASED: dict[str, type[ReleasedTiles]] = {kind.name: kind for kind in (MuCoScale, H36MScale, AgoraScale, LargeCrowdScale)}
DATASETS = (*RELEASED, SYNTHETIC)
"""Names of all data sets."""
PUBLISHED_SHARES = {"muco_scale": 0.2, "h36m_scale": 0.3, "agora_scale": 0.15, "largecrowd_scale": 0.35}
"""Probabilities of the published recipe."""


def missing_datasets(names: Sequence[str], root: Path) -> list[Path]:
    """Folders of the named data sets that are not complete."""
    folders = [Path(root) / name for name in names if name in RELEASED]
    return [folder for folder in folders if not ((folder / ANNOTATIONS).is_file() and (folder / IMAGES).is_dir())]


def open_datasets(
    names: Sequence[str],
    root: Path,
    size: int,
    *,
    bodies: Bodies | None = None,
    augmentation: Augmentation = NONE,
    synthetic_tiles: int = 20_000,
    seed: int = 0,
) -> list[AnnotatedTiles]:
    """The named data sets.

    Args:
        names: of `DATASETS`.
        root: folder of the released training sets.
        size: side of the samples' images in pixels.
        bodies: SMPL bodies for the sets that annotate SMPL parameters.
        augmentation: what `AnnotatedTiles.sample` does.
        synthetic_tiles: tiles that count as one pass over synthetic crowds.
        seed: of the synthetic tiles that indexing gives.

    Raises:
        MissingAsset: a name is unknown, or files are absent; it names all folders that are.
    """
    unknown = [name for name in names if name not in DATASETS]
    if unknown:
        raise MissingAsset(f"no data set {', '.join(unknown)}; choose from {', '.join(DATASETS)}")
    missing = missing_datasets(names, root)
    if missing:
        raise MissingAsset(
            f"training data is missing: {', '.join(map(str, missing))}, each with {ANNOTATIONS} and {IMAGES}/ "
            "(see data/train_data/README.md); dataset=synthetic needs no files"
        )
    bodies = bodies or Bodies()
    return [
        SyntheticTiles(size, synthetic_tiles, seed, augmentation=augmentation)
        if name == SYNTHETIC
        else RELEASED[name](root, size, bodies, augmentation)
        for name in names
    ]
