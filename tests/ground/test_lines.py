"""Edges of buildings sharpen the camera, strangers' lines do not move it, and the detector's coordinates are right."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import StaturePrior, detect_lines, estimate_ground
from crowd3d.ground.simulate import CONDITIONS, SimulatedCrowd, simulate_crowd, truth_vector

SIZE = (19200, 6480)


def edges(camera: Camera, ground: GroundPlane, rng: np.random.Generator) -> np.ndarray:
    """(L, 4) visible parts of the edges and floors of five box-shaped buildings, 3 px noise, and as many random segments."""
    ends = []
    for _ in range(5):
        yaw = 0.4 if rng.random() < 0.7 else rng.uniform(0, np.pi)
        centre = np.array([rng.uniform(-60, 60), 0, -rng.uniform(50, 140)])
        along = np.array([np.cos(yaw), 0, np.sin(yaw)]) * rng.uniform(4, 12)
        aside = np.array([-np.sin(yaw), 0, np.cos(yaw)]) * rng.uniform(4, 10)
        top = rng.uniform(6, 20)
        ends += [(centre + s * along + t * aside, centre + s * along + t * aside + [0, top, 0]) for s in (-1, 1) for t in (-1, 1)]
        for floor in np.arange(0.0, top, 3.0):
            middle = centre + [0, floor, 0]
            ends += [(middle + s * aside - along, middle + s * aside + along) for s in (-1, 1)]
            ends += [(middle + s * along - aside, middle + s * along + aside) for s in (-1, 1)]
    share = np.linspace(0.0, 1.0, 300)[None, :, None]
    start, stop = (np.array(side)[:, None] for side in zip(*ends, strict=True))
    points = camera.project(ground.from_world(start * (1 - share) + stop * share))
    inside = ((points >= 0) & (points < SIZE)).all(-1)
    visible = [np.concatenate([track[seen][0], track[seen][-1]]) for track, seen in zip(points, inside, strict=True) if seen.sum() > 20]
    lines = np.array(visible).reshape(-1, 4)
    lines = lines + rng.normal(0, 3, lines.shape)
    stray = rng.uniform(0, 1, (len(lines), 2)) * SIZE
    turn, length = rng.uniform(0, np.pi, len(lines)), rng.uniform(130, 500, len(lines))
    half = np.stack([np.cos(turn), np.sin(turn)], -1) * length[:, None] / 2
    return np.concatenate([lines, np.concatenate([stray - half, stray + half], 1)])


def crowd_and_lines(seed: int) -> tuple[SimulatedCrowd, np.ndarray]:
    rng = np.random.default_rng(seed)
    camera = Camera.from_fov(rng.uniform(35, 75), SIZE)
    ground = GroundPlane.from_angles(np.deg2rad(rng.uniform(5, 15)), np.deg2rad(rng.normal(0, 1.5)), rng.uniform(8, 20))
    return simulate_crowd(camera, ground, 150, rng, condition=CONDITIONS["C"]), edges(camera, ground, rng)


def test_buildings_halve_the_error() -> None:
    errors, pulls = [], []
    for seed in range(10):
        crowd, lines = crowd_and_lines(seed)
        estimates = [estimate_ground(crowd.keypoints, SIZE), estimate_ground(crowd.keypoints, SIZE, lines=lines)]
        errors.append([estimate.camera.fov_x_deg - crowd.camera.fov_x_deg for estimate in estimates])
        error = truth_vector(estimates[1].camera, estimates[1].ground) - truth_vector(crowd.camera, crowd.ground)
        pulls.append(error / np.sqrt(np.diag(estimates[1].covariance)))
    without, with_lines = np.sqrt((np.array(errors) ** 2).mean(0))
    assert with_lines < 0.5 * without
    assert np.sqrt((np.array(pulls) ** 2).mean()) < 1.6


def test_search_finds_a_camera_that_the_people_miss_by_far() -> None:
    """A picture of the project's own (the camera of playground1_01), found people and lines: the people's FOV is 4° off;
    a search that starts there only settles on lines of a wrong camera."""
    with np.load(Path(__file__).parents[1] / "data" / "ground_lines.npz") as data:
        keypoints, lines, fov_deg, size = data["keypoints"], data["lines"], float(data["fov_deg"]), tuple(data["size"].tolist())
    stature = StaturePrior().for_span(0.722)
    without = estimate_ground(keypoints, size, stature=stature)
    with_lines = estimate_ground(keypoints, size, stature=stature, lines=lines)
    assert abs(without.camera.fov_x_deg - fov_deg) > 3.0
    assert abs(with_lines.camera.fov_x_deg - fov_deg) < 1.0


def test_lines_of_another_camera_are_ignored() -> None:
    """A poster's or a mirror's lines: consistent among themselves, at odds with the people."""
    crowd, _ = crowd_and_lines(1)
    rng = np.random.default_rng(0)
    strange = edges(Camera.from_fov(25.0, SIZE), GroundPlane.from_angles(-0.05, 0.3, 3.0), rng)
    plain = estimate_ground(crowd.keypoints, SIZE)
    other = estimate_ground(crowd.keypoints, SIZE, lines=strange)
    change = truth_vector(other.camera, other.ground) - truth_vector(plain.camera, plain.ground)
    assert (np.abs(change) < 4 * np.sqrt(np.diag(plain.covariance))).all()


@pytest.mark.parametrize("lines", [np.empty((0, 4)), np.full((9, 4), np.nan), np.ones((9, 4))])
def test_useless_lines_change_nothing(lines: np.ndarray) -> None:
    crowd, _ = crowd_and_lines(2)
    plain = estimate_ground(crowd.keypoints, SIZE)
    same = estimate_ground(crowd.keypoints, SIZE, lines=lines)
    assert same.camera == plain.camera


def test_detected_lines_are_where_they_were_drawn() -> None:
    """A dark rectangle whose borders lie at pixel edges, found at a quarter of the size."""
    image = np.full((300, 400), 200, np.uint8)
    image[60:240, 100:300] = 40
    found = detect_lines(image, pixel_size=4.0)
    vertical = found[np.abs(found[:, 0] - found[:, 2]) < 4.0]
    horizontal = found[np.abs(found[:, 1] - found[:, 3]) < 4.0]
    assert sorted(vertical[:, [0, 2]].mean(1)) == pytest.approx([400.0, 1200.0], abs=2.5)
    assert sorted(horizontal[:, [1, 3]].mean(1)) == pytest.approx([240.0, 960.0], abs=2.5)


def test_an_empty_image_has_no_lines() -> None:
    assert detect_lines(np.full((100, 200), 128, np.uint8)).shape == (0, 4)
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (100, 200), np.uint8), (5, 5), 0)
    assert detect_lines(noise, least_length_px=90.0).shape == (0, 4)
