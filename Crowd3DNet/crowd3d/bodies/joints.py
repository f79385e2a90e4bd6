"""Names and orders of joints: the only place that knows them."""

from __future__ import annotations

import numpy as np

SMPL24_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
"""The 24 joints of SMPL's skeleton."""

SMPL_PARENTS = np.array([-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21])
"""(24,) parent of each joint, −1 for the root."""

EXTRA_VERTEX_NAMES = (
    "nose",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
    "left_thumb",
    "left_index",
    "left_middle",
    "left_ring",
    "left_pinky",
    "right_thumb",
    "right_index",
    "right_middle",
    "right_ring",
    "right_pinky",
)
"""SMPL-54 joints 24…44: single vertices of the mesh."""

EXTRA9_NAMES = (
    "right_hip_extra",
    "left_hip_extra",
    "neck_lsp",
    "head_top",
    "pelvis_extra",
    "thorax_mpii",
    "spine_h36m",
    "jaw_h36m",
    "head_h36m",
)
"""SMPL-54 joints 45…53: regressed from the posed mesh."""

SMPL54_NAMES = SMPL24_NAMES + EXTRA_VERTEX_NAMES + EXTRA9_NAMES

SMPL_EXTRA_VERTEX_IDS = (
    *(332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787),
    *(2746, 2319, 2445, 2556, 2673, 6191, 5782, 5905, 6016, 6133),
)
"""Vertices of the official 6890-vertex mesh in the order of `EXTRA_VERTEX_NAMES`."""

ANKLES54, SHOULDERS54, HIPS54 = (7, 8), (16, 17), (45, 46)
"""SMPL-54 joints, left and right but for the hips, which are the regressed ones."""

TORSO54 = SHOULDERS54 + HIPS54
"""SMPL-54 joints (shoulders and hips) whose mean is the torso centre, from which the HVIP is dropped."""

PELVIS54 = 49
"""SMPL-54 joint to which the published network aligns its meshes."""

COCO17_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

SHOULDERS17, HIPS17, KNEES17, ANKLES17 = (5, 6), (11, 12), (13, 14), (15, 16)
"""COCO keypoints, left and right."""

TORSO17 = SHOULDERS17 + HIPS17
"""COCO keypoints whose mean is the torso centre."""

COCO17_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000.0
"""(17,) standard deviation of annotators by keypoint, in units of person size (COCO keypoint evaluation)."""

COCO17_FROM_SMPL54 = np.array([24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 46, 45, 4, 5, 7, 8])
"""(17,) SMPL-54 joint of each COCO keypoint; the hips are the regressed ones."""

COCO17_FLIP = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])
"""(17,) keypoint that takes each place in a mirrored image."""

COCO17_LIMBS = np.array(
    [
        [0, 1],
        [0, 2],
        [1, 3],
        [2, 4],
        [5, 6],
        [5, 7],
        [7, 9],
        [6, 8],
        [8, 10],
        [5, 11],
        [6, 12],
        [11, 12],
        [11, 13],
        [13, 15],
        [12, 14],
        [14, 16],
    ]
)
"""(16, 2) pairs of keypoints that a drawing joins."""

SMPL_POSE_FLIP = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22])
"""(24,) joint that takes each place in a mirrored pose; the axis-angle vectors change sign in y and z as well."""

H36M17_NAMES = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "neck",
    "head_top",
    "pelvis",
    "spine",
    "jaw",
)
"""Order of `Body.joints_h36m17`; the first 14 are the H36M-14 joints that metrics use."""

H36M17_FROM_OFFICIAL = np.array([6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9])
"""(17,) rows of the official ``J_regressor_h36m.npy`` in the order of `H36M17_NAMES`."""


def mirror_pose(pose_rad: np.ndarray) -> np.ndarray:
    """The pose seen in a mirror across the body's x axis, (..., 24, 3) axis-angle → the same shape."""
    return np.asarray(pose_rad)[..., SMPL_POSE_FLIP, :] * np.array([1, -1, -1], np.asarray(pose_rad).dtype)


def torso_centre(joints54: np.ndarray) -> np.ndarray:
    """(..., 54, 3) → (..., 3) mean of shoulders and hips, the point whose foot on the ground is the HVIP."""
    return joints54[..., list(TORSO54), :].mean(-2)
