"""Who stands upright: the release's rule, and the reasons one by one."""

from __future__ import annotations

from enum import IntFlag

import numpy as np

from crowd3d.bodies.joints import ANKLES17, HIPS17, KNEES17, SHOULDERS17, TORSO17

LEFT_LEG, RIGHT_LEG = (11, 13, 15), (12, 14, 16)
NEEDED = TORSO17 + KNEES17 + ANKLES17


class Posture(IntFlag):
    """Reasons why the line from ankles to shoulders is no upright of known length; 0 is standing."""

    KNEE_BENT = 1
    """One knee is bent by more than 60°."""
    KNEES_BENT = 2
    """Both knees together are bent by more than 100°."""
    HIPS_BENT = 4
    """The trunk leaves the line of the legs by more than 20°."""
    UNSEEN = 8
    """A shoulder, hip, knee or ankle has a score below 0.2."""
    INVERTED = 16
    """The shoulders are not above the ankles in the image."""


RELEASE = Posture.KNEE_BENT | Posture.KNEES_BENT | Posture.HIPS_BENT


def posture(keypoints: np.ndarray) -> np.ndarray:
    """(N, 17, 3) u, v, score → (N,) uint8 of `Posture` flags. The first three are the release's ``filter_kps`` (spec §4.2), exactly."""
    keypoints = np.asarray(keypoints, np.float64).reshape(-1, 17, 3)
    xy = keypoints[..., :2]
    left, right = (_angle_deg(*(xy[:, joint] for joint in leg)) for leg in (LEFT_LEG, RIGHT_LEG))
    shoulders, hips, ankles = (xy[:, pair].mean(axis=1) for pair in (SHOULDERS17, HIPS17, ANKLES17))
    found = {
        Posture.KNEE_BENT: np.minimum(left, right) < 120,
        Posture.KNEES_BENT: left + right < 260,
        Posture.HIPS_BENT: _angle_deg(shoulders, hips, ankles) < 160,
        Posture.UNSEEN: (keypoints[:, NEEDED, 2] < 0.2).any(axis=1),
        Posture.INVERTED: shoulders[:, 1] >= ankles[:, 1],
    }
    flags = np.zeros(len(keypoints), np.uint8)
    for flag, where in found.items():
        flags[where] |= np.uint8(flag)
    return flags


def is_upright(keypoints: np.ndarray) -> np.ndarray:
    """(N, 17, 3) → (N,) bool: whom the release's ``filter_kps`` keeps, for ``joints_2d_alphapose_merge_filter.npy``."""
    return (posture(keypoints) & np.uint8(RELEASE)) == 0


def _angle_deg(end: np.ndarray, corner: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, 2) × 3 → (N,) angle at `corner`, in the image plane."""
    a, b = end - corner, other - corner
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-9)
    return np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))
