"""What 2D sources measure of rendered people, beside the truth: the lifter learns their errors from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tqdm import tqdm

from crowd3d.files import write_npz
from crowd3d.geometry import GroundPlane
from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.model.conversion import TorchEngine
from crowd3d.model.crop_points import HVIP, TORSO, all_views, decode_crop_points
from crowd3d.model.keypoint_net import KeypointNet
from crowd3d.model.lifter_values import LifterInput
from crowd3d.pose.candidates import Windows, worth_turning
from crowd3d.pose.crop_looks import observations_from_crops
from crowd3d.pose.embedded import embedded_source
from crowd3d.pose.observations import Observations, nobody, person_size_px
from crowd3d.pose.photo import PhotoSeeker
from crowd3d.pose.photo_finder import Boxes
from crowd3d.scene.measuring import guess_hvip, measure
from crowd3d.training.person_crops import LEAST_VISIBLE, sample_person_crops
from crowd3d.training.scene_store import SceneStore

PAIRED = 0.15
"""Measurements belong to somebody when half of the keypoints in the picture are nearer than this share of the person's size."""
LEAST_KEYPOINTS = 5
"""In the picture, of those who are looked for."""
BOX_MARGIN = (-0.02, -0.09, 0.02, 0.05)
BOX_SIGMA = (0.06, 0.06, 0.06, 0.07)
"""How far the finder's boxes are off the keypoints at the left, top, right and bottom, and the spread of that, as shares of the person's
height: medians and middle 70 % of 125 boxes in 34 rendered scenes."""

Look = Callable[[SceneStore, int], tuple[Observations, np.ndarray]]
"""(scenes, number of one of them) → what a source measures of N people in it, and their rows (N,) in the store."""


class PairSource(NamedTuple):
    """A 2D source whose errors the lifter learns.

    Attributes:
        name: as users choose it.
        version: of its weights.
        look: how it sees rendered people.
    """

    name: str
    version: str
    look: Look


class LifterTruth(NamedTuple):
    """What the lifter should say of N people; fields as in `LifterOutput`."""

    rotations: Tensor
    betas: Tensor
    hvip_tangent_m: Tensor
    torso_tangent_m: Tensor


class LifterPairs(NamedTuple):
    """Measurements, their truth, and true tangent coordinates (N, 17, 2) and depths (N, 17) of the keypoints."""

    measured: LifterInput
    truth: LifterTruth
    true_tangent_m: Tensor
    true_depth_m: Tensor

    @classmethod
    def joined(cls, parts: Sequence[LifterPairs]) -> LifterPairs:
        """All of them, one after the other."""
        return cls(
            LifterInput(*map(torch.cat, zip(*(p.measured for p in parts), strict=True))),
            LifterTruth(*map(torch.cat, zip(*(p.truth for p in parts), strict=True))),
            torch.cat([p.true_tangent_m for p in parts]),
            torch.cat([p.true_depth_m for p in parts]),
        )

    def save(self, path: Path) -> None:
        """Write as ``.npz``."""
        fields = [*self.measured, *self.truth, self.true_tangent_m, self.true_depth_m]
        write_npz(path, **{f"field_{number:02d}": field.numpy() for number, field in enumerate(fields)})

    @classmethod
    def load(cls, path: Path) -> LifterPairs:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            fields = [torch.from_numpy(arrays[name]) for name in sorted(arrays)]
        known, right = len(LifterInput._fields), len(LifterTruth._fields)
        return cls(LifterInput(*fields[:known]), LifterTruth(*fields[known : known + right]), *fields[known + right :])


def in_crops(network: KeypointNet, seed: int) -> Look:
    """The keypoint network on crops of everybody, at the places and scales of the embedded finder, seen in all views."""
    engine = TorchEngine(network, "fp32", None, "cpu")

    def look(store: SceneStore, scene: int) -> tuple[Observations, np.ndarray]:
        crops = sample_person_crops(store, scene, np.random.default_rng([seed, scene]), augment=False)
        if len(crops.images) == 0:
            return nobody(embedded_source()), crops.person
        images = crops.images.astype(np.float32)
        points = decode_crop_points(*all_views(engine, images, engine(images)))
        return observations_from_crops(points, Windows.of_squares(crops.boxes, crops.turn_rad), embedded_source()), crops.person

    return look


