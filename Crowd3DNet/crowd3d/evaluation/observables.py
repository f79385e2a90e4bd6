"""What the metrics look at, taken once from a scene and its bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.bodies import Body, torso_centre
from crowd3d.bodies.joints import COCO17_FROM_SMPL54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Scene

PEOPLE_PER_CHUNK = 1024
PELVIS_H36M = 14


@dataclass(frozen=True)
class Observables:
    """N people as the metrics see them.

    Attributes:
        camera, ground: those of the scene.
        torso_cam_m: (N, 3) mean of shoulders and hips.
        position_cam_m: (N, 3) point on the ground under the torso (HVIP).
        keypoints_px: (N, 17, 2) COCO-17 joints of the body in the image; NaN where unknown.
        counted: (N, 17) which keypoints count as visible.
        area_px: (N,) area of the box around the body: around the 200 or so vertices that define its joints, which span 97 % of it or more.
        joints_cam_m: (N, 14, 3) H36M-14 joints; NaN without bodies.
        pelvis_cam_m: (N, 3) H36M pelvis; NaN without bodies.
    """

    camera: Camera
    ground: GroundPlane
    torso_cam_m: np.ndarray
    position_cam_m: np.ndarray
    keypoints_px: np.ndarray
    counted: np.ndarray
    area_px: np.ndarray
    joints_cam_m: np.ndarray
    pelvis_cam_m: np.ndarray

    def __len__(self) -> int:
        return len(self.torso_cam_m)

    @property
    def ground_xz_m(self) -> np.ndarray:
        """(N, 2) positions in the upright world of the scene's own ground: origin under the camera."""
        return self.ground.to_world(self.position_cam_m)[:, [0, 2]]


def observe(scene: Scene, body: Body, visible: np.ndarray | None = None) -> Observables:
    """Pose everybody and project.

    Args:
        scene: people with their camera and ground.
        body: the body that the scene's betas belong to.
        visible: (N, 17) which keypoints can be seen; by default all that are inside the image.
    """
    people, camera, landmarks = scene.people, scene.camera, body.restrict()
    joints54, h36m17, boxes = [np.zeros((0, 54, 3))], [np.zeros((0, 17, 3))], [np.zeros((0, 2))]
    for start in range(0, len(people), PEOPLE_PER_CHUNK):
        part = people[start : start + PEOPLE_PER_CHUNK]
        vertices, joints = landmarks.pose(part.pose_rad, part.betas)
        offset = part.translation_cam_m[:, None]
        joints54.append(joints + offset)
        h36m17.append(landmarks.joints_h36m17(vertices) + offset)
        outline = camera.project(vertices + offset)
        boxes.append(outline.max(1) - outline.min(1))
    joints_cam, h36m_cam = np.concatenate(joints54), np.concatenate(h36m17)
    keypoints = camera.project(joints_cam[:, COCO17_FROM_SMPL54])
    if visible is None:
        visible = np.all((keypoints >= 0) & (keypoints < (camera.width, camera.height)), axis=-1)
    return Observables(
        camera=camera,
        ground=scene.ground,
        torso_cam_m=torso_centre(joints_cam),
        position_cam_m=people.hvip_cam_m,
        keypoints_px=keypoints,
        counted=visible,
        area_px=np.concatenate(boxes).prod(1),
        joints_cam_m=h36m_cam[:, :PELVIS_H36M],
        pelvis_cam_m=h36m_cam[:, PELVIS_H36M],
    )
