"""Pictures of many bodies at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crowd3d.geometry import Camera
from crowd3d.raster import kernels
from crowd3d.raster.buffers import Buffers, Meshes, draw

# From the surface to a light above the viewer's left shoulder, camera frame.
LIGHT_CAM = np.array([-0.35, -0.75, -0.55]) / np.linalg.norm([-0.35, -0.75, -0.55])
AMBIENT = 0.45

Renderer = Callable[[np.ndarray, np.ndarray, np.ndarray, Camera], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""The first four arguments and the results of `render_meshes`."""


def render_meshes(
    vertices_cam_m: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    camera: Camera,
    window: tuple[int, int, int, int] | None = None,
    scale: float = 1.0,
    light_cam: np.ndarray = LIGHT_CAM,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw N closed meshes with shared faces, smoothly shaded by one distant light (Lambert with an ambient part), in one thread.

    Args:
        vertices_cam_m: (N, V, 3) camera frame, metres.
        faces: (F, 3) counter-clockwise seen from outside.
        colours: (N, 3) or (N, V, 3) in 0…255.
        camera: of the full image.
        window: (left, top, right, bottom) in image pixels, which may lie outside the image; None is the full image.
        scale: image pixels per output pixel.
        light_cam: (3,) unit vector from the surface to the light.

    Returns:
        image (h, w, 3) uint8, black where nothing is; identity (h, w) int32, mesh number + 1, 0 where nothing is;
        inverse depth (h, w) float32 in 1/m, 0 where nothing is. h = round((bottom − top) / scale), w likewise.
    """
    left, top, right, bottom = window or (0, 0, camera.width, camera.height)
    count, vertices = vertices_cam_m.shape[:2]
    faces = np.ascontiguousarray(faces, np.int32)
    height, width = round((bottom - top) / scale), round((right - left) / scale)
    vertices_cam_m = np.ascontiguousarray(vertices_cam_m, np.float32)
    first = np.arange(count, dtype=np.int64) * vertices
    objects = np.stack([np.zeros_like(first), np.full_like(first, len(faces)), first, np.arange(count) + 1], axis=1)
    meshes = Meshes.project(
        vertices_cam_m.reshape(-1, 3),
        shade(vertices_cam_m, faces, colours, light_cam).reshape(-1, 3),
        faces,
        objects,
        first + vertices,
        np.ones(count, bool),
        camera,
    )
    buffers = Buffers.empty(height, width, 3)
    draw(meshes, buffers, left, top, scale)
    image = np.zeros((height, width, 3), np.uint8)
    kernels.to_bytes(buffers.attributes, buffers.identity, image)
    return image, buffers.identity, buffers.inverse_depth


def load_kernels() -> None:
    """Have the compiled code of `render_meshes` read from where Numba keeps it, half a second of the first picture that is drawn."""
    corners = np.array([[[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]])
    render_meshes(corners, np.arange(3)[None], np.zeros((1, 3)), Camera.from_focal(1.0, (1, 1)))


def shade(vertices_cam_m: np.ndarray, faces: np.ndarray, colours: np.ndarray, light_cam: np.ndarray = LIGHT_CAM) -> np.ndarray:
    """(N, V, 3) float32 colours of the vertices in that light; arguments as of `render_meshes`."""
    vertices_cam_m = np.ascontiguousarray(vertices_cam_m, np.float32)
    normals = np.empty_like(vertices_cam_m)
    kernels.vertex_normals(vertices_cam_m, np.ascontiguousarray(faces, np.int32), normals)
    light = AMBIENT + (1 - AMBIENT) * np.clip(normals @ np.asarray(light_cam, np.float32), 0, 1)
    coloured = np.broadcast_to(colours if colours.ndim == 3 else colours[:, None], vertices_cam_m.shape) * light[..., None]
    return coloured.astype(np.float32)
