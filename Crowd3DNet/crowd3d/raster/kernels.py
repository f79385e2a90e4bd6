"""Compiled z-buffer kernels. They run without the interpreter lock: callers spread bands of rows over threads."""

from __future__ import annotations

import numpy as np
from numba import njit

NEAR_PLANE_M = 0.3
_NEAR_INVERSE = 1.0 / NEAR_PLANE_M


@njit(cache=True, nogil=True, fastmath=True)
def project(points_cam_m, focal_x, focal_y, centre_x, centre_y, points_px, inverse_depth):
    """Pinhole projection of (V, 3) metres into (V, 2) pixels and (V,) 1/z; 0 marks points nearer than `NEAR_PLANE_M`."""
    for i in range(points_cam_m.shape[0]):
        z = points_cam_m[i, 2]
        if z < NEAR_PLANE_M:
            inverse_depth[i] = 0.0
            points_px[i, 0] = 0.0
            points_px[i, 1] = 0.0
        else:
            inverse_depth[i] = 1.0 / z
            points_px[i, 0] = focal_x * points_cam_m[i, 0] / z + centre_x
            points_px[i, 1] = focal_y * points_cam_m[i, 1] / z + centre_y


@njit(cache=True, nogil=True)
def object_bounds(points_px, inverse_depth, objects, vertex_end, bounds):
    """Left, top, right, bottom of the vertices in front of the camera, per object; an empty box has right < left."""
    for o in range(objects.shape[0]):
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for i in range(objects[o, 2], vertex_end[o]):
            if inverse_depth[i] > 0.0:
                left = min(left, points_px[i, 0])
                right = max(right, points_px[i, 0])
                top = min(top, points_px[i, 1])
                bottom = max(bottom, points_px[i, 1])
        bounds[o, 0] = left
        bounds[o, 1] = top
        bounds[o, 2] = right
        bounds[o, 3] = bottom


@njit(cache=True, nogil=True, inline="always")
def _setup(points_px, inverse_depth, a, b, c, cull):
    """Signed double area of a triangle, 0 where it must be skipped (near plane, back face, degenerate)."""
    if inverse_depth[a] <= 0.0 or inverse_depth[b] <= 0.0 or inverse_depth[c] <= 0.0:
        return 0.0
    area = (points_px[b, 0] - points_px[a, 0]) * (points_px[c, 1] - points_px[a, 1]) - (points_px[c, 0] - points_px[a, 0]) * (
        points_px[b, 1] - points_px[a, 1]
    )
    if cull and area > 0.0:
        return 0.0
    return area


@njit(cache=True, nogil=True, inline="always")
def _span(start0, step0, start1, step1, left, right):
    """First and last column in left…right where three edge functions start + step · x (the third is 1 − both) are not negative."""
    low, high = float(left), float(right)
    for start, step in ((start0, step0), (start1, step1), (1.0 - start0 - start1, -step0 - step1)):
        if step > 0.0:
            low = max(low, -start / step)
        elif step < 0.0:
            high = min(high, -start / step)
        elif start < 0.0:
            high = low - 1.0
    if low > high:
        # An almost horizontal edge meets the row beyond what an integer can hold.
        return 0, -1
    return int(np.ceil(low)), int(np.floor(high))


