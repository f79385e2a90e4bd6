"""First half: photograph → tiles, everybody's keypoints, and the files that the release writes about them."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from crowd3d.errors import MissingAsset, NoPeopleFound, UnsolvableGround
from crowd3d.files import write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import estimate_ground
from crowd3d.imaging import GigapixelImage, PartParams, format_tile_name, plan_pyramid, plan_tiles, plan_tiles_release, write_jpeg
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.ground import for_observations
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.manifest import Run, file_digest
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose import merge_keypoints
from crowd3d.pose.alphapose_json import tile_sightings, write_alphapose, write_optim_annotations, write_tiles_with_people
from crowd3d.pose.backends import Backend, PoseBackend
from crowd3d.pose.embedded import (
    PERSON_THRESHOLD,
    SURE_THRESHOLD,
    WORTH_CLOSE_LOOK,
    Candidates,
    EmbeddedPose,
    certainty,
    distinct,
    one_each,
    with_known_ground,
)
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.filtering import is_upright
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.types import Keypoints, TileLayout

log = logging.getLogger(__name__)

TILE_SIDE_PX = 512
"""Side of the tiles that are written, as in the release."""
FIRST_STRIDE = 2 / 3
"""Tiles of the first look overlap by a third: it need not find everybody."""
WRITERS = 2
MOST_TILES = 1500
"""Wide lenses show far more far ground than near; beyond this number the farthest rows are not written."""


@dataclass(frozen=True)
class ProcessOptions:
    """Choices of the user for the first half.

    Attributes:
        backend: what finds people and their keypoints.
        part_params: the release's tile parameters; by default tiles follow from the ground.
        known: what the user knows; camera and ground are estimated from a first look if they are not among it.
        engine: what runs the networks.
        overwrite: do everything again.
    """

    backend: Backend = "embedded"
    part_params: PartParams | None = None
    known: Known = NOTHING
    engine: EngineName = "auto"
    overwrite: bool = False

    @property
    def camera_ground(self) -> tuple[Camera, GroundPlane] | None:
        """Camera and ground, if they are known."""
        return self.known.world

    @property
    def needs_weights(self) -> bool:
        """Whether the shipped networks look at the photograph: to find everybody, or for a first look that tells the size of tiles."""
        return self.backend == "embedded" or not (isinstance(self.backend, FileBackend) or self.part_params or self.camera_ground)


def process(image_path: Path, folder: MidFolder, weights: DefaultWeights | None, options: ProcessOptions) -> None:
    """Find everybody in the photograph and write the files of `MidFolder`; stages that were finished before are kept.

    Args:
        image_path: the photograph.
        folder: where the files go.
        weights: the shipped networks; may be None unless `ProcessOptions.needs_weights`.
        options: the user's choices.

    Raises:
        BadImage: the photograph cannot be read.
        NoPeopleFound: nobody is in it.
        MissingAsset: weights, or what the backend needs, are absent or of the wrong kind.
        BackendFailed: the backend did not work.
        BadOutput: the folder cannot be written.
    """
    image = GigapixelImage(image_path)
    options.known.check_size(image.size)
    run = Run(folder.root, overwrite=options.overwrite)
    name = image_path.stem
    inputs: dict[str, Any] = {
        "image": image.content_hash,
        "weights": weights.fingerprint() if weights and options.needs_weights else None,
        "part_params": options.part_params,
        "known": options.known.key(),
    }
    found, planned = [folder.observations, folder.keypoints], [folder.position, folder.row_col]

    def write_tiles() -> None:
        _write_tiles(image, folder, read_layout(folder, image.size), name)

    backend = options.backend
    of_tiles = not (backend == "embedded" or isinstance(backend, FileBackend))
    if not of_tiles:
        # Whatever another backend planned is replaced together with the people.
        run.stages.pop("layout", None)
    if backend == "embedded":
        run.stage("people", inputs, found + planned, lambda: _find_people(image, folder, weights, options))
        run.stage("tiles", {}, [folder.tiles], write_tiles)
    elif isinstance(backend, FileBackend):
        backend.check()
        inputs["keypoints"] = [file_digest(file) for file in backend.files()]
        run.stage("people", inputs, found + planned, lambda: _read_people(image, folder, backend, options))
        run.stage("tiles", {}, [folder.tiles], write_tiles)
    else:
        run.stage("layout", inputs, planned, lambda: _write_layout(folder, _plan_blindly(image, weights, options)))
        run.stage("tiles", {}, [folder.tiles], write_tiles)
        run.stage("people", {"backend": repr(backend)}, [*found, folder.alphapose], lambda: _detect_people(image, folder, backend, name))
    outputs = [folder.standing_keypoints, folder.alphapose, folder.occupied_tiles, folder.optimisation_annotations]
    run.stage("keypoints", {}, outputs, lambda: _write_keypoints(folder, name, read_layout(folder, image.size), of_tiles))


def read_layout(folder: MidFolder, image_size: tuple[int, int]) -> TileLayout:
    """The tiles that `process` planned."""
    return TileLayout(np.load(folder.position), np.load(folder.row_col), image_size)


def look_for_people(
    image: GigapixelImage, weights: DefaultWeights | None, options: ProcessOptions
) -> tuple[TileLayout, Candidates, Observations]:
    """The embedded backend's tiles, the places where people probably are, and what is seen there; who is a person is not decided.

    Raises:
        NoPeopleFound: there is no such place.
        MissingAsset: no weights.
    """
    if options.camera_ground:
        pose, layout, candidates = _only_look(image, weights, options.camera_ground, options)
    else:
        pose, coarse, first = _first_look(image, weights, options.engine)
        layout, candidates = _second_layout(pose, image, coarse, first, options)
    if len(candidates) == 0:
        raise _nobody(image)
    seen = pose.look(image, candidates, "looking at everybody")
    rows = _likely(candidates, seen.observed)
    if len(rows) == 0:
        raise _nobody(image)
    return layout, candidates[rows], pose.look_closely(image, candidates[rows], seen[rows], "keypoints")


def _find_people(image: GigapixelImage, folder: MidFolder, weights: DefaultWeights | None, options: ProcessOptions) -> None:
    """The embedded backend."""
    layout, candidates, seen = look_for_people(image, weights, options)
    observed = _everybody_once(candidates, seen, PERSON_THRESHOLD)
    _write_layout(folder, layout)
    _write_people(image, folder, observed, observed.keypoints)


def _read_people(image: GigapixelImage, folder: MidFolder, backend: FileBackend, options: ProcessOptions) -> None:
    """Keypoints from elsewhere; tiles follow from them."""
    keypoints = backend.people(image.path, image.size)
    if len(keypoints) == 0:
        raise NoPeopleFound(f"nobody in {backend.path} has a known shoulder and a known hip in {image.path.name}; give other keypoints")
    observed = Observations.from_keypoints(keypoints)
    _write_layout(folder, _layout_for(observed, image.size, options))
    _write_people(image, folder, observed, keypoints)


def _detect_people(image: GigapixelImage, folder: MidFolder, backend: PoseBackend, name: str) -> None:
    """A backend that looks at tiles."""
    layout = read_layout(folder, image.size)
    folder.alphapose.unlink(missing_ok=True)
    sightings, tile_index = backend.detect(image, layout, folder.tiles)
    if not folder.alphapose.is_file():
        write_alphapose(folder.alphapose, sightings, tile_index, layout, name)
    _, keypoints = merge_keypoints(sightings, tile_index, layout)
    _write_people(image, folder, Observations.from_keypoints(keypoints), keypoints)


def _write_layout(folder: MidFolder, layout: TileLayout) -> None:
    write_npy(folder.position, layout.boxes)
    write_npy(folder.row_col, layout.row_col)


def _write_people(image: GigapixelImage, folder: MidFolder, observed: Observations, keypoints: Keypoints) -> None:
    if len(observed) == 0:
        raise _nobody(image)
    log.info("%d people found", len(observed))
    write_npy(folder.keypoints, keypoints.array)
    observed.save(folder.observations)


def _nobody(image: GigapixelImage) -> NoPeopleFound:
    return NoPeopleFound(f"nobody found in {image.path}; people must be about 24 pixels tall or more")


def _plan_blindly(image: GigapixelImage, weights: DefaultWeights | None, options: ProcessOptions) -> TileLayout:
    """Tiles for a backend that has not seen the photograph yet: by the release's parameters, else by what the embedded backend sees."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image.size)
    if options.camera_ground:
        return plan_tiles(*options.camera_ground, image.size, max_tiles=MOST_TILES)
    try:
        _, _, first = _first_look(image, weights, options.engine)
        return plan_tiles(*_camera_ground(first, image.size, options), image.size, max_tiles=MOST_TILES)
    except (NoPeopleFound, UnsolvableGround) as error:
        log.warning("no ground from the first look (%s); tiles of all sizes", error)
        return _all_sizes(image.size)


