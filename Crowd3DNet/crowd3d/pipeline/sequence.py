"""Many pictures of one static camera: one ground for all, people of every picture, ids that stay, and where everybody went."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.bodies import load_body
from crowd3d.errors import BackendFailed, BadImage, NoPeopleFound, UnsolvableGround
from crowd3d.files import atomic_path, write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import HVIP_SIGMA_M, ground_position_covariance, write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.frames import Frame
from crowd3d.pipeline.ground import estimate_from
from crowd3d.pipeline.infer import InferOptions, infer, read_observations
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.manifest import Run
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.weights import DefaultWeights
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
        part: for the first half of every picture.
        whole: for the second half of every picture.
        ground_frames: camera and ground come from everybody in so many pictures, evenly spread; 0 is all.
        tracking: what is assumed about people's ways.
    """

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


def reconstruct_frames(
    frames: Sequence[Frame], folder: SequenceFolder, weights: DefaultWeights, options: SequenceOptions
) -> Trajectories:
    """Reconstruct all pictures in one world and follow everybody; what was done before is kept, a bad picture is reported and skipped.

    Raises:
        BadImage: no picture can be read.
        NoPeopleFound, UnsolvableGround: no picture gives people, or they do not determine camera and ground.
        MissingAsset, BadOutput: as `process` and `infer`.
    """
    failures: dict[str, str] = {}
    known, usual = _common_ground(frames, folder, weights, options)
    part, whole = replace(options.part, known=known), replace(options.whole, known=known)
    for number, frame in enumerate(frames, 1):
        log.info("picture %d of %d: %s", number, len(frames), frame.name)
        try:
            size = GigapixelImage(frame.path).size
            if size != usual:
                raise BadImage(f"{frame.path} has {size[0]}x{size[1]} pixels, the others {usual[0]}x{usual[1]}; replace it")
            process(frame.path, folder.mid(frame.name), part)
            infer(frame.path, folder.mid(frame.name), folder.results(frame.name), weights, whole)
        except OF_ONE_PICTURE as error:
            log.error("skipped %s: %s", frame.name, error)
            failures[frame.name] = str(error)
    used = [frame for frame in frames if frame.name not in failures]
    if not used:
        raise NoPeopleFound(f"none of {len(frames)} pictures could be reconstructed, {frames[0].name}: {failures[frames[0].name]}")
    found = _follow(used, folder, options.tracking, failures)
    _write(found, folder, options.whole.smpl_folder)
    return found


def spread_over(frames: Sequence[Frame], count: int) -> list[Frame]:
    """So many of them, evenly spread; all for 0."""
    wanted = min(count or len(frames), len(frames))
    return [frames[row] for row in np.unique(np.linspace(0, len(frames) - 1, wanted).round().astype(int))]


def _common_ground(
    frames: Sequence[Frame], folder: SequenceFolder, weights: DefaultWeights, options: SequenceOptions
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
        return known.of_world(*known.world, known.world_covariance, None), usual
    inputs = {
        "images": [images[frame].content_hash for frame in chosen],
        "backend": [options.part.backend.name, options.part.backend.key()],
        "part_params": options.part.part_params,
        "known": known.key(),
        "weights": weights.fingerprint(),
    }

    def estimate() -> None:
        parts: list[Observations] = []
        for frame in chosen:
            log.info("camera and ground: looking at %s", frame.name)
            try:
                process(frame.path, folder.mid(frame.name), replace(options.part, known=known))
                parts.append(read_observations(folder.mid(frame.name)))
            except OF_ONE_PICTURE as error:
                log.error("not used for the ground: %s", error)
        if not parts:
            raise NoPeopleFound(f"nobody found in any of {len(chosen)} pictures; people must be about 24 pixels tall or more")
        found = estimate_from(images[chosen[0]], Observations.joined(parts), known)
        ground_mid = folder.mid_root / "ground_mid"
        write_release_ground(ground_mid / "mid", ground_mid / "ground", found.camera, found.ground)
        write_json(
            folder.camera,
            {
                "camera": asdict(found.camera),
                "ground": found.ground.coefficients.tolist(),
                "covariance": found.covariance.tolist(),
                "weak": found.reason,
                "assumption": found.assumption,
                "pictures": [frame.name for frame in chosen],
            },
        )

    Run(folder.res_root, overwrite=options.whole.overwrite).stage("ground", inputs, [folder.camera], estimate)
    values = json.loads(folder.camera.read_text(encoding="utf-8"))
    remarks = tuple(filter(None, (values["weak"], values["assumption"])))
    camera, ground = Camera(**values["camera"]), GroundPlane.from_coefficients(values["ground"])
    return known.of_world(camera, ground, np.array(values["covariance"]), remarks), usual


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


def _write(found: Trajectories, folder: SequenceFolder, smpl_folder: Path | None) -> None:
    scores: list[np.ndarray] = []

    def scenes():
        for frame in found.frames:
            scene = Scene.load(folder.results(frame.name).root)
            scores.append(scene.people.score)
            yield scene

    write_predict_json(folder.predict, scenes(), found.ids)
    _write_trajectories(folder.trajectories, found, scores)
    last = Scene.load(folder.results(found.frames[-1].name).root)
    name = "free_low" if last.body.startswith("free") else last.body
    top_view(last, load_body(name, smpl_folder=smpl_folder), folder.top_view, trails=_trails(found))


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
