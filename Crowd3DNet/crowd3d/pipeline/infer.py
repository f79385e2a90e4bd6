"""Second half: keypoints → camera, ground, everybody's body in one metric world, and the pictures of it, in files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import crowd3d
from crowd3d.errors import Crowd3DError, MissingAsset
from crowd3d.export import write_glb, write_people_csv, write_release_objs
from crowd3d.ground import write_release_ground
from crowd3d.imaging import GigapixelImage, path_for_size
from crowd3d.locks import locked
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.network import NetworkChoice, check_tunable, result_body
from crowd3d.pipeline.optimise import read_lifted, write_lifted, write_result
from crowd3d.pipeline.process import read_keypoints, read_layout
from crowd3d.pipeline.solve import InferOptions, finish, mode_of, place
from crowd3d.pipeline.stages import Run, Stage, known_owner, owner_of
from crowd3d.pipeline.tuning import tuned_network
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.observations import Observations
from crowd3d.raster import find_renderer
from crowd3d.render import Style, person_colours, render_overlay, render_overview, top_view
from crowd3d.scene.lifting import position_covariance
from crowd3d.types import SCENE_ARRAYS, SCENE_INFO, Keypoints, People, Scene

log = logging.getLogger(__name__)


def infer(image: GigapixelImage, mid: MidFolder, results: ResultFolder, options: InferOptions) -> Scene:
    """Reconstruct everybody that `process` found and write the files of `ResultFolder`; stages that were finished before are kept.

    Raises:
        MissingAsset: `process` has not run for this photograph, or weights are absent or of the wrong kind.
        UnsolvableGround: the people do not determine camera and ground.
        BadConfig: what is known cannot be about this photograph.
        BadOutput: the folder cannot be written, or another run works in it.
    """
    if options.tuning is not None:
        check_tunable(options.network)
    check_processed(image, mid)
    options = replace(options, known=options.known.resolved(image.reduced, image.size))
    # Some keep everything in one folder.
    reading = nullcontext() if mid.root.resolve() == results.root.resolve() else locked(mid.root)
    with reading, Run(results.root, owner_of(image)) as run:
        if options.overwrite:
            run.drop("ground")  # and with it all that follows
        work = _Work(run, image, mid, results, options, read_observations(mid))
        world = work.world()
        work = work.tuned(world)
        seen = work.network(world)
        scene = work.optimise(*work.people(world, seen))
        work.release_ground(scene)
        work.pictures(scene)
    return scene


def check_processed(image: GigapixelImage, mid: MidFolder) -> None:
    """Raise unless the intermediate files are there and about this photograph.

    Raises:
        MissingAsset: `process` has to run, or to run again.
    """
    if not (mid.keypoints.is_file() and mid.observations.is_file()):
        raise MissingAsset(f"{mid.root} has no keypoints; run process.py on {image.path} first")
    about = known_owner(mid.root)
    if about is not None and about.digest != image.content_hash:
        if about.is_another(owner_of(image)):
            raise MissingAsset(f"{mid.root} is about another photograph, {about.path}; run process.py on {image.path} first")
        raise MissingAsset(f"{image.path} has changed since process.py found people in it; run process.py again")


def read_observations(mid: MidFolder) -> Observations:
    """What the first half measured; keypoints that were edited in its file since then replace those measurements.

    Raises:
        MissingAsset: a file is damaged.
    """
    observed = Observations.load(mid.observations)
    edited = Keypoints.from_array(read_keypoints(mid))
    if len(edited) != len(observed):
        return Observations.from_keypoints(edited, observed.source)
    changed = (edited.array != observed.keypoints.array).any((1, 2))
    if not changed.any():
        return observed
    order = np.argsort(np.r_[np.flatnonzero(~changed), np.flatnonzero(changed)])
    return Observations.joined([observed[~changed], Observations.from_keypoints(edited[changed], observed.source)])[order]


@dataclass(frozen=True)
class _Work:
    """The stages of the second half."""

    run: Run
    image: GigapixelImage
    mid: MidFolder
    results: ResultFolder
    options: InferOptions
    observed: Observations

    @property
    def _people(self) -> list[Path]:
        """Files of everybody who was observed."""
        return [self.mid.observations, self.mid.keypoints]

    def world(self) -> World:
        """Camera and ground."""
        image, path, options = self.image, self.results.estimate, self.options
        values = {"image": image.content_hash, "known": options.known.key()}
        with _prepared(options.network if options.tuning is None else None):
            return self.run.do(
                Stage("ground", 2, self._people, values, [path]),
                lambda: find_world(image, self.observed, options.known),
                lambda world: world.save(path),
                lambda: World.load(path),
            )

    def tuned(self, world: World) -> _Work:
        """With the network fine-tuned to this photograph, where the user wants that."""
        options, camera = self.options, world.camera
        if options.tuning is None or options.network is None:
            return self
        if camera.distortion is not None:
            log.warning("fine-tuning takes the photograph for one without distortion: the release's files have no place for a lens")
        network = tuned_network(options.network, self.image.path.stem, self.mid, (camera, world.ground), options.tuning)
        return replace(self, options=replace(options, network=network))

    def network(self, world: World) -> People | None:
        """The network's people, everybody once; None without a network."""
        image, mid, results, options = self.image, self.mid, self.results, self.options
        network = options.network
        if network is None:
            self.run.drop("network")
            return None
        from crowd3d.pipeline.network_people import read_people, run_network, write_network

        reads = [results.estimate, mid.keypoints, mid.position, mid.row_col]
        values = {"image": image.content_hash, "name": image.path.stem, "weights": network.key(), "threshold": options.threshold}
        scene = world.camera, world.ground
        layout = read_layout(mid, image.size)
        self.run.do(
            Stage("network", 1, reads, values, [results.all_result, results.network]),
            lambda: run_network(image, network, layout, read_keypoints(mid), scene, options.batch_size, options.threshold),
            partial(write_network, results),
        )
        return read_people(results.network)

    def people(self, world: World, seen: People | None) -> tuple[Scene, np.ndarray]:
        """Everybody in the world, and their rows among the observed."""
        results, network = self.results, self.options.network
        reads = [results.estimate, *self._people, *([] if network is None else [results.network])]
        weights = self.options.weights.lifter_key() if network is None else network.key()
        return self.run.do(
            Stage("bodies", 3, reads, {"name": self.image.path.name, "weights": weights, "version": crowd3d.__version__}, _lifted(results)),
            lambda: place(self.image, self.observed, world, seen, self.options),
            lambda placed: write_lifted(*placed, results),
            lambda: read_lifted(results),
        )

    def optimise(self, scene: Scene, rows: np.ndarray) -> Scene:
        """The result."""
        results, known = self.results, self.options.known
        values = {"mode": mode_of(self.options, self.observed), "stature": known.stature_m}
        writes = [*_scene(results.root), results.predict, results.predict_extra, results.camera]
        return self.run.do(
            Stage("optimise", 4, [*_lifted(results), *self._people], values, writes),
            lambda: finish(scene, rows, self.observed, self.options),
            lambda found: write_result(found, results),
            lambda: Scene.load(results.root),
        )

    def release_ground(self, scene: Scene) -> None:
        """Camera and ground in the release's files."""
        mid = self.mid
        stage = Stage("release ground", 1, _scene(self.results.root), {}, [mid.raw_ground, mid.ground])
        self.run.do(stage, lambda: write_release_ground(mid.raw_ground, mid.ground, scene.camera, scene.ground))

    def pictures(self, scene: Scene) -> None:
        """Overlay, map, meshes and table, as far as the user wants them."""
        results, options, size, people = self.results, self.options, self.image.size, len(scene.people)
        style = {name: getattr(options, name) for name in ("with_hvip", "blur_faces", "renderer")}
        values = {"image": self.image.content_hash, "body": scene.body, **style}
        if options.pictures and options.before_after:
            before = ResultFolder(results.lifted)
            lifted = len(read_lifted(results)[0].people)
            stage = Stage("pictures before", 2, _lifted(results), values, _drawn(before, size, lifted))
            self.run.do(stage, lambda: _draw(read_lifted(results)[0], self.image, before, options))
        if options.pictures:
            stage = Stage("pictures", 2, _scene(results.root), values, _drawn(results, size, people))
            self.run.do(stage, lambda: _draw(scene, self.image, results, options))
        if options.mesh_mode is not None and people:
            mesh, which, name = results.root / "extract_mesh", options.mesh_mode, self.image.path.stem
            stage = Stage("meshes", 1, _scene(results.root), {"mode": which, "name": name}, [mesh])
            self.run.do(stage, lambda: write_release_objs(mesh, name, scene, result_body(options.network, detailed=True), which))


