"""Batches of person crops for the keypoint network, cut from rendered scenes."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from crowd3d.geometry import GroundPlane
from crowd3d.imaging import turned, turned_square
from crowd3d.model.crop_points import CROP_HEIGHT_M, CROP_SIZE, FLIP_POINTS, POINTS, TORSO, TORSO_OFFSET_M
from crowd3d.training.scene_store import SceneStore

LEAST_VISIBLE = 0.1
LEAST_INSIDE = 0.6
EMPTY_SHARE = 0.3
EMPTY_WINDOWS = 6
"""Windows without a person: so many per person of a scene, or in a scene without people."""
WRONG_SCALE = 0.6
"""A window whose scale differs by more than this (natural logarithm) from a person's shows somebody else's place."""
UPRIGHT_SHARE, TURN_SIGMA_RAD = 0.5, 0.03
"""So many crops show people upright, as when the ground is known, the others as the picture does; both this far off."""
BORDER_GREY = 114


class PersonBatch(NamedTuple):
    """B crops; see `keypoint_loss` for the labels.

    `boxes` are (B, 3) left, top, side of the square window in scene pixels, `turn_rad` (B,) how far it is turned clockwise about its
    middle; `scene` and `person` say whose crop it is (−1: nobody's).
    """

    images: np.ndarray
    xy_px: np.ndarray
    visibility: np.ndarray
    depth_m: np.ndarray
    present: np.ndarray
    boxes: np.ndarray
    turn_rad: np.ndarray
    scene: np.ndarray
    person: np.ndarray

    def tensors(self) -> list[Tensor]:
        """Images as float, xy_px, visibility, depth_m and present."""
        images = torch.from_numpy(self.images).float()
        return [images, *(torch.from_numpy(a) for a in (self.xy_px, self.visibility, self.depth_m, self.present))]


def cut_square(image: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Square window top, left, bottom, right; grey outside of the image, resized to size² with area averaging when it shrinks."""
    height, width = image.shape[:2]
    top, left, bottom, right = box
    side = bottom - top
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    window = np.full((side, side, 3), BORDER_GREY, np.uint8)
    if x0 < x1 and y0 < y1:
        window[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def depth_behind_torso(points_cam_m: np.ndarray) -> np.ndarray:
    """(P, 19, 3) → (P, 19) metres along the ray to the torso centre."""
    torso = points_cam_m[:, TORSO]
    ray = torso / np.linalg.norm(torso, axis=-1, keepdims=True)
    return np.einsum("pki,pi->pk", points_cam_m - torso[:, None], ray)


def sample_person_crops(store: SceneStore, scene: int, rng: np.random.Generator, *, augment: bool = True) -> PersonBatch:
    """One crop of everybody in the scene whose torso is in the image, at the places and scales of a detector.

    Crops are turned as by a pipeline that knows the ground. With `augment` only half of them are, none exactly; half are mirrored, all vary
    in colour, and some show places where nobody is.
    """
    image = store.image(scene)
    size = image.shape[0]
    rows = np.arange(store.first[scene], store.first[scene + 1])
    points = store.points_cam_m[rows].astype(np.float64)
    pixels = store.project(scene, points)
    torso, per_metre = pixels[:, TORSO], store.intrinsics[scene, 0] / np.maximum(points[:, TORSO, 2], 0.1)
    usable = (store.visible_fraction[rows] >= LEAST_VISIBLE) & ((torso > 0) & (torso < size)).all(1)
    usable &= _inside_share(pixels, size) >= LEAST_INSIDE
    rows, points, pixels = rows[usable], points[usable], pixels[usable]
    turn = _turns(store, scene, torso[usable], rng, augment)
    boxes = _person_boxes(torso[usable], per_metre[usable], turn, rng)
    empty = _empty_boxes(torso, per_metre, size, rng) if augment else np.zeros((0, 3), np.int64)

    windows = np.concatenate([boxes, empty])
    turn = np.r_[turn, _turns(store, scene, empty[:, :2] + empty[:, 2:] / 2, rng, augment)]
    width_margin = (CROP_SIZE[0] - CROP_SIZE[1]) // 2
    images = np.zeros((len(windows), *CROP_SIZE, 3), np.uint8)
    for index, (left, top, side) in enumerate(windows):
        box = np.array([top, left, top + side, left + side])
        square = turned_square(partial(cut_square, image), box, CROP_SIZE[0], BORDER_GREY, turn[index])
        images[index] = square[:, width_margin : width_margin + CROP_SIZE[1]]
    xy = np.zeros((len(windows), POINTS, 2), np.float32)
    side = boxes[:, None, 2:]
    from_middle = turned(pixels - boxes[:, None, :2] - side / 2, -turn[: len(rows), None])
    xy[: len(rows)] = from_middle * (CROP_SIZE[0] / side) + CROP_SIZE[0] / 2 - [width_margin, 0]
    visibility = np.full((len(windows), POINTS), 2, np.int64)
    visibility[: len(rows), :TORSO] = store.visibility[rows]
    depth = np.zeros((len(windows), POINTS), np.float32)
    depth[: len(rows)] = depth_behind_torso(points)
    batch = PersonBatch(
        images=images,
        xy_px=xy,
        visibility=visibility,
        depth_m=depth,
        present=np.arange(len(windows)) < len(rows),
        boxes=windows,
        turn_rad=turn,
        scene=np.full(len(windows), scene),
        person=np.r_[rows, np.full(len(empty), -1)],
    )
    return _augmented(batch, rng) if augment else batch


def _turns(store: SceneStore, scene: int, points_px: np.ndarray, rng: np.random.Generator, augment: bool) -> np.ndarray:
    """(B,) clockwise turns of crops at (B, 2) pixels, radians."""
    lean = GroundPlane.from_coefficients(store.ground[scene]).lean_rad(store.camera(scene), points_px)
    if not augment:
        return lean
    return lean * (rng.random(len(lean)) < UPRIGHT_SHARE) + rng.normal(0, TURN_SIGMA_RAD, len(lean))


def _inside_share(pixels: np.ndarray, size: int) -> np.ndarray:
    """(P, 19, 2) → (P,) share of a person's points that are in the image."""
    return ((pixels > 0) & (pixels < size)).all(2).mean(1)


def _person_boxes(torso: np.ndarray, per_metre: np.ndarray, turn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = len(torso)
    scale = np.exp(rng.uniform(-0.35, 0.25, count) * rng.choice([0.35, 1.0], count))
    jitter = rng.normal(0.0, 0.05, (count, 2)) * rng.choice([0.5, 1.0, 2.0], (count, 1))
    side = np.maximum(CROP_HEIGHT_M * per_metre * scale, 8.0)
    middle = torso + turned(jitter + [0.0, TORSO_OFFSET_M], turn) * per_metre[:, None]
    return np.concatenate([middle - side[:, None] / 2, side[:, None]], 1).round().astype(np.int64)


def _empty_boxes(torso: np.ndarray, per_metre: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Windows that nobody is in the middle of: elsewhere, beside somebody, or at somebody but at the wrong scale."""
    wanted = rng.poisson(EMPTY_SHARE * len(torso)) if len(torso) else EMPTY_WINDOWS
    scale = np.exp(rng.uniform(np.log(14), np.log(150), wanted))
    middle = rng.uniform(0, size, (wanted, 2))
    if len(torso):
        person = rng.integers(len(torso), size=wanted)
        at_person = rng.random(wanted) < 0.6
        scale = np.where(at_person, per_metre[person] * np.exp(rng.uniform(-1.1, 1.1, wanted)), scale)
        middle[at_person] = (torso[person] + rng.normal(0, 0.5, (wanted, 2)) * per_metre[person, None])[at_person]
        metres = np.linalg.norm(middle[:, None] - torso, axis=-1) / np.minimum(scale[:, None], per_metre)
        alike = np.abs(np.log(scale[:, None] / per_metre)) < WRONG_SCALE
        empty = ~((metres < 0.35) & alike).any(1)
        middle, scale = middle[empty], scale[empty]
    side = CROP_HEIGHT_M * scale
    corner = middle + np.stack([np.zeros_like(scale), TORSO_OFFSET_M * scale], 1) - side[:, None] / 2
    return np.concatenate([corner, side[:, None]], 1).round().astype(np.int64)


def _augmented(batch: PersonBatch, rng: np.random.Generator) -> PersonBatch:
    """Mirror half of the crops and vary their colours."""
    mirrored = rng.random(len(batch.images)) < 0.5
    images = np.where(mirrored[:, None, None, None], batch.images[:, :, ::-1], batch.images)
    swap = np.where(mirrored[:, None], FLIP_POINTS, np.arange(POINTS))
    xy = np.take_along_axis(batch.xy_px, swap[..., None], 1)
    xy[..., 0] = np.where(mirrored[:, None], CROP_SIZE[1] - xy[..., 0], xy[..., 0])
    return batch._replace(
        images=vary_colours(images, rng),
        xy_px=xy,
        visibility=np.take_along_axis(batch.visibility, swap, 1),
        depth_m=np.take_along_axis(batch.depth_m, swap, 1),
    )


def vary_colours(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast, brightness, tint and noise, each crop its own; (B, H, W, 3) uint8 → uint8."""
    gain = rng.uniform(0.75, 1.25, len(images))
    shift = rng.normal(0, 9, (len(images), 1)) + rng.normal(0, 7, (len(images), 3)) + 128 * (1 - gain[:, None])
    strength = rng.choice([0.0, 3.0, 6.0], len(images)).astype(np.float32)
    noise = rng.standard_normal(images.shape[1:], dtype=np.float32)
    varied = np.empty_like(images)
    gain, shift = gain.astype(np.float32), shift.astype(np.float32)
    for row, image in enumerate(images):
        values = image * gain[row] + shift[row]
        if strength[row]:
            values += noise * strength[row]
            noise = np.roll(noise, rng.integers(1, len(noise)), axis=0)[:, ::-1]
        varied[row] = np.clip(values, 0, 255)
    return varied
