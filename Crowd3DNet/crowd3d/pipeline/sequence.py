"""Many pictures of one static camera: one ground for all, people of every picture, ids that stay, and where everybody went."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import BackendFailed, BadImage, NoPeopleFound, UnsolvableGround
from crowd3d.files import atomic_path
from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance, write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.frames import Frame, sequence_owner
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.network import result_body
from crowd3d.pipeline.process import ProcessOptions, look, process
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.stages import Run, Stage
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.observations import Observations
from crowd3d.render.topview import Trail, top_view
from crowd3d.scene import write_predict_json
from crowd3d.scene.motion import SWAY_SIGMA_M
from crowd3d.scene.paths import TRAJECTORY_COLUMNS
from crowd3d.scene.tracking import TrackingOptions, smooth_tracks, track
from crowd3d.types import Scene

log = logging.getLogger(__name__)

OF_ONE_PICTURE = (BadImage, NoPeopleFound, UnsolvableGround, BackendFailed)
"""What can be wrong with one picture while the others are fine."""


@dataclass(frozen=True)
class SequenceFolder:
    """Files of a run.

    Attributes:
        mid_root: intermediate files, a folder per picture.
        res_root: results.
    """

    mid_root: Path
    res_root: Path

    def mid(self, frame: str) -> MidFolder:
        """Intermediate files of a picture, those of a single photograph."""
        return MidFolder(self.mid_root / "frames" / frame)

    def results(self, frame: str) -> ResultFolder:
        """Results of a picture, those of a single photograph."""
        return ResultFolder(self.res_root / "frames" / frame)

    @property
    def ground_mid(self) -> Path:
        """Camera and ground for all pictures, in the release's files."""
        return self.mid_root / "ground_mid"

    def look(self, frame: str) -> Path:
        """People of a picture from which camera and ground come."""
        return self.ground_mid / "looks" / f"{frame}.npz"

    @property
    def video(self) -> Path:
        """Pictures that were taken from a video."""
        return self.mid_root / "video"

    @property
    def camera(self) -> Path:
        """Camera, ground and their covariance, for all pictures."""
        return self.res_root / "camera_ground.json"

    @property
    def trajectories(self) -> Path:
        """One line per person and picture."""
        return self.res_root / "trajectories.csv"

    @property
    def top_view(self) -> Path:
        """Map of the ground with everybody's path."""
        return self.res_root / "topview.png"

    @property
    def predict(self) -> Path:
        """Everybody in all pictures; the ids that stay are in ``predict_extra.json`` beside it."""
        return self.res_root / "predict.json"


@dataclass(frozen=True)
class SequenceOptions:
    """Choices of the user.

    Attributes:
        source: the folder or video.
        part: for the first half of every picture.
        whole: for the second half of every picture.
        ground_frames: camera and ground come from everybody in so many pictures, evenly spread; 0 is all.
        tracking: what is assumed about people's ways.
    """

    source: Path
    part: ProcessOptions
    whole: InferOptions
    ground_frames: int = 5
    tracking: TrackingOptions = field(default_factory=TrackingOptions)


class Trajectories(NamedTuple):
    """Who is where in T pictures.

    Attributes:
        frames: the T pictures that could be used.
        places_m: T × (N_t, 2) x, z in the upright world.
        smooth: T × (N_t, 4) x, z, vx, vz, smoothed over all pictures.
        ids: T × (N_t,) ids that stay.
        failures: name → reason, of the pictures that were skipped.
    """

    frames: list[Frame]
    places_m: list[np.ndarray]
    smooth: list[np.ndarray]
    ids: list[np.ndarray]
    failures: dict[str, str]


def reconstruct_frames(frames: Sequence[Frame], folder: SequenceFolder, options: SequenceOptions) -> Trajectories:
    """Reconstruct all pictures in one world and follow everybody; what was done before is kept, a bad picture is reported and skipped.

    A picture with nobody in it is a result like any other.

    Raises:
        BadImage: no picture can be read.
        UnsolvableGround: the people do not determine camera and ground.
        MissingAsset, BadOutput: as `process` and `infer`.
    """
    failures: dict[str, str] = {}
    owner = sequence_owner(options.source)
    overwrite = options.whole.overwrite
    with Run(folder.mid_root, owner) as looks, Run(folder.res_root, owner, overwrite=overwrite) as run:
        known, usual = _common_ground(looks, run, frames, folder, options)
        part, whole = replace(options.part, known=known), replace(options.whole, known=known)
        for number, frame in enumerate(frames, 1):
            log.info("picture %d of %d: %s", number, len(frames), frame.name)
            try:
                image = GigapixelImage(frame.path)
                if image.size != usual:
                    told = "{}x{} pixels, the others {}x{}".format(*image.size, *usual)
                    raise BadImage(f"{frame.path} has {told}; replace it")
                process(image, folder.mid(frame.name), part)
                infer(image, folder.mid(frame.name), folder.results(frame.name), whole)
            except OF_ONE_PICTURE as error:
                log.error("skipped %s: %s", frame.name, error)
                failures[frame.name] = str(error)
        used = [frame for frame in frames if frame.name not in failures]
        if not used:
            first = frames[0].name
            raise BadImage(f"none of {len(frames)} pictures could be reconstructed, {first}: {failures[first]}")
        found = _follow(used, folder, options.tracking, failures)
        _write(found, folder, result_body(options.whole.network, detailed=False))
    return found


def spread_over(frames: Sequence[Frame], count: int) -> list[Frame]:
    """So many of them, evenly spread; all for 0."""
    wanted = min(count or len(frames), len(frames))
    return [frames[row] for row in np.unique(np.linspace(0, len(frames) - 1, wanted).round().astype(int))]


