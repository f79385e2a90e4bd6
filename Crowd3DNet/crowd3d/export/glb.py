"""Binary glTF 2.0 of the crowd: one mesh with a colour per person, the ground, and the photograph's camera."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.bodies import Body
from crowd3d.export.mesh import crowd_mesh
from crowd3d.files import atomic_path
from crowd3d.types import Scene

_FLOAT, _UBYTE, _UINT = 5126, 5121, 5125
_ARRAY, _ELEMENT = 34962, 34963
_GROUND_RGBA = [0.55, 0.56, 0.58, 1.0]


class _Buffer:
    """The binary chunk and the views and accessors into it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.length = 0

    def add(self, array: np.ndarray, component: int, kind: str, target: int, **more: Any) -> int:
        """Append an array; returns its accessor."""
        data = np.ascontiguousarray(array).tobytes()
        self.views.append({"buffer": 0, "byteOffset": self.length, "byteLength": len(data), "target": target})
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "type": kind, **more}
        self.accessors.append({"count": array.size if kind == "SCALAR" else len(array), **accessor})
        self.parts.append(data + b"\0" * (-len(data) % 4))
        self.length += len(self.parts[-1])
        return len(self.accessors) - 1

    def add_positions(self, points: np.ndarray) -> int:
        """Append (M, 3) positions with the bounds that the format demands."""
        return self.add(points, _FLOAT, "VEC3", _ARRAY, min=points.min(0).tolist(), max=points.max(0).tolist())


def _camera_matrix(scene: Scene) -> list[float]:
    """Column-major pose of the photograph's camera; glTF cameras look along −z with y up."""
    pose = np.eye(4)
    pose[:3, :3] = scene.ground.rotation_cam_world.T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = scene.ground.to_world(np.zeros(3))
    return pose.T.ravel().tolist()


def _material(name: str, rgba: list[float], double_sided: bool) -> dict[str, Any]:
    surface = {"baseColorFactor": rgba, "metallicFactor": 0.0, "roughnessFactor": 0.9}
    return {"name": name, "pbrMetallicRoughness": surface, "doubleSided": double_sided}


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
    buffer = _Buffer()
    # sRGB to linear, which is what glTF wants of vertex colours.
    linear = np.rint(255.0 * (colours / 255.0) ** 2.2).astype(np.uint8)
    rgba = np.concatenate([linear, np.full((count, 1), 255, np.uint8)], axis=1)
    people = {
        "attributes": {
            "POSITION": buffer.add_positions(mesh.vertices.reshape(-1, 3)),
            "NORMAL": buffer.add(mesh.normals.reshape(-1, 3), _FLOAT, "VEC3", _ARRAY),
            "COLOR_0": buffer.add(np.repeat(rgba, size, axis=0), _UBYTE, "VEC4", _ARRAY, normalized=True),
        },
        "indices": buffer.add(mesh.all_faces, _UINT, "SCALAR", _ELEMENT),
        "material": 0,
    }
    ground = {
        "attributes": {
            "POSITION": buffer.add_positions(mesh.ground),
            "NORMAL": buffer.add(np.tile(np.array([0, 1, 0], np.float32), (4, 1)), _FLOAT, "VEC3", _ARRAY),
        },
        "indices": buffer.add(np.array([0, 1, 2, 0, 2, 3], np.uint32), _UINT, "SCALAR", _ELEMENT),
        "material": 1,
    }
    camera = scene.camera
    document = {
        "asset": {"version": "2.0", "generator": "crowd3d"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1, 2]}],
        "nodes": [
            {"name": "people", "mesh": 0},
            {"name": "ground", "mesh": 1},
            {"name": "photograph", "camera": 0, "matrix": _camera_matrix(scene)},
        ],
        "meshes": [{"name": "people", "primitives": [people]}, {"name": "ground", "primitives": [ground]}],
        "materials": [_material("people", [1.0, 1.0, 1.0, 1.0], False), _material("ground", _GROUND_RGBA, True)],
        "cameras": [
            {
                "type": "perspective",
                "perspective": {
                    "aspectRatio": camera.width / camera.height,
                    "yfov": float(2.0 * np.arctan2(camera.height / 2.0, camera.fy)),
                    "znear": 0.1,
                },
            }
        ],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": buffer.length}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + buffer.length))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", buffer.length, b"BIN\0"))
        file.writelines(buffer.parts)
