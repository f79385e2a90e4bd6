"""Nobody lost, nobody doubled: crowds seen by the release's overlapping tiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import plan_tiles_release
from crowd3d.scene import duplicate_free, group_people

CAMERA = Camera.from_focal(29199.908, (19200, 6518))
GROUND = GroundPlane.from_coefficients(np.array([-0.0245936, -0.9854221, -0.1683400, 16.0341339]))
TILES = plan_tiles_release(260, 968, 0, 6518, (19200, 6518))
# A standing figure of stature 1: across the body and up, in COCO-17 order.
FIGURE = np.array(
    [[0, 0.93], [0.02, 0.95], [-0.02, 0.95], [0.04, 0.94], [-0.04, 0.94], [0.11, 0.82], [-0.11, 0.82], [0.14, 0.63], [-0.14, 0.63]]
    + [[0.15, 0.48], [-0.15, 0.48], [0.09, 0.53], [-0.09, 0.53], [0.09, 0.29], [-0.09, 0.29], [0.08, 0.04], [-0.08, 0.04]]
)
TORSO = (5, 6, 11, 12)


class Seen(NamedTuple):
    """What all tiles together report: rows of `duplicate_free` and who each of them is."""

    joints_px: np.ndarray
    torso_cam_m: np.ndarray
    score: np.ndarray
    border: np.ndarray
    tile: np.ndarray
    who: np.ndarray


def grid(spacing: float, rng: np.random.Generator) -> np.ndarray:
    """400 people on a jittered grid 70 m away, (400, 2) world x, z; nobody nearer to another than 0.8 spacings."""
    steps = (np.arange(20) - 9.5) * spacing
    x, z = np.meshgrid(steps, steps - 70.0)
    return np.stack([x.ravel(), z.ravel()], -1) + rng.uniform(-0.1, 0.1, (400, 2)) * spacing


def look(xz: np.ndarray, rng: np.random.Generator, noise: float) -> Seen:
    """Every person in every tile that holds most of them; `noise` in parts of their height in the image, shared by their joints.

    An error of the foot point moves the body along the ground, as in the network's decoding.
    """
    stature = rng.normal(1.7, 0.08, len(xz))
    turn = rng.uniform(0, 2 * np.pi, len(xz))
    flat = FIGURE[:, 0] * stature[:, None]
    world = np.stack([flat * np.cos(turn)[:, None], FIGURE[:, 1] * stature[:, None], flat * np.sin(turn)[:, None]], -1)
    world[..., [0, 2]] += xz[:, None]
    joints = CAMERA.project(GROUND.from_world(world))
    foot_px = CAMERA.project(GROUND.from_world(np.insert(xz, 1, 0.0, axis=1)))
    torso_up = world[:, TORSO, 1].mean(1)
    top_left, bottom_right = joints.min(1), joints.max(1)
    height = bottom_right[:, 1] - top_left[:, 1]

    boxes = TILES.boxes[:, [1, 0, 3, 2]].astype(float)
    margin = np.concatenate([top_left[:, None] - boxes[:, :2], boxes[:, 2:] - bottom_right[:, None]], -1)
    border = margin.min(-1)
    size = boxes[:, 3] - boxes[:, 1]
    relative = height[:, None] / size
    who, tile = np.nonzero((border > -0.3 * height[:, None]) & (relative > 0.12) & (relative < 1.0))
    shift = rng.normal(0, noise, (len(who), 2)) * height[who, None]
    seen_joints = joints[who] + shift[:, None] + rng.normal(0, noise / 2, (len(who), 17, 2)) * height[who, None, None]
    ground = GROUND.intersect(CAMERA, foot_px[who] + shift)
    torso = ground + torso_up[who, None] * GROUND.normal
    score = np.clip(rng.normal(0.8, 0.1, len(who)), 0.3, 1.0)
    return Seen(seen_joints, torso, score, border[who, tile], tile, who)


def lost_and_doubled(seen: Seen) -> tuple[int, int]:
    kept = seen.who[duplicate_free(*seen[:5])]
    distinct = len(np.unique(kept))
    return len(np.unique(seen.who)) - distinct, len(kept) - distinct


@pytest.mark.parametrize("spacing", [3.0, 1.5, 1.0, 0.7, 0.5])
@pytest.mark.parametrize("noise", [0.0, 0.015])
def test_dense_grids_keep_everybody_once(spacing: float, noise: float) -> None:
    rng = np.random.default_rng(int(10 * spacing))
    seen = look(grid(spacing, rng), rng, noise)
    people = len(np.unique(seen.who))
    assert people >= 260
    assert len(seen.who) > 3 * people
    lost, doubled = lost_and_doubled(seen)
    assert lost <= 0.005 * people
    assert doubled <= 0.005 * people


@pytest.mark.parametrize("spacing", [3.0, 1.5])
def test_a_noisy_network_that_misses_every_fourth_body_doubles_nobody(spacing: float) -> None:
    rng = np.random.default_rng(7)
    seen = look(grid(spacing, rng), rng, 0.03)
    found = rng.random(len(seen.who)) > 0.25
    seen = Seen(*(column[found] for column in seen))
    lost, doubled = lost_and_doubled(seen)
    assert lost <= 0.005 * len(np.unique(seen.who))
    assert doubled == 0


@pytest.fixture
def pair() -> Seen:
    """One person, seen twice by different tiles, the second time cut off but with the higher score."""
    joints = np.stack([100 * FIGURE, 100 * FIGURE + 2])
    torso = np.array([[0.0, 0, 50], [0.1, 0, 50.2]])
    return Seen(joints, torso, np.array([0.7, 0.9]), np.array([15.0, -40.0]), np.array([3, 8]), np.zeros(2, int))


def test_a_whole_body_wins_against_one_that_is_cut_off(pair: Seen) -> None:
    assert duplicate_free(*pair[:5]).tolist() == [0]
    assert duplicate_free(*pair._replace(border=np.array([15.0, 15.0]))[:5]).tolist() == [1]


def test_two_bodies_of_one_tile_are_two_people_unless_identical(pair: Seen) -> None:
    same_tile = pair._replace(tile=np.array([3, 3]), torso_cam_m=np.array([[0.0, 0, 50], [0.01, 0, 50.05]]))
    apart = same_tile._replace(joints_px=pair.joints_px + np.array([0, 8.0])[:, None, None])
    assert duplicate_free(*same_tile[:5]).tolist() == [0]
    assert duplicate_free(*apart[:5]).tolist() == [0, 1]


def test_people_behind_each_other_are_two_however_similar_in_the_image(pair: Seen) -> None:
    behind = pair._replace(torso_cam_m=pair.torso_cam_m + np.array([[0.0, 0, 0], [0, 0, 4.0]]))
    assert duplicate_free(*behind[:5]).tolist() == [0, 1]


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    seen = look(grid(1.0, rng), rng, 0.02)
    order = rng.permutation(len(seen.who))
    kept = duplicate_free(*seen[:5])
    shuffled = duplicate_free(*(column[order] for column in seen[:5]))
    assert np.sort(order[shuffled]).tolist() == kept.tolist()


def test_nobody_stays_nobody() -> None:
    nobody = np.zeros(0)
    assert duplicate_free(np.zeros((0, 17, 2)), np.zeros((0, 3)), nobody, nobody, nobody.astype(int)).tolist() == []


def test_five_thousand_people_are_grouped() -> None:
    rng = np.random.default_rng(5)
    one = np.stack([rng.uniform(-9000, 9000, 5000), rng.uniform(-9000, 9000, 5000)], -1)
    spots = np.concatenate([one, one + rng.normal(0, 1.0, one.shape), one + rng.normal(0, 1.0, one.shape)])
    joints = 100 * FIGURE + spots[:, None]
    torso = np.insert(spots / 58.0, 2, 60.0, axis=1)
    tile = np.repeat(np.arange(3), 5000)
    labels = group_people(joints, torso, tile)
    assert abs(len(np.unique(labels)) - 5000) <= 5
