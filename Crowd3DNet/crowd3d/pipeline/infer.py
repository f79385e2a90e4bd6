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

from crowd3d.bodies import load_body
from crowd3d.errors import MissingAsset, NoPeopleFound
from crowd3d.export import write_glb, write_people_csv, write_release_objs
from crowd3d.files import file_digest, write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import HVIP_SIGMA_M, StaturePrior, ground_position_covariance, write_release_ground
from crowd3d.imaging import GigapixelImage, path_for_size
from crowd3d.model.decoding import INFERENCE_THRESHOLD
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.ground import estimate_from
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.manifest import Run
from crowd3d.pipeline.network import NetworkChoice, check_tunable, prepare, read_people, result_body, run_network
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
from crowd3d.raster import find_renderer
from crowd3d.render import Style, person_colours, render_overlay, render_overview, top_view
from crowd3d.scene.measuring import guess_hvip
from crowd3d.scene.placing import load_lifter, look_alike, reconstruct_people
from crowd3d.types import Keypoints, People, Scene

log = logging.getLogger(__name__)



@dataclass(frozen=True)
class InferOptions:
    """Choices of the user for the second half.

    Attributes:
        weights: Crowd3DNet in the release's format or trained here: its people are the result. By default the shipped lifter makes people
            of the keypoints and no such network runs.
        smpl_folder: folder of the official SMPL files.
        known: what the user knows of camera, ground and people.
        engine: what runs the networks.
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

    weights: Path | None = None
    smpl_folder: Path | None = None
    known: Known = NOTHING
    engine: EngineName = "auto"
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


def infer(image_path: Path, mid: MidFolder, results: ResultFolder, weights: DefaultWeights, options: InferOptions) -> Scene:
    """Reconstruct everybody that `process` found and write the files of `ResultFolder`.

    Raises:
        MissingAsset: `process` has not run for this photograph, or weights are absent or of the wrong kind.
        UnsolvableGround: the people do not determine camera and ground.
        BadConfig: what is known cannot be about this photograph.
        BadOutput: the folder cannot be written.
    """
    choice = NetworkChoice.of(options.weights, options.smpl_folder) if options.weights else None
    if options.tuning is not None:
        check_tunable(choice)
    if not (mid.keypoints.is_file() and mid.observations.is_file()):
        raise MissingAsset(f"{mid.root} has no keypoints; run process.py on {image_path} first")
    image = GigapixelImage(image_path)
    known = options.known.resolved(image.reduced, image.size)
    observed = read_observations(mid)
    run = Run(results.root, overwrite=options.overwrite)
    inputs = {"image": image.content_hash, "keypoints": file_digest(mid.keypoints), "known": known.key()}
    raw = results.estimate

    def estimate_ground() -> None:
        with ThreadPoolExecutor(1) as worker:
            if options.tuning is None and choice is not None:
                # needed next; should it fail, the network's stage fails again and says why
                worker.submit(prepare, choice, options.engine)
            _estimate(image, mid, raw, observed, known)

    run.stage("ground", inputs, [raw, mid.ground / "ground.npy"], estimate_ground)
    world = _read_world(raw)

    layout = read_layout(mid, image.size)
    outputs = [results.all_result, results.network]
    name = image_path.stem
    if choice is not None:
        if options.tuning is not None and world.camera.distortion is not None:
            log.warning("fine-tuning takes the photograph for one without distortion: the release's files have no place for a lens")
        chosen = choice if options.tuning is None else tuned_network(choice, name, mid, options.tuning)
        run.stage(
            "network",
            {"weights": chosen.fingerprint(), "threshold": options.threshold, "tiles": file_digest(mid.position)},
            outputs,
            partial(
                run_network, image, name, mid, results, chosen, layout, world[:2], options.engine, options.batch_size, options.threshold
            ),
        )
        choice = chosen
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
        lambda: _optimise(mid, results, choice, weights, observed, mode, known.stature),
    )
    scene = Scene.load(results.root)
    if options.pictures and options.before_after:
        before = ResultFolder(results.lifted)
        drawn = [path_for_size(before.overlay, image.size)]
        run.stage("pictures before", {}, drawn, lambda: _draw(read_lifted(results)[0], image, before, choice, options))
    if options.pictures:
        pictures = [path_for_size(results.overlay, image.size), results.overview, results.top_view, results.mesh, results.table]
        style = {name: getattr(options, name) for name in ("with_hvip", "blur_faces", "renderer")}
        run.stage("pictures", style, pictures, lambda: _draw(scene, image, results, choice, options))
    if options.mesh_mode:
        mesh = results.root / "extract_mesh"
        body = result_body(choice, detailed=True)
        which = options.mesh_mode
        run.stage("meshes", {"mode": which}, [mesh / "ground.obj"], lambda: write_release_objs(mesh, name, scene, body, which))
    return scene


def read_observations(mid: MidFolder) -> Observations:
    """What the first half measured; keypoints that were edited in its file since then replace those measurements."""
    observed = Observations.load(mid.observations)
    edited = Keypoints.from_array(np.load(mid.keypoints))
    if len(edited) != len(observed):
        return Observations.from_keypoints(edited, observed.source)
    changed = (edited.array != observed.keypoints.array).any((1, 2))
    if not changed.any():
        return observed
    order = np.argsort(np.r_[np.flatnonzero(~changed), np.flatnonzero(changed)])
    return Observations.joined([observed[~changed], Observations.from_keypoints(edited[changed], observed.source)])[order]


def _estimate(image: GigapixelImage, mid: MidFolder, raw: Path, observed: Observations, known: Known) -> None:
    if known.world is not None:
        camera, ground = known.world
        spread = known.world_covariance
        covariance = None if spread is None else spread.tolist()
        doubts: dict[str, object] = {"weak": "; ".join(known.remarks or ()), "assumption": _scale_is_given(known, ground)}
    else:
        estimate = estimate_from(image, observed, known)
        camera, ground, covariance = estimate.camera, estimate.ground, estimate.covariance.tolist()
        doubts = {"weak": estimate.reason, "assumption": estimate.assumption, "height_range_m": list(estimate.height_range_m)}
    write_release_ground(mid.raw_ground, mid.ground, camera, ground)
    told = {"camera": asdict(camera), "ground": ground.coefficients.tolist(), "covariance": covariance}
    write_json(raw, {**told, **doubts})


def _scale_is_given(known: Known, ground: GroundPlane) -> str:
    """What becomes of a stature beside a ground that the user gave, in words; empty if none was given."""
    if known.stature_m is None or known.remarks is not None:
        return ""
    height = f"the camera's given height of {ground.offset_m:.2f} m"
    text = f"all lengths follow from {height}; the stature of {known.stature_m:.2f} m only guides the optimisation of bodies"
    log.warning("%s", text)
    return text


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
    image_path: Path, results: ResultFolder, choice: NetworkChoice | None, weights: DefaultWeights, observed: Observations, world: _World
) -> None:
    """Everybody once: the network's people where the user chose one, else the observed ones, lifted."""
    if choice is not None:
        seen, body = read_people(results.network), choice.body(detailed=False)
        rows = match_observations(seen, body, world.camera, observed)
        keypoints = observations_of(rows, observed).keypoints.array
        people = replace(seen, keypoints_px=np.where((rows >= 0)[:, None, None], keypoints, 0.0))
    else:
        people, rows = _lift(weights, observed, world.camera, world.ground)
    if len(people) == 0:
        raise NoPeopleFound(f"nobody of {len(observed)} people found in {image_path} stands on the estimated ground")
    body_name = "smpl_neutral" if choice is not None and choice.released else "free"
    scene = Scene(world.camera, world.ground, people, body_name, image_path.name, world.covariance, (*world.remarks, *observed.remarks))
    write_lifted(scene, rows, results)


