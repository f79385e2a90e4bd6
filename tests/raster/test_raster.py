"""The z-buffer against ray–triangle tests, exact projections and known pictures."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from crowd3d.geometry import Camera
from crowd3d.raster import Buffers, Meshes, draw, kernels, load_kernels, render_meshes
from crowd3d.raster.buffers import in_bands

CAMERA = Camera(90.0, 85.0, 41.0, 30.5, 80, 60)


def balls(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` overlapping stretched spheres before the camera: vertices (N, V, 3) and shared faces, outward."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    size = rng.uniform(0.2, 0.7, (count, 1, 3))
    centre = rng.uniform([-1.2, -0.9, 2.5], [1.2, 0.9, 5], (count, 3))
    return ball.vertices[None] * size + centre[:, None], np.asarray(ball.faces)


def by_rays(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Identity and depth of the nearest surface per pixel centre, by intersecting every ray with every triangle."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1))
    identity, depth = np.zeros(len(rays), int), np.full(len(rays), np.inf)
    for n, points in enumerate(vertices):
        triangles = points[faces]
        for corner in triangles:
            # Möller–Trumbore from the origin, all rays at once.
            edge1, edge2 = corner[1] - corner[0], corner[2] - corner[0]
            h = np.cross(rays, edge2)
            det = h @ edge1
            with np.errstate(divide="ignore", invalid="ignore"):
                a = -(h @ corner[0]) / det
                q = np.cross(-corner[0], edge1)
                b = (rays @ q) / det
                t = (edge2 @ q) / det
            hit = (a >= 0) & (b >= 0) & (a + b <= 1) & (t > 0) & (t < depth)
            identity[hit], depth[hit] = n + 1, t[hit]
    shape = (camera.height, camera.width)
    return identity.reshape(shape), depth.reshape(shape)


def test_buffers_equal_ray_casting() -> None:
    vertices, faces = balls(np.random.default_rng(3), 5)
    _, identity, inverse_depth = render_meshes(vertices, faces, np.full((5, 3), 200.0), CAMERA)
    expected, depth = by_rays(vertices, faces, CAMERA)
    assert (expected > 0).sum() > 800
    # float32 points and rays through edges leave a pixel or two undecided.
    assert (identity != expected).mean() < 5e-4
    both = (identity == expected) & (expected > 0)
    np.testing.assert_allclose(1 / inverse_depth[both], depth[both], rtol=2e-5)


def test_window_is_a_cut_of_the_whole_picture() -> None:
    vertices, faces = balls(np.random.default_rng(4), 4)
    colours = np.random.default_rng(5).uniform(30, 250, (4, 3))
    whole = render_meshes(vertices, faces, colours, CAMERA)
    part = render_meshes(vertices, faces, colours, CAMERA, window=(13, 7, 61, 44))
    np.testing.assert_array_equal(whole[1][7:44, 13:61], part[1])
    np.testing.assert_allclose(whole[0][7:44, 13:61].astype(int), part[0], atol=1)
    np.testing.assert_allclose(whole[2][7:44, 13:61], part[2], rtol=1e-5)


def test_scale_reduces_the_picture() -> None:
    vertices, faces = balls(np.random.default_rng(4), 3)
    small = Camera(CAMERA.fx / 2, CAMERA.fy / 2, CAMERA.cx / 2, CAMERA.cy / 2, 40, 30)
    colours = np.full((3, 3), 99.0)
    reduced = render_meshes(vertices, faces, colours, CAMERA, scale=2.0)[1]
    assert (reduced != render_meshes(vertices, faces, colours, small)[1]).mean() < 1e-3


def test_a_picture_needs_no_code_but_what_was_loaded() -> None:
    load_kernels()
    loaded = {name: len(kernel.overloads) for name, kernel in vars(kernels).items() if hasattr(kernel, "overloads")}
    corners = np.array([[[0, 0, 3], [0, 1, 3], [1, 0, 3], [1, 1, 2]]], np.float32)
    colours, camera = np.full((1, 4, 3), 200, np.float32), Camera.from_focal(30, (40, 40))
    image, *_ = render_meshes(corners, np.array([[0, 1, 2], [1, 3, 2]]), colours, camera)
    assert image.any()
    assert loaded == {name: len(getattr(kernels, name).overloads) for name in loaded}


def test_threads_do_not_change_the_picture() -> None:
    vertices, faces = balls(np.random.default_rng(6), 5)
    count, size = vertices.shape[:2]
    first = np.arange(count, dtype=np.int64) * size
    objects = np.stack([0 * first, np.full_like(first, len(faces)), first, np.arange(count) + 1], 1)
    attributes = np.random.default_rng(5).uniform(30, 250, (count * size, 3)).astype(np.float32)
    points = vertices.reshape(-1, 3).astype(np.float32)
    meshes = Meshes.project(points, attributes, faces.astype(np.int32), objects, first + size, np.ones(count, bool), CAMERA)
    one, three = (Buffers.empty(CAMERA.height, CAMERA.width, 3) for _ in range(2))
    draw(meshes, one, threads=1)
    draw(meshes, three, threads=3)
    assert one.identity.any()
    np.testing.assert_array_equal(one.identity, three.identity)
    np.testing.assert_array_equal(one.inverse_depth, three.inverse_depth)
    np.testing.assert_array_equal(one.attributes[one.identity > 0], three.attributes[one.identity > 0])


def plane(corners: np.ndarray, attributes: np.ndarray, closed: bool = False) -> Meshes:
    """One quadrilateral."""
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    objects = np.array([[0, 2, 0, 1]])
    return Meshes.project(corners, attributes.astype(np.float32), faces, objects, np.array([4]), np.array([closed]), CAMERA)


def test_attributes_are_perspective_correct() -> None:
    # A floor that recedes: the attribute is the metric position itself.
    corners = np.array([[-2.0, 1, 1.5], [2, 1, 1.5], [2, 1, 9], [-2, 1, 9]])
    buffers = Buffers.empty(60, 80, 3)
    draw(plane(corners, corners), buffers)
    v, u = np.nonzero(buffers.identity)
    assert len(v) > 500
    rays = CAMERA.rays(np.stack([u, v], axis=1) + 0.5)
    np.testing.assert_allclose(buffers.attributes[v, u], rays / rays[:, 1:2], rtol=2e-4, atol=2e-4)


def test_back_faces_and_near_faces_are_skipped() -> None:
    square = np.array([[-0.5, -0.5, 3.0], [0.5, -0.5, 3], [0.5, 0.5, 3], [-0.5, 0.5, 3]])
    shown = {}
    for name, corners in {"back": square, "front": square[::-1], "near": square[::-1] * [1, 1, 0.05]}.items():
        buffers = Buffers.empty(60, 80, 3)
        draw(plane(corners, corners, closed=True), buffers)
        shown[name] = int((buffers.identity > 0).sum())
    assert shown["back"] == 0
    assert shown["near"] == 0
    assert shown["front"] == pytest.approx(30 * 85 / 3, rel=0.1)


def test_silhouette_ignores_other_objects_and_the_border() -> None:
    vertices, faces = balls(np.random.default_rng(8), 3)
    vertices[2] += [30.0, 0, 0] - vertices[2].mean(axis=0) * [1, 1, 0]
    count = vertices.shape[1]
    objects = np.stack([np.zeros(3, int), np.full(3, len(faces)), np.arange(3) * count, np.arange(3) + 1], axis=1)
    end = (np.arange(3) + 1) * count
    flat = vertices.reshape(-1, 3).copy()
    big = Camera(900.0, 850.0, 410.0, 305.0, 800, 600)
    meshes = Meshes.project(flat, flat.astype(np.float32), faces.astype(np.int32), objects, end, np.ones(3, bool), big)
    area = np.zeros(3)
    group = np.arange(3)
    kernels.silhouette_area(
        meshes.points_px, meshes.inverse_depth, meshes.faces, objects, end, meshes.bounds, meshes.culls, group, 4000.0, area
    )
    hulls = [ConvexHull(big.project(v)).volume for v in vertices]  # the volume of a plane hull is its area
    np.testing.assert_allclose(area, hulls, rtol=0.01)
    reduced = np.zeros(3)
    kernels.silhouette_area(
        meshes.points_px, meshes.inverse_depth, meshes.faces, objects, end, meshes.bounds, meshes.culls, group, 100.0, reduced
    )
    np.testing.assert_allclose(reduced, area, rtol=0.05)


def test_mask_equals_the_drawn_objects_and_ignores_what_is_beside_the_window() -> None:
    vertices, faces = balls(np.random.default_rng(9), 5)
    vertices[3] -= [9.0, 0, 0]
    vertices[4] += [9.0, 0, 0]
    count = vertices.shape[1]
    objects = np.stack([np.zeros(5, int), np.full(5, len(faces)), np.arange(5) * count, np.arange(5) + 1], axis=1)
    flat = vertices.reshape(-1, 3).copy()
    shadows = Meshes.project(
        flat, flat.astype(np.float32), faces.astype(np.int32), objects, (np.arange(5) + 1) * count, np.zeros(5, bool), CAMERA
    )
    everywhere = np.tile([0.0, 0.0, 80.0, 60.0], (5, 1))
    mask = np.zeros((60, 80), np.uint8)
    kernels.rasterize_mask(
        shadows.points_px.astype(np.float32), shadows.inverse_depth, shadows.faces, objects, everywhere, shadows.culls, 0, 60, mask
    )
    drawn = render_meshes(vertices, faces, np.full((5, 3), 200.0), CAMERA)[1]
    np.testing.assert_array_equal(mask > 0, drawn > 0)


def test_bands_cover_every_row_once() -> None:
    rows = np.zeros(101, int)

    def work(begin: int, end: int) -> None:
        rows[begin:end] += 1

    in_bands(101, work, 3)
    assert (rows == 1).all()
