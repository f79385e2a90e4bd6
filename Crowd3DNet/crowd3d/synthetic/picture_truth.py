"""What is true about the people in a synthetic picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body
from crowd3d.bodies.joints import COCO17_FROM_SMPL54, TORSO54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.raster import Buffers, kernels
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.compose import Stage
from crowd3d.synthetic.people import PosedCrowd

# How far behind the visible surface of its own body a COCO-17 joint may lie and count as seen, metres.
DEPTH_TOLERANCE_M = np.array([0.05, 0.05, 0.05, 0.06, 0.06, 0.14, 0.14, 0.09, 0.09, 0.08, 0.08, 0.2, 0.2, 0.12, 0.12, 0.1, 0.1])
VISIBLE, OCCLUDED, OUTSIDE = 2, 1, 0


@dataclass(frozen=True)
class PictureTruth:
    """Camera, ground and N people of a picture, in the camera frame and in pixels of the picture.

    Attributes:
        camera: of the picture.
        ground: the plane under everybody.
        pose_rad: (N, 24, 3) float64 axis-angle, global orientation in the camera frame.
        betas: (N, 10) float64.
        translation_cam_m: (N, 3) float64; plain body vertices plus this are in the camera frame.
        hvip_px: (N, 2) float64 foot of the torso centre on the ground.
        hvip_cam_m: (N, 3) float64 the same point.
        torso_px: (N, 2) float64 torso centre, the mean of SMPL-54 joints 16, 17, 45, 46.
        torso_cam_m: (N, 3) float64.
        keypoints_px: (N, 17, 3) float64 COCO-17 u, v and 2 visible, 1 occluded, 0 outside the picture.
        visible_fraction: (N,) float64 visible pixels of the person and their clothes over those of them alone, uncut by the border.
        height_px: (N,) float64 height of `bbox`.
        bbox: (N, 4) float64 left, top, right, bottom of all body and clothes vertices but skirts and bags, not cut at the border.
        kind: (N,) names of poses.
    """

    camera: Camera
    ground: GroundPlane
    pose_rad: np.ndarray
    betas: np.ndarray
    translation_cam_m: np.ndarray
    hvip_px: np.ndarray
    hvip_cam_m: np.ndarray
    torso_px: np.ndarray
    torso_cam_m: np.ndarray
    keypoints_px: np.ndarray
    visible_fraction: np.ndarray
    height_px: np.ndarray
    bbox: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.pose_rad)

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields that have one row per person."""
        fields = [f.name for f in dataclasses.fields(PictureTruth) if f.name not in ("camera", "ground")]
        return {name: getattr(self, name) for name in fields}


@dataclass(frozen=True)
class Observation:
    """What the buffers show of N people.

    Attributes:
        pixels: (N,) float64 visible pixels of the picture.
        keypoints: (N, 17) bool, joint visible; false where the joint is outside the window.
    """

    pixels: np.ndarray
    keypoints: np.ndarray


def keypoints_of(crowd: PosedCrowd, view: Viewpoint) -> tuple[np.ndarray, np.ndarray]:
    """COCO-17 joints in the camera frame (N, 17, 3) metres and (N, 17, 2) pixels."""
    joints = view.ground.from_world(crowd.joints_m[:, COCO17_FROM_SMPL54])
    return joints, view.camera.project(joints)


def observe(stage: Stage, crowd: PosedCrowd, buffers: Buffers, left: int, top: int, supersample: int) -> Observation:
    """Count visible pixels and test joints against the buffers of the window at (left, top).

    A joint is visible if within one sample around it the nearest surface is the person's own and at most
    `DEPTH_TOLERANCE_M` before the joint.
    """
    count = len(crowd)
    person = np.concatenate([[-1], stage.person])
    seen = np.zeros(len(person))
    kernels.count_identities(buffers.identity, seen)
    pixels = np.bincount(person + 1, weights=seen, minlength=count + 1)[1:]
    joints, joints_px = keypoints_of(crowd, stage.view)
    height, width = buffers.identity.shape
    at = np.nan_to_num((joints_px - [left, top]) * supersample, nan=-9.0)
    inside = (at >= 0).all(axis=2) & (at[..., 0] < width) & (at[..., 1] < height)
    visible = np.zeros((count, 17), bool)
    rows, columns = np.nonzero(inside)
    u, v = np.floor(at[rows, columns]).astype(int).T
    found = np.zeros(len(rows), bool)
    limit = 1.0 / np.maximum(joints[rows, columns, 2] - DEPTH_TOLERANCE_M[columns], 1e-3)
    for du in (-1, 0, 1):
        for dv in (-1, 0, 1):
            x, y = np.clip(u + du, 0, width - 1), np.clip(v + dv, 0, height - 1)
            found |= (person[buffers.identity[y, x]] == rows) & (buffers.inverse_depth[y, x] <= limit)
    visible[rows, columns] = found
    return Observation(pixels / supersample**2, visible)


def silhouettes(stage: Stage, count: int, scale: float = 1.0) -> np.ndarray:
    """(count,) pixels that each person with their clothes covers alone, without border; sampled at `scale` samples per pixel."""
    order = np.argsort(stage.person, kind="stable")
    order = order[stage.person[order] >= 0]
    area = np.zeros(count)
    m = stage.meshes
    kernels.silhouette_area(
        m.points_px * scale, m.inverse_depth, m.faces, m.objects[order], m.vertex_end[order], m.bounds[order] * scale, m.culls[order],
        stage.person[order], 400.0, area,
    )  # fmt: skip
    return area / scale**2


def describe(stage: Stage, crowd: PosedCrowd, body: Body, observation: Observation, alone: np.ndarray) -> PictureTruth:
    """PictureTruth about everybody, from the exact geometry and what the buffers show."""
    view = stage.view
    camera, ground = view.camera, view.ground
    turn = Rotation.from_matrix(ground.rotation_cam_world)
    pose = crowd.pose_rad.copy()
    pose[:, 0] = (turn * Rotation.from_rotvec(pose[:, 0])).as_rotvec().reshape(-1, 3)
    joints = ground.from_world(crowd.joints_m)
    rest_pelvis = body.joint_template[0] + crowd.betas @ body.joint_shapedirs[0].T
    torso = joints[:, list(TORSO54)].mean(axis=1)
    hvip = ground.foot(torso)
    keypoints = np.concatenate([keypoints_of(crowd, view)[1], np.zeros((len(crowd), 17, 1))], axis=2)
    u, v = keypoints[..., 0], keypoints[..., 1]
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    keypoints[..., 2] = np.select([inside & observation.keypoints, inside], [VISIBLE, OCCLUDED], OUTSIDE)
    bbox = stage.meshes.bounds[: len(crowd)]
    return PictureTruth(
        camera=camera,
        ground=ground,
        pose_rad=pose,
        betas=crowd.betas,
        translation_cam_m=joints[:, 0] - rest_pelvis,
        hvip_px=camera.project(hvip),
        hvip_cam_m=hvip,
        torso_px=camera.project(torso),
        torso_cam_m=torso,
        keypoints_px=keypoints,
        visible_fraction=np.clip(observation.pixels / np.maximum(alone, 1e-6), 0, 1),
        height_px=bbox[:, 3] - bbox[:, 1],
        bbox=bbox,
        kind=crowd.kind,
    )
