"""First half: photograph → tiles, everybody's keypoints, and the files that the release writes about them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import MissingAsset, UnsolvableGround
from crowd3d.files import read_array, write_npy
from crowd3d.imaging import GigapixelImage, PartParams, format_tile_name, plan_pyramid, plan_tiles, plan_tiles_release, write_jpeg
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.model.engines import EngineName, chosen_engine
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.ground import quick_world
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.stages import Run, Stage, owner_of
from crowd3d.pipeline.weights import pose_assets
from crowd3d.pose.alphapose_json import tile_sightings, write_alphapose, write_optim_annotations, write_tiles_with_people
from crowd3d.pose.backends import PoseBackend, SearchBackend, choose_backend, scout
from crowd3d.pose.filtering import is_upright
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.search import Surroundings
from crowd3d.progress import progress_bar
from crowd3d.settings import Settings
from crowd3d.types import TileLayout

log = logging.getLogger(__name__)

GLANCE_PX = 200
"""Longer side of a picture that is looked at as a whole."""
BLANK = 8
"""Of 255: less than this between the darkest and the brightest value shows nothing."""

WRITERS = 2
MOST_TILES = 1500
"""Wide lenses show far more far ground than near; beyond this number the farthest rows are not written."""


@dataclass(frozen=True)
class ProcessOptions:
    """Choices of the user for the first half.

    Attributes:
        backend: what finds people and their keypoints.
        scout: networks that tell a backend that wants tiles how large people are; None if there are none.
        part_params: the release's tile parameters; by default tiles follow from the ground.
        known: what the user knows; camera and ground are estimated from a first look if they are not among it.
        overwrite: do everything again.
    """

    backend: PoseBackend
    scout: SearchBackend | None = None
    part_params: PartParams | None = None
    known: Known = NOTHING
    overwrite: bool = False


def part_of(settings: Settings, pose_backend: str, engine: EngineName, device: str, keypoint_file: Path | None = None) -> ProcessOptions:
    """The first half by a backend, and by whom it asks how large people are.

    Raises:
        BadConfig: there is no such engine or device.
        MissingAsset: the backend cannot run here.
    """
    chosen_engine(engine, device)
    assets = pose_assets(settings, engine, keypoint_file, device)
    backend = choose_backend(pose_backend, assets)
    return ProcessOptions(backend, scout(assets) if backend.wants_tiles else None)


def process(
    image: GigapixelImage, folder: MidFolder, options: ProcessOptions, tiles: bool = True, meanwhile: Callable[[], None] | None = None
) -> Observations:
    """Find everybody in the photograph and write the files of `MidFolder`; stages that were finished before are kept.

    Args:
        image: the photograph.
        folder: where the files go; what it holds of another photograph is replaced.
        options: the user's choices.
        tiles: write the photograph in tiles even if the backend does not want them: the release's tools and fine-tuning do.
        meanwhile: is done in another thread while people are looked for; not where they were found before. Its errors are ignored.

    Returns:
        Everybody, perhaps nobody.

    Raises:
        BadImage: the photograph cannot be read.
        MissingAsset: weights, or what the backend needs, are absent or of the wrong kind.
        BackendFailed: the backend did not work.
        BadConfig: what is known cannot be about this photograph.
        BadOutput: the folder cannot be written, or another run works in it.
    """
    options.known.check_size(image.size)
    options.backend.check()
    with Run(folder.root, owner_of(image), overwrite=options.overwrite) as run:
        work = _Work(run, image, folder, options, meanwhile)
        if options.backend.wants_tiles:
            layout = work.layout(())
            work.tiles(layout)
            observed = work.people(layout)
        else:
            observed = work.people(None)
            layout = work.layout((folder.observations,), observed)
            if tiles:
                work.tiles(layout)
            else:
                run.drop("tiles")
        work.keypoint_files(layout)
    return observed


@dataclass(frozen=True)
class _Work:
    """The stages of the first half."""

    run: Run
    image: GigapixelImage
    folder: MidFolder
    options: ProcessOptions
    meanwhile: Callable[[], None] | None

    def layout(self, reads: Sequence[Path], observed: Observations | None = None) -> TileLayout:
        """Tiles for those who were observed; for a backend that has not seen the photograph yet None."""
        image, folder, options = self.image, self.folder, self.options
        values: dict[str, Any] = {"image": image.content_hash, "part_params": options.part_params, "known": options.known.key()}
        if observed is None and options.scout is not None and not (options.part_params or options.known.world):
            values["scout"] = options.scout.key()
        return self.run.do(
            Stage("layout", 1, reads, values, [folder.position, folder.row_col]),
            lambda: _plan_blindly(image, options) if observed is None else layout_for(observed, image.size, options),
            partial(_write_layout, folder),
            lambda: read_layout(folder, image.size),
        )

    def tiles(self, layout: TileLayout) -> None:
        """The photograph in tiles."""
        folder, name = self.folder, self.image.path.stem
        values = {"image": self.image.content_hash, "name": name}
        stage = Stage("tiles", 1, [folder.position, folder.row_col], values, [folder.tiles])
        self.run.do(stage, lambda: _write_tiles(self.image, folder, layout, name))

    def people(self, layout: TileLayout | None) -> Observations:
        """Everybody; `layout` of the tiles for a backend that wants them."""
        folder, backend = self.folder, self.options.backend
        reads = [] if layout is None else [folder.position, folder.row_col, folder.tiles]
        values: dict[str, Any] = {"image": self.image.content_hash, "name": self.image.path.name}
        values["backend"] = [backend.name, backend.key()]
        values["known"] = self.options.known.key()
        writes = [folder.observations, folder.keypoints] if layout is None else [folder.observations, folder.keypoints, folder.alphapose]
        return self.run.do(
            Stage("people", 2, reads, values, writes, editable=[folder.keypoints]),
            lambda: self._observed(layout),
            partial(_write_people, folder),
            lambda: Observations.load(folder.observations),
        )

    def _observed(self, layout: TileLayout | None) -> Observations:
        with ThreadPoolExecutor(1) as other:
            if self.meanwhile is not None:
                other.submit(self.meanwhile)
            return observe(self.image, self.options, layout, self.folder)

    def keypoint_files(self, layout: TileLayout) -> None:
        """The release's files about keypoints; those per tile only where no backend has written what it saw there."""
        folder, seen_in_tiles = self.folder, self.options.backend.wants_tiles
        writes = [folder.standing_keypoints, folder.occupied_tiles, folder.optimisation_annotations]
        if not seen_in_tiles:
            writes.append(folder.alphapose)
        values = {"name": self.image.path.stem, "size": self.image.size}
        stage = Stage("keypoints", 1, [folder.keypoints, folder.position, folder.row_col], values, writes)
        self.run.do(stage, lambda: _write_keypoints(folder, self.image.path.stem, layout, seen_in_tiles))


