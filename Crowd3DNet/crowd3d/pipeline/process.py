"""First half: photograph → tiles, everybody's keypoints, and the files that the release writes about them."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from crowd3d.errors import MissingAsset, NoPeopleFound, UnsolvableGround
from crowd3d.files import write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, PartParams, format_tile_name, plan_pyramid, plan_tiles, plan_tiles_release, write_jpeg
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.ground import quick_world
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.manifest import Run
from crowd3d.pose.alphapose_json import tile_sightings, write_alphapose, write_optim_annotations, write_tiles_with_people
from crowd3d.pose.backends import PoseBackend, SearchBackend
from crowd3d.pose.filtering import is_upright
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.search import Surroundings
from crowd3d.types import TileLayout

log = logging.getLogger(__name__)

TILE_SIDE_PX = 512
"""Side of the tiles that are written, as in the release."""
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

    @property
    def camera_ground(self) -> tuple[Camera, GroundPlane] | None:
        """Camera and ground, if they are known."""
        return self.known.world


def process(image_path: Path, folder: MidFolder, options: ProcessOptions) -> None:
    """Find everybody in the photograph and write the files of `MidFolder`; stages that were finished before are kept.

    Args:
        image_path: the photograph.
        folder: where the files go.
        options: the user's choices.

    Raises:
        BadImage: the photograph cannot be read.
        NoPeopleFound: nobody is in it.
        MissingAsset: weights, or what the backend needs, are absent or of the wrong kind.
        BackendFailed: the backend did not work.
        BadConfig: what is known cannot be about this photograph.
        BadOutput: the folder cannot be written.
    """
    image = GigapixelImage(image_path)
    options.known.check_size(image.size)
    run = Run(folder.root, overwrite=options.overwrite)
    name, backend = image_path.stem, options.backend
    backend.check()
    inputs: dict[str, Any] = {"image": image.content_hash, "backend": [backend.name, backend.key()], "part_params": options.part_params}
    inputs["known"] = options.known.key()
    found, planned = [folder.observations, folder.keypoints], [folder.position, folder.row_col]

    def write_tiles() -> None:
        _write_tiles(image, folder, read_layout(folder, image.size), name)

    if backend.wants_tiles:
        if options.scout is not None and not (options.part_params or options.camera_ground):
            inputs["scout"] = options.scout.key()
        run.stage("layout", inputs, planned, lambda: _write_layout(folder, _plan_blindly(image, options)))
        run.stage("tiles", {}, [folder.tiles], write_tiles)
        run.stage("people", {}, [*found, folder.alphapose], lambda: _find_people(image, folder, options))
    else:
        # Whatever another backend planned is replaced together with the people.
        run.stages.pop("layout", None)
        run.stage("people", inputs, found + planned, lambda: _find_people(image, folder, options))
        run.stage("tiles", {}, [folder.tiles], write_tiles)
    outputs = [folder.standing_keypoints, folder.alphapose, folder.occupied_tiles, folder.optimisation_annotations]
    run.stage("keypoints", {}, outputs, lambda: _write_keypoints(folder, name, read_layout(folder, image.size), backend.wants_tiles))


def read_layout(folder: MidFolder, image_size: tuple[int, int]) -> TileLayout:
    """The tiles that `process` planned."""
    return TileLayout(np.load(folder.position), np.load(folder.row_col), image_size)


def _find_people(image: GigapixelImage, folder: MidFolder, options: ProcessOptions) -> None:
    """Everybody once, by the backend; tiles follow from them unless the backend wanted to have some first."""
    layout = read_layout(folder, image.size) if options.backend.wants_tiles else None
    plan = partial(quick_world, image_size=image.size, known=options.known)
    around = Surroundings(options.camera_ground, plan, layout, folder.tiles, folder.alphapose)
    observed = options.backend.observe(image, around)
    if len(observed) == 0:
        raise NoPeopleFound(f"nobody found in {image.path}; people must be about 24 pixels tall or more")
    log.info("%d people found by %s", len(observed), observed.source.name)
    if layout is None:
        _write_layout(folder, _layout_for(observed, image.size, options))
    write_npy(folder.keypoints, observed.keypoints.array)
    observed.save(folder.observations)


def _write_layout(folder: MidFolder, layout: TileLayout) -> None:
    write_npy(folder.position, layout.boxes)
    write_npy(folder.row_col, layout.row_col)


def _plan_blindly(image: GigapixelImage, options: ProcessOptions) -> TileLayout:
    """Tiles for a backend that has not seen the photograph yet: by what is known, else by what the scout sees."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image.size)
    world = options.camera_ground
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


def _layout_for(observed: Observations, image_size: tuple[int, int], options: ProcessOptions) -> TileLayout:
    """Tiles for known people: by the release's parameters, else by the ground, else of the size that suits most of the people."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image_size)
    world = quick_world(observed, image_size, options.known)
    if world is not None:
        try:
            return plan_tiles(*world, image_size, max_tiles=MOST_TILES)
        except UnsolvableGround as error:
            log.warning("no tiles by the ground (%s); tiles of one size", error)
    levels = [layout for _, layout in plan_pyramid(image_size)]
    sides = np.array([layout.boxes[0, 2] - layout.boxes[0, 0] for layout in levels])
    wanted = 2 * np.median(person_size_px(observed.xy_px))
    return levels[int(np.argmin(np.abs(np.log(sides / wanted))))]


def _write_tiles(image: GigapixelImage, folder: MidFolder, layout: TileLayout, name: str) -> None:
    shutil.rmtree(folder.tiles, ignore_errors=True)
    paths = [folder.tiles / format_tile_name(name, *where) for where in zip(layout.row_col, layout.boxes, strict=True)]
    with tqdm(total=len(layout), desc="writing tiles", unit="tile") as bar, ThreadPoolExecutor(WRITERS) as writers:
        for rows, tiles in image.crops(layout.boxes, TILE_SIDE_PX, 32):
            list(writers.map(write_jpeg, [paths[row] for row in rows], tiles))
            bar.update(len(rows))


def _write_keypoints(folder: MidFolder, name: str, layout: TileLayout, seen_in_tiles: bool) -> None:
    """The release's files about everybody's keypoints; those per tile only when no backend has written what it saw there."""
    keypoints = np.load(folder.keypoints)
    standing = keypoints[is_upright(keypoints)]
    write_npy(folder.standing_keypoints, standing)
    if not seen_in_tiles:
        person, tile = tile_sightings(keypoints, layout)
        write_alphapose(folder.alphapose, keypoints[person], tile, layout, name)
    write_tiles_with_people(folder.occupied_tiles, keypoints, layout, name)
    write_optim_annotations(folder.optimisation_annotations, standing, layout, name)