def _scene(folder: Path) -> list[Path]:
    return [folder / SCENE_ARRAYS, folder / SCENE_INFO]


def _lifted(results: ResultFolder) -> list[Path]:
    return [*_scene(results.lifted), results.lifted / "rows.npy"]


def _drawn(results: ResultFolder, size: tuple[int, int], people: int) -> list[Path]:
    """Of nobody there is no mesh."""
    mesh = [results.mesh] if people else []
    return [path_for_size(results.overlay, size), results.overview, results.top_view, *mesh, results.table]


@contextmanager
def _prepared(network: NetworkChoice | None) -> Iterator[None]:
    """Prepare a network, if there is one, while something else is done."""
    with ThreadPoolExecutor(1) as worker:
        if network is not None:
            worker.submit(_try_to_prepare, network)
        yield


def _try_to_prepare(network: NetworkChoice) -> None:
    # Should it fail, it fails again where it is needed and says why.
    with suppress(Crowd3DError):
        _ = network.ready


def _draw(scene: Scene, image: GigapixelImage, results: ResultFolder, options: InferOptions) -> None:
    body, low = result_body(options.network, detailed=True), result_body(options.network, detailed=False)
    style = Style(blur_faces=options.blur_faces, renderer=find_renderer(options.renderer))
    with ThreadPoolExecutor(1) as other:
        drawn = other.submit(top_view, scene, low, results.top_view, position_covariance=position_covariance(scene))
        render_overlay(scene, body, image, results.overlay, replace(style, with_hvip=options.with_hvip))
        render_overview(scene, low, image, results.overview, style)
        drawn.result()
    if len(scene.people):
        write_glb(results.mesh, scene, low, person_colours(scene.people))
    write_people_csv(results.table, scene, low)
