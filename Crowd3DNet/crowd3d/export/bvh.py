"""Biovision hierarchy (BVH): one file per person, for animation programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.bodies.joints import SMPL24_NAMES, SMPL_PARENTS
from crowd3d.export.rig import Performer
from crowd3d.files import atomic_path

CM = 100.0
_LEAF_M = 0.08
_ORDER = "ZXY"
"""Rotations are applied Z, then X, then Y, each about the axes that the ones before have turned."""


def write_bvh(folder: Path, people: Sequence[Performer], rate_hz: float = 30.0) -> list[Path]:
    """Write ``person_<id>.bvh`` for everybody.

    Units are centimetres; y is up, z towards the viewer, the origin lies on the ground under the camera. The rest pose is SMPL's T-pose;
    the root has position and rotation, the other joints rotations in the order Z, X, Y, degrees. People of one picture have one frame.

    Args:
        folder: where to write.
        people: skeletons.
        rate_hz: frames per second between the pictures of a sequence.

    Returns:
        The files.

    Raises:
        BadOutput: the folder cannot be written.
    """
    written = []
    for person in people:
        count = round(float(person.times_s[-1] - person.times_s[0]) * rate_hz) + 1
        moving = person.at(person.times_s[0] + np.arange(count) / rate_hz)
        turn = [np.rad2deg(_euler(moving.rotations[joint].as_matrix())) for joint in _depth_first(0)]
        rows = np.concatenate([CM * moving.pelvis_m, *turn], axis=1)
        path = Path(folder) / f"{person.name}.bvh"
        with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
            file.write("HIERARCHY\n" + "\n".join(_joint(person, 0, 0)) + "\n")
            file.write(f"MOTION\nFrames: {count}\nFrame Time: {1.0 / rate_hz:.10f}\n")
            np.savetxt(file, rows, "%.5f")
        written.append(path)
    return written


def _depth_first(joint: int) -> list[int]:
    """A joint and all below it, in the order of the file."""
    below = (_depth_first(int(child)) for child in np.flatnonzero(np.equal(SMPL_PARENTS, joint)))
    return [joint, *(one for branch in below for one in branch)]


def _euler(matrices: np.ndarray) -> np.ndarray:
    """(T, 3, 3) R = Rz·Rx·Ry → (T, 3) angles z, x, y in radians; near the pole y is 0."""
    sine = np.clip(matrices[:, 2, 1], -1.0, 1.0)
    x = np.arcsin(sine)
    pole = np.abs(sine) > 1.0 - 1e-12
    z = np.where(pole, np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]), np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1]))
    y = np.where(pole, 0.0, np.arctan2(-matrices[:, 2, 0], matrices[:, 2, 2]))
    return np.unwrap(np.stack([z, x, y], -1), axis=0)


def _joint(person: Performer, joint: int, depth: int) -> list[str]:
    """Lines of a joint and everything below it."""
    pad = "\t" * depth
    parent = SMPL_PARENTS[joint]
    offset = np.zeros(3) if joint == 0 else CM * (person.rest_joints_m[joint] - person.rest_joints_m[parent])
    turns = " ".join(f"{axis}rotation" for axis in _ORDER)
    channels = f"CHANNELS 6 Xposition Yposition Zposition {turns}" if joint == 0 else f"CHANNELS 3 {turns}"
    kind = "ROOT" if joint == 0 else "JOINT"
    lines = [f"{pad}{kind} {SMPL24_NAMES[joint]}", f"{pad}{{", f"{pad}\t{_offset(offset)}", f"{pad}\t{channels}"]
    children = np.flatnonzero(np.equal(SMPL_PARENTS, joint))
    for child in children:
        lines += _joint(person, int(child), depth + 1)
    if len(children) == 0:
        along = offset / max(float(np.linalg.norm(offset)), 1e-9)
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\t{_offset(CM * _LEAF_M * along)}", f"{pad}\t}}"]
    return [*lines, f"{pad}}}"]


def _offset(offset: np.ndarray) -> str:
    return "OFFSET " + " ".join(f"{value:.5f}" for value in offset)
