"""The LargeCrowd benchmark: camera and ground of every scene, people of every picture, one ``predict.json``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.errors import BadImage, Crowd3DError, MissingAsset, NoPeopleFound
from crowd3d.geometry import Camera
from crowd3d.geometry.published_cameras import PUBLISHED, published_camera
from crowd3d.ground import read_release_ground, write_release_files, write_release_ground
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.frames import sequence_owner
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.network import check_tunable
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.sequence import OF_ONE_PICTURE
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.stages import Run, Stage
from crowd3d.pipeline.tuning import Tuning, tuned_network
from crowd3d.pipeline.world import World, find_world
from crowd3d.pose.observations import Observations
from crowd3d.scene import write_predict_json
from crowd3d.types import Scene

log = logging.getLogger(__name__)

SELECTED = {
    "playground1_00": "playground1_00_000000",
    "playground1_01": "playground1_01_000000",
    "stadiumEntrance_00": "stadiumEntrance_00_000300",
    "stadiumEntrance_01": "stadiumEntrance_01_000100",
}
"""Pictures from which the release takes camera and ground; of other scenes it is the first one."""
_ROUNDING = 1e-5
"""Of the release's files, whose numbers are float32."""
PRE_GROUNDS = Path("params") / "pre_grounds" / "ground_info_predict_1106"

@dataclass(frozen=True)
class BenchmarkFolder:
    """Files of a run, named as in the release.

    Attributes:
        mid_root: intermediate files, ``test/test_mid``.
        res_root: results, ``test/test_res``.
    """

    mid_root: Path
    res_root: Path

    def mid(self, scene: str, frame: str) -> MidFolder:
        """Intermediate files of a picture."""
        return MidFolder(self.mid_root / scene / frame)

    def raw_ground(self, scene: str, frame: str) -> Path:
        """Camera and ankle plane, estimated from this picture."""
        return self.mid_root / "ground_mid" / "mid" / scene / frame

    def ground(self, scene: str) -> Path:
        """Camera and ground of the scene, for everything later."""
        return self.mid_root / "ground_mid" / "ground" / scene

    def world(self, scene: str) -> Path:
        """The same with what they rest on."""
        return self.ground(scene) / "camera_ground.json"

    def results(self, tag: str, scene: str, frame: str) -> ResultFolder:
        """Results of a picture; `tag` names the way they were made."""
        return ResultFolder(self.res_root / "infer" / tag / scene / frame)

    def submission(self, tag: str) -> Path:
        """Everybody in all pictures."""
        return self.res_root / "submit" / tag / "predict.json"


class Picture(NamedTuple):
    """A picture to be reconstructed: an independent piece of work."""

    scene: str
    path: Path
    world: World
    part: ProcessOptions
    whole: InferOptions

    @property
    def frame(self) -> str:
        """Its name."""
        return self.path.stem

    @property
    def known(self) -> Known:
        """What the user knows, with the scene's camera and ground."""
        world = self.world
        given = world.covariance is None and not world.remarks
        return self.whole.known.of_world(world.camera, world.ground, world.covariance, None if given else world.remarks)


def selected_frames(scene: str, frames: Sequence[Path], count: int = 1) -> list[Path]:
    """The picture that the release selects, the first one if it is not there; for `count` > 1 so many, evenly spread over all."""
    if count > 1:
        return [frames[row] for row in np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))]
    return [next((path for path in frames if path.stem == SELECTED.get(scene)), frames[0])]


def prepare_scene(
    data: LargeCrowdFolder, folder: BenchmarkFolder, scene: str, options: ProcessOptions, frames: int = 1
) -> None:
    """Process the selected pictures of a scene and estimate its camera and ground from everybody in them; kept when done before.

    Args:
        data: the data set.
        folder: where the files go.
        scene: which scene.
        options: choices for `process`.
        frames: number of pictures; see `selected_frames`.

    Raises:
        Crowd3DError: what `process` and `find_world` raise.
    """
    paths = selected_frames(scene, data.frames(scene), frames)
    images = [GigapixelImage(path) for path in paths]
    target, raw = folder.ground(scene), folder.raw_ground(scene, paths[0].stem)
    values = {
        "images": [image.content_hash for image in images],
        "backend": [options.backend.name, options.backend.key()],
        "part_params": options.part_params,
        "known": options.known.key(),
    }

    def estimate() -> World:
        observed = Observations.joined([process(image, folder.mid(scene, image.path.stem), options) for image in images])
        if len(observed) == 0:
            raise NoPeopleFound(f"nobody found in {', '.join(path.name for path in paths)}; use other pictures (--ground_frames)")
        return find_world(images[0], observed, options.known)

    def save(found: World) -> None:
        write_release_ground(raw, target, found.camera, found.ground)
        found.save(folder.world(scene), {"pictures": [path.stem for path in paths]})

    log.info("scene %s: camera and ground from %s", scene, ", ".join(path.stem for path in paths))
    # The folder is that of the scene's ground, whose files alone are in it.
    writes = [*(target / name for name in ("ground.npy", "cam_para.npy", "scene_shape.npy")), raw, folder.world(scene)]
    with Run(target, sequence_owner(data.images / scene), overwrite=options.overwrite) as run:
        run.do(Stage("ground", 2, [], values, writes), estimate, save)


