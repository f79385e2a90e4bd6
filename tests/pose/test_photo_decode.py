"""Maps of made-up networks whose boxes and keypoints are known."""

from __future__ import annotations

import numpy as np
import pytest

from crowd3d.pose.photo_decode import KEYPOINT_STRIDE, decode_boxes, decode_keypoints

WIDTH, HEIGHT = 48, 64


def empty_maps(batch: int, side: int) -> list[np.ndarray]:
    return [np.full((batch, 45, side // stride, side // stride), -8.0, np.float32) for stride in (8, 16, 32)]


def test_a_box_is_where_its_distances_end() -> None:
    maps = empty_maps(2, 64)
    distances = [1.25, 2.0, 0.5, 3.75]  # strides to left, top, right, bottom
    maps[1][1, 0, 2, 3] = 2.0
    for side, distance in enumerate(distances):
        low = int(distance)
        share = distance - low
        bins = maps[1][1, 1 + 11 * side : 12 + 11 * side, 2, 3]
        bins[low] = np.log(max(1 - share, 1e-9)) + 20
        if share:
            bins[low + 1] = np.log(share) + 20
    row, box, score = decode_boxes(tuple(maps), 0.3)
    assert row.tolist() == [1]
    middle = np.array([3.5, 2.5]) * 16
    expected = np.r_[middle - 16 * np.array(distances[:2]), middle + 16 * np.array(distances[2:])]
    np.testing.assert_allclose(box[0], expected, atol=1e-2)
    assert score[0] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_nobody_gives_no_boxes() -> None:
    row, box, score = decode_boxes(tuple(empty_maps(3, 32)), 0.2)
    assert (len(row), box.shape, len(score)) == (0, (0, 4), 0)


def person_maps(centre: tuple[int, int], keypoints: np.ndarray, strength: float) -> tuple[np.ndarray, ...]:
    """Maps of one person: a peak in the middle, heat at the keypoints (17, 2) in cells, exact offsets and regression."""
    cells = np.floor(keypoints).astype(int)
    maps = np.zeros((1, 1, HEIGHT, WIDTH)), np.zeros((1, 17, HEIGHT, WIDTH)), *np.zeros((2, 1, 17, 2, HEIGHT, WIDTH))
    x, y = centre
    maps[0][0, 0, y, x] = strength
    maps[2][0, :, :, y, x] = keypoints - [x, y]
    for joint, (u, v) in enumerate(cells):
        maps[1][0, joint, v, u] = 0.5 + joint / 40
        maps[3][0, joint, :, v, u] = keypoints[joint] - cells[joint]
    return maps


def test_the_person_is_the_one_whose_joints_fit_the_box() -> None:
    rng = np.random.default_rng(0)
    mine = rng.uniform([18, 12], [30, 52], (17, 2))
    other = rng.uniform([36, 6], [46, 60], (17, 2))
    a, b = person_maps((24, 32), mine, 0.3), person_maps((41, 32), other, 0.9)
    maps = [first + second for first, second in zip(a, b, strict=True)]
    half = np.array([[7.0, 21.0]]) * KEYPOINT_STRIDE
    xy, score, second, second_score, centre = decode_keypoints(tuple(maps), half)
    np.testing.assert_allclose(xy[0], mine * KEYPOINT_STRIDE, atol=1e-3)
    np.testing.assert_allclose(score[0], 0.5 + np.arange(17) / 40, atol=1e-6)
    assert centre[0] == pytest.approx(0.3)
    np.testing.assert_allclose(second[0], other * KEYPOINT_STRIDE, atol=1e-3), "the neighbour's joints are second places"
    assert (second_score > 0.4).all()


def test_without_a_centre_the_middle_counts() -> None:
    mine = np.random.default_rng(1).uniform([18, 12], [30, 52], (17, 2))
    maps = person_maps((24, 32), mine, 0.0)
    xy, _, _, _, centre = decode_keypoints(maps, np.array([[28.0, 84.0]]))
    np.testing.assert_allclose(xy[0], mine * KEYPOINT_STRIDE, atol=1e-3)
    assert centre[0] < 1e-3
