"""How the embedded backend looks at people, with the shipped networks on a small synthetic crowd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.bodies import load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, plan_pyramid, turned
from crowd3d.model.compiled import Engines
from crowd3d.model.crop_points import all_views
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.candidates import SCALE_DOUBT, TORSO_HEIGHT_M, Candidates, with_known_ground
from crowd3d.pose.embedded import EmbeddedSeeker, with_candidates
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.search import search
from crowd3d.settings import load_settings
from crowd3d.synthetic import sample_crop


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[GigapixelImage, Candidates]:
    """A picture, and candidates: everybody in it, and as many places where nobody is."""
    rng = np.random.default_rng(4)
    crop = sample_crop(rng, load_body("free_low"), size=512, person_px=(120, 160), empty_share=0.0)
    path = tmp_path_factory.mktemp("crowd") / "crowd.png"
    cv2.imwrite(str(path), cv2.cvtColor(crop.image, cv2.COLOR_RGB2BGR))
    torso = crop.camera.project(crop.torso_cam_m)
    per_metre = crop.camera.fx / crop.torso_cam_m[:, 2]
    count = 2 * len(torso)
    places = np.r_[torso, rng.uniform(0, 512, torso.shape)]
    candidates = Candidates(places, np.r_[per_metre, per_metre[::-1] / 3], np.full(count, 0.5), np.zeros(count))
    assert len(torso) >= 3
    assert TORSO_HEIGHT_M * per_metre.max() > 30
    return GigapixelImage(path), candidates


@pytest.fixture(scope="module")
def pose() -> EmbeddedSeeker:
    weights = DefaultWeights.shipped(load_settings())
    return EmbeddedSeeker(weights.detector, weights.keypoints, Engines("torch"))


def test_a_close_look_shows_the_other_three_views(scene: tuple[GigapixelImage, Candidates], pose: EmbeddedSeeker) -> None:
    """Against the same network shown all four views at once."""
    image, candidates = scene
    first = pose.looks.look(image, candidates, "first")
    shown = []

    def counting(crops: np.ndarray) -> tuple[np.ndarray, ...]:
        shown.append(len(crops))
        return network(crops)

    network, pose.looks.keypoints = pose.looks.keypoints, counting  # type: ignore[assignment]
    seen = pose.looks.look_closely(image, candidates, first, "closely")
    pose.looks.keypoints = lambda crops: all_views(network, crops, network(crops))  # type: ignore[assignment, misc]
    at_once = pose.looks.look(image, candidates, "at once").observed
    pose.looks.keypoints = network
    assert sum(shown) == 3 * len(candidates)
    # the first look is kept in half precision
    np.testing.assert_allclose(seen.xy_px, at_once.xy_px, atol=0.02)
    np.testing.assert_allclose(seen.depth_m, at_once.depth_m, atol=1e-5)


def test_people_who_lean_are_seen_upright(scene: tuple[GigapixelImage, Candidates], pose: EmbeddedSeeker, tmp_path: Path) -> None:
    """The picture turned by 35°: the same people are found and seen as in the upright one, at the turned places."""
    image, candidates = scene
    people = candidates[: len(candidates) // 2]
    lean, margin = np.deg2rad(35.0), 256
    pixels = image.region(np.array([-margin, -margin, 512 + margin, 512 + margin]))
    size = 512 + 2 * margin
    step = turned(np.eye(2), -lean).T
    start = size / 2 - 0.5 + step @ np.full(2, 0.5 - size / 2)
    leaning = cv2.warpAffine(pixels, np.c_[step, start], (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    cv2.imwrite(str(tmp_path / "leaning.png"), leaning[..., ::-1])
    other = GigapixelImage(tmp_path / "leaning.png")

    def there(xy_px: np.ndarray) -> np.ndarray:
        return turned(xy_px - 256, lean) + size / 2

    moved = replace(people, torso_px=there(people.torso_px), lean_rad=np.full(len(people), lean))
    upright = pose.looks.look(image, people, "upright").observed
    tall = person_size_px(upright.xy_px)[:, None]

    def off(observed: Observations) -> np.ndarray:
        return np.linalg.norm(observed.xy_px - there(upright.xy_px), axis=-1) / tall

    assert np.median(off(pose.looks.look(other, moved, "leaning").observed)) < 0.01
    assert np.median(off(pose.looks.look(other, replace(moved, lean_rad=np.zeros(len(people))), "as it is").observed)) > 0.02

    def around(places: Candidates) -> np.ndarray:
        return np.tile(places.torso_px[:, ::-1] - 140, 2).round().astype(int) + [0, 0, 280, 280]

    found = pose.finder.find(image, around(people), np.zeros(len(people)), "upright")
    again = pose.finder.find(other, around(moved), moved.lean_rad, "leaning")
    assert len(found) >= 3
    apart = np.linalg.norm(there(found.torso_px)[:, None] - again.torso_px, axis=-1).min(1)
    assert np.median(apart / found.per_metre) < 0.05


def test_scale_and_lean_follow_from_the_ground() -> None:
    """Against projection: a metre of a person who stands in the picture's corner."""
    camera = Camera.from_fov(80.0, (3000, 2000))
    ground = GroundPlane.from_angles(np.deg2rad(30.0), np.deg2rad(3.0), 6.0)
    foot = ground.intersect(camera, np.array([[300.0, 1500.0], [1500.0, 1100.0], [2800.0, 1900.0]]))
    torso = foot + TORSO_HEIGHT_M * ground.normal
    torso_px, above_px = camera.project(torso), camera.project(torso + 1e-4 * ground.normal)
    size = camera.fx / torso[:, 2]
    seen = with_known_ground(Candidates(torso_px, size * [1.0, 1.3, 0.2], np.ones(3), np.zeros(3)), camera, ground)
    np.testing.assert_allclose(seen.per_metre, size * [1.0, 1.0, 0.2 * SCALE_DOUBT], rtol=1e-9)
    across, down = (above_px - torso_px).T
    np.testing.assert_allclose(np.tan(seen.lean_rad), across / -down, rtol=1e-3)
    assert seen.lean_rad[0] < -0.2
    assert seen.lean_rad[2] > 0.2


def test_the_second_look_leaves_out_tiles_without_candidates() -> None:
    layout = plan_pyramid((960, 600))[1][1]
    torso = np.array([[10.0, 20.0], [700.5, 420.0]])
    kept = with_candidates(layout, Candidates(torso, np.ones(2), np.ones(2), np.zeros(2)))
    expected = [box for box in layout.boxes.tolist() if any(box[0] <= v < box[2] and box[1] <= u < box[3] for u, v in torso)]
    assert kept.boxes.tolist() == expected
    assert 0 < len(kept) < len(layout)
    assert len(with_candidates(layout, Candidates.none())) == 0


def test_nobody_is_found_where_nobody_is(pose: EmbeddedSeeker, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((300, 400, 3), 128, np.uint8))
    assert len(search(pose, GigapixelImage(tmp_path / "grey.png"), lambda seen: None)) == 0