def _lift(weights: DefaultWeights, observed: Observations, camera: Camera, ground: GroundPlane) -> tuple[People, np.ndarray]:
    """People from their observations, and their rows in them."""
    return reconstruct_people(load_lifter(weights.lifter), load_body("free_low"), camera, ground, observed, guess_hvip(observed))


def _optimise(
    mid: MidFolder,
    results: ResultFolder,
    choice: NetworkChoice | None,
    weights: DefaultWeights,
    observed: Observations,
    mode: OptimiseMode,
    stature: StaturePrior,
) -> None:
    scene, rows = read_lifted(results)
    if mode != "none":
        lift = partial(_lift, weights, observed) if choice is None else None
        scene = optimised(scene, rows, observed, result_body(choice, detailed=False), mode, lift, stature)
    if choice is None and len(scene.people) == len(rows):
        scene = replace(scene, people=scene.people[look_alike(scene.people, load_body("free_low"), scene.camera, observed[rows])])
    write_result(scene, mid, results)


def _position_covariance(scene: Scene) -> np.ndarray | None:
    """(N, 2, 2) square metres of everybody's place to the right of and in front of the camera, None for a given camera."""
    if scene.ground_covariance is None:
        return None
    hvip_px = scene.people.hvip_px
    pixel_sigma = HVIP_SIGMA_M * scene.ground.pixels_per_metre(scene.camera, hvip_px)
    world = ground_position_covariance(scene.camera, scene.ground, scene.ground_covariance, hvip_px, pixel_sigma)
    return world * [[1.0, -1.0], [-1.0, 1.0]]  # the upright world's z axis points at the viewer


def _draw(scene: Scene, image: GigapixelImage, results: ResultFolder, choice: NetworkChoice | None, options: InferOptions) -> None:
    body, low = result_body(choice, detailed=True), result_body(choice, detailed=False)
    style = Style(blur_faces=options.blur_faces, renderer=find_renderer(options.renderer))
    render_overlay(scene, body, image, results.overlay, replace(style, with_hvip=options.with_hvip))
    render_overview(scene, low, image, results.overview, style)
    top_view(scene, low, results.top_view, position_covariance=_position_covariance(scene))
    write_glb(results.mesh, scene, low, person_colours(scene.people))
    write_people_csv(results.table, scene, low)
