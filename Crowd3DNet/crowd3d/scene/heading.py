"""Which way people face."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from crowd3d.types import Scene


def facing_deg(scene: Scene) -> np.ndarray:
    """(N,) direction that each pelvis faces in the upright world: 0 towards the viewer, 90 to the right of the image."""
    forward_cam = Rotation.from_rotvec(scene.people.pose_rad[:, 0]).as_matrix()[:, :, 2] if len(scene.people) else np.zeros((0, 3))
    forward = forward_cam @ scene.ground.rotation_cam_world
    return np.rad2deg(np.arctan2(forward[:, 0], forward[:, 2]))
