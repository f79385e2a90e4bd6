"""Poses of people in public places as SMPL axis-angles (24, 3), T-pose zero, y up, facing +z.

Signs in SMPL's T-pose: hips flex by −x and abduct by +z (left); knees flex by +x; arms come down by −z (left), swing
forward by −x, twist inward by +x; elbows flex by −y (left). The right side mirrors y and z.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from scipy.spatial.transform import Rotation

KINDS = (
    "stand", "walk", "run", "sit", "sit_ground", "phone", "call", "talk", "raise", "bend", "crouch", "hips", "crossed", "carry", "wild",
)  # fmt: skip
STANDING = ("stand", "phone", "call", "talk", "raise", "hips", "crossed", "carry", "wild")

PELVIS, L_HIP, R_HIP, SPINE1, L_KNEE, R_KNEE, SPINE2, L_ANKLE, R_ANKLE, SPINE3 = range(10)
NECK, HEAD, L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW = 12, 15, 16, 17, 18, 19

# Degrees of independent variation per joint, on top of what a kind prescribes.
_JITTER_DEG = np.full((24, 1), 3.0)
_JITTER_DEG[[0, 10, 11, 22, 23]] = 0.0
_JITTER_DEG[[NECK, HEAD]] = 7.0
_JITTER_DEG[[20, 21]] = 9.0


class _Draft:
    """Angles in degrees of N people under construction; every setter takes (N,) arrays."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng = rng
        self.count = count
        self.rotations = np.broadcast_to(np.eye(3), (count, 24, 3, 3)).copy()

    def normal(self, mean: float, sigma: float) -> np.ndarray:
        """(N,) normal numbers."""
        return self.rng.normal(mean, sigma, self.count)

    def turn(self, joint: int, **degrees: np.ndarray | float) -> None:
        """Set a joint to the product of axis rotations in the order given, e.g. ``turn(3, x=…, y=…)``."""
        total = self.rotations[:, joint]
        total[:] = np.eye(3)
        for axis, angle in degrees.items():
            _turn_by(total, "xyz".index(axis[0]), angle if isinstance(angle, np.ndarray) else np.full(self.count, float(angle)))

    def leg(self, left: bool, flex: np.ndarray, spread: np.ndarray, out: np.ndarray, knee: np.ndarray, foot: np.ndarray | float) -> None:
        """Hip flexion, abduction and outward turn, knee flexion, foot pointing down."""
        side = 1.0 if left else -1.0
        self.turn(L_HIP if left else R_HIP, y=side * out, x=-flex, z=side * spread)
        self.turn(L_KNEE if left else R_KNEE, x=np.maximum(knee, 0.0))
        self.turn(L_ANKLE if left else R_ANKLE, x=foot)

    def arm(self, left: bool, down: np.ndarray, forward: np.ndarray, elbow: np.ndarray, twist: np.ndarray | float = 0.0) -> None:
        """Upper arm below the horizontal, swing forward, elbow flexion, twist that turns the forearm inward."""
        side = 1.0 if left else -1.0
        self.turn(L_SHOULDER if left else R_SHOULDER, x=-forward, z=-side * down, x2=twist)
        self.turn(L_ELBOW if left else R_ELBOW, y=-side * np.clip(elbow, 0.0, 145.0))