@njit(cache=True, nogil=True, fastmath=True)
def rasterize(
    points_px,
    inverse_depth,
    attributes,
    faces,
    objects,
    bounds,
    culls,
    row_begin,
    row_end,
    depth_buffer,
    identity_buffer,
    attribute_buffer,
):
    """Draw objects into rows [row_begin, row_end) of a window; the nearest surface wins.

    Args:
        points_px: (V, 2) window pixels, the top-left pixel's centre at (0.5, 0.5).
        inverse_depth: (V,) 1/z in 1/m; faces with a vertex ≤ 0 are skipped.
        attributes: (V, C) numbers interpolated perspective-correctly.
        faces: (F, 3) vertex indices local to an object, counter-clockwise seen from outside.
        objects: (O, 4) first face, end face, first vertex, identity written to `identity_buffer`.
        bounds: (O, 4) from `object_bounds`.
        culls: (O,) true where back faces are skipped.
        row_begin, row_end: rows this call may write; calls on disjoint rows may run at once.
        depth_buffer: (H, W) 1/z, 0 where empty.
        identity_buffer: (H, W) int32.
        attribute_buffer: (H, W, C).
    """
    width = depth_buffer.shape[1]
    channels = attributes.shape[1]
    for o in range(objects.shape[0]):
        if bounds[o, 3] < row_begin or bounds[o, 1] > row_end or bounds[o, 2] < 0 or bounds[o, 0] > width:
            continue
        base = objects[o, 2]
        identity = objects[o, 3]
        for f in range(objects[o, 0], objects[o, 1]):
            a = faces[f, 0] + base
            b = faces[f, 1] + base
            c = faces[f, 2] + base
            area = _setup(points_px, inverse_depth, a, b, c, culls[o])
            if area == 0.0:
                continue
            x0, y0 = points_px[a, 0], points_px[a, 1]
            x1, y1 = points_px[b, 0], points_px[b, 1]
            x2, y2 = points_px[c, 0], points_px[c, 1]
            top = max(row_begin, int(np.ceil(min(y0, y1, y2) - 0.5)))
            bottom = min(row_end - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
            left = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
            right = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
            inverse_area = 1.0 / area
            step0 = (y1 - y2) * inverse_area
            step1 = (y2 - y0) * inverse_area
            for y in range(top, bottom + 1):
                py = y + 0.5
                start0 = ((x1 - 0.5) * (y2 - py) - (x2 - 0.5) * (y1 - py)) * inverse_area
                start1 = ((x2 - 0.5) * (y0 - py) - (x0 - 0.5) * (y2 - py)) * inverse_area
                begin, end = _span(start0, step0, start1, step1, left, right)
                for x in range(begin, end + 1):
                    w0 = start0 + step0 * x
                    w1 = start1 + step1 * x
                    w2 = 1.0 - w0 - w1
                    w0 *= inverse_depth[a]
                    w1 *= inverse_depth[b]
                    w2 *= inverse_depth[c]
                    z = w0 + w1 + w2
                    if z > depth_buffer[y, x]:
                        depth_buffer[y, x] = z
                        identity_buffer[y, x] = identity
                        for k in range(channels):
                            attribute_buffer[y, x, k] = (w0 * attributes[a, k] + w1 * attributes[b, k] + w2 * attributes[c, k]) / z


@njit(cache=True, nogil=True, fastmath=True)
def rasterize_mask(points_px, inverse_depth, faces, objects, bounds, culls, row_begin, row_end, mask):
    """Set the pixels of a (H, W) uint8 mask that any object covers to 1; arguments as in `rasterize`."""
    width = mask.shape[1]
    for o in range(objects.shape[0]):
        if bounds[o, 3] < row_begin or bounds[o, 1] > row_end or bounds[o, 2] < 0 or bounds[o, 0] > width:
            continue
        base = objects[o, 2]
        for f in range(objects[o, 0], objects[o, 1]):
            a = faces[f, 0] + base
            b = faces[f, 1] + base
            c = faces[f, 2] + base
            area = _setup(points_px, inverse_depth, a, b, c, culls[o])
            if area == 0.0:
                continue
            x0, y0 = points_px[a, 0], points_px[a, 1]
            x1, y1 = points_px[b, 0], points_px[b, 1]
            x2, y2 = points_px[c, 0], points_px[c, 1]
            top = max(row_begin, int(np.ceil(min(y0, y1, y2) - 0.5)))
            bottom = min(row_end - 1, int(np.floor(max(y0, y1, y2) - 0.5)))
            left = max(0, int(np.ceil(min(x0, x1, x2) - 0.5)))
            right = min(width - 1, int(np.floor(max(x0, x1, x2) - 0.5)))
            inverse_area = 1.0 / area
            step0 = (y1 - y2) * inverse_area
            step1 = (y2 - y0) * inverse_area
            for y in range(top, bottom + 1):
                py = y + 0.5
                start0 = ((x1 - 0.5) * (y2 - py) - (x2 - 0.5) * (y1 - py)) * inverse_area
                start1 = ((x2 - 0.5) * (y0 - py) - (x0 - 0.5) * (y2 - py)) * inverse_area
                begin, end = _span(start0, step0, start1, step1, left, right)
                for x in range(begin, end + 1):
                    mask[y, x] = 1


@njit(cache=True, nogil=True)
def silhouette_area(points_px, inverse_depth, faces, objects, vertex_end, bounds, culls, group, max_side, area):
    """Add to ``area[group[o]]`` the pixels that each group of objects covers alone, the image border ignored.

    Objects of one group (a person and their clothes) must follow each other. Groups larger than `max_side` pixels are
    drawn reduced to that size, which bounds the work.
    """
    o = 0
    while o < objects.shape[0]:
        end = o
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        while end < objects.shape[0] and group[end] == group[o]:
            left = min(left, bounds[end, 0])
            top = min(top, bounds[end, 1])
            right = max(right, bounds[end, 2])
            bottom = max(bottom, bounds[end, 3])
            end += 1
        if right > left and bottom > top:
            scale = min(1.0, max_side / max(right - left, bottom - top))
            height = int(np.ceil((bottom - top) * scale)) + 1
            width = int(np.ceil((right - left) * scale)) + 1
            mask = np.zeros((height, width), np.uint8)
            whole = np.array([[0.0, 0.0, width, height]])
            for k in range(o, end):
                first, last = objects[k, 2], vertex_end[k]
                shifted = np.empty((last - first, 2), np.float32)
                for i in range(first, last):
                    shifted[i - first, 0] = (points_px[i, 0] - left) * scale
                    shifted[i - first, 1] = (points_px[i, 1] - top) * scale
                one = objects[k : k + 1].copy()
                one[0, 2] = 0
                rasterize_mask(shifted, inverse_depth[first:last], faces, one, whole, culls[k : k + 1], 0, height, mask)
            area[group[o]] += mask.sum() / (scale * scale)
        o = end


@njit(cache=True, nogil=True, fastmath=True)
def vertex_normals(vertices, faces, normals):
    """Unit normals (N, V, 3) of N meshes (N, V, 3) with shared faces (F, 3), area weighted, outward."""
    for n in range(vertices.shape[0]):
        normals[n] = 0.0
        for f in range(faces.shape[0]):
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            ux = vertices[n, b, 0] - vertices[n, a, 0]
            uy = vertices[n, b, 1] - vertices[n, a, 1]
            uz = vertices[n, b, 2] - vertices[n, a, 2]
            vx = vertices[n, c, 0] - vertices[n, a, 0]
            vy = vertices[n, c, 1] - vertices[n, a, 1]
            vz = vertices[n, c, 2] - vertices[n, a, 2]
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for i in (a, b, c):
                normals[n, i, 0] += nx
                normals[n, i, 1] += ny
                normals[n, i, 2] += nz
        for i in range(vertices.shape[1]):
            length = np.sqrt(normals[n, i, 0] ** 2 + normals[n, i, 1] ** 2 + normals[n, i, 2] ** 2) + 1e-12
            normals[n, i, 0] /= length
            normals[n, i, 1] /= length
            normals[n, i, 2] /= length


@njit(cache=True, nogil=True)
def count_identities(identity, counts):
    """Add the number of pixels of each identity to `counts`."""
    for y in range(identity.shape[0]):
        for x in range(identity.shape[1]):
            counts[identity[y, x]] += 1


@njit(cache=True, nogil=True)
def to_bytes(values, identity, image):
    """Round (h, w, 3) values into a uint8 image where `identity` (h, w) is not 0."""
    for y in range(identity.shape[0]):
        for x in range(identity.shape[1]):
            if identity[y, x] != 0:
                for k in range(3):
                    image[y, x, k] = min(max(np.rint(values[y, x, k]), 0.0), 255.0)
