"""What the network is taught with: one square crop with everything known about it, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from crowd3d.model.lifting import TileViews

MAX_PEOPLE = 64
"""Rows over people of a sample; the release's number."""


class Label(IntEnum):
    """Columns of `Sample.masks`: what is known of the person in a row."""

    PRESENT = 0
    """The row holds a person with a centre; false in every column otherwise."""
    ORIENTATION = 1
    POSE = 2
    BETAS = 3
    HVIP = 4
    TORSO = 5
    ROOT = 6


class Sample(NamedTuple):
    """One square crop; P = 64 rows over people, of which `masks` tells the used ones; unknown values are finite and meaningless.

    Tile coordinates are −1…1 across the crop. A map cell is 8 pixels of the image.

    Attributes:
        images: (S, S, 3) uint8 red, green, blue.
        origin_px: (2,) float64 top-left corner of the crop in scene pixels.
        side_px: () float64 side of the crop in scene pixels.
        K: (3, 3) float64 intrinsics of the scene.
        planes: (4,) float64 ground plane, unit normal, camera above it.
        scene_width_px: () float64 width of the scene.
        distortion: (5,) float64 k1, k2, k3, p1, p2 of the scene's lens.
        center_map: (1, S/8, S/8) float32 target of the centre head, 1 at the cells of people's centres.
        counted: (1, S/8, S/8) bool, false where neither presence nor absence of a centre is right (people who can hardly be seen).
        all_people: () bool, everybody in the crop is annotated, so that the centre map counts.
        person_centers: (P, 2) float32 tile coordinates of the centres drawn in `center_map`.
        keypoints: (P, 54, 2) float32 tile coordinates of the SMPL-54 joints, with keypoints_known (P, 54) bool.
        joints_cam_m: (P, 54, 3) float32 in the camera's axes, any origin, with joints_known (P, 54) bool.
        rotations: (P, 22, 3, 3) float32 global orientation in the camera frame and 21 body joints.
        betas: (P, 10) float32.
        hvip: (P, 2) float32 tile coordinates of the HVIP, may lie outside.
        torso: (P, 2) float32 tile coordinates of the torso centre, may lie outside.
        root_cam_m: (P, 3) float32 middle of the regressed hips in the camera frame.
        masks: (P, 7) bool, columns as in `Label`.
    """

    images: Any
    origin_px: Any
    side_px: Any
    K: Any
    planes: Any
    scene_width_px: Any
    distortion: Any
    center_map: Any
    counted: Any
    all_people: Any
    person_centers: Any
    keypoints: Any
    keypoints_known: Any
    joints_cam_m: Any
    joints_known: Any
    rotations: Any
    betas: Any
    hvip: Any
    torso: Any
    root_cam_m: Any
    masks: Any


class Batch(NamedTuple):
    """B samples: the fields of `Sample` as tensors with a leading axis B."""

    images: Tensor
    origin_px: Tensor
    side_px: Tensor
    K: Tensor
    planes: Tensor
    scene_width_px: Tensor
    distortion: Tensor
    center_map: Tensor
    counted: Tensor
    all_people: Tensor
    person_centers: Tensor
    keypoints: Tensor
    keypoints_known: Tensor
    joints_cam_m: Tensor
    joints_known: Tensor
    rotations: Tensor
    betas: Tensor
    hvip: Tensor
    torso: Tensor
    root_cam_m: Tensor
    masks: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))

    @property
    def views(self) -> TileViews:
        """Geometry of the crops, from which the network's camera and ground inputs follow."""
        return TileViews(self.origin_px, self.side_px, self.K, self.planes, self.scene_width_px)

    def known(self, label: Label) -> Tensor:
        """(B, P) bool, whether a kind of label is known of a person."""
        return self.masks[..., label]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of the same size; fit to be a data loader's ``collate_fn``."""
    return Batch(*(torch.from_numpy(np.stack(field)) for field in zip(*samples, strict=True)))
