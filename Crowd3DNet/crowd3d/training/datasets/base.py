"""What the training's data sets have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset

from crowd3d.bodies import Body, load_body
from crowd3d.errors import BadImage, MissingAsset
from crowd3d.training.augment import NONE, Augmentation, augment
from crowd3d.training.supervision import Sample
from crowd3d.training.supervision.annotation import Annotation, Labels, pad_square, torso_of
from crowd3d.training.supervision.annotation_files import read_entries, read_rgb

log = logging.getLogger(__name__)

ANNOTATIONS, IMAGES = "annots_scale.pkl", "images"


class TileSource(Protocol):
    """A data set for the training loop."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Item `index`, augmented as `rng` says."""
        ...


class AnnotatedTiles(Dataset[Sample]):
    """A data set of annotated pictures. Indexing gives items as they are, `sample` augments them.

    Attributes:
        size: side of the samples' images in pixels.
        augmentation: what `sample` does.
        subsampling: the release's epoch sees one in so many items of this data set.
    """

    subsampling = 1.0

    def __init__(self, size: int, augmentation: Augmentation = NONE) -> None:
        self.size, self.augmentation = size, augmentation

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def annotation(self, index: int) -> Annotation:
        """Item `index` as it is."""

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.annotation(index).sample(self.size)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Item `index`, augmented as `rng` says."""
        return augment(self.annotation(index), rng, self.augmentation).sample(self.size)


class Bodies:
    """Joints of SMPL bodies by gender, for data sets that annotate SMPL parameters; loaded when first needed.

    Args:
        smpl_folder: folder of the official files.
        substitute: a body to use instead, whatever the gender; its betas must be those of the annotations.
    """

    def __init__(self, smpl_folder: Path | None = None, substitute: str | None = None) -> None:
        self.smpl_folder, self.substitute = smpl_folder, substitute
        self._loaded: dict[str, Body] = {}

    def load(self, gender: str) -> Body:
        """The body of a gender, reduced to its joints.

        Raises:
            MissingAsset: it is not there.
        """
        if gender not in self._loaded:
            name = self.substitute or "smpl"
            self._loaded[gender] = load_body(name, gender, self.smpl_folder).restrict()
        return self._loaded[gender]

    def joints_m(self, gender: str, pose_rad: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """(N, 72), (N, 10) → (N, 54, 3) joints without translation."""
        return self.load(gender).pose(pose_rad.reshape(-1, 24, 3), betas)[1]


def rotations_of(pose_rad: np.ndarray) -> np.ndarray:
    """(N, 72) axis-angle → (N, 22, 3, 3) global rotation and body joints."""
    return Rotation.from_rotvec(pose_rad.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)[:, :22]


class PaddedPicture(NamedTuple):
    """A picture padded to a square, and where it lies in the scene.

    Attributes:
        image: (S, S, 3) uint8.
        origin_px: (2,) top-left corner of the square in scene pixels.
        side_px: side of the square in scene pixels.
        corner_px: (2,) top-left corner of the picture itself in scene pixels.
        scale: scene pixels per stored pixel.
        stored_size: (2,) width and height of the stored picture.
    """

    image: np.ndarray
    origin_px: np.ndarray
    side_px: float
    corner_px: np.ndarray
    scale: float
    stored_size: np.ndarray

    def to_scene(self, stored_px: np.ndarray) -> np.ndarray:
        """(..., 2) stored pixels → scene pixels."""
        return stored_px * self.scale + self.corner_px

    def inside(self, stored_px: np.ndarray) -> np.ndarray:
        """(..., 2) stored pixels → (...) bool, in the picture."""
        return np.all((stored_px >= 0) & (stored_px < self.stored_size), axis=-1)


class ReleasedTiles(AnnotatedTiles):
    """A data set in the release's form: ``<root>/<name>/annots_scale.pkl`` and ``images/``, pictures with a long side of 512.

    Args:
        root: folder of all training sets.
        size: side of the samples' images in pixels.
        bodies: for those that annotate SMPL parameters.
        augmentation: see `AnnotatedTiles`.

    Raises:
        MissingAsset: files of the data set, or SMPL's, are absent.
    """

    name: str

    def __init__(self, root: Path, size: int, bodies: Bodies | None = None, augmentation: Augmentation = NONE) -> None:
        super().__init__(size, augmentation)
        self.folder = Path(root) / self.name
        self.bodies = bodies or Bodies()
        require_folder(self.folder)
        self.entries = read_entries(self.folder / ANNOTATIONS, self.parse, self.folder / IMAGES)

    def __len__(self) -> int:
        return len(self.entries)

    @abstractmethod
    def parse(self, name: str, value: Any) -> Any:
        """One entry of the annotation file, checked; its first field is the picture's name."""

    @abstractmethod
    def label(self, entry: Any, image: np.ndarray) -> Annotation:
        """The annotation of an entry, given its picture as stored."""

    def annotation(self, index: int) -> Annotation:
        """Item `index`; a picture that cannot be read is reported and replaced by the next one."""
        for step in range(len(self)):
            entry = self.entries[(index + step) % len(self)]
            try:
                return self.label(entry, read_rgb(self.folder / IMAGES / entry.name))
            except BadImage as error:
                log.warning("%s; the next picture is used instead", error)
        raise BadImage(f"no picture in {self.folder / IMAGES} can be read; copy them again")


def require_folder(folder: Path) -> None:
    """Raises: MissingAsset: a data set's folder is not complete."""
    missing = [name for name in (ANNOTATIONS, IMAGES) if not (folder / name).exists()]
    if missing:
        raise MissingAsset(
            f"no {' and no '.join(missing)} in {folder}; put the data set there (see data/train_data/README.md), "
            "or train with dataset=synthetic, which needs no files"
        )


def place(image: np.ndarray, corner_px: np.ndarray, long_side_px: float) -> PaddedPicture:
    """A stored picture whose longer side covers `long_side_px` scene pixels, in a black square."""
    size = np.array(image.shape[1::-1], np.float64)
    scale = long_side_px / size.max()
    square, offset = pad_square(image)
    return PaddedPicture(square, corner_px - offset * scale, len(square) * scale, corner_px, scale, size)


def with_keypoints(people: Labels, keypoints_px: np.ndarray, known: np.ndarray) -> Labels:
    """Set joints in scene pixels (N, 54, 2), (N, 54) bool, and the torso centre that follows from them.

    A joint that lies outside of the picture and is therefore not supervised still has a position, so the torso centre uses it.
    """
    torso, _ = torso_of(keypoints_px, known)
    return replace(people, keypoints_px=keypoints_px, keypoints_known=known, torso_px=torso, torso_known=np.ones(len(torso), bool))