def _common_ground(
    looks: Run, run: Run, frames: Sequence[Frame], folder: SequenceFolder, options: SequenceOptions
) -> tuple[Known, tuple[int, int]]:
    """What is known of all pictures, camera and ground as given or from everybody in the selected pictures; and their size."""
    images: dict[Frame, GigapixelImage] = {}
    for frame in frames:
        try:
            images[frame] = GigapixelImage(frame.path)
        except BadImage as error:
            log.error("not used for the ground: %s", error)
    if not images:
        raise BadImage(f"none of the {len(frames)} pictures in {frames[0].path.parent} can be read; copy them again")
    # A picture of another size is by another camera; only headers have been read so far.
    usual, _ = Counter(image.size for image in images.values()).most_common(1)[0]
    chosen = spread_over([frame for frame, image in images.items() if image.size == usual], options.ground_frames)
    known = options.whole.known.resolved(images[chosen[0]].reduced, usual)
    if known.world is not None:
        run.drop("ground")
        return known.of_world(*known.world, known.world_covariance, None), usual
    part = replace(options.part, known=known)
    seen = {frame: found for frame in chosen if (found := _look(looks, images[frame], folder.look(frame.name), part)) is not None}
    if not seen:
        raise BadImage(f"none of the {len(chosen)} pictures for camera and ground could be used; their errors are above")
    first = next(iter(seen))
    names = [frame.name for frame in seen]
    values = {"image": images[first].content_hash, "known": known.key(), "names": names}
    world = run.do(
        Stage("ground", 1, [folder.look(name) for name in names], values, [folder.camera]),
        lambda: find_world(images[first], Observations.joined(list(seen.values())), known),
        lambda world: world.save(folder.camera, {"pictures": names}),
        lambda: World.load(folder.camera),
    )
    raw, ground = folder.ground_mid / "mid", folder.ground_mid / "ground"
    stage = Stage("release ground", 1, [folder.camera], {}, [raw, ground])
    looks.do(stage, lambda: write_release_ground(raw, ground, world.camera, world.ground))
    return known.of_world(world.camera, world.ground, world.covariance, world.remarks), usual


def _look(run: Run, image: GigapixelImage, path: Path, part: ProcessOptions) -> Observations | None:
    """Everybody in a picture, as far as they can be found without camera and ground; None for one that cannot be used."""
    log.info("camera and ground: looking at %s", image.path.name)
    known, tiles = part.known.key(), part.part_params
    values = {"image": image.content_hash, "known": known, "part_params": tiles, "backend": [part.backend.name, part.backend.key()]}
    try:
        stage = Stage(f"look at {path.stem}", 1, [], values, [path])
        return run.do(stage, lambda: look(image, part), lambda found: found.save(path), lambda: Observations.load(path))
    except OF_ONE_PICTURE as error:
        log.error("not used for the ground: %s", error)
        return None


def _follow(frames: list[Frame], folder: SequenceFolder, options: TrackingOptions, failures: dict[str, str]) -> Trajectories:
    """Ids and smooth paths; one scene at a time is in memory."""
    places: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for frame in frames:
        scene = Scene.load(folder.results(frame.name).root)
        places.append(scene.ground.to_world(scene.people.hvip_cam_m)[:, [0, 2]])
        spread.append(place_covariance(scene))
    times = np.array([frame.time_s for frame in frames])
    ids = track(places, times, spread, options)
    return Trajectories(frames, places, smooth_tracks(places, times, spread, ids, options.motion), ids, failures)


def place_covariance(scene: Scene) -> np.ndarray:
    """(N, 2, 2) square metres of x, z by what differs from picture to picture; errors of a static camera stay the same and do not count."""
    hvip_px = scene.people.hvip_px
    sigma_px = HVIP_SIGMA_M * scene.ground.pixels_per_metre(scene.camera, hvip_px)
    by_pixels = ground_position_covariance(scene.camera, scene.ground, np.zeros((4, 4)), hvip_px, sigma_px)
    return by_pixels + SWAY_SIGMA_M**2 * np.eye(2)


def _write(found: Trajectories, folder: SequenceFolder, body: Body) -> None:
    scores: list[np.ndarray] = []

    def scenes():
        for frame in found.frames:
            scene = Scene.load(folder.results(frame.name).root)
            scores.append(scene.people.score)
            yield scene

    write_predict_json(folder.predict, scenes(), found.ids)
    _write_trajectories(folder.trajectories, found, scores)
    last = Scene.load(folder.results(found.frames[-1].name).root)
    top_view(last, body, folder.top_view, trails=_trails(found))


def _write_trajectories(path: Path, found: Trajectories, scores: Sequence[np.ndarray]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(TRAJECTORY_COLUMNS)
        rows = zip(found.frames, found.places_m, found.smooth, found.ids, scores, strict=True)
        for number, (frame, places, smooth, ids, score) in enumerate(rows):
            speed = np.hypot(smooth[:, 2], smooth[:, 3])
            for person in np.argsort(ids):
                metres = (*places[person], *smooth[person, :2], speed[person])
                line = [number, frame.path.name, f"{frame.time_s:.3f}", ids[person], person]
                writer.writerow([*line, *(f"{value:.3f}" for value in metres), f"{score[person]:.4f}"])


def _trails(found: Trajectories) -> list[Trail]:
    """Everybody's smooth path on the map, with his row in the last picture."""
    everybody = np.concatenate(found.ids)
    order = np.argsort(everybody, kind="stable")
    ways = np.split(np.concatenate(found.smooth)[order, :2] * [1.0, -1.0], np.flatnonzero(np.diff(everybody[order])) + 1)
    row = {int(id_): person for person, id_ in enumerate(found.ids[-1])}
    return [Trail(way, row.get(int(id_), -1)) for id_, way in zip(np.unique(everybody), ways, strict=True)]
