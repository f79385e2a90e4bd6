"""Many pictures of one static camera: one ground for all, people of every picture, ids that stay, and where everybody went."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import BackendFailed, BadImage, NoPeopleFound, UnsolvableGround
from crowd3d.files import atomic_path
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import SequenceFolder
from crowd3d.pipeline.frames import Frame, sequence_owner
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.network import result_body
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.sequence_ground import static_world
from crowd3d.pipeline.shards import ALONE, Shard
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.stages import Run
from crowd3d.render.topview import Trail, top_view
from crowd3d.scene import write_predict_json
from crowd3d.scene.motion import place_covariance
from crowd3d.scene.paths import TRAJECTORY_COLUMNS
from crowd3d.scene.tracking import Smoothed, TrackingOptions, smooth_tracks, track
from crowd3d.types import Scene

log = logging.getLogger(__name__)

OF_ONE_PICTURE = (BadImage, NoPeopleFound, UnsolvableGround, BackendFailed)
"""What can be wrong with one picture while the others are fine."""


@dataclass(frozen=True)
class SequenceOptions:
    """Choices of the user.

    Attributes:
        source: the folder or video.
        part: for the first half of every picture.
        whole: for the second half of every picture.
        ground_frames: camera and ground come from everybody in so many pictures, evenly spread; 0 is all (but see `static_world`).
        tracking: what is assumed about people's ways.
    """

    source: Path
    part: ProcessOptions
    whole: InferOptions
    ground_frames: int = 0
    tracking: TrackingOptions = field(default_factory=TrackingOptions)


class Trajectories(NamedTuple):
    """Who is where in T pictures.

    Attributes:
        frames: the T pictures that could be used.
        places_m: T × (N_t, 2) x, z in the upright world.
        smooth: T × the N_t people's places and velocities, smoothed over all pictures.
        ids: T × (N_t,) ids that stay.
        failures: name → reason, of the pictures that were skipped.
    """

    frames: list[Frame]
    places_m: list[np.ndarray]
    smooth: list[Smoothed]
    ids: list[np.ndarray]
    failures: dict[str, str]


def reconstruct_frames(frames: Sequence[Frame], folder: SequenceFolder, options: SequenceOptions, shard: Shard = ALONE) -> Trajectories:
    """Reconstruct all pictures in one world and follow everybody; what was done before is kept, a bad picture is reported and skipped.

    A picture with nobody in it is a result like any other. Processes of ``torchrun`` share the pictures; the leading one holds the folders,
    and estimates camera and ground from everybody's people.

    Raises:
        BadImage: no picture can be read.
        UnsolvableGround: the people do not determine camera and ground.
        MissingAsset, BadOutput: as `process` and `infer`.
    """
    failures: dict[str, str] = {}
    owner = sequence_owner(options.source)
    looks, run = Run(folder.mid_root, owner), Run(folder.res_root, owner, overwrite=options.whole.overwrite)
    with ExitStack() as held:
        if shard.leads:
            held.enter_context(looks)
            held.enter_context(run)
        usual, known = _common(frames, options.whole.known)
        part = replace(options.part, known=known)

        def find(frame: Frame) -> None:
            image = GigapixelImage(frame.path)
            if image.size != usual:
                told = "{}x{} pixels, the others {}x{}".format(*image.size, *usual)
                raise BadImage(f"{frame.path} has {told}; replace it")
            process(image, folder.mid(frame.name), part, tiles=options.whole.tuning is not None)

        seen = _each(frames, "looking at", find, failures, shard)
        known = shard.once(lambda: static_world(looks, run, seen, folder, known, options.ground_frames))
        whole = replace(options.whole, known=known)

        def embody(frame: Frame) -> None:
            infer(GigapixelImage(frame.path), folder.mid(frame.name), folder.results(frame.name), whole)

        used = _each(seen, "bodies in", embody, failures, shard)

        def finish() -> Trajectories:
            found = _follow(used, folder, options.tracking, failures)
            _write(found, folder, result_body(options.whole.network, detailed=False))
            return found

        return shard.once(finish)


def _each(
    frames: Sequence[Frame], doing: str, work: Callable[[Frame], object], failures: dict[str, str], shard: Shard
) -> list[Frame]:
    """Share the pictures among the processes; those with which it can be done. The others are reported and noted in `failures`."""
    mine, failed = shard.part(frames), {}
    for number, frame in enumerate(mine, 1):
        log.info("%s picture %d of %d: %s", doing, number, len(mine), frame.name)
        try:
            work(frame)
        except OF_ONE_PICTURE as error:
            log.error("skipped %s: %s", frame.name, error)
            failed[frame.name] = str(error)
    failed = shard.gather(failed)
    failures |= failed
    if len(failed) == len(frames):
        raise BadImage(f"none of {len(frames)} pictures could be reconstructed, {frames[0].name}: {failed[frames[0].name]}")
    return [frame for frame in frames if frame.name not in failed]


def _common(frames: Sequence[Frame], known: Known) -> tuple[tuple[int, int], Known]:
    """Size of the pictures, and what is known of all of them.

    Raises:
        BadImage: none can be read.
    """
    sizes: dict[Frame, tuple[int, int]] = {}
    for frame in frames:
        with suppress(BadImage):
            sizes[frame] = GigapixelImage(frame.path).size
    if not sizes:
        raise BadImage(f"none of the {len(frames)} pictures in {frames[0].path.parent} can be read; copy them again")
    # A picture of another size is by another camera; only headers have been read so far.
    usual, _ = Counter(sizes.values()).most_common(1)[0]
    first = next(frame for frame, size in sizes.items() if size == usual)
    return usual, known.resolved(GigapixelImage(first.path).reduced, usual)


def _follow(frames: list[Frame], folder: SequenceFolder, options: TrackingOptions, failures: dict[str, str]) -> Trajectories:
    """Ids and smooth paths; one scene at a time is in memory."""
    places: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for frame in frames:
        scene = Scene.load(folder.results(frame.name).root)
        places.append(scene.ground.to_world(scene.people.hvip_cam_m)[:, [0, 2]])
        spread.append(place_covariance(scene.camera, scene.ground, scene.people.hvip_px))
    times = np.array([frame.time_s for frame in frames])
    ids = track(places, times, spread, options)
    return Trajectories(frames, places, smooth_tracks(places, times, spread, ids, options.motion), ids, failures)


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
            speed = np.hypot(*smooth.state[:, 2:].T)
            sigma = np.stack([smooth.place_sigma_m, smooth.speed_sigma_m_s], 1)
            for person in np.argsort(ids):
                metres = "{:.3f} {:.3f} {:.3f} {:.3f} {:.3f}".format(*places[person], *smooth.state[person, :2], speed[person]).split()
                unsure = "{:.3f} {:.3f}".format(*sigma[person]).split()
                line = [number, frame.path.name, f"{frame.time_s:.3f}", ids[person], person]
                writer.writerow([*line, *metres, f"{score[person]:.4f}", *unsure])


def _trails(found: Trajectories) -> list[Trail]:
    """Everybody's smooth path on the map, with their row in the last picture."""
    everybody = np.concatenate(found.ids)
    order = np.argsort(everybody, kind="stable")
    places = np.concatenate([smooth.state for smooth in found.smooth])[order, :2] * [1.0, -1.0]
    names, first = np.unique(everybody[order], return_index=True)
    ways = np.split(places, first)[1:]
    row = {int(id_): person for person, id_ in enumerate(found.ids[-1])}
    return [Trail(way, row.get(int(id_), -1)) for id_, way in zip(names, ways, strict=True)]
