"""2D pose backends: one shape for all of them, and which one a run uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np

from crowd3d.errors import BackendFailed, BadImage, MissingAsset
from crowd3d.files import weights_digest
from crowd3d.imaging import GigapixelImage
from crowd3d.model.compiled import AUTO, Engines
from crowd3d.pose.alphapose import AlphaPose
from crowd3d.pose.alphapose_json import write_alphapose
from crowd3d.pose.file_backend import FileBackend, has_torso
from crowd3d.pose.nms import distinct
from crowd3d.pose.observations import Observations
from crowd3d.pose.photo import PhotoSeeker
from crowd3d.pose.rtmpose import RtmPose
from crowd3d.pose.search import Seeker, Surroundings, search
from crowd3d.pose.source import plain
from crowd3d.pose.standing import complete
from crowd3d.pose.tile_merging import merge_keypoints
from crowd3d.pose.torchvision_backend import TorchvisionPose
from crowd3d.types import TileLayout

BackendName = Literal["auto", "movenet", "embedded", "alphapose", "torchvision", "rtmpose", "file"]
BACKEND_NAMES: tuple[str, ...] = get_args(BackendName)
LARGEST_PIXELS = 100_000_000
"""Photographs up to this size are handed to a user's own function as one array."""


class PoseBackend(Protocol):
    """Finds people and their keypoints in photographs. Networks are loaded once, at the first photograph."""

    wants_tiles: ClassVar[bool]

    @property
    def name(self) -> str:
        """As in `BackendName`."""
        ...

    def key(self) -> Any:
        """JSON value that changes whenever results may: settings and versions of weights."""
        ...

    def check(self) -> None:
        """Raise MissingAsset, with the remedy, when it cannot run on this machine. Loads no weights."""
        ...

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """Everybody once.

        Raises:
            MissingAsset: a program, package or file that it needs is absent.
            BackendFailed: it did not work.
        """
        ...


class TileDetector(Protocol):
    """Finds people in every tile independently. Its `repr` tells all its settings."""

    name: ClassVar[str]

    def check(self) -> None:
        """As of `PoseBackend`."""
        ...

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """(M, 17, 3) float64 COCO-17 u, v, score in scene pixels; (M,) int64 rows of `layout` that they were found in."""
        ...


@dataclass(frozen=True)
class SearchBackend:
    """Networks in this process that look anywhere in the photograph.

    Attributes:
        name: as users choose it.
        files: the networks' weights.
        make: loads them, given a version.
        runs_on: engine and device as the user chose them.
    """

    name: str
    files: tuple[Path, ...]
    make: Callable[[str], Seeker] = field(repr=False, compare=False)
    runs_on: tuple[str, str] = ("auto", "auto")
    wants_tiles: ClassVar[bool] = False

    def key(self) -> Any:
        """Digests of the weights, and what runs them."""
        return [self.name, self.runs_on, *map(weights_digest, self.files)]

    def check(self) -> None:
        """Raise MissingAsset unless all weights are there."""
        for path in self.files:
            if not path.is_file():
                raise MissingAsset(f"--pose_backend {self.name} needs {path}; {_REMEDY[self.name]}")

    @cached_property
    def seeker(self) -> Seeker:
        """The loaded networks."""
        self.check()
        return self.make("+".join(weights_digest(path)[:8] for path in self.files))

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """By `search`."""
        return search(self.seeker, image, around.plan, around.known)

    def glance(self, image: GigapixelImage) -> Observations:
        """Those whom a first look is sure of: tells how large people are."""
        image.decode_ahead()
        return self.seeker.sure(image, self.seeker.first_look(image))


_REMEDY = {"movenet": "get them: crowd3d fetch people", "embedded": "restore the shipped weights with `git checkout`, or train them"}


@dataclass(frozen=True)
class TileBackend:
    """A detector that wants to see tiles; everybody once is found by merging what overlapping tiles show."""

    detector: TileDetector
    wants_tiles: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Of the detector."""
        return self.detector.name

    def key(self) -> Any:
        """The detector's settings."""
        return repr(self.detector)

    def check(self) -> None:
        """As the detector says."""
        self.detector.check()

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """What tiles show is written in AlphaPose's format where the detector did not do so itself."""
        assert around.layout is not None, "wants_tiles"
        around.sightings.unlink(missing_ok=True)
        found, tile_index = self.detector.detect(image, around.layout, around.tiles_folder)
        if not around.sightings.is_file():
            write_alphapose(around.sightings, found, tile_index, around.layout, image.path.stem)
        return Observations.from_keypoints(merge_keypoints(found, tile_index, around.layout)[1], plain(self.name))


