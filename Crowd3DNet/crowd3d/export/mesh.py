"""The crowd as triangles, shared by the mesh formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from crowd3d.bodies import Body
from crowd3d.errors import NoPeopleFound
from crowd3d.types import Scene

GROUND_MARGIN_M = 2.0


@dataclass(frozen=True)
class CrowdMesh:
    """Everybody in the upright world: y up, z towards the viewer, metres, origin on the ground under the camera.

    Attributes:
        vertices: (N, V, 3) float32.
        faces: (F, 3) int64 of one body.
        colours: (N, 3) uint8 RGB.
        planes: (P, 4, 3) float32 corners of a rectangle under the people of every plane, counter-clockwise seen from above; the first, the
            ground, reaches under everybody.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    planes: np.ndarray

    @property
    def all_faces(self) -> np.ndarray:
        """(N·F, 3) uint32 indices into the flattened vertices."""
        count, size = self.vertices.shape[:2]
        return (np.arange(count)[:, None, None] * size + self.faces).reshape(-1, 3).astype(np.uint32)

    @property
    def normals(self) -> np.ndarray:
        """(N, V, 3) float32 unit vertex normals, faces weighted by area."""
        return vertex_normals(self.vertices, self.faces)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, V, 3) vertices of N bodies with the same (F, 3) faces → (N, V, 3) unit normals, faces weighted by area."""
    a, b, c = (vertices[:, faces[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    count, size = vertices.shape[:2]
    row = np.repeat(np.arange(len(faces)), 3)
    around = csr_matrix((np.ones(row.size, np.float32), (faces.ravel(), row)), (size, len(faces)))
    total = (around @ flat.transpose(1, 0, 2).reshape(len(faces), -1)).reshape(size, count, 3).transpose(1, 0, 2)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.where(length > 0, total / np.where(length > 0, length, 1.0), np.array([0, 1, 0], np.float32))


def crowd_mesh(scene: Scene, body: Body, colours: np.ndarray) -> CrowdMesh:
    """Pose everybody and turn them into the upright world.

    Args:
        scene: what to show.
        body: the body that the scene's betas belong to, in any level of detail.
        colours: (N, 3) uint8 RGB.

    Raises:
        NoPeopleFound: the scene is empty.
    """
    if len(scene.people) == 0:
        raise NoPeopleFound(f"the scene of {scene.image} has nobody to export; run inference.py on a photograph with people")
    vertices = scene.ground.to_world(scene.people.vertices_cam_m(body)).astype(np.float32)
    feet = scene.ground.to_world(scene.people.hvip_cam_m)
    upper = [level for level in range(1, len(scene.levels_m)) if (scene.people.plane == level).any()]
    planes = [_under(feet, 0.0), *(_under(feet[scene.people.plane == level], scene.levels_m[level]) for level in upper)]
    return CrowdMesh(vertices, body.faces, colours, np.array(planes, np.float32))


def _under(feet: np.ndarray, height_m: float) -> np.ndarray:
    """(4, 3) corners of a rectangle at this height under (N, 3) feet."""
    (left, _, far), (right, _, near) = feet.min(0) - GROUND_MARGIN_M, feet.max(0) + GROUND_MARGIN_M
    return np.array([[left, height_m, near], [right, height_m, near], [right, height_m, far], [left, height_m, far]])
