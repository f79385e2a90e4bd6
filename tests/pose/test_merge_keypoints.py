"""Merging across tiles against exact truth: the reference detections and synthetic crowds of any density."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import plan_tiles, plan_tiles_release
from crowd3d.pose import merge_keypoints, read_alphapose, suppress
from crowd3d.types import TileLayout

DATA = Path(__file__).parents[1] / "data"
TRUTH = np.load(DATA / "alphapose_truth.npz")
IMAGE_SIZE = (19200, 6518)
CAMERA = Camera.from_K(TRUTH["K"], IMAGE_SIZE)
GROUND = GroundPlane(TRUTH["normal"], float(TRUTH["height"]))
LAYOUT = plan_tiles_release(260, 968, 0, 6518, IMAGE_SIZE)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, TileLayout]:
    """1323 detections of 400 people in 457 tiles."""
    layout = TileLayout(TRUTH["position"], TRUTH["row_col"], IMAGE_SIZE)
    path = tmp_path_factory.mktemp("alphapose") / "alphapose-results.json"
    path.write_bytes(gzip.decompress((DATA / "alphapose_results.json.gz").read_bytes()))
    return *read_alphapose(path, layout), layout


def crowd(spacing_m: float, rng: np.random.Generator, count: int = 400) -> np.ndarray:
    """(N, 17, 2) people of the reference's poses on a jittered square grid about 70 m away."""
    truth = TRUTH["keypoints"][:, :, :2].astype(float)
    ankles = truth[:, [15, 16]].mean(axis=1)
    metric = (truth - ankles[:, None]) / GROUND.pixels_per_metre(CAMERA, ankles)[:, None, None]
    side = int(np.ceil(np.sqrt(count)))
    cell = np.stack(np.divmod(np.arange(count), side), axis=1) - side / 2 + rng.uniform(-0.1, 0.1, (count, 2))
    centre = GROUND.to_world(GROUND.intersect(CAMERA, np.array([9600.0, 3000.0])))
    world = centre + np.stack([cell[:, 1], np.zeros(count), cell[:, 0]], axis=1) * spacing_m
    feet = CAMERA.project(GROUND.from_world(world))
    feet = feet[((feet > 0) & (feet < IMAGE_SIZE)).all(axis=1)]
    poses = metric[rng.integers(0, len(metric), len(feet))]
    return poses * GROUND.pixels_per_metre(CAMERA, feet)[:, None, None] + feet[:, None]