@njit(cache=True, nogil=True)
def _turn_by(rotations: np.ndarray, axis: int, degrees: np.ndarray) -> None:
    """Multiply (N, 3, 3) rotations in place, on the right, by turns about an axis by (N,) degrees."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    for n in range(len(rotations)):
        c, s = np.cos(np.deg2rad(degrees[n])), np.sin(np.deg2rad(degrees[n]))
        for i in range(3):
            a, b = rotations[n, i, j], rotations[n, i, k]
            rotations[n, i, j] = a * c + b * s
            rotations[n, i, k] = b * c - a * s


def _relaxed(d: _Draft) -> None:
    """Standing on both feet or with the weight on one, arms hanging."""
    weight = d.normal(0, 4)
    for left in (True, False):
        bend = np.abs(d.normal(0, 7))
        d.leg(left, d.normal(2, 4) + bend * 0.5, np.abs(d.normal(4, 4)), d.normal(9, 8), bend, bend * 0.4 - 1)
        d.arm(left, np.clip(d.normal(73, 6), 52, 84), d.normal(4, 10), np.abs(d.normal(16, 14)), d.normal(15, 20))
    d.turn(PELVIS, z=weight)
    d.turn(SPINE1, x=d.normal(1, 4), y=d.normal(0, 5), z=-weight)


def _walk(d: _Draft, stride: float = 24, lift: float = 55, swing: float = 22, elbow: float = 18, lean: float = 4) -> None:
    phase = d.rng.uniform(0, 2 * np.pi, d.count)
    stride_deg = d.normal(stride, stride / 5)
    swing_deg = np.abs(d.normal(swing, swing / 2.5))
    for left, p in ((True, phase), (False, phase + np.pi)):
        # The knee bends most while the thigh passes the vertical on its way forward.
        knee = 6 + lift * np.clip(np.cos(p), 0, None) ** 2
        d.leg(left, stride_deg * np.sin(p) + 4, np.abs(d.normal(1, 2)), d.normal(4, 5), knee, np.clip(-14 * np.sin(p), -12, 14))
        d.arm(left, np.clip(d.normal(75, 5), 60, 84), -swing_deg * np.sin(p) + 2, np.abs(d.normal(elbow, 12)), d.normal(15, 15))
    d.turn(SPINE1, x=d.normal(lean, 3))
    d.turn(SPINE3, y=8 * np.sin(phase))


def _run(d: _Draft) -> None:
    _walk(d, stride=42, lift=90, swing=42, elbow=85, lean=13)


def _sit(d: _Draft) -> None:
    crossed = d.rng.random(d.count) < 0.2
    for left in (True, False):
        knee = d.normal(88, 10)
        d.leg(
            left,
            d.normal(84, 6) + (12 * crossed if left else 0),
            np.abs(d.normal(2, 2)),
            d.normal(8, 8) - 14 * crossed,
            knee,
            d.normal(0, 6),
        )
        d.arm(left, np.clip(d.normal(70, 7), 50, 84), d.normal(24, 14), d.normal(50, 25), d.normal(30, 20))
    d.turn(SPINE1, x=d.normal(6, 9))
    d.turn(SPINE2, x=d.normal(4, 5))


def _sit_ground(d: _Draft) -> None:
    tailor = d.rng.random(d.count) < 0.5
    for left in (True, False):
        flex = np.where(tailor, d.normal(95, 6), d.normal(85, 14))
        out = np.where(tailor, d.normal(48, 6), d.normal(5, 6))
        knee = np.where(tailor, d.normal(115, 8), np.abs(d.normal(50, 35)))
        d.leg(left, flex, np.abs(d.normal(5, 4)), out, knee, d.normal(10, 8))
        d.arm(left, np.clip(d.normal(66, 9), 40, 84), d.normal(25, 25), d.normal(40, 25), d.normal(20, 25))
    d.turn(SPINE1, x=d.normal(14, 9))
    d.turn(SPINE2, x=d.normal(8, 6))


def _one_or_both(d: _Draft, both: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N,) of the left and right arms that act; at least one of them."""
    both_act = d.rng.random(d.count) < both
    left = d.rng.random(d.count) < 0.45
    return left | both_act, ~left | both_act


def _arms(d: _Draft, both: float, down: np.ndarray, forward: np.ndarray, elbow: np.ndarray, twist: np.ndarray) -> None:
    """Give the acting arms these angles and leave the others as they are."""
    idle = d.rotations[:, [L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW]].copy()
    for left, acting in zip((True, False), _one_or_both(d, both), strict=True):
        d.arm(left, down + d.normal(0, 3), forward + d.normal(0, 4), elbow + d.normal(0, 6), twist + d.normal(0, 5))
        for slot, joint in enumerate((L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW)):
            if (joint in (L_SHOULDER, L_ELBOW)) == left:
                d.rotations[~acting, joint] = idle[~acting, slot]


def _phone(d: _Draft) -> None:
    _walk(d) if d.rng.random() < 0.3 else _relaxed(d)
    _arms(d, 0.45, d.normal(74, 4), d.normal(20, 8), d.normal(105, 14), d.normal(38, 10))
    d.turn(NECK, x=d.normal(18, 7))


def _call(d: _Draft) -> None:
    _walk(d) if d.rng.random() < 0.3 else _relaxed(d)
    _arms(d, 0.0, d.normal(58, 8), d.normal(28, 10), d.normal(138, 6), d.normal(-5, 12))


