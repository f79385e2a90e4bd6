"""Binary glTF 2.0 of the crowd: one mesh with a colour per person, a patch per plane, and the photograph's camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd3d.bodies import Body
from crowd3d.export import gltf
from crowd3d.export.mesh import crowd_mesh
from crowd3d.types import Scene


def write_glb(path: Path, scene: Scene, body: Body, colours: np.ndarray) -> None:
    """Write the crowd in the upright world (y up, metres) as ``.glb``.

    Args:
        path: file to write.
        scene: what to show.
        body: the body that the scene's betas belong to; a low level of detail keeps the file small.
        colours: (N, 3) uint8 RGB of everybody.

    Raises:
        NoPeopleFound: the scene is empty.
        BadOutput: the folder cannot be written.
    """
    mesh = crowd_mesh(scene, body, colours)
    count, size = mesh.vertices.shape[:2]
    buffer = gltf.Buffer()
    rgba = np.concatenate([np.rint(255.0 * gltf.linear(colours)).astype(np.uint8), np.full((count, 1), 255, np.uint8)], axis=1)
    people = {
        "attributes": {
            "POSITION": buffer.add_positions(mesh.vertices.reshape(-1, 3)),
            "NORMAL": buffer.add(mesh.normals.reshape(-1, 3), gltf.FLOAT, "VEC3", gltf.ARRAY),
            "COLOR_0": buffer.add(np.repeat(rgba, size, axis=0), gltf.UBYTE, "VEC4", gltf.ARRAY, normalized=True),
        },
        "indices": buffer.add(mesh.all_faces, gltf.UINT, "SCALAR", gltf.ELEMENT),
        "material": 0,
    }
    planes = [ground_primitive(buffer, corners, 1) for corners in mesh.planes]
    names = ["ground", *(f"level {number}" for number in range(1, len(planes)))]
    document = {
        "asset": {"version": "2.0", "generator": "crowd3d"},
        "scene": 0,
        "scenes": [{"nodes": list(range(2 + len(planes)))}],
        "nodes": [
            {"name": "people", "mesh": 0},
            *({"name": name, "mesh": number} for number, name in enumerate(names, 1)),
            {"name": "photograph", "camera": 0, "matrix": gltf.camera_matrix(scene)},
        ],
        "meshes": [
            {"name": "people", "primitives": [people]},
            *({"name": name, "primitives": [plane]} for name, plane in zip(names, planes, strict=True)),
        ],
        "materials": [gltf.material("people", [1.0, 1.0, 1.0, 1.0], False), gltf.material("ground", gltf.GROUND_RGBA, True)],
        "cameras": [gltf.camera_json(scene)],
    }
    gltf.save_glb(path, document, buffer)


def ground_primitive(buffer: gltf.Buffer, corners: np.ndarray, number: int) -> dict:
    """The rectangle under the crowd, (4, 3) corners, with the material of that number."""
    return {
        "attributes": {
            "POSITION": buffer.add_positions(corners),
            "NORMAL": buffer.add(np.tile(np.array([0, 1, 0], np.float32), (4, 1)), gltf.FLOAT, "VEC3", gltf.ARRAY),
        },
        "indices": buffer.add(np.array([0, 1, 2, 0, 2, 3], np.uint32), gltf.UINT, "SCALAR", gltf.ELEMENT),
        "material": number,
    }
