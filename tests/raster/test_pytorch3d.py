"""pytorch3d draws what the built-in z-buffer draws: axes, principal point, pixel centres, lens, depths.

A stand-in takes pytorch3d's place. It obeys the conventions that its documentation states (x to the left, y up, z forward, cameras in
pixels converted to its normalised coordinates, depth along the axis) and fills triangles by looking at every pixel's centre.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera
from crowd3d.geometry.distortion import RadialTangential
from crowd3d.raster import find_renderer, render_meshes


class Cameras:
    def __init__(self, focal_length, principal_point, R, T, in_ndc, image_size, device) -> None:
        assert not in_ndc
        (height, width), (fx, fy), (cx, cy) = image_size[0], focal_length[0], principal_point[0]
        half = min(height, width) / 2
        self.R, self.T = R[0], T[0]
        self.focal = torch.tensor([fx / half, fy / half])
        self.principal = -(torch.tensor([cx, cy]) - torch.tensor([width / 2, height / 2])) / half

    def ndc(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        view = points @ self.R + self.T
        return self.focal * view[:, :2] / view[:, 2:] + self.principal, view[:, 2]


class Settings(NamedTuple):
    image_size: tuple[int, int]
    blur_radius: float
    faces_per_pixel: int
    perspective_correct: bool
    cull_backfaces: bool


class Surfaces(NamedTuple):
    verts: list[torch.Tensor]
    faces: list[torch.Tensor]


class Fragments(NamedTuple):
    pix_to_face: torch.Tensor
    zbuf: torch.Tensor
    bary_coords: torch.Tensor


class Rasterizer:
    def __init__(self, cameras: Cameras, raster_settings: Settings) -> None:
        self.cameras, self.settings = cameras, raster_settings

    def __call__(self, meshes: Surfaces) -> Fragments:
        (height, width), half = self.settings.image_size, min(self.settings.image_size) / 2
        points, depth = self.cameras.ndc(meshes.verts[0])
        # Columns run against x, rows against y; the shorter side goes from 1 to −1.
        x = ((width / 2 - (torch.arange(width) + 0.5)) / half).double()
        y = ((height / 2 - (torch.arange(height) + 0.5)) / half).double()
        zbuf = torch.full((height, width), -1.0, dtype=torch.float64)
        owner = torch.full((height, width), -1)
        share = torch.full((height, width, 3), -1.0, dtype=torch.float64)
        for number, triangle in enumerate(meshes.faces[0]):
            a, b, c = points[triangle].double()
            area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
            columns = ((x >= min(a[0], b[0], c[0])) & (x <= max(a[0], b[0], c[0]))).nonzero()[:, 0]
            rows = ((y >= min(a[1], b[1], c[1])) & (y <= max(a[1], b[1], c[1]))).nonzero()[:, 0]
            if area == 0 or len(columns) == 0 or len(rows) == 0:
                continue
            window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            px, py = x[columns][None], y[rows][:, None]
            w1 = ((px - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (py - a[1])) / area
            w2 = ((b[0] - a[0]) * (py - a[1]) - (px - a[0]) * (b[1] - a[1])) / area
            weights = torch.stack([1 - w1 - w2, w1, w2], -1)
            true = weights / depth[triangle].double()
            z = 1 / true.sum(-1)
            nearer = (weights >= 0).all(-1) & ((zbuf[window] < 0) | (z < zbuf[window]))
            zbuf[window] = torch.where(nearer, z, zbuf[window])
            owner[window] = torch.where(nearer, number, owner[window])
            share[window] = torch.where(nearer[..., None], true * z[..., None], share[window])
        return Fragments(owner[None, ..., None], zbuf.float()[None, ..., None], share.float()[None, :, :, None])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, renderer, structures = (ModuleType(f"pytorch3d{name}") for name in ("", ".renderer", ".structures"))
    renderer.PerspectiveCameras, renderer.RasterizationSettings, renderer.MeshRasterizer = Cameras, Settings, Rasterizer
    structures.Meshes = Surfaces
    package.renderer, package.structures = renderer, structures
    for module in (package, renderer, structures):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def potato(rng: np.random.Generator, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface without any symmetry: vertices and faces, counter-clockwise from outside."""
    points = rng.normal(size=(24, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    inward = np.einsum("ni,ni->n", np.cross(b - a, c - a), a) < 0
    faces[inward] = faces[inward][:, ::-1]
    return points * [0.4, 0.9, 0.5] + middle, faces


CAMERAS = {
    "wide": Camera(150.0, 150.0, 80.0, 50.0, 160, 100),
    "tall, off centre, unequal": Camera(130.0, 170.0, 31.3, 88.7, 90, 150),
    "bent by a lens": Camera(150.0, 150.0, 80.0, 50.0, 160, 100, distortion=RadialTangential(k1=-0.2, k2=0.03, p1=0.004)),
}


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.usefixtures("stand_in")
def test_silhouettes_within_a_pixel_and_depths_within_a_millimetre(name: str) -> None:
    camera, rng = CAMERAS[name], np.random.default_rng(3)
    first, faces = potato(rng, np.array([-0.4, 0.2, 5.0]))
    near, far = first, first * [0.9, 1.1, 1.0] + [0.6, -0.3, 0.8]
    behind = first - [0.0, 0.0, 9.0]
    vertices, colours = np.stack([near, far, behind]), np.array([[220, 90, 40], [40, 120, 230], [255, 255, 255]])
    expected, found = (find_renderer(kind)(vertices, faces, colours, camera) for kind in ("builtin", "pytorch3d"))
    for person in (1, 2):
        ours, theirs = expected[1] == person, found[1] == person
        assert ours.sum() > 500
        different = ours ^ theirs
        edge = np.zeros_like(ours)
        edge[1:-1, 1:-1] = (ours[1:-1, 1:-1] != ours[:-2, 1:-1]) | (ours[1:-1, 1:-1] != ours[2:, 1:-1])
        edge[1:-1, 1:-1] |= (ours[1:-1, 1:-1] != ours[1:-1, :-2]) | (ours[1:-1, 1:-1] != ours[1:-1, 2:])
        assert not (different & ~edge).any()
        assert different.mean() < 0.002
        both = ours & theirs
        np.testing.assert_allclose(1 / found[2][both], 1 / expected[2][both], atol=1e-3)
        assert np.abs(found[0][both].astype(int) - expected[0][both]).max() <= 2
    assert not (found[1] == 3).any()


@pytest.mark.usefixtures("stand_in")
def test_nobody_in_front_of_the_camera_leaves_the_picture_black() -> None:
    vertices, faces = potato(np.random.default_rng(0), np.array([0.0, 0.0, -5.0]))
    image, identity, depth = find_renderer("pytorch3d")(vertices[None], faces, np.full((1, 3), 200), CAMERAS["wide"])
    assert not image.any()
    assert not identity.any()
    assert not depth.any()


def test_without_pytorch3d_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(MissingAsset, match=r"pytorch3d cannot be used.*--renderer"):
        find_renderer("pytorch3d")
    assert find_renderer("builtin") is render_meshes
