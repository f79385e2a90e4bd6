"""A picture and what is known of the people in it, before it becomes a sample: the form in which data sets and augmentation work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import cv2
import numpy as np

from crowd3d.bodies.joints import TORSO54
from crowd3d.model.crowd3dnet import MAP_STRIDE
from crowd3d.training.supervision.center_targets import center_radius, discs, draw_centers, person_centers, push_apart
from crowd3d.training.supervision.samples import MAX_PEOPLE, Label, Sample

REACH = 1.5
"""Joints farther than this from the middle of the tile, in half sides, are not supervised."""
LABELS = {
    Label.ORIENTATION: "orientation_known",
    Label.POSE: "pose_known",
    Label.BETAS: "betas_known",
    Label.HVIP: "hvip_known",
    Label.TORSO: "torso_known",
    Label.ROOT: "root_known",
}
PIXELS = ("keypoints_px", "hvip_px", "torso_px")


@dataclass(frozen=True)
class Labels:
    """N people; unknown values are finite and meaningless. `unlabelled` makes some of whom nothing is known.

    Attributes:
        keypoints_px: (N, 54, 2) float64 SMPL-54 joints in scene pixels, with keypoints_known (N, 54) bool.
        joints_cam_m: (N, 54, 3) float64 in the camera's axes, any origin, with joints_known (N, 54) bool.
        rotations: (N, 22, 3, 3) float64 global orientation in the camera frame (orientation_known) and body joints (pose_known).
        betas: (N, 10) float64, with betas_known (N,) bool.
        hvip_px: (N, 2) float64 scene pixels, with hvip_known (N,) bool.
        torso_px: (N, 2) float64 torso centre in scene pixels, with torso_known (N,) bool.
        root_cam_m: (N, 3) float64 middle of the regressed hips, with root_known (N,) bool.
        doubtful: (N,) bool, people of whom too little is seen to ask for a centre or to forbid one.
    """

    keypoints_px: np.ndarray
    keypoints_known: np.ndarray
    joints_cam_m: np.ndarray
    joints_known: np.ndarray
    rotations: np.ndarray
    orientation_known: np.ndarray
    pose_known: np.ndarray
    betas: np.ndarray
    betas_known: np.ndarray
    hvip_px: np.ndarray
    hvip_known: np.ndarray
    torso_px: np.ndarray
    torso_known: np.ndarray
    root_cam_m: np.ndarray
    root_known: np.ndarray
    doubtful: np.ndarray

    def __len__(self) -> int:
        return len(self.doubtful)

    def take(self, rows: np.ndarray) -> Labels:
        """The people selected by a mask or indices; every field alike, so that nobody gets somebody else's labels."""
        return Labels(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})


def unlabelled(count: int) -> Labels:
    """`count` people of whom nothing is known yet; for `dataclasses.replace`."""
    no, none = np.zeros(count, bool), np.zeros((count, 54), bool)
    return Labels(
        keypoints_px=np.zeros((count, 54, 2)),
        keypoints_known=none,
        joints_cam_m=np.zeros((count, 54, 3)),
        joints_known=none,
        rotations=np.tile(np.eye(3), (count, 22, 1, 1)),
        orientation_known=no,
        pose_known=no,
        betas=np.zeros((count, 10)),
        betas_known=no,
        hvip_px=np.zeros((count, 2)),
        hvip_known=no,
        torso_px=np.zeros((count, 2)),
        torso_known=no,
        root_cam_m=np.zeros((count, 3)),
        root_known=no,
        doubtful=no,
    )


@dataclass(frozen=True)
class Annotation:
    """A square picture that shows a square of a scene, and the people in it.

    Attributes:
        image: (S, S, 3) uint8 red, green, blue.
        origin_px: (2,) float64 its top-left corner in scene pixels.
        side_px: its side in scene pixels.
        K: (3, 3) float64 intrinsics of the scene.
        plane: (4,) float64 ground, unit normal, camera above it.
        scene_width_px: width of the scene.
        people: labels in scene pixels.
        distortion: (5,) float64 k1, k2, k3, p1, p2.
        all_people: everybody in the picture is annotated.
    """

    image: np.ndarray
    origin_px: np.ndarray
    side_px: float
    K: np.ndarray
    plane: np.ndarray
    scene_width_px: float
    people: Labels
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))
    all_people: bool = True

    def to_tile(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) scene pixels → tile coordinates."""
        return (points_px - self.origin_px) * 2 / self.side_px - 1

    def sample(self, size: int) -> Sample:
        """The sample of `size` pixels: labels padded to 64 people, centre map drawn."""
        people, points, known, centers, present = self._located()
        side = size // MAP_STRIDE
        radius = center_radius(points, known, side)
        shown = present & ~people.doubtful
        centers[shown] = push_apart(centers[shown], radius[shown], side)
        center_map = draw_centers(centers[shown], radius[shown], side)
        doubt = present & people.doubtful
        counted = ~discs(centers[doubt], radius[doubt], side) | (center_map == 1)
        masks = np.stack([shown, *(getattr(people, LABELS[label]) & shown for label in list(Label)[1:])], 1)
        return Sample(
            images=resize(self.image, size),
            origin_px=np.asarray(self.origin_px, np.float64),
            side_px=np.float64(self.side_px),
            K=np.asarray(self.K, np.float64),
            planes=np.asarray(self.plane, np.float64),
            scene_width_px=np.float64(self.scene_width_px),
            distortion=np.asarray(self.distortion, np.float64),
            center_map=center_map[None],
            counted=counted[None],
            all_people=np.bool_(self.all_people),
            person_centers=_padded(centers),
            keypoints=_padded(points),
            keypoints_known=_padded(known & shown[:, None]),
            joints_cam_m=_padded(people.joints_cam_m),
            joints_known=_padded(people.joints_known & shown[:, None]),
            rotations=_padded(people.rotations),
            betas=_padded(people.betas),
            hvip=_padded(self.to_tile(people.hvip_px)),
            torso=_padded(self.to_tile(people.torso_px)),
            root_cam_m=_padded(people.root_cam_m),
            masks=_padded(masks),
        )

    def _located(self) -> tuple[Labels, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """At most 64 people, those with a centre first; their joints in the tile, which are known, their centres, who has one."""
        points = self.to_tile(self.people.keypoints_px)
        known = self.people.keypoints_known & (np.abs(points) < REACH).all(2)
        centers, present = person_centers(points, known)
        rows = np.argsort(~(present & ~self.people.doubtful), kind="stable")[:MAX_PEOPLE]
        return self.people.take(rows), points[rows], known[rows], centers[rows], present[rows]


def torso_of(keypoints_px: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 54, 2) joints and (N, 54) bool → torso centres (N, 2) and (N,) bool, false where a shoulder or hip is unknown."""
    return keypoints_px[:, TORSO54].mean(1), np.all(known[:, TORSO54], axis=1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture with `size` pixels; averaged over areas when it shrinks, cubic when it grows."""
    if len(image) == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if len(image) > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def pad_square(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture in the middle of a black square, and (2,) where its top-left corner is in it, pixels x, y."""
    height, width = image.shape[:2]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    if height == width:
        return image, np.zeros(2)
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = image
    return square, np.array([left, top], np.float64)


def _padded(rows: np.ndarray) -> np.ndarray:
    """(N, …) → (64, …), zeros below; bool stays bool, the rest becomes float32."""
    out = np.zeros((MAX_PEOPLE, *rows.shape[1:]), bool if rows.dtype == bool else np.float32)
    out[: len(rows)] = rows
    return out