def _all_sizes(image_size: tuple[int, int]) -> TileLayout:
    """All levels of the pyramid in one layout, the rows of tiles numbered from the largest to the smallest."""
    levels = [layout for _, layout in plan_pyramid(image_size)]
    rows = np.cumsum([0, *(layout.row_col[-1, 0] + 1 for layout in levels[:-1])])
    row_col = np.concatenate([layout.row_col + [row, 0] for row, layout in zip(rows, levels, strict=True)])
    return TileLayout(np.concatenate([layout.boxes for layout in levels]), row_col, image_size)


def _camera_ground(observed: Observations, image_size: tuple[int, int], options: ProcessOptions) -> tuple[Camera, GroundPlane]:
    """What is known of camera and ground, else what follows from people."""
    if options.camera_ground:
        return options.camera_ground
    known = options.known
    stature, people = for_observations(known.stature, observed), observed.keypoints.array
    estimate = estimate_ground(people, image_size, camera=known.camera, stature=stature, knowns=known.knowns)
    return estimate.camera, estimate.ground


def _layout_for(observed: Observations, image_size: tuple[int, int], options: ProcessOptions) -> TileLayout:
    """Tiles for known people: by the release's parameters, else by the ground, else of the size that suits most of the people."""
    if options.part_params:
        return plan_tiles_release(*options.part_params, image_size)
    try:
        return plan_tiles(*_camera_ground(observed, image_size, options), image_size, max_tiles=MOST_TILES)
    except UnsolvableGround as error:
        log.warning("no ground from the keypoints (%s); tiles of one size", error)
        levels = [layout for _, layout in plan_pyramid(image_size)]
        sides = np.array([layout.boxes[0, 2] - layout.boxes[0, 0] for layout in levels])
        wanted = 2 * np.median(person_size_px(observed.xy_px))
        return levels[int(np.argmin(np.abs(np.log(sides / wanted))))]


