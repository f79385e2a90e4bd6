"""Tile layouts: parity with the release, coverage of every standing person, names and parameter files."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import Crowd3DError, MissingAsset, UnsolvableGround
from crowd3d.geometry import Camera, Fisheye, GroundPlane, RadialTangential
from crowd3d.imaging import format_tile_name, parse_tile_name, plan_pyramid, plan_tiles, plan_tiles_release, read_part_params
from crowd3d.imaging.tiles import LARGE_TILE
from crowd3d.types import TileLayout

RELEASE = np.load(Path(__file__).parents[1] / "data" / "release_tiles.npz")
CASES = sorted({key.split("__")[0] for key in RELEASE.files})


@pytest.mark.parametrize("case", CASES)
def test_release_layout_is_exact(case: str) -> None:
    height_min, height_max, h_start, h_end, height, width = (int(value) for value in RELEASE[f"{case}__args"])
    layout = plan_tiles_release(height_min, height_max, h_start, h_end, (width, height))
    np.testing.assert_array_equal(layout.boxes, RELEASE[f"{case}__position"])
    np.testing.assert_array_equal(layout.row_col, RELEASE[f"{case}__row_col"])
    assert layout.boxes.dtype == layout.row_col.dtype == np.int64
    assert layout.image_size == (width, height)


@pytest.mark.parametrize(
    ("parameters", "image_size"),
    [
        ((200, 200, 0, 4000), (19200, 6480)),
        ((200, 199, 0, 1800), (19200, 6480)),
        ((500, 600, 1000, 2000), (19200, 6480)),
        ((500, 600, 1000, 1900), (19200, 6480)),
        ((300, 600, 200, 1080), (1920, 1080)),
        ((100, 900, 0, 4000), (1000, 6480)),
        ((100, 900, 0, 7000), (19200, 6480)),
        ((100, 900, -5, 4000), (19200, 6480)),
        ((0, 900, 0, 4000), (19200, 6480)),
        ((float("nan"), 900, 0, 4000), (19200, 6480)),
    ],
)
def test_release_layout_refuses_what_hung_or_crashed(parameters: tuple[float, ...], image_size: tuple[int, int]) -> None:
    with pytest.raises(Crowd3DError, match="tile") as caught:
        plan_tiles_release(*parameters, image_size)
    assert "\n" not in str(caught.value)


def test_release_layout_never_hangs_or_leaves_the_image() -> None:
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(300):
        width, height = (int(side) for side in rng.integers(300, 20000, 2))
        low, start = rng.uniform(5, 800), rng.uniform(0, height)
        try:
            layout = plan_tiles_release(low, low * rng.uniform(0.9, 6), start, start + rng.uniform(0, height), (width, height))
        except Crowd3DError:
            continue
        accepted += 1
        assert (layout.boxes[:, :2] >= 0).all()
        assert (layout.boxes[:, 2] <= height).all()
        assert (layout.boxes[:, 3] <= width).all()
    assert accepted > 30


def cameras() -> list[tuple[Camera, GroundPlane]]:
    """The four published cameras, and others with rolls, heights, horizons in the picture, and small images."""
    published = [(36.40, 9.69, -1.43, 16.03), (39.11, 14.85, -1.01, 16.80), (34.43, 12.53, -2.33, 15.99), (44.77, 13.18, 0.27, 13.40)]
    rng = np.random.default_rng(5)
    views = [((19200, 6500), *view) for view in published]
    for size in [(19200, 6480), (4096, 1400), (1920, 1080), (640, 480), (480, 640)]:
        views += [(size, rng.uniform(20, 70), rng.uniform(5, 40), rng.normal(0, 4), rng.uniform(2.5, 25)) for _ in range(8)]
    return [
        (Camera.from_fov(fov, size), GroundPlane.from_angles(np.deg2rad(tilt), np.deg2rad(roll), height))
        for size, fov, tilt, roll, height in views
    ]


def standing_people(camera: Camera, ground: GroundPlane, rng: np.random.Generator) -> np.ndarray:
    """(N, 6, 2) feet, head, shoulders and shoes of people of 1.7 m who are in the picture as a whole, 24 px tall or more."""
    size = np.array([camera.width, camera.height])
    feet = ground.intersect(camera, rng.uniform(0, 1, (4000, 2)) * size)
    feet = feet[np.isfinite(feet[:, 0])]
    aside = np.cross(ground.normal, feet)
    aside *= 0.25 / np.linalg.norm(aside, axis=1, keepdims=True)
    up = ground.normal
    points = camera.project(
        np.stack([feet, feet + 1.7 * up, feet + 1.3 * up + aside, feet + 1.3 * up - aside, feet + aside, feet - aside], axis=1)
    )
    visible = ((points >= 0) & (points <= size)).all(axis=(1, 2)) & (np.linalg.norm(points[:, 1] - points[:, 0], axis=1) >= 25)
    return points[visible]


def holding(layout: TileLayout, points: np.ndarray) -> np.ndarray:
    """(N, T) bool: tile t holds person n completely."""
    low, high = points.min(axis=1)[:, None], points.max(axis=1)[:, None]
    return (low >= layout.boxes[:, [1, 0]]).all(axis=-1) & (high <= layout.boxes[:, [3, 2]]).all(axis=-1)


@pytest.mark.parametrize(("camera", "ground"), cameras())
def test_everybody_is_whole_in_a_tile_of_twice_his_height(camera: Camera, ground: GroundPlane) -> None:
    layout = plan_tiles(camera, ground, (camera.width, camera.height), max_tiles=100_000)
    people = standing_people(camera, ground, np.random.default_rng(0))
    held = holding(layout, people)
    assert held.any(axis=1).all()
    if len(people) > 50:
        height = np.linalg.norm(people[:, 1] - people[:, 0], axis=1)
        side = layout.boxes[:, 2] - layout.boxes[:, 0]
        from_half = np.where(held, np.abs(height[:, None] / side - 0.5), 1).min(axis=1)
        assert np.median(from_half) < 0.1


@pytest.mark.parametrize("roll", [-40.0, -25.0, -12.0, 14.0, 25.0, 33.0])
@pytest.mark.parametrize(
    ("size", "fov", "tilt", "height"), [((1600, 1066), 59.1, 19.9, 6.2), ((1080, 1920), 40.0, 12.0, 9.0), ((1920, 1080), 60.0, 14.0, 4.0)]
)
def test_a_rolled_camera_takes_no_more_tiles_and_shows_everybody(size, fov, tilt, height, roll) -> None:
    camera = Camera.from_fov(fov, size)
    level, rolled = (GroundPlane.from_angles(np.deg2rad(tilt), np.deg2rad(angle), height) for angle in (0.0, roll))
    layout = plan_tiles(camera, rolled, size)
    assert len(layout) <= 1.5 * len(plan_tiles(camera, level, size))
    held = holding(layout, standing_people(camera, rolled, np.random.default_rng(0)))
    assert len(held) > 50
    assert held.any(axis=1).all()


def test_tiles_are_square_numbered_and_bounded() -> None:
    for camera, ground in cameras():
        layout = plan_tiles(camera, ground, (camera.width, camera.height), max_tiles=500)
        top, left, bottom, right = layout.boxes.T
        np.testing.assert_array_equal(bottom - top, right - left)
        rows, columns = layout.row_col.T
        assert (np.diff(rows) >= 0).all()
        assert np.unique(layout.row_col, axis=0).shape == layout.row_col.shape
        assert (columns[np.diff(rows, prepend=-1) > 0] == 0).all()
        in_first = rows == rows.max()
        assert len(layout) <= 500 + in_first.sum()
        assert ((bottom > 0) & (top < camera.height) & (right > 0) & (left < camera.width)).all()


def test_no_ground_in_the_picture() -> None:
    with pytest.raises(UnsolvableGround, match="shows no ground"):
        plan_tiles(Camera.from_fov(30, (1920, 1080)), GroundPlane.from_angles(np.deg2rad(-40), 0.0, 10.0), (1920, 1080))


@pytest.mark.parametrize("stride", [1 / 2, 2 / 3])
@pytest.mark.parametrize("image_size", [(19200, 6480), (640, 480), (300, 9000), (40, 30)])
def test_pyramid_covers_everything_at_every_level(image_size: tuple[int, int], stride: float) -> None:
    width, height = image_size
    levels = plan_pyramid(image_size, tile_px=256, max_tiles=1200, stride=stride)
    assert sum(len(layout) for _, layout in levels) <= 1200
    assert -1 <= levels[0][1].boxes[0, 2] - min(image_size) < max(2, min(image_size) / 256)
    rng = np.random.default_rng(1)
    for scale, layout in levels:
        side = int(layout.boxes[0, 2] - layout.boxes[0, 0])
        assert scale == side / 256
        assert side % 2 == 0
        if scale > LARGE_TILE:
            assert side % 2 ** (int(np.log2(scale)) - 1) == 0, "can be halved down to twice the size that is wanted"
        # Whatever fits into the overlap of two tiles is whole in some tile.
        extent = np.floor(side * (1 - stride) - 1)
        corner = rng.uniform(0, 1, (500, 1, 2)) * (np.array([width, height]) - extent)
        assert holding(layout, np.concatenate([corner, corner + extent], axis=1)).any(axis=1).all()
    sides = [layout.boxes[0, 2] - layout.boxes[0, 0] for _, layout in levels]
    assert all(fine < coarse for coarse, fine in itertools.pairwise(sides))


@pytest.mark.parametrize("name", ["SEQ_02_001", "two words", "v1.2.3", "a_1_2_3_4_5_6", "naïve", ""])
def test_tile_names(name: str) -> None:
    file_name = format_tile_name(name, np.array([3, 14]), np.array([-12, 0, 500, 512]))
    assert file_name == f"{name}_3_14_-12_0_500_512.jpg"
    assert parse_tile_name(file_name) == (name, 3, 14, -12, 0, 500, 512)
    assert parse_tile_name(file_name.replace(".jpg", "")) == (name, 3, 14, -12, 0, 500, 512)


def test_other_files_are_no_tiles() -> None:
    assert parse_tile_name("photo.jpg") is None
    assert parse_tile_name("a_1_2_3_4_5.jpg") is None


def test_part_params(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_text(json.dumps({"a.jpg": [350, 2350, 3580, 13700], "b.jpg": [1, 2, 3], "c.jpg": "x"}))
    found = read_part_params(path, "a.jpg")
    assert found == (350, 2350, 3580, 13700)
    assert found.height_max == 2350
    assert read_part_params(path, "other.jpg") is None
    for key in ("b.jpg", "c.jpg"):
        with pytest.raises(MissingAsset, match=key):
            read_part_params(path, key)
    for content in ("[1, 2]", "{"):
        path.write_text(content)
        with pytest.raises(MissingAsset, match=r"params\.json"):
            read_part_params(path, "a.jpg")
    with pytest.raises(MissingAsset, match="absent"):
        read_part_params(tmp_path / "absent", "a.jpg")


LENSES = [RadialTangential(k1=-0.25, k2=0.05), RadialTangential(k1=0.15), Fisheye(), Fisheye(k1=-0.02)]


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize(("camera", "ground"), [view for view in cameras()[4::6] if view[0].fov_x_deg < 62])
def test_everybody_is_whole_in_a_tile_through_a_lens(camera: Camera, ground: GroundPlane, lens: RadialTangential | Fisheye) -> None:
    bent = replace(camera, distortion=lens)
    layout = plan_tiles(bent, ground, (camera.width, camera.height), max_tiles=100_000)
    people = standing_people(bent, ground, np.random.default_rng(0))
    held = holding(layout, people)
    assert held.any(axis=1).mean() > 0.98
    flat = plan_tiles(camera, ground, (camera.width, camera.height), max_tiles=100_000)
    assert len(layout) < 2.5 * len(flat) + 20
    sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
    assert (sides[:, 0] == sides[:, 1]).all()
    if len(people) > 50:
        height = np.linalg.norm(people[:, 1] - people[:, 0], axis=1)
        smallest = np.where(held, sides[:, 0], np.inf).min(1)[held.any(1)]
        assert np.median(smallest / height[held.any(1)]) < 4


def test_a_fisheye_that_sees_behind_itself_has_tiles() -> None:
    camera = Camera(500.0, 500.0, 960.0, 960.0, 1920, 1920, Fisheye())
    layout = plan_tiles(camera, GroundPlane.from_angles(np.deg2rad(25), 0.0, 4.0), (1920, 1920))
    assert len(layout) > 10
    assert (layout.boxes[:, 2:] > 0).all()