def _talk(d: _Draft) -> None:
    _relaxed(d)
    _arms(d, 0.4, d.normal(62, 10), d.normal(25, 18), d.normal(75, 25), d.normal(15, 25))


def _raise(d: _Draft) -> None:
    _relaxed(d)
    _arms(d, 0.4, d.rng.uniform(-80, 25, d.count), d.rng.uniform(-10, 50, d.count), np.abs(d.normal(20, 30)), d.normal(0, 40))


def _bend(d: _Draft) -> None:
    _relaxed(d)
    amount = d.rng.uniform(0.4, 1.3, d.count)
    for left in (True, False):
        d.leg(left, 35 * amount, np.abs(d.normal(4, 4)), d.normal(8, 6), np.abs(d.normal(18, 15)), d.normal(2, 3))
        d.arm(left, np.clip(d.normal(72, 8), 50, 84), 30 * amount + d.normal(0, 20), np.abs(d.normal(25, 20)), d.normal(15, 20))
    d.turn(PELVIS, x=32 * amount)
    d.turn(SPINE1, x=20 * amount)
    d.turn(SPINE2, x=14 * amount)


def _crouch(d: _Draft) -> None:
    for left in (True, False):
        d.leg(left, d.normal(108, 8), np.abs(d.normal(6, 5)), d.normal(14, 9), d.normal(128, 8), d.normal(-24, 5))
        d.arm(left, np.clip(d.normal(68, 8), 45, 84), d.normal(40, 18), d.normal(50, 25), d.normal(25, 20))
    d.turn(PELVIS, x=d.normal(14, 6))
    d.turn(SPINE1, x=d.normal(16, 8))


def _hips(d: _Draft) -> None:
    _relaxed(d)
    _arms(d, 0.7, d.normal(48, 5), d.normal(-16, 7), d.normal(88, 8), d.normal(62, 8))


def _crossed(d: _Draft) -> None:
    _relaxed(d)
    _arms(d, 1.0, d.normal(72, 3), d.normal(24, 5), d.normal(98, 7), d.normal(68, 6))


def _carry(d: _Draft) -> None:
    _walk(d) if d.rng.random() < 0.5 else _relaxed(d)
    _arms(d, 0.6, d.normal(74, 4), d.normal(12, 8), d.normal(85, 14), d.normal(25, 12))


def _wild(d: _Draft) -> None:
    _relaxed(d)
    for left in (True, False):
        d.leg(left, d.rng.uniform(-25, 70, d.count), np.abs(d.normal(12, 10)), d.normal(10, 15), np.abs(d.normal(30, 35)), d.normal(0, 12))
        d.arm(left, d.rng.uniform(-75, 80, d.count), d.rng.uniform(-45, 85, d.count), d.rng.uniform(0, 125, d.count), d.normal(15, 45))
    d.turn(SPINE1, x=d.normal(8, 15), y=d.normal(0, 14), z=d.normal(0, 9))


_MAKERS: dict[str, Callable[[_Draft], None]] = {
    "stand": _relaxed, "walk": _walk, "run": _run, "sit": _sit, "sit_ground": _sit_ground, "phone": _phone, "call": _call, "talk": _talk,
    "raise": _raise, "bend": _bend, "crouch": _crouch, "hips": _hips, "crossed": _crossed, "carry": _carry, "wild": _wild,
}  # fmt: skip


def sample_poses(rng: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
    """Random poses of the given kinds.

    Args:
        rng: source of randomness.
        kinds: (N,) names out of `KINDS`.

    Returns:
        (N, 24, 3) float64 axis-angle. The first row is the pelvis relative to an upright person facing +z: a lean, no yaw.
    """
    rotations = np.empty((len(kinds), 24, 3, 3))
    for kind in np.unique(kinds):
        rows = kinds == kind
        draft = _Draft(rng, int(rows.sum()))
        _MAKERS[str(kind)](draft)
        rotations[rows] = draft.rotations
    jitter = Rotation.from_rotvec((np.deg2rad(_JITTER_DEG) * rng.normal(size=(len(kinds), 24, 3))).reshape(-1, 3))
    total = Rotation.from_matrix(rotations.reshape(-1, 3, 3)) * jitter
    pose = total.as_rotvec().reshape(-1, 24, 3)
    pose[:, [10, 11, 22, 23]] = 0.0
    return pose
