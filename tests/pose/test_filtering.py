"""Who stands: parity with the release and the reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crowd3d.pose import Posture, is_upright, posture

RELEASE = np.load(Path(__file__).parents[1] / "data" / "release_filter.npz")


def skeleton(knee_deg: float = 180.0, other_knee_deg: float = 180.0, hip_deg: float = 180.0) -> np.ndarray:
    """(17, 3): hips at the origin, thighs down, shanks and trunk at the given angles."""

    def away(angle_deg: float) -> np.ndarray:
        return np.array([np.sin(np.deg2rad(angle_deg)), -np.cos(np.deg2rad(angle_deg))])

    keypoints = np.ones((17, 3))
    ankles = []
    for joints, angle, u in (((11, 13, 15), knee_deg, -5.0), ((12, 14, 16), other_knee_deg, 5.0)):
        keypoints[joints[0], :2] = u, 0
        keypoints[joints[1], :2] = u, 40
        ankles.append(np.array([u, 40.0]) + 40 * away(angle))
        keypoints[joints[2], :2] = ankles[-1]
    legs = np.mean(ankles, axis=0)
    lean = np.arctan2(legs[0], -legs[1]) - np.deg2rad(hip_deg)
    trunk = 50 * np.array([np.sin(lean), -np.cos(lean)])
    keypoints[5, :2], keypoints[6, :2] = trunk - [10, 0], trunk + [10, 0]
    return keypoints


def test_release_filter_is_exact() -> None:
    keypoints = np.concatenate([RELEASE["xy"], np.ones((*RELEASE["xy"].shape[:2], 1))], axis=-1)
    np.testing.assert_array_equal(is_upright(keypoints), RELEASE["kept"])
    assert 0.02 < 1 - RELEASE["kept"].mean() < 0.2


@pytest.mark.parametrize(
    ("angles", "flags"),
    [
        ({}, 0),
        ({"knee_deg": 121, "other_knee_deg": 141}, 0),
        ({"knee_deg": 119}, Posture.KNEE_BENT),
        ({"knee_deg": 121, "other_knee_deg": 138}, Posture.KNEES_BENT),
        ({"knee_deg": 110, "other_knee_deg": 110}, Posture.KNEE_BENT | Posture.KNEES_BENT),
        ({"hip_deg": 161}, 0),
        ({"hip_deg": 159}, Posture.HIPS_BENT),
    ],
)
def test_angles(angles: dict[str, float], flags: int) -> None:
    assert posture(skeleton(**angles)[None])[0] == flags


def test_unseen_and_inverted() -> None:
    standing = skeleton()
    unseen, wrist, inverted = standing.copy(), standing.copy(), standing * [1, -1, 1]
    unseen[15, 2] = 0.1
    wrist[9, 2] = 0.0
    flags = posture(np.stack([standing, unseen, wrist, inverted]))
    assert flags.tolist() == [0, Posture.UNSEEN, 0, Posture.INVERTED]
    assert is_upright(np.stack([standing, unseen, wrist, inverted])).all()


def test_nobody() -> None:
    assert posture(np.zeros((0, 17, 3))).shape == (0,)
