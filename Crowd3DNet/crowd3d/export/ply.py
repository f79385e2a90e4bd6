"""Binary PLY of the crowd."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd3d.bodies import Body
from crowd3d.export.mesh import crowd_mesh
from crowd3d.files import atomic_path
from crowd3d.types import Scene

_VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_FACE = np.dtype([("count", "u1"), ("index", "<i4", 3)])


def write_ply(path: Path, scene: Scene, body: Body, colours: np.ndarray) -> None:
    """Write everybody in the upright world (y up, metres), coloured per person.

    Args:
        path: file to write.
        scene: what to show.
        body: the body that the scene's betas belong to.
        colours: (N, 3) uint8 RGB.

    Raises:
        NoPeopleFound: the scene is empty.
        BadOutput: the folder cannot be written.
    """
    mesh = crowd_mesh(scene, body, colours)
    vertices = np.empty(mesh.vertices.shape[:2], _VERTEX)
    vertices["xyz"], vertices["rgb"] = mesh.vertices, colours[:, None]
    faces = np.empty(len(colours) * len(mesh.faces), _FACE)
    faces["count"], faces["index"] = 3, mesh.all_faces
    coordinates = "".join(f"property float {axis}\n" for axis in "xyz")
    channels = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment upright world, y up, metres\n"
        f"element vertex {vertices.size}\n{coordinates}{channels}"
        f"element face {faces.size}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(vertices.tobytes())
        file.write(faces.tobytes())
