"""Augmentation of annotated pictures: whatever changes the picture changes its camera, its ground and its labels with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from crowd3d.bodies.joints import SMPL54_NAMES, SMPL_POSE_FLIP
from crowd3d.training.supervision.annotation import Annotation


def _mirrored_name(name: str) -> str:
    swapped = {"left": "right", "right": "left"}
    return "_".join(swapped.get(part, part) for part in name.split("_"))


SMPL54_FLIP = np.array([SMPL54_NAMES.index(_mirrored_name(name)) for name in SMPL54_NAMES])
"""(54,) joint that takes each place in a mirrored picture."""
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Augmentation:
    """How often and how much.

    Attributes:
        flip, zoom, colour, occlusion: probabilities.
        zoom_range: a tile's side changes by a factor of at most this, or its inverse.
        colour_range: brightness, contrast and saturation change by at most this share.
        occlusion_share: side of the patch over that of the tile, at most.
    """

    flip: float = 0.5
    zoom: float = 0.5
    colour: float = 0.5
    occlusion: float = 0.2
    zoom_range: float = 1.25
    colour_range: float = 0.2
    occlusion_share: float = 0.15


NONE = Augmentation(flip=0.0, zoom=0.0, colour=0.0, occlusion=0.0)


def augment(annotation: Annotation, rng: np.random.Generator, how: Augmentation) -> Annotation:
    """Mirror, zoom and crop, hide and recolour at random; equal states of `rng` give equal results."""
    chance = rng.random(4)
    if chance[0] < how.flip:
        annotation = flip(annotation)
    if chance[1] < how.zoom:
        annotation = random_window(annotation, rng, how.zoom_range)
    if chance[2] < how.occlusion:
        annotation = occlude(annotation, rng, how.occlusion_share)
    if chance[3] < how.colour:
        annotation = replace(annotation, image=vary_colour(annotation.image, rng, how.colour_range))
    return annotation


def flip(annotation: Annotation) -> Annotation:
    """The picture in a mirror: the scene of the same width, camera, lens, ground and people mirrored, left and right swapped."""
    width = annotation.scene_width_px

    def mirrored_px(points: np.ndarray) -> np.ndarray:
        return points * [-1, 1] + [width, 0]

    people = annotation.people
    K = annotation.K.copy()
    K[0, 2] = width - K[0, 2]
    rotations = people.rotations[:, SMPL_POSE_FLIP[:22]]
    return replace(
        annotation,
        image=np.ascontiguousarray(annotation.image[:, ::-1]),
        origin_px=np.array([width - annotation.origin_px[0] - annotation.side_px, annotation.origin_px[1]]),
        K=K,
        plane=annotation.plane * [-1, 1, 1, 1],
        # of the tangential coefficients the one of the mirrored axis changes its sign
        distortion=annotation.distortion * [1, 1, 1, -1, 1],
        people=replace(
            people,
            keypoints_px=mirrored_px(people.keypoints_px[:, SMPL54_FLIP]),
            keypoints_known=people.keypoints_known[:, SMPL54_FLIP],
            joints_cam_m=people.joints_cam_m[:, SMPL54_FLIP] * _MIRROR,
            joints_known=people.joints_known[:, SMPL54_FLIP],
            rotations=_MIRROR[:, None] * rotations * _MIRROR,
            hvip_px=mirrored_px(people.hvip_px),
            torso_px=mirrored_px(people.torso_px),
            root_cam_m=people.root_cam_m * _MIRROR,
        ),
    )


def window(annotation: Annotation, origin_px: np.ndarray, side_px: float) -> Annotation:
    """Another square of the same scene, black where it leaves the picture; labels are in scene pixels and stay."""
    size = len(annotation.image)
    scale = annotation.side_px / side_px
    shift = (annotation.origin_px - origin_px) * size / side_px
    # OpenCV's pixel coordinates are those of pixel centres, ours those of corners
    matrix = np.array([[scale, 0, shift[0] + (scale - 1) / 2], [0, scale, shift[1] + (scale - 1) / 2]])
    image = cv2.warpAffine(annotation.image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return replace(annotation, image=image, origin_px=np.asarray(origin_px, np.float64), side_px=float(side_px))


def random_window(annotation: Annotation, rng: np.random.Generator, most: float) -> Annotation:
    """A square inside the picture, or one around it, whose side differs by a factor of at most `most`."""
    side = annotation.side_px * np.exp(rng.uniform(-1, 1) * np.log(most))
    return window(annotation, annotation.origin_px + (annotation.side_px - side) * rng.random(2), side)


def occlude(annotation: Annotation, rng: np.random.Generator, most: float) -> Annotation:
    """Put an ellipse of blotches in front of the people, where no torso centre is; labels stay, as for anybody half hidden."""
    size = len(annotation.image)
    torso = (annotation.to_tile(annotation.people.torso_px)[annotation.people.torso_known] + 1) / 2 * size
    middle = rng.uniform(0, size, 2)
    radii = rng.uniform(0.25, 0.5, 2) * most * size
    if len(torso):
        gap = np.linalg.norm(torso - middle, axis=1).min() - 1
        radii = np.minimum(radii, max(gap, 0.0))
    if radii.min() < 1:
        return annotation
    rows, columns = np.mgrid[:size, :size] + 0.5
    hidden = ((columns - middle[0]) / radii[0]) ** 2 + ((rows - middle[1]) / radii[1]) ** 2 < 1
    blotches = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    return replace(annotation, image=np.where(hidden[..., None], blotches, annotation.image))


def vary_colour(image: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """Brightness, contrast and saturation, each changed by a factor within `most` of 1; (H, W, 3) uint8 → uint8."""
    brightness, contrast, saturation = (1 + most * rng.uniform(-1, 1, 3)).astype(np.float32)
    values = image.astype(np.float32) * brightness
    values = values.mean() + (values - values.mean()) * contrast
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    values = grey[..., None] + (values - grey[..., None]) * saturation
    return np.clip(values.round(), 0, 255).astype(np.uint8)
