"""Second half: keypoints and tiles → camera, ground, everybody's body in one metric world, and the pictures of it."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.errors import MissingAsset, NoPeopleFound
from crowd3d.export import write_glb, write_people_csv, write_release_objs
from crowd3d.files import write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import HVIP_SIGMA_M, Knowns, StaturePrior, ground_position_covariance, write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.model.decoding import INFERENCE_THRESHOLD
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.ground import ANY_CROWD, estimate_from
from crowd3d.pipeline.manifest import Run, file_digest
from crowd3d.pipeline.network import NetworkChoice, prepare, read_people, run_network
from crowd3d.pipeline.optimise import (
    OptimiseChoice,
    OptimiseMode,
    match_observations,
    observations_of,
    optimised,
    read_lifted,
    resolve,
    write_lifted,
    write_result,
)
from crowd3d.pipeline.process import read_layout
from crowd3d.pipeline.tuning import Tuning, tuned_network
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.observations import Observations
from crowd3d.render import person_colours, render_overlay, render_overview, top_view
from crowd3d.scene.measuring import guess_hvip
from crowd3d.scene.placing import load_lifter, reconstruct_people
from crowd3d.types import Keypoints, People, Scene

log = logging.getLogger(__name__)



@dataclass(frozen=True)
class InferOptions:
    """Choices of the user for the second half.

    Attributes:
        weights: Crowd3DNet in the release's format or the project's; by default the shipped estimator.
        smpl_folder: folder of the official SMPL files.
        camera: exact intrinsics, if known.
        ground: the ground plane, if known too: then nothing is estimated. It needs the camera.
        ground_covariance: (4, 4) of a ground and camera that were estimated elsewhere, as in `GroundEstimate`; None for exact ones.
        knowns: focal length, camera height or a distance on the ground, if known.
        stature: what is known of people's heights.
        engine: what runs the networks.
        batch_size: tiles per batch of the network.
        threshold: score above which the network sees a person.
        optimise: what is made to agree with the keypoints after lifting; see `pipeline.optimise`.
        before_after: draw the pictures of the scene before the optimisation, too.
        with_hvip: mark HVIPs in the overlay.
        tuning: fine-tune the weights, which are in the release's format, to this photograph first; None to use them as they are.
        mesh_mode: ``single``, ``multi`` or ``all`` to write the release's OBJ files; None for none.
        pictures: draw overlay and map, write the mesh.
        overwrite: do everything again.
    """

    weights: Path | None = None
    smpl_folder: Path | None = None
    camera: Camera | None = None
    ground: GroundPlane | None = None
    ground_covariance: np.ndarray | None = None
    knowns: Knowns | None = None
    stature: StaturePrior = ANY_CROWD
    engine: EngineName = "auto"
    batch_size: int = 32
    threshold: float = INFERENCE_THRESHOLD
    optimise: OptimiseChoice = "auto"
    before_after: bool = False
    with_hvip: bool = False
    tuning: Tuning | None = None
    mesh_mode: str | None = None
    pictures: bool = True
    overwrite: bool = False


def infer(image_path: Path, mid: MidFolder, results: ResultFolder, weights: DefaultWeights, options: InferOptions) -> Scene:
    """Reconstruct everybody that `process` found and write the files of `ResultFolder`.

    Raises:
        MissingAsset: `process` has not run for this photograph, or weights are absent or of the wrong kind.
        UnsolvableGround: the people do not determine camera and ground.
        BadOutput: the folder cannot be written.
    """
    if not mid.keypoints.is_file():
        raise MissingAsset(f"{mid.root} has no keypoints; run process.py on {image_path} first")
    image = GigapixelImage(image_path)
    observed = read_observations(mid)
    run = Run(results.root, overwrite=options.overwrite)
    choice = NetworkChoice.of(options.weights, weights, options.smpl_folder)
    if options.tuning is not None:
        choice.check_tunable()
    given = (("camera", options.camera), ("knowns", options.knowns), ("stature", options.stature))
    known = {name: None if value is None else asdict(value) for name, value in given}
    inputs = {"image": image.content_hash, "keypoints": file_digest(mid.keypoints), **known}
    if options.ground is not None:
        inputs["ground"] = options.ground.coefficients.tolist()
    if options.ground_covariance is not None:
        inputs["ground_covariance"] = options.ground_covariance.tolist()
    raw = results.estimate

    def estimate_ground() -> None:
        with ThreadPoolExecutor(1) as worker:
            if options.tuning is None:
                # needed next; should it fail, the network's stage fails again and says why
                worker.submit(prepare, choice, options.engine)
            _estimate(image, mid, raw, observed, options)

    run.stage("ground", inputs, [raw, mid.ground / "ground.npy"], estimate_ground)
    world = _read_world(raw)

    layout = read_layout(mid, image.size)
    outputs = [results.all_result, results.network]
    name = image_path.stem
    if options.tuning is not None:
        choice = tuned_network(choice, name, mid, options.tuning)
    run.stage(
        "network",
        {"weights": choice.fingerprint(), "threshold": options.threshold},
        outputs,
        lambda: run_network(
            image, name, mid, results, choice, layout, (world.camera, world.ground), options.engine, options.batch_size, options.threshold
        ),
    )
    run.stage(
        "people",
        {"weights": weights.fingerprint()},
        [results.lifted / "scene.npz", results.lifted / "rows.npy"],
        lambda: _join(image_path, results, choice, weights, observed, world),
    )
    mode = resolve(options.optimise, observed)
    run.stage(
        "optimise",
        {"mode": mode},
        [results.predict, results.root / "scene.npz"],
        lambda: _optimise(mid, results, choice, weights, observed, mode),
    )
    scene = Scene.load(results.root)
    if options.pictures and options.before_after:
        before = ResultFolder(results.lifted)
        run.stage("pictures before", {}, [before.overlay], lambda: _draw(read_lifted(results)[0], image, before, choice, options))
    if options.pictures:
        pictures = [results.overlay, results.overview, results.top_view, results.mesh, results.table]
        run.stage("pictures", {"with_hvip": options.with_hvip}, pictures, lambda: _draw(scene, image, results, choice, options))
    if options.mesh_mode:
        mesh = results.root / "extract_mesh"
        body = choice.body(detailed=True)
        which = options.mesh_mode
        run.stage("meshes", {"mode": which}, [mesh / "ground.obj"], lambda: write_release_objs(mesh, name, scene, body, which))
    return scene


def read_observations(mid: MidFolder) -> Observations:
    """What the embedded backend measured, or what follows from the keypoints when they come from elsewhere or were edited."""
    keypoints = Keypoints.from_array(np.load(mid.keypoints))
    if mid.observations.is_file():
        observed = Observations.load(mid.observations)
        if observed.xy_px.shape == keypoints.xy_px.shape and np.allclose(observed.xy_px, keypoints.xy_px):
            return observed
    return Observations.from_keypoints(keypoints)


def _estimate(image: GigapixelImage, mid: MidFolder, raw: Path, observed: Observations, options: InferOptions) -> None:
    if options.camera is not None and options.ground is not None:
        camera, ground = options.camera, options.ground
        covariance = None if options.ground_covariance is None else options.ground_covariance.tolist()
        doubts: dict[str, object] = {"weak": "", "assumption": ""}
    else:
        estimate = estimate_from(image, observed, options.camera, options.knowns, stature=options.stature)
        camera, ground, covariance = estimate.camera, estimate.ground, estimate.covariance.tolist()
        doubts = {"weak": estimate.reason, "assumption": estimate.assumption, "height_range_m": list(estimate.height_range_m)}
    write_release_ground(mid.raw_ground, mid.ground, camera, ground)
    told = {"camera": vars(camera), "ground": ground.coefficients.tolist(), "covariance": covariance}
    write_json(raw, {**told, **doubts})


class _World(NamedTuple):
    """Camera, ground, their covariance (4, 4) as in `GroundEstimate` or None, and what the user should know of them."""

    camera: Camera
    ground: GroundPlane
    covariance: np.ndarray | None
    remarks: tuple[str, ...]


def _read_world(path: Path) -> _World:
    values = json.loads(path.read_text(encoding="utf-8"))
    covariance = values["covariance"]
    return _World(
        Camera(**values["camera"]),
        GroundPlane.from_coefficients(values["ground"]),
        None if covariance is None else np.array(covariance),
        tuple(filter(None, (values["weak"], values["assumption"]))),
    )


def _join(
    image_path: Path, results: ResultFolder, choice: NetworkChoice, weights: DefaultWeights, observed: Observations, world: _World
) -> None:
    """Everybody once: with released weights the network's people, else the observed ones lifted from where the network sees them."""
    seen = read_people(results.network)
    body = choice.body(detailed=False)
    if choice.released:
        rows = match_observations(seen, body, world.camera, observed)
        keypoints = observations_of(rows, observed).keypoints.array
        people = replace(seen, keypoints_px=np.where((rows >= 0)[:, None, None], keypoints, 0.0))
    else:
        people, rows = _lift(results, choice, weights, observed, world.camera, world.ground)
    if len(people) == 0:
        raise NoPeopleFound(f"nobody of {len(observed)} people found in {image_path} stands on the estimated ground")
    body_name = "smpl_neutral" if choice.released else "free"
    scene = Scene(world.camera, world.ground, people, body_name, image_path.name, world.covariance, world.remarks)
    write_lifted(scene, rows, results)


