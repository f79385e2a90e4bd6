"""Bodies as few bytes: one mesh in two levels of detail, and of everybody only shape, bones and place."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.transform import Rotation

from crowd3d.bodies import Body
from crowd3d.bodies.skinning import articulate, reshape
from crowd3d.geometry.rotations import axis_angle_to_matrix
from crowd3d.types import Scene

STEP_M = 1e-4
"""Bones are stored as int16 multiples of 0.1 mm around each person's origin: ±3.2 m."""
FAR_VERTICES = 250
"""Of the coarse body, with 492 triangles for the 2454 of the free body."""
_INFLUENCES = 8
_UNIT = 32767


def far_faces(body: Body) -> np.ndarray:
    """(G, 3) triangles of a coarse body over `FAR_VERTICES` of the same vertices.

    These are chosen one by one, always the farthest from those before (Gonzalez 1985), so that hands and feet stay; every other vertex
    falls onto the one that is nearest along the skin, and triangles that have lost a corner go.
    """
    place, chosen = body.template, [int(body.template[:, 1].argmax())]
    apart = np.linalg.norm(place - place[chosen[0]], axis=1)
    while len(chosen) < FAR_VERTICES:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(place - place[chosen[-1]], axis=1))
    first, second = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]]).T
    skin = csr_array((np.linalg.norm(place[first] - place[second], axis=1), (first, second)), shape=(len(place), len(place)))
    _, _, nearest = dijkstra(skin, directed=False, indices=chosen, min_only=True, return_predecessors=True)
    faces = nearest[body.faces]
    return faces[(faces != np.roll(faces, 1, axis=1)).all(1)]


def pack_body(body: Body, coarse: np.ndarray) -> bytes:
    """Little-endian arrays over V vertices, the largest numbers first.

    Template (V, 3) and its change per beta (V, 10, 3) float32; triangles (F, 3) and those of the coarse body (G, 3) uint32;
    weights (V, 8) uint16 in 1/65535 and their bones (V, 8) uint8; normals (V, 4) int8, the fourth unused.
    """
    bones = np.argsort(-body.weights, axis=1, kind="stable")[:, :_INFLUENCES]
    weights = np.take_along_axis(body.weights, bones, 1)
    shares = np.rint(65535 * weights / weights.sum(1, keepdims=True))
    # Together exactly one: a missing 1/65535 would be a millimetre for somebody 65 m away from the origin.
    shares[:, 0] += 65535 - shares.sum(1)
    normals = np.pad(np.rint(127 * _normals(body)), ((0, 0), (0, 1)))
    parts = (
        body.template.astype("<f4"),
        body.shapedirs.transpose(0, 2, 1).astype("<f4"),
        body.faces.astype("<u4"),
        coarse.astype("<u4"),
        shares.astype("<u2"),
        bones.astype(np.uint8),
        normals.astype(np.int8),
    )
    return b"".join(part.tobytes() for part in parts)


def _normals(body: Body) -> np.ndarray:
    corners = body.template[body.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(body.template)
    np.add.at(normals, body.faces, across[:, None])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def pack_crowd(scenes: list[Scene], body: Body) -> bytes:
    """Everybody of all scenes in turn, in the upright world; little-endian.

    Origins (N, 3) float32 in metres; betas (N, 10) float32; bones as unit quaternions x, y, z, w (N, 24, 4) int16 in 1/32767 and
    shifts (N, 24, 3) int16 in `STEP_M`: a bone moves x to turned(x) + origin + shift. Shape that depends on the pose, which official
    SMPL files have, is left out.
    """
    columns = [_crowd(scene, body) for scene in scenes]
    return b"".join(np.concatenate(parts).tobytes() for parts in zip(*columns, strict=True))


def _crowd(scene: Scene, body: Body) -> tuple[np.ndarray, ...]:
    people, upright = scene.people, scene.ground.rotation_cam_world.T
    rest = reshape(body.joint_template, body.joint_shapedirs, people.betas.astype(np.float64))
    bones = articulate(axis_angle_to_matrix(people.pose_rad.astype(np.float64)), rest)
    shift = (bones.position - (bones.rotation @ rest[..., None])[..., 0]) @ upright.T
    turned = Rotation.from_matrix((upright @ bones.rotation).reshape(-1, 3, 3)).as_quat() if len(people) else np.zeros((0, 4))
    return (
        scene.ground.to_world(people.translation_cam_m).astype("<f4"),
        people.betas.astype("<f4"),
        np.rint(_UNIT * turned).astype("<i2").reshape(-1, 24, 4),
        np.clip(np.rint(shift / STEP_M), -_UNIT, _UNIT).astype("<i2"),
    )