@lru_cache(maxsize=1)
def _embedded_pose(weights: DefaultWeights, engine: EngineName, fingerprint: str) -> EmbeddedPose:
    """Prepared once for all photographs of a run, as compiling takes seconds; `fingerprint` tells a replaced file from the one before."""
    return EmbeddedPose(weights.detector, weights.keypoints, engine)


def _first_look(image: GigapixelImage, weights: DefaultWeights | None, engine: EngineName) -> tuple[EmbeddedPose, Candidates, Observations]:
    """Where people may be, by tiles of several sizes, and those who are certainly there."""
    if weights is None:
        raise MissingAsset("the first look at the photograph needs the shipped weights; give them, or tile parameters (--part_params)")
    image.decode_ahead()
    pose = _embedded_pose(weights, engine, str(weights.fingerprint()))
    boxes = np.concatenate([layout.boxes for _, layout in plan_pyramid(image.size, stride=FIRST_STRIDE)])
    coarse = one_each(pose.find(image, boxes, np.zeros(len(boxes)), "looking for people"))
    if len(coarse) == 0:
        raise _nobody(image)
    seen = pose.look(image, coarse, "first look at everybody").observed
    return pose, coarse[_likely(coarse, seen)], _everybody_once(coarse, seen, SURE_THRESHOLD)


