"""From keypoints to everybody's body in one metric world, in values alone: nothing here knows files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

import crowd3d
from crowd3d.bodies import load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.ground import levels_of
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.network import INFERENCE_THRESHOLD, NetworkChoice, result_body
from crowd3d.pipeline.optimise import Adjustment, OptimiseChoice, OptimiseMode, match_observations, observations_of, optimised, resolve
from crowd3d.pipeline.tuning import Tuning
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.observations import Observations
from crowd3d.scene.lifting import lift_on_levels
from crowd3d.scene.measuring import guess_hvip
from crowd3d.scene.off_ground import with_people_off_ground
from crowd3d.scene.placing import look_alike, reconstruct_people
from crowd3d.types import People, Scene, TileLayout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InferOptions:
    """Choices of the user for the second half.

    Attributes:
        weights: the shipped networks.
        network: a Crowd3DNet whose people are the result. By default the shipped lifter makes people of the keypoints and no such
            network runs.
        known: what the user knows of camera, ground and people.
        batch_size: tiles per batch of the network.
        threshold: score above which the network sees a person.
        optimise: what is made to agree with the keypoints after lifting; see `pipeline.optimise`.
        before_after: draw the pictures of the scene before the optimisation, too.
        with_hvip: mark HVIPs in the overlay.
        blur_faces: make heads unrecognisable in the pictures.
        renderer: what draws the bodies, ``builtin`` or ``pytorch3d``.
        tuning: fine-tune the weights, which are in the release's format, to this photograph first; None to use them as they are.
        mesh_mode: ``single``, ``multi`` or ``all`` to write the release's OBJ files; None for none.
        pictures: draw overlay and map, write the mesh.
        overwrite: do everything again.
    """

    weights: DefaultWeights
    network: NetworkChoice | None = None
    known: Known = NOTHING
    batch_size: int = 32
    threshold: float = INFERENCE_THRESHOLD
    optimise: OptimiseChoice = "auto"
    before_after: bool = False
    with_hvip: bool = False
    blur_faces: bool = False
    renderer: str = "builtin"
    tuning: Tuning | None = None
    mesh_mode: str | None = None
    pictures: bool = True
    overwrite: bool = False


def solve(image: GigapixelImage, observed: Observations, layout: TileLayout | None, options: InferOptions) -> Scene:
    """Everything of the second half that needs no files: everybody who was observed in one metric world.

    Args:
        image: the photograph.
        observed: everybody in it.
        layout: tiles for the network; None without one.
        options: the user's choices.

    Raises:
        UnsolvableGround: the people do not determine camera and ground.
        BadConfig: what is known cannot be about this photograph.
    """
    options = replace(options, known=options.known.resolved(image.reduced, image.size))
    world = find_world(image, observed, options.known)
    seen = None
    if options.network is not None and layout is not None:
        from crowd3d.pipeline.network_people import run_network

        keypoints = observed.keypoints.array
        scene = world.camera, world.ground
        seen = run_network(image, options.network, layout, keypoints, scene, options.batch_size, options.threshold).people
    return finish(*place(image, observed, world, seen, options), observed, options)


def place(
    image: GigapixelImage, observed: Observations, world: World, seen: People | None, options: InferOptions
) -> tuple[Scene, np.ndarray]:
    """Everybody once: the people whom a network has `seen` where the user chose one, else the observed ones, lifted."""
    network = options.network
    heights: tuple[float, ...] = (0.0,)
    if network is not None and seen is not None:
        rows = match_observations(seen, network.body(detailed=False), world.camera, observed)
        keypoints = observations_of(rows, observed).keypoints.array if len(observed) else np.zeros((len(seen), 17, 3))
        people = replace(seen, keypoints_px=np.where((rows >= 0)[:, None, None], keypoints, 0.0))
    else:
        levels = levels_of(observed, world.camera, world.ground, options.known)
        people, rows = lift_on_levels(partial(_lift, options.weights, observed, world.camera), world.ground, levels)
        heights = levels.heights_m
    remarks = [*world.remarks, *observed.remarks]
    if len(people) == 0:
        remarks.insert(0, f"nobody of the {len(observed)} found stands on the ground" if len(observed) else "nobody was found")
        log.warning("%s in %s, which should be upright: the scene is empty", remarks[0], image.path)
    off = int((people.off_ground_m != 0).sum())
    if off:
        remarks.append(f"{off} of {len(people)} are off the ground, in the air or on something: their sizes tell how far away they are")
    scene = Scene(
        world.camera,
        world.ground,
        people,
        "free" if network is None else network.body_name,
        image.path.name,
        world.covariance,
        tuple(remarks),
        _source(observed, options),
        heights,
    )
    return scene, rows


def _source(observed: Observations, options: InferOptions) -> dict[str, str]:
    """What made a scene."""
    network = options.network
    weights, digest = (options.weights.lifter, options.weights.lifter_digest) if network is None else (network.path, network.fingerprint())
    keypoints = " ".join(filter(None, (observed.source.name, observed.source.version)))
    return {"version": crowd3d.__version__, "keypoints": keypoints, "weights": f"{weights.name} {digest}"}


def _lift(
    weights: DefaultWeights, observed: Observations, camera: Camera, plane: GroundPlane, rows: np.ndarray
) -> tuple[People, np.ndarray]:
    """People of some rows of the observations on a plane, and the rows of those who could be lifted."""
    if len(rows) == 0:
        return People.nobody(), rows
    mine = observed[rows]
    lifter, body = weights.loaded_lifter, load_body("free_low")
    people, found = reconstruct_people(lifter, body, camera, plane, mine, guess_hvip(mine))
    return with_people_off_ground(people, lifter, body, camera, plane, mine[found]), rows[found]


def mode_of(options: InferOptions, observed: Observations) -> OptimiseMode:
    """What is optimised: camera and ground stay as they are where they were found for all pictures of a static camera."""
    mode = resolve(options.optimise, observed)
    return "people" if mode == "all" and options.known.remarks is not None else mode


def finish(scene: Scene, rows: np.ndarray, observed: Observations, options: InferOptions) -> Scene:
    """The scene made to agree with what was seen, without those who do not look like it."""
    network, mode = options.network, mode_of(options, observed)
    if len(scene.people) == 0:
        return scene
    if mode != "none":
        lift = partial(_lift, options.weights, observed, rows=np.arange(len(observed))) if network is None else None
        body = result_body(network, detailed=False)
        scene = optimised(scene, rows, Adjustment(observed, body, mode, lift, options.known.stature))
    if network is None and len(scene.people) == len(rows):
        scene = replace(scene, people=scene.people[look_alike(scene.people, load_body("free_low"), scene.camera, observed[rows])])
    return scene
