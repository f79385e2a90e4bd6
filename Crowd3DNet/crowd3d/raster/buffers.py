"""Meshes in camera coordinates, the buffers they are drawn into, and drawing in parallel bands."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crowd3d.geometry import Camera
from crowd3d.raster import kernels


@dataclass(frozen=True)
class Meshes:
    """Projected triangle meshes of O objects that may share faces.

    Attributes:
        points_px: (V, 2) float64 pixels of the full image.
        inverse_depth: (V,) float32 1/z in 1/m, 0 for points too near to draw or beyond what the lens shows.
        attributes: (V, C) float32 interpolated over the surface.
        faces: (F, 3) int32 indices local to an object, counter-clockwise seen from outside.
        objects: (O, 4) int64 first face, end face, first vertex, identity (> 0).
        vertex_end: (O,) int64 one past the last vertex.
        culls: (O,) bool, true for closed surfaces, whose back faces are never seen.
        bounds: (O, 4) float64 left, top, right, bottom in pixels of the full image.
    """

    points_px: np.ndarray
    inverse_depth: np.ndarray
    attributes: np.ndarray
    faces: np.ndarray
    objects: np.ndarray
    vertex_end: np.ndarray
    culls: np.ndarray
    bounds: np.ndarray

    @classmethod
    def project(
        cls,
        points_cam_m: np.ndarray,
        attributes: np.ndarray,
        faces: np.ndarray,
        objects: np.ndarray,
        vertex_end: np.ndarray,
        culls: np.ndarray,
        camera: Camera,
    ) -> Meshes:
        """Project (V, 3) camera-frame metres; the other arguments as the attributes of this class.

        Edges stay straight between the vertices that a lens bends: bodies are far finer than its curves.
        """
        points_px = np.empty((len(points_cam_m), 2), np.float64)
        inverse_depth = np.empty(len(points_cam_m), np.float32)
        kernels.project(points_cam_m, camera.fx, camera.fy, camera.cx, camera.cy, points_px, inverse_depth)
        if camera.distortion is not None:
            points_px = camera.from_ideal_px(points_px)
            lost = np.isnan(points_px).any(1)
            points_px[lost], inverse_depth[lost] = 0.0, 0.0
        bounds = np.empty((len(objects), 4), np.float64)
        kernels.object_bounds(points_px, inverse_depth, objects, vertex_end, bounds)
        return cls(points_px, inverse_depth, attributes, faces, objects, vertex_end, culls, bounds)


@dataclass(frozen=True)
class Buffers:
    """What a window of the image shows.

    Attributes:
        inverse_depth: (H, W) float32 1/z in 1/m, 0 where nothing was drawn.
        identity: (H, W) int32 identity of the nearest object, 0 where nothing was drawn.
        attributes: (H, W, C) float32 of the nearest surface; meaningless where nothing was drawn.
    """

    inverse_depth: np.ndarray
    identity: np.ndarray
    attributes: np.ndarray

    @classmethod
    def empty(cls, height: int, width: int, channels: int) -> Buffers:
        """Buffers of a window without any object."""
        return cls(
            np.zeros((height, width), np.float32), np.zeros((height, width), np.int32), np.empty((height, width, channels), np.float32)
        )


def in_bands(height: int, work: Callable[[int, int], None], threads: int | None = None) -> None:
    """Call ``work(row_begin, row_end)`` on bands that cover `height` rows, in `threads` threads (None: one per core)."""
    threads = threads or os.cpu_count() or 1
    if threads == 1:
        work(0, height)
        return
    edges = np.unique(np.linspace(0, height, 4 * threads + 1).astype(int)).tolist()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, top, bottom) for top, bottom in pairwise(edges)]:
            done.result()


def to_window(meshes: Meshes, left: float, top: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (V, 2) float32 and bounds (O, 4) in pixels of a window whose pixel covers `scale` image pixels."""
    origin = np.array([left, top])
    points = ((meshes.points_px - origin) / scale).astype(np.float32)
    return points, (meshes.bounds - np.tile(origin, 2)) / scale


def draw(meshes: Meshes, buffers: Buffers, left: float = 0.0, top: float = 0.0, scale: float = 1.0, threads: int | None = 1) -> None:
    """Draw meshes into the buffers of the window that starts at image pixel (left, top), `scale` image pixels per window pixel."""
    points, bounds = to_window(meshes, left, top, scale)

    def band(row_begin: int, row_end: int) -> None:
        kernels.rasterize(
            points,
            meshes.inverse_depth,
            meshes.attributes,
            meshes.faces,
            meshes.objects,
            bounds,
            meshes.culls,
            row_begin,
            row_end,
            buffers.inverse_depth,
            buffers.identity,
            buffers.attributes,
        )

    in_bands(len(buffers.identity), band, threads)