@dataclass(frozen=True)
class FunctionBackend:
    """A user's own pose estimator.

    Attributes:
        function: (H, W, 3) uint8 RGB photograph → (N, 17, 3) COCO-17 u, v in its pixels and score 0…1, 0 for unknown.
    """

    function: Callable[[np.ndarray], np.ndarray]
    wants_tiles: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The function's own."""
        return getattr(self.function, "__qualname__", type(self.function).__name__)

    def key(self) -> Any:
        """Only its name is known."""
        return self.name

    def check(self) -> None:
        """A function is always there."""

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """The function on the whole photograph.

        Raises:
            BadImage: the photograph is larger than `LARGEST_PIXELS`.
            BackendFailed: what the function returns is of another shape.
        """
        width, height = image.size
        if width * height > LARGEST_PIXELS:
            most = LARGEST_PIXELS // 10**6
            raise BadImage(f"{image.path} has {width}×{height} pixels; your own function is given at most {most} megapixels")
        found = np.asarray(self.function(image.region(np.array([0, 0, height, width]))), np.float64)
        if found.ndim != 3 or found.shape[1:] != (17, 3):
            raise BackendFailed(f"{self.name} returned an array of the shape {found.shape}, not (N, 17, 3) u, v, score")
        found = np.where(np.isfinite(found).all(-1, keepdims=True), found, 0.0)
        observed = Observations.from_keypoints(complete(found[has_torso(found)]), plain(self.name))
        return observed[distinct(observed)]


@dataclass(frozen=True)
class Assets:
    """What backends can be made of on this machine; None for what the user has not set.

    Attributes:
        detector, keypoints: the shipped networks.
        finder, movenet: the networks that ``crowd3d fetch people`` gets; None unless both are there.
        engines: what runs them.
        alphapose_root: checkout of AlphaPose.
        alphapose_python: its interpreter.
        keypoint_file: keypoints that the user has; a file or a folder.
    """

    detector: Path
    keypoints: Path
    finder: Path | None = None
    movenet: Path | None = None
    engines: Engines = AUTO
    alphapose_root: Path | None = None
    alphapose_python: Path | None = None
    keypoint_file: Path | None = None


def _movenet(assets: Assets) -> PoseBackend:
    finder, movenet, depths = assets.finder, assets.movenet, assets.keypoints
    if finder is None or movenet is None:
        raise MissingAsset("--pose_backend movenet needs networks that are not here yet; get them: crowd3d fetch people")
    files, engines = (finder, movenet, depths), assets.engines
    return SearchBackend("movenet", files, lambda version: PhotoSeeker(*files, engines, version), runs_on=(engines.name, engines.device))


def _embedded(assets: Assets) -> PoseBackend:
    files, engines = (assets.detector, assets.keypoints), assets.engines

    def make(version: str) -> Seeker:
        from crowd3d.pose.embedded import EmbeddedSeeker

        return EmbeddedSeeker(*files, engines, version)

    return SearchBackend("embedded", files, make, (engines.name, engines.device))


def _alphapose(assets: Assets) -> PoseBackend:
    if assets.alphapose_root is None:
        raise MissingAsset("alphapose_root is not set; set it in global_setting.py to a checkout of https://github.com/MVIG-SJTU/AlphaPose")
    return TileBackend(AlphaPose(assets.alphapose_root, assets.alphapose_python))


def _file(assets: Assets) -> PoseBackend:
    if assets.keypoint_file is None:
        raise MissingAsset("--pose_backend file has no keypoints; give them by --keypoints PATH")
    return FileBackend(assets.keypoint_file)


REGISTRY: dict[str, Callable[[Assets], PoseBackend]] = {
    "movenet": _movenet,
    "embedded": _embedded,
    "alphapose": _alphapose,
    "torchvision": lambda assets: TileBackend(TorchvisionPose(assets.engines.device)),
    "rtmpose": lambda assets: TileBackend(RtmPose(assets.engines.device)),
    "file": _file,
}
"""How each backend is made. To add one, write a value with the shape of `PoseBackend` (or a `TileDetector`) and name it here."""


def choose_backend(name: str, assets: Assets) -> PoseBackend:
    """The backend of that name, checked to be usable.

    ``auto`` is the file when there is one, AlphaPose when it is configured, RTMPose or torchvision when their weights are on this machine
    already (nothing is downloaded unasked), else the networks of ``crowd3d fetch people``, else the shipped ones.

    Args:
        name: what the user wants.
        assets: what there is.

    Raises:
        MissingAsset: there is no backend of that name, or it cannot run here.
    """
    if assets.keypoint_file is not None and name not in ("auto", "file"):
        raise MissingAsset(f"--keypoints {assets.keypoint_file} goes with --pose_backend file, not {name}; leave one of them out")
    if name == "auto":
        name = "file" if assets.keypoint_file is not None else best_available(assets)
    if name not in REGISTRY:
        raise MissingAsset(f"no pose backend {name!r}; there are auto, {', '.join(REGISTRY)}")
    backend = REGISTRY[name](assets)
    backend.check()
    return backend


def scout(assets: Assets) -> SearchBackend:
    """The best networks in this process: they tell backends that want tiles how large people are.

    Raises:
        MissingAsset: not even the shipped ones are there.
    """
    backend = choose_backend("movenet" if assets.movenet is not None else "embedded", replace(assets, keypoint_file=None))
    assert isinstance(backend, SearchBackend)
    return backend


def best_available(assets: Assets) -> str:
    """What ``auto`` takes where there are no keypoints."""
    if assets.alphapose_root is not None:
        return "alphapose"
    if find_spec("rtmlib") is not None and find_spec("onnxruntime") is not None and RtmPose().downloaded():
        return "rtmpose"
    try:
        if TorchvisionPose().downloaded():
            return "torchvision"
    except MissingAsset:
        pass
    return "embedded" if assets.movenet is None else "movenet"