def in_boxes(seeker: PhotoSeeker, seed: int) -> Look:
    """The photo networks in boxes like the finder's around everybody, camera and ground known."""

    def look(store: SceneStore, scene: int) -> tuple[Observations, np.ndarray]:
        people, true, inside = _sought(store, scene)
        if len(people) == 0:
            return nobody(seeker.source), people
        camera, ground = store.camera(scene), GroundPlane.from_coefficients(store.ground[scene])
        with TemporaryDirectory() as folder:
            path = Path(folder) / "scene.jpg"
            path.write_bytes(store.jpegs[scene])
            image = GigapixelImage(path)
            lean = worth_turning(ground.lean_rad(camera, true[:, TORSO]))
            boxes = _boxes_around(np.random.default_rng([seed, scene]), true[:, :TORSO], lean, image.size)
            observed = seeker.people(image, seeker.look_in(image, boxes, camera, ground))
        return _recognised(observed, people, true[:, :TORSO], inside)

    return look


def _boxes_around(rng: np.random.Generator, true_px: np.ndarray, lean_rad: np.ndarray, image_size: tuple[int, int]) -> Boxes:
    """Boxes as the finder sets them around people (N, 17, 2) as far as they are in the picture."""
    about = np.clip(true_px, 0, image_size).mean(1)
    upright = turned(true_px - about[:, None], -lean_rad[:, None])
    height = np.ptp(upright[..., 1], axis=1)[:, None]
    shift = rng.normal(BOX_MARGIN, BOX_SIGMA, (len(about), 4)) * height
    corners = np.concatenate([upright.min(1), upright.max(1)], 1) + shift
    low, high = (np.clip(corner + about, 0, image_size) - about for corner in (corners[:, :2], corners[:, 2:]))
    middle = about + turned((low + high) / 2, lean_rad)
    return Boxes(middle, np.maximum(high - low, 1.0), np.ones(len(about)), lean_rad)


def _sought(store: SceneStore, scene: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N,) of a scene's people of whom enough is seen, their points (N, 19, 2) in pixels, which keypoints (N, 17) are inside."""
    people = np.arange(store.first[scene], store.first[scene + 1])
    inside = store.visibility[people] > 0
    sought = (store.visible_fraction[people] >= LEAST_VISIBLE) & (inside.sum(1) >= LEAST_KEYPOINTS)
    people = people[sought]
    return people, store.project(scene, store.points_cam_m[people].astype(np.float64)), inside[sought]


def _recognised(
    observed: Observations, people: np.ndarray, true_px: np.ndarray, inside: np.ndarray
) -> tuple[Observations, np.ndarray]:
    """Those of `observed` who are somebody, and who; arguments as `_sought` returns them."""
    if len(observed) == 0:
        return observed, people[:0]
    apart = np.where(inside, np.linalg.norm(observed.xy_px[:, None] - true_px, axis=-1), np.nan)
    miss = np.nanmedian(apart, axis=2) / person_size_px(true_px)
    seen, who = linear_sum_assignment(miss)
    same = miss[seen, who] < PAIRED
    return observed[seen[same]], people[who[same]]


def predicted_pairs(source: PairSource, shards: Sequence[Path], kept: Path) -> LifterPairs:
    """What a source measures in rendered scenes, and the truth, in the viewing frames that follow.

    Args:
        source: who measures.
        shards: files of scenes.
        kept: folder for a file per source, version and shard; those that are there are read instead of looking again.
    """
    parts: list[LifterPairs] = []
    for shard in tqdm(shards, desc=f"people as {source.name} sees them", unit="shard"):
        path = kept / f"{source.name}_{source.version}_{shard.stem}.npz"
        if not path.exists():
            store = SceneStore.read([shard])
            LifterPairs.joined([_scene_pairs(store, scene, *source.look(store, scene)) for scene in range(len(store))]).save(path)
        parts.append(LifterPairs.load(path))
    return LifterPairs.joined(parts)


def _scene_pairs(store: SceneStore, scene: int, observed: Observations, people: np.ndarray) -> LifterPairs:
    camera = store.camera(scene)
    ground = GroundPlane.from_coefficients(store.ground[scene])
    measured, frames, rows = measure(camera, ground, observed, guess_hvip(observed))
    people = people[rows]
    points = store.points_cam_m[people].astype(np.float64)
    tangent = frames.to_tangent(camera, camera.project(points))
    along = np.einsum("nki,ni->nk", points, frames.axes_cam_view[:, :, 2])
    rotations = axis_angle_to_matrix(torch.from_numpy(store.pose_rad[people]))
    upright = torch.from_numpy(frames.axes_cam_upright.astype(np.float32))
    rotations[:, 0] = upright.transpose(1, 2) @ rotations[:, 0]
    truth = LifterTruth(rotations, torch.from_numpy(store.betas[people]), _float(tangent[:, HVIP]), _float(tangent[:, TORSO]))
    told = LifterInput(*map(_float, measured))
    return LifterPairs(told, truth, _float(tangent[:, :TORSO]), _float((along - along[:, TORSO:HVIP])[:, :TORSO]))


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))