def _lift(
    results: ResultFolder, choice: NetworkChoice, weights: DefaultWeights, observed: Observations, camera: Camera, ground: GroundPlane
) -> tuple[People, np.ndarray]:
    """People from their observations, and their rows in them."""
    hvip_px = guess_hvip(observed, read_people(results.network).hvip_px)
    return reconstruct_people(load_lifter(weights.lifter), choice.body(detailed=False), camera, ground, observed, hvip_px)


def _optimise(
    mid: MidFolder,
    results: ResultFolder,
    choice: NetworkChoice,
    weights: DefaultWeights,
    observed: Observations,
    mode: OptimiseMode,
) -> None:
    scene, rows = read_lifted(results)
    if mode != "none":
        lift = None if choice.released else partial(_lift, results, choice, weights, observed)
        scene = optimised(scene, rows, observed, choice.body(detailed=False), mode, lift)
    write_result(scene, mid, results)


def _position_covariance(scene: Scene) -> np.ndarray | None:
    """(N, 2, 2) square metres of everybody's place to the right of and in front of the camera, None for a given camera."""
    if scene.ground_covariance is None:
        return None
    hvip_px = scene.people.hvip_px
    pixel_sigma = HVIP_SIGMA_M * scene.ground.pixels_per_metre(scene.camera, hvip_px)
    world = ground_position_covariance(scene.camera, scene.ground, scene.ground_covariance, hvip_px, pixel_sigma)
    return world * [[1.0, -1.0], [-1.0, 1.0]]  # the upright world's z axis points at the viewer


def _draw(scene: Scene, image: GigapixelImage, results: ResultFolder, choice: NetworkChoice, options: InferOptions) -> None:
    body, low = choice.body(detailed=True), choice.body(detailed=False)
    render_overlay(scene, body, image, results.overlay, with_hvip=options.with_hvip)
    render_overview(scene, low, image, results.overview)
    top_view(scene, low, results.top_view, position_covariance=_position_covariance(scene))
    write_glb(results.mesh, scene, low, person_colours(scene.people))
    write_people_csv(results.table, scene, low)