def prepared_ground(folder: BenchmarkFolder, scene: str) -> World:
    """Camera and ground that `prepare_scene` wrote, or those in the release's files that somebody has put in their place.

    Raises:
        MissingAsset: it has not run for this scene.
    """
    path = folder.ground(scene)
    if not (path / "ground.npy").is_file():
        raise MissingAsset(f"no camera and ground of scene {scene} in {path}; run test/preprocess.py first")
    given = World(*read_release_ground(path), None)
    if not folder.world(scene).is_file():
        return given
    found = World.load(folder.world(scene))
    same = np.allclose(found.ground.coefficients, given.ground.coefficients, rtol=0, atol=_ROUNDING * found.ground.offset_m)
    return found if same and np.allclose(found.camera.K, given.camera.K, rtol=_ROUNDING, atol=1e-9) else given


def published_ground(root: Path, scene: str, image_size: tuple[int, int]) -> World:
    """Camera and ground published with the release, from its three files under ``params/pre_grounds``, which are written if absent.

    Args:
        root: folder that holds ``params``.
        scene: which scene.
        image_size: width and height of its pictures; the field of view stays when they are not the published ones.

    Raises:
        MissingAsset: nothing was published for this scene.
    """
    folder = root / PRE_GROUNDS / scene
    if not (folder / "scene_shape.npy").is_file():
        if scene not in PUBLISHED:
            raise MissingAsset(f"no published ground of scene {scene}; leave --use_pre_optim out, or put the three files into {folder}")
        write_release_files(folder, *published_camera(scene))
    camera, ground = read_release_ground(folder)
    if (camera.width, camera.height) != image_size:
        log.warning("%s: published for %dx%d pixels, the pictures have %dx%d", scene, camera.width, camera.height, *image_size)
        camera = Camera.from_focal(camera.fx * image_size[0] / camera.width, image_size)
    return World(camera, ground, None, assumption=f"all lengths rest on the published camera and ground of {scene}")


def tune_scene(folder: BenchmarkFolder, pictures: Sequence[Picture], tuning: Tuning) -> str:
    """Fine-tune released weights to the selected picture of a scene; kept when done before.

    Args:
        folder: where the files go.
        pictures: those of the scene.
        tuning: how.

    Returns:
        Path of the tuned weights.

    Raises:
        MissingAsset: the scene's weights are not the release's.
        Crowd3DError: what `process` and `tuned_network` raise.
    """
    scene, network = pictures[0].scene, pictures[0].whole.network
    check_tunable(network)
    assert network is not None
    path = selected_frames(scene, [picture.path for picture in pictures])[0]
    picture = next(picture for picture in pictures if picture.path == path)
    mid = folder.mid(scene, picture.frame)
    process(GigapixelImage(path), mid, replace(picture.part, known=picture.known))
    return str(tuned_network(network, f"optim_{scene}_ground", mid, (picture.world.camera, picture.world.ground), tuning).path)


def with_weights(pictures: Iterable[Picture], weights: str) -> list[Picture]:
    """The same pictures of a scene with other weights, which are loaded once."""
    pictures = list(pictures)
    given = pictures[0].whole.network
    network = None if given is None else replace(given, path=Path(weights))
    return [picture._replace(whole=replace(picture.whole, network=network)) for picture in pictures]


def reconstruct_picture(folder: BenchmarkFolder, tag: str, picture: Picture) -> None:
    """Both halves for one picture, with the scene's camera, ground and tiles; finished stages are kept.

    Raises:
        Crowd3DError: what `process` and `infer` raise; BadImage also for a picture that the scene's camera did not take.
    """
    camera = picture.world.camera
    image = GigapixelImage(picture.path)
    if image.size != (camera.width, camera.height):
        told = "{}x{} pixels".format(*image.size)
        raise BadImage(f"{picture.path} has {told}, its scene's camera {camera.width}x{camera.height}; replace it")
    mid = folder.mid(picture.scene, picture.frame)
    process(image, mid, replace(picture.part, known=picture.known))
    infer(image, mid, folder.results(tag, picture.scene, picture.frame), replace(picture.whole, known=picture.known))


def reconstruct_pictures(folder: BenchmarkFolder, tag: str, pictures: Iterable[Picture]) -> dict[str, str]:
    """Reconstruct all of them; one that cannot be read or used is reported and skipped.

    Returns:
        Name → reason, of those skipped.

    Raises:
        Crowd3DError: what concerns all pictures, such as missing weights or a full disk.
    """
    failures: dict[str, str] = {}
    for picture in pictures:
        log.info("picture %s", picture.frame)
        try:
            reconstruct_picture(folder, tag, picture)
        except OF_ONE_PICTURE as error:
            log.error("skipped %s: %s", picture.frame, error)
            failures[picture.frame] = str(error)
    return failures


def merge_results(folder: BenchmarkFolder, tag: str, pictures: Iterable[tuple[str, str]]) -> Path:
    """Join finished pictures, (scene, frame), into ``predict.json`` and ``predict_extra.json``; the same pictures give the same bytes.

    Raises:
        MissingAsset: one is not finished.
        BadOutput: the files cannot be written.
    """
    path = folder.submission(tag)
    write_predict_json(path, (Scene.load(folder.results(tag, *picture).root) for picture in sorted(pictures)))
    return path


def check_all_done(failures: dict[str, str], total: int) -> None:
    """Raise if pictures were skipped.

    Raises:
        Crowd3DError: names the first of them.
    """
    if failures:
        first, reason = min(failures.items())
        raise Crowd3DError(f"{len(failures)} of {total} pictures were skipped, {first}: {reason}; the others are in predict.json")