def sightings(
    people: np.ndarray, layout: TileLayout, rng: np.random.Generator, noise: float = 0.012, whole: float = 0.6, clamp: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What tiles see: keypoints with noise (in body heights), low scores or wrong places beyond the border; tile and person of each."""
    height = np.ptp(people[..., 1], axis=1)[:, None, None]
    found = []
    for tile, (top, left, bottom, right) in enumerate(layout.boxes):
        inside = ((people >= [left, top]) & (people < [right, bottom])).all(axis=-1)
        who = np.flatnonzero(inside.mean(axis=1) >= whole)
        xy = people[who] + rng.normal(0, noise, (len(who), 17, 2)) * height[who]
        if clamp:
            xy = np.clip(xy, [left, top], [right, bottom])
        score = np.clip(rng.normal(0.75, 0.1, (len(who), 17)), 0.05, 1) * np.where(inside[who], 1, 0.2)
        found.append((np.concatenate([xy, score[..., None]], axis=-1), np.full(len(who), tile), who))
    keypoints, tile, who = (np.concatenate(part) for part in zip(*found, strict=True))
    return keypoints, tile, who


def distance(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(F, T) mean keypoint distance in pixels, infinite where the noses are more than 100 px apart."""
    near = cdist(found[:, 0], truth[:, 0]) < 100
    result = np.full(near.shape, np.inf)
    f, t = np.nonzero(near)
    result[f, t] = np.linalg.norm(found[f] - truth[t], axis=-1).mean(axis=-1)
    return result


def test_reference_detections(reference: tuple[np.ndarray, np.ndarray, TileLayout]) -> None:
    keypoints, tile, layout = reference
    assert len(keypoints) == 1323
    kept, people = merge_keypoints(keypoints, tile, layout)
    truth = TRUTH["keypoints"][:, :, :2].astype(float)
    error = distance(people.xy_px, truth)
    assert len(people) == len(kept) == 400
    assert sorted(error.argmin(axis=1)) == list(range(400))
    best_sighting = distance(keypoints[..., :2], truth).min(axis=0)
    assert error.min(axis=1).mean() < best_sighting.mean()
    assert (np.diff(kept) > 0).all()
    assert (error.argmin(axis=1) == distance(keypoints[kept][..., :2], truth).argmin(axis=1)).all()


def test_order_of_detections_and_tiles_does_not_matter(reference: tuple[np.ndarray, np.ndarray, TileLayout]) -> None:
    keypoints, tile, layout = reference
    kept, people = merge_keypoints(keypoints, tile, layout)
    rng = np.random.default_rng(2)
    rows, tiles = rng.permutation(len(keypoints)), rng.permutation(len(layout))
    shuffled = TileLayout(layout.boxes[tiles], layout.row_col[tiles], layout.image_size)
    again, others = merge_keypoints(keypoints[rows], np.argsort(tiles)[tile[rows]], shuffled)
    order = np.argsort(rows[again])
    np.testing.assert_array_equal(rows[again][order], kept)
    np.testing.assert_allclose(others.array[order], people.array, atol=1e-6)


@pytest.mark.parametrize("noise", [0.012, 0.03])
@pytest.mark.parametrize("spacing_m", [3.0, 1.5, 1.0, 0.7, 0.5])
def test_dense_crowds(spacing_m: float, noise: float) -> None:
    rng = np.random.default_rng(7)
    truth = crowd(spacing_m, rng)
    for layout in (LAYOUT, plan_tiles(CAMERA, GROUND, IMAGE_SIZE)):
        keypoints, tile, who = sightings(truth, layout, rng, noise)
        assert len(keypoints) > 2.5 * len(truth)
        kept, people = merge_keypoints(keypoints, tile, layout)
        assert len(set(who[kept])) >= 0.995 * len(set(who))
        assert len(people) <= 1.005 * len(set(who))


def test_people_cut_by_borders_lose_against_the_whole_ones() -> None:
    rng = np.random.default_rng(8)
    truth = crowd(1.0, rng)
    keypoints, tile, who = sightings(truth, LAYOUT, rng, whole=0.35, clamp=True)
    _, whole_tile, whole_who = sightings(truth, LAYOUT, rng, whole=1.0)
    kept, people = merge_keypoints(keypoints, tile, LAYOUT)
    assert len(set(who[kept])) == len(set(who))
    assert len(people) <= 1.005 * len(truth)
    complete = set(zip(whole_who, whole_tile, strict=True))
    seen_whole = np.isin(who[kept], whole_who)
    assert np.mean([pair in complete for pair in zip(who[kept][seen_whole], tile[kept][seen_whole], strict=True)]) > 0.99


def test_shifting_all_tiles_by_half_changes_nobody() -> None:
    truth = crowd(1.0, np.random.default_rng(9))
    half = (LAYOUT.boxes[:, 2] - LAYOUT.boxes[:, 0])[:, None] // 2
    for boxes in (LAYOUT.boxes, LAYOUT.boxes + half, LAYOUT.boxes - half):
        layout = TileLayout(boxes, LAYOUT.row_col, LAYOUT.image_size)
        keypoints, tile, who = sightings(truth, layout, np.random.default_rng(3))
        kept, _ = merge_keypoints(keypoints, tile, layout)
        assert sorted(who[kept]) == sorted(set(who)) == list(range(len(truth)))


def test_two_people_seen_by_one_tile_stay_two() -> None:
    rng = np.random.default_rng(4)
    first = crowd(3.0, rng)[:1]
    pair = np.concatenate([first, first + 0.06 * np.ptp(first[..., 1])])
    keypoints, tile, who = sightings(pair, LAYOUT, rng)
    kept, _ = merge_keypoints(keypoints, tile, LAYOUT)
    assert sorted(who[kept]) == [0, 1]


def test_nobody_and_one() -> None:
    kept, people = merge_keypoints(np.zeros((0, 17, 3)), np.zeros(0, int), LAYOUT)
    assert len(kept) == len(people) == 0
    one = TRUTH["keypoints"][:1]
    kept, people = merge_keypoints(one, np.array([3]), LAYOUT)
    assert kept.tolist() == [0]
    np.testing.assert_allclose(people.array, one, atol=1e-6)


def test_identical_detections_become_one() -> None:
    keypoints = np.repeat(TRUTH["keypoints"][:3], 5, axis=0)
    kept, people = merge_keypoints(keypoints, np.zeros(15, int), LAYOUT)
    assert len(kept) == 3
    np.testing.assert_allclose(np.sort(people.xy_px[:, 0, 0]), np.sort(TRUTH["keypoints"][:3, 0, 0]), atol=1e-6)


def test_suppress_equals_the_sequential_algorithm() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = int(rng.integers(1, 60))
        first, second = np.triu_indices(count, 1)
        chosen = rng.random(len(first)) < 0.1
        pairs = np.stack([first, second], axis=1)[chosen]
        pairs = np.where(rng.random((len(pairs), 1)) < 0.5, pairs, pairs[:, ::-1])
        similarity, priority = rng.random(len(pairs)), rng.integers(0, 8, count)
        kept: list[int] = []
        for node in sorted(range(count), key=lambda n: (-priority[n], n)):
            similar = {frozenset(p) for p, s in zip(pairs.tolist(), similarity, strict=True) if s >= 0.3}
            if not any(frozenset((node, other)) in similar for other in kept):
                kept.append(node)
        np.testing.assert_array_equal(np.flatnonzero(suppress(pairs, similarity, priority, 0.3)), np.sort(kept))
