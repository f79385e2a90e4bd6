"""Parts of binary glTF 2.0 that the writers share: buffer, materials, camera, file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.files import atomic_path
from crowd3d.types import Scene

FLOAT, UBYTE, UINT = 5126, 5121, 5125
ARRAY, ELEMENT = 34962, 34963
GROUND_RGBA = [0.55, 0.56, 0.58, 1.0]


class Buffer:
    """The binary chunk and the views and accessors into it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.length = 0

    def add_bytes(self, data: bytes, **more: Any) -> int:
        """Append data, aligned to four bytes; returns its view."""
        self.views.append({"buffer": 0, "byteOffset": self.length, "byteLength": len(data), **more})
        self.parts.append(data + b"\0" * (-len(data) % 4))
        self.length += len(self.parts[-1])
        return len(self.views) - 1

    def add(self, array: np.ndarray, component: int, kind: str, target: int | None = None, **more: Any) -> int:
        """Append an array; returns its accessor. `target` is what meshes use it for, None for other data."""
        view = self.add_bytes(np.ascontiguousarray(array).tobytes(), **({} if target is None else {"target": target}))
        count = array.size if kind == "SCALAR" else len(array)
        self.accessors.append({"bufferView": view, "componentType": component, "type": kind, "count": count, **more})
        return len(self.accessors) - 1

    def add_positions(self, points: np.ndarray) -> int:
        """Append (M, 3) positions with the bounds that the format demands."""
        return self.add(points, FLOAT, "VEC3", ARRAY, min=points.min(0).tolist(), max=points.max(0).tolist())


def camera_matrix(scene: Scene) -> list[float]:
    """Column-major pose of the photograph's camera; glTF cameras look along −z with y up."""
    pose = np.eye(4)
    pose[:3, :3] = scene.ground.rotation_cam_world.T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = scene.ground.to_world(np.zeros(3))
    return pose.T.ravel().tolist()


def camera_json(scene: Scene) -> dict[str, Any]:
    """The photograph's lens."""
    camera = scene.camera
    lens = {
        "aspectRatio": camera.width / camera.height,
        "yfov": float(2.0 * np.arctan2(camera.height / 2.0, camera.fy)),
        "znear": 0.1,
    }
    return {"type": "perspective", "perspective": lens}


def material(name: str, rgba: list[float], double_sided: bool) -> dict[str, Any]:
    """A matt surface."""
    surface = {"baseColorFactor": rgba, "metallicFactor": 0.0, "roughnessFactor": 0.9}
    return {"name": name, "pbrMetallicRoughness": surface, "doubleSided": double_sided}


def linear(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB → linear 0…1, which is what glTF wants of colours."""
    return (colours / 255.0) ** 2.2


def save_glb(path: Path, document: dict[str, Any], buffer: Buffer) -> None:
    """Write the file; buffer, views and accessors are added to `document`.

    Raises:
        BadOutput: the folder cannot be written.
    """
    whole = {**document, "accessors": buffer.accessors, "bufferViews": buffer.views, "buffers": [{"byteLength": buffer.length}]}
    text = json.dumps(whole, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + buffer.length))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", buffer.length, b"BIN\0"))
        file.writelines(buffer.parts)
