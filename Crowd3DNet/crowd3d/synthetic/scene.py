"""Whole synthetic pictures, up to gigapixels: drawn in strips, with the truth about everybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyvips
from tqdm import tqdm

from crowd3d.bodies import Body, load_body
from crowd3d.errors import UnsolvableGround
from crowd3d.files import atomic_path, write_json, write_npz
from crowd3d.geometry.published_cameras import published_camera
from crowd3d.raster import in_bands
from crowd3d.synthetic.cameras import Viewpoint, sample_view
from crowd3d.synthetic.compose import Stage, draw_window, set_stage
from crowd3d.synthetic.develop import develop, sample_development
from crowd3d.synthetic.people import Placement, PosedCrowd, pose_crowd
from crowd3d.synthetic.picture_truth import Observation, PictureTruth, describe, observe, silhouettes
from crowd3d.synthetic.plaza import build_square, has_room, place_people

IMAGE_NAME = "image.jpg"
_STRIP_PIXELS = 8_000_000
_MARGIN = 4  # rows around a strip that the lens blur reaches
_DETAILED_PX = 120  # people taller than this are drawn with the detailed body
_VIEW_TRIALS = 300


@dataclass(frozen=True)
class SyntheticScene:
    """A picture and what is true about it.

    Attributes:
        image: (H, W, 3) uint8 red, green, blue.
        truth: camera, ground and everybody placed, seen or hidden.
        body: name of the body that pose and betas belong to.
    """

    image: np.ndarray
    truth: PictureTruth
    body: str

    def save(self, folder: Path) -> None:
        """Write ``image.jpg``, ``annotation.json`` (LargeCrowd's format, see `annotation`) and ``truth.npz`` into `folder`.

        ``truth.npz`` holds the arrays of `PictureTruth` and K (3, 3), ground (4,) A, B, C, D, image_size (width, height), body.
        """
        folder = Path(folder)
        self.save_image(folder / IMAGE_NAME)
        write_json(folder / "annotation.json", annotation(self.truth))
        self.save_truth(folder / "truth.npz")

    def save_image(self, path: Path) -> None:
        """Write the picture as JPEG."""
        height, width = self.image.shape[:2]
        with atomic_path(path) as temporary:
            pyvips.Image.new_from_memory(self.image.data, width, height, 3, "uchar").jpegsave(str(temporary), Q=92)

    def save_truth(self, path: Path) -> None:
        """Write what `save` writes to ``truth.npz``."""
        height, width = self.image.shape[:2]
        write_npz(
            path,
            K=self.truth.camera.K,
            ground=self.truth.ground.coefficients,
            image_size=np.array([width, height]),
            body=np.array(self.body),
            **self.truth.arrays(),
        )


def annotation(truth: PictureTruth) -> dict:
    """LargeCrowd's annotation of one image.

    ``frame_info[image]`` lists people: bbox left, top, right, bottom in pixels; 34 keypoint numbers x, y as fractions of width
    and height; type ``normal``, ``severe_occlusion`` (less than 30 % visible) or ``truncation`` (cut by the border); hvip2d in
    pixels; hvip3d and torso_center in metres, camera frame.
    """
    width, height = truth.camera.width, truth.camera.height
    cut = (truth.bbox[:, :2] < 0).any(axis=1) | (truth.bbox[:, 2:] > [width, height]).any(axis=1)
    kind = np.select([cut, truth.visible_fraction < 0.3], ["truncation", "severe_occlusion"], "normal")
    fractions = (truth.keypoints_px[..., :2] / [width, height]).reshape(len(truth), 34)
    columns = {
        "bbox": truth.bbox.round(2).tolist(),
        "keypoints": fractions.round(7).tolist(),
        "type": kind.tolist(),
        "hvip2d": truth.hvip_px.round(3).tolist(),
        "hvip3d": truth.hvip_cam_m.round(5).tolist(),
        "torso_center": truth.torso_cam_m.round(5).tolist(),
    }
    people = [dict(zip(columns, person, strict=True)) for person in zip(*columns.values(), strict=True)]
    return {"image_shape": {"height": height, "width": width}, "frame_info": {IMAGE_NAME: people}}


def choose_view(rng: np.random.Generator, camera: str, people: int, size: tuple[int, int]) -> Viewpoint:
    """A published camera by name, or a random one under which the people find room.

    Raises:
        UnsolvableGround: the named camera, or any random one, is too close for so many people.
    """
    if camera != "random":
        view = Viewpoint(*published_camera(camera, size))
        if not has_room(view, people):
            raise UnsolvableGround(f"{people} people do not fit into the view of camera {camera} at {size[0]}x{size[1]}; ask for fewer")
        return view
    for _ in range(_VIEW_TRIALS):
        view = sample_view(rng, size)
        if has_room(view, people):
            return view
    raise UnsolvableGround(f"no random camera of {size[0]}x{size[1]} has room for {people} people; ask for fewer")


def synthesize_scene(
    seed: int, camera: str, people: int, size: tuple[int, int], threads: int | None = None, progress: bool = False
) -> SyntheticScene:
    """A square with `people` people seen by a camera.

    Args:
        seed: the same seed and arguments give the same scene.
        camera: a key of `PUBLISHED`, or "random".
        people: how many people stand or sit in the picture; some may be hidden behind others.
        size: (width, height) in pixels.
        threads: None is one per core.
        progress: show a bar.

    Raises:
        UnsolvableGround: see `choose_view`.
    """
    rng = np.random.default_rng(seed)
    view = choose_view(rng, camera, people, size)
    low = load_body("free_low")
    world = build_square(rng, view, low)
    placement = place_people(rng, view, world, people)
    body = choose_body(view, placement)
    crowd = pose_crowd(rng, body, placement)
    stage = set_stage(rng, view, world, crowd, body)
    image, seen = draw_picture(rng, stage, crowd, threads, progress)
    truth = describe(stage, crowd, body, seen, silhouettes(stage, len(crowd)))
    return SyntheticScene(image, truth, body.name)


def choose_body(view: Viewpoint, placement: Placement) -> Body:
    """The detailed body for a picture of large people, else the coarse one."""
    foot = view.camera.project(view.ground.from_world(np.insert(placement.xz_m, 1, 0.0, axis=1)))
    return load_body("free" if np.median(view.person_px(foot)) > _DETAILED_PX else "free_low")


def draw_picture(
    rng: np.random.Generator, stage: Stage, crowd: PosedCrowd, threads: int | None, progress: bool
) -> tuple[np.ndarray, Observation]:
    """The developed picture, and what is visible in it."""
    width, height = stage.view.camera.width, stage.view.camera.height
    supersample = 1 if width > 6000 else 2
    strip = max(64, _STRIP_PIXELS // (width * supersample**2))
    development = sample_development(rng, noise=rng.uniform(1.5, 4.0), strength=0.4)
    blur = rng.uniform(0.6, 0.9)
    out = np.empty((height, width, 3), np.uint8)
    pixels, visible = np.zeros(len(crowd)), np.zeros((len(crowd), 17), bool)
    for top in tqdm(range(0, height, strip), desc="drawing the crowd", unit="strip", disable=not progress):
        rows = min(strip, height - top)
        light, buffers = draw_window(stage, 0, top - _MARGIN, width, rows + 2 * _MARGIN, supersample, threads)
        light = cv2.GaussianBlur(light, (0, 0), blur)[_MARGIN:-_MARGIN]
        noise = rng.standard_normal((rows, width, 1), np.float32)
        target = out[top : top + rows]

        def band(begin: int, end: int, light=light, noise=noise, target=target) -> None:
            develop(light, development.curve, noise, development.noise, begin, end, target)

        in_bands(rows, band, threads)
        inner = replace(
            buffers,
            **{f: getattr(buffers, f)[_MARGIN * supersample : -_MARGIN * supersample] for f in ("inverse_depth", "identity", "attributes")},
        )
        seen = observe(stage, crowd, inner, 0, top, supersample)
        pixels += seen.pixels
        visible |= seen.keypoints
    return out, Observation(pixels, visible)