def read_layout(folder: MidFolder, image_size: tuple[int, int]) -> TileLayout:
    """The tiles that `process` planned.

    Raises:
        MissingAsset: their files are absent or damaged.
    """
    try:
        boxes, row_col = read_array(folder.position), read_array(folder.row_col)
        if boxes.shape != (len(boxes), 4) or row_col.shape != (len(boxes), 2) or {boxes.dtype.kind, row_col.dtype.kind} != {"i"}:
            raise ValueError(f"tiles of shapes {boxes.shape} and {row_col.shape}")
    except (OSError, ValueError, TypeError) as error:
        raise MissingAsset(f"cannot read the tiles in {folder.root}: {error}; run process.py again with --overwrite") from error
    return TileLayout(boxes, row_col, image_size)


def read_keypoints(folder: MidFolder) -> np.ndarray:
    """(N, 17, 3) u, v, score as `process` wrote them, or as the user edited them.

    Raises:
        MissingAsset: they cannot be read, or are of another shape.
    """
    try:
        keypoints = read_array(folder.keypoints)
        if keypoints.ndim != 3 or keypoints.shape[1:] != (17, 3) or keypoints.dtype.kind not in "fiu" or not np.isfinite(keypoints).all():
            raise ValueError(f"{keypoints.dtype} of shape {keypoints.shape} instead of finite numbers (N, 17, 3)")
    except (OSError, ValueError) as error:
        raise MissingAsset(f"cannot read keypoints {folder.keypoints}: {error}; run process.py again with --overwrite") from error
    return keypoints.astype(np.float64)


def observe(
    image: GigapixelImage, options: ProcessOptions, layout: TileLayout | None = None, folder: MidFolder | None = None
) -> Observations:
    """Everybody once, by the backend; `layout` and `folder` of the tiles for a backend that wants them."""
    plan = partial(quick_world, image_size=image.size, known=options.known)
    around = Surroundings(options.known.world, plan)
    if layout is not None and folder is not None:
        around = replace(around, layout=layout, tiles_folder=folder.tiles, sightings=folder.alphapose)
    observed = options.backend.observe(image, around)
    if len(observed) == 0:
        blank = np.ptp(image.reduced(max(1.0, max(image.size) / GLANCE_PX))) <= BLANK
        why = "it is of one colour throughout" if blank else "people must be upright in the picture and about 24 pixels tall or more"
        log.warning("nobody found in %s; %s", image.path, why)
    else:
        log.info("people found by %s: %d", observed.source.name, len(observed))
    for remark in observed.remarks:
        log.warning("%s", remark)
    return observed