def _everybody_once(candidates: Candidates, seen: Observations, threshold: float) -> Observations:
    """Those candidates that are people with at least this certainty, each once."""
    observed = replace(seen, score=certainty(seen, candidates))
    return observed[_distinct_above(observed, threshold)]


def _likely(candidates: Candidates, seen: Observations) -> np.ndarray:
    """Rows of those candidates that may be people, each once."""
    return _distinct_above(replace(seen, score=certainty(seen, candidates)), WORTH_CLOSE_LOOK)


def _distinct_above(observed: Observations, threshold: float) -> np.ndarray:
    rows = np.flatnonzero(observed.score > threshold)
    return rows[distinct(observed[rows])]


def _only_look(
    image: GigapixelImage, weights: DefaultWeights | None, camera_ground: tuple[Camera, GroundPlane], options: ProcessOptions
) -> tuple[EmbeddedPose, TileLayout, Candidates]:
    """Where camera and ground are known, tiles of the right size are known too: one look instead of two, a third of the work."""
    if weights is None:
        raise MissingAsset("the embedded backend needs the shipped weights; give them")
    image.decode_ahead()
    part_params = options.part_params
    layout = plan_tiles_release(*part_params, image.size) if part_params else plan_tiles(*camera_ground, image.size, max_tiles=MOST_TILES)
    pose = _embedded_pose(weights, options.engine, str(weights.fingerprint()))
    found = one_each(pose.find(image, layout.boxes, _lean_rad(layout, *camera_ground), "looking for people"))
    return pose, layout, with_known_ground(found, *camera_ground)


def _second_layout(
    pose: EmbeddedPose, image: GigapixelImage, coarse: Candidates, first: Observations, options: ProcessOptions
) -> tuple[TileLayout, Candidates]:
    """Tiles in which everybody is about half as tall as a tile, and the candidates that they add, at the ground's scale."""
    part_params = options.part_params
    try:
        camera, ground = _camera_ground(first, image.size, options)
    except UnsolvableGround as error:
        log.warning("no ground from the first look (%s); tiles stay as they are", error)
        layout = plan_tiles_release(*part_params, image.size) if part_params else plan_pyramid(image.size)[-1][1]
        return layout, coarse
    layout = plan_tiles_release(*part_params, image.size) if part_params else plan_tiles(camera, ground, image.size, max_tiles=MOST_TILES)
    tiles = _with_candidates(layout if part_params else plan_tiles(camera, ground, image.size), coarse)
    fine = pose.find(image, tiles.boxes, _lean_rad(tiles, camera, ground), "looking again in tiles of the right size")
    both = Candidates(*(np.concatenate(pair) for pair in zip(vars(coarse).values(), vars(fine).values(), strict=True)))
    return layout, with_known_ground(one_each(both), camera, ground)


def _lean_rad(layout: TileLayout, camera: Camera, ground: GroundPlane) -> np.ndarray:
    """(T,) how far people in the middle of each tile lean to the right."""
    return ground.lean_rad(camera, (layout.boxes[:, [1, 0]] + layout.boxes[:, [3, 2]]) / 2)


def _with_candidates(layout: TileLayout, candidates: Candidates) -> TileLayout:
    """The tiles in which the first look saw anything; far ground has hundreds in which there is nobody."""
    down, right = candidates.torso_px[:, 1], candidates.torso_px[:, 0]
    top, left, bottom, end = layout.boxes.T[:, :, None]
    rows = np.flatnonzero(((down >= top) & (down < bottom) & (right >= left) & (right < end)).any(1))
    return TileLayout(layout.boxes[rows], layout.row_col[rows], layout.image_size)


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
