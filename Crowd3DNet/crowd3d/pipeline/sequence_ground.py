"""Camera and ground of a static camera, from everybody in its pictures: who is seen in many of them is still one person."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.steady import STEADY, WIDTH_PX, background_shift
from crowd3d.pipeline.folders import SequenceFolder
from crowd3d.pipeline.frames import Frame
from crowd3d.pipeline.ground import quick_world
from crowd3d.pipeline.infer import read_observations
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.stages import Run, Stage
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.scene.measuring import first_torso, guess_hvip
from crowd3d.scene.motion import place_covariance
from crowd3d.scene.tracking import track

log = logging.getLogger(__name__)

MOST_SIGHTINGS = 3000
"""More people than that are not looked at for camera and ground: pictures are left out, evenly."""
COMPARED = 24
"""So many pictures are compared to see whether the camera stands still."""
_ROUGHLY_M = 0.15
"""Spread of a place before bodies are known."""


def static_world(looks: Run, run: Run, frames: Sequence[Frame], folder: SequenceFolder, known: Known, count: int) -> Known:
    """What is known of all pictures: camera and ground as given, or from everybody in them.

    A first ground from everybody tells where people are, and so who is who in all pictures; with that the ground is estimated again. The
    pictures must be by a camera that stands still; where the background moves, the result says so.

    Args:
        looks, run: memory of the intermediate files and of the results.
        frames: pictures in which people were found.
        folder: where their people are, and where camera and ground go.
        known: what the user knows.
        count: so many pictures, evenly spread, tell the ground; 0 is all. There are fewer where they hold more than `MOST_SIGHTINGS`.

    Raises:
        UnsolvableGround: the people do not determine camera and ground.
    """
    if known.world is not None:
        moved = unsteady(frames)
        if moved:
            log.warning("%s", moved)
        run.drop("ground")
        return known.of_world(*known.world, known.world_covariance, None)
    chosen = _enough(frames, folder, count)
    first = GigapixelImage(chosen[0].path)
    one_ground = replace(known, most_levels=1)

    def estimate() -> World:
        observed = Observations.joined([read_observations(folder.mid(frame.name)) for frame in chosen])
        rough = quick_world(observed, first.size, one_ground) if len(observed) else None
        groups = None if rough is None else np.concatenate([ids for frame, ids in _who(frames, folder, *rough) if frame in chosen])
        world = find_world(first, observed, one_ground, groups)
        return replace(world, weak="; ".join(filter(None, (unsteady(frames), world.weak))))

    people = [path for frame in frames for path in (folder.mid(frame.name).observations, folder.mid(frame.name).keypoints)]
    values = {"image": first.content_hash, "known": known.key(), "times": [frame.time_s for frame in frames], "count": count}
    world = run.do(
        Stage("ground", 2, people, values, [folder.camera]),
        estimate,
        lambda world: world.save(folder.camera, {"pictures": [frame.name for frame in chosen]}),
        lambda: World.load(folder.camera),
    )
    raw, ground = folder.ground_mid / "mid", folder.ground_mid / "ground"
    stage = Stage("release ground", 1, [folder.camera], {}, [raw, ground])
    looks.do(stage, lambda: write_release_ground(raw, ground, world.camera, world.ground))
    return known.of_world(world.camera, world.ground, world.covariance, world.remarks)


def spread_over(frames: Sequence[Frame], count: int) -> list[Frame]:
    """So many of them, evenly spread; all for 0."""
    wanted = min(count or len(frames), len(frames))
    return [frames[row] for row in np.unique(np.linspace(0, len(frames) - 1, wanted).round().astype(int))]


def unsteady(frames: Sequence[Frame]) -> str:
    """What shows that the camera did not stand still, in words; empty where nothing does."""
    compared = spread_over(frames, COMPARED)
    if len(compared) < 2:
        return ""
    first = _small(compared[0])
    shifts = [background_shift(first, _small(frame)) for frame in compared[1:]]
    moved = [(shift, frame.name) for shift, frame in zip(shifts, compared[1:], strict=True) if shift is not None and shift > STEADY]
    if not moved:
        return ""
    most, name = max(moved)
    return (
        f"the camera did not stand still: in {len(moved)} of {len(shifts)} pictures the background is not where it is in "
        f"{compared[0].name}, in {name} by {100 * most:.1f} % of the picture; one ground for all does not hold there"
    )


def _small(frame: Frame) -> np.ndarray:
    image = GigapixelImage(frame.path)
    return cv2.cvtColor(image.reduced(max(1.0, max(image.size) / WIDTH_PX)), cv2.COLOR_RGB2GRAY)


def _enough(frames: Sequence[Frame], folder: SequenceFolder, count: int) -> list[Frame]:
    """So many pictures, or as many as hold no more than `MOST_SIGHTINGS`."""
    chosen = spread_over(frames, count)
    held = sum(len(np.load(folder.mid(frame.name).keypoints, mmap_mode="r")) for frame in chosen)
    return spread_over(chosen, max(1, int(len(chosen) * min(1.0, MOST_SIGHTINGS / max(held, 1)))))


def _who(frames: Sequence[Frame], folder: SequenceFolder, camera: Camera, ground: GroundPlane) -> list[tuple[Frame, np.ndarray]]:
    """Every picture with (N,) int of its people: who is who by their places on a first ground."""
    places: list[np.ndarray] = []
    spread: list[np.ndarray] = []
    for frame in frames:
        observed = read_observations(folder.mid(frame.name))
        torso = first_torso(camera, ground, observed.torso_px, guess_hvip(observed), person_size_px(observed.xy_px))
        foot = ground.foot(torso)
        places.append(ground.to_world(foot)[:, [0, 2]])
        spread.append(place_covariance(camera, ground, camera.project(foot), _ROUGHLY_M))
    return list(zip(frames, track(places, np.array([frame.time_s for frame in frames]), spread), strict=True))