def look(image: GigapixelImage, options: ProcessOptions) -> Observations:
    """Everybody once; nothing of it stays in files. A backend that wants tiles works in a temporary folder.

    Raises:
        Crowd3DError: as `process`.
    """
    if not options.backend.wants_tiles:
        options.known.check_size(image.size)
        options.backend.check()
        return observe(image, options)
    with tempfile.TemporaryDirectory(prefix="crowd3d-") as folder:
        return process(image, MidFolder(Path(folder)), options)


def _write_people(folder: MidFolder, observed: Observations) -> None:
    write_npy(folder.keypoints, observed.keypoints.array)
    observed.save(folder.observations)


def _write_layout(folder: MidFolder, layout: TileLayout) -> None:
    write_npy(folder.position, layout.boxes)
    write_npy(folder.row_col, layout.row_col)


def _plan_blindly(image: GigapixelImage, options: ProcessOptions) -> TileLayout:
    """Tiles for a backend that has not seen the photograph yet: by what is known, else by what the scout sees."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image.size)
    world = options.known.world
    if world is None:
        if options.scout is None:
            raise MissingAsset("a first look at the photograph needs networks in this process; give tile parameters (--part_params)")
        seen = options.scout.glance(image)
        world = quick_world(seen, image.size, options.known) if len(seen) else None
    if world is not None:
        try:
            return plan_tiles(*world, image.size, max_tiles=MOST_TILES)
        except UnsolvableGround as error:
            log.warning("no tiles by the ground (%s)", error)
    log.warning("no ground from the first look; tiles of all sizes")
    return _all_sizes(image.size)


def _all_sizes(image_size: tuple[int, int]) -> TileLayout:
    """All levels of the pyramid in one layout, the rows of tiles numbered from the largest to the smallest."""
    levels = [layout for _, layout in plan_pyramid(image_size)]
    rows = np.cumsum([0, *(layout.row_col[-1, 0] + 1 for layout in levels[:-1])])
    row_col = np.concatenate([layout.row_col + [row, 0] for row, layout in zip(rows, levels, strict=True)])
    return TileLayout(np.concatenate([layout.boxes for layout in levels]), row_col, image_size)


def layout_for(observed: Observations, image_size: tuple[int, int], options: ProcessOptions) -> TileLayout:
    """Tiles for known people: by the release's parameters, else by the ground, else of the size that suits most of the people."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image_size)
    world = quick_world(observed, image_size, options.known) if len(observed) else options.known.world
    if world is not None:
        try:
            return plan_tiles(*world, image_size, max_tiles=MOST_TILES)
        except UnsolvableGround as error:
            log.warning("no tiles by the ground (%s); tiles of one size", error)
    levels = [layout for _, layout in plan_pyramid(image_size)]
    sides = np.array([layout.boxes[0, 2] - layout.boxes[0, 0] for layout in levels])
    wanted = 2 * np.median(person_size_px(observed.xy_px)) if len(observed) else sides[0]
    return levels[int(np.argmin(np.abs(np.log(sides / wanted))))]


def _write_tiles(image: GigapixelImage, folder: MidFolder, layout: TileLayout, name: str) -> None:
    folder.tiles.mkdir(parents=True, exist_ok=True)
    paths = [folder.tiles / format_tile_name(name, *where) for where in zip(layout.row_col, layout.boxes, strict=True)]
    with progress_bar(total=len(layout), desc="writing tiles", unit="tile") as bar, ThreadPoolExecutor(WRITERS) as writers:
        for rows, tiles in image.crops(layout.boxes, RELEASE_TILE_PX, 32):
            list(writers.map(write_jpeg, [paths[row] for row in rows], tiles))
            bar.update(len(rows))


def _write_keypoints(folder: MidFolder, name: str, layout: TileLayout, seen_in_tiles: bool) -> None:
    keypoints = read_keypoints(folder)
    standing = keypoints[is_upright(keypoints)]
    write_npy(folder.standing_keypoints, standing)
    if not seen_in_tiles:
        person, tile = tile_sightings(keypoints, layout)
        write_alphapose(folder.alphapose, keypoints[person], tile, layout, name)
    write_tiles_with_people(folder.occupied_tiles, keypoints, layout, name)
    write_optim_annotations(folder.optimisation_annotations, standing, layout, name)
