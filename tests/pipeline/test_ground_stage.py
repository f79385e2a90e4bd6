"""What the ground stage assumes about the people it sees, against posed bodies."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from crowd3d.bodies import COCO17_FROM_SMPL54, load_body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.ground import estimate_from, from_people
from crowd3d.pipeline.known import Known
from crowd3d.pose.embedded import PROPORTIONS, embedded_source
from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.source import plain
from crowd3d.synthetic.people import sample_betas
from crowd3d.synthetic.poses import sample_poses
from crowd3d.types import Keypoints

PEOPLE = 500


@pytest.mark.parametrize(("joint", "left"), [("ankle", 15), ("knee", 13), ("hip", 11), ("shoulder", 5), ("eye", 1)])
def test_embedded_proportions_are_those_of_the_bodies_that_the_networks_learned_from(joint, left):
    rng = np.random.default_rng(11)
    body, skeleton = load_body("free_low"), load_body("free_low").restrict()
    pose, betas = sample_poses(rng, np.repeat(["walk", "stand"], PEOPLE // 2)), sample_betas(rng, PEOPLE)
    soles = body.pose(pose, betas)[0][..., 1].min(1)
    keypoints = skeleton.pose(pose, betas)[1][:, COCO17_FROM_SMPL54, 1]
    heights = (keypoints[:, left : left + 2].mean(1) - soles) / load_body("free_low").stature_m(betas)
    assert getattr(PROPORTIONS, joint) == pytest.approx(heights.mean(), abs=0.006)


def test_camera_and_ground_come_from_those_who_are_surely_people(tmp_path):
    camera, ground = Camera.from_focal(4000.0, (6000, 2000)), GroundPlane.from_angles(np.deg2rad(15), 0.0, 7.0)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((2000, 6000, 3), np.uint8))
    rng = np.random.default_rng(3)
    height = np.array([getattr(PROPORTIONS, name) for name in 5 * ["eye"] + 6 * ["shoulder"] + 2 * ["hip"] + 2 * ["knee"] + 2 * ["ankle"]])
    foot = ground.intersect(camera, np.stack([rng.uniform(500, 5500, 60), rng.uniform(700, 1900, 60)], 1))
    stature = rng.normal(1.68, 0.06, 60)
    people = camera.project(foot[:, None] + (stature[:, None] * height)[..., None] * ground.normal)
    nobody = people[:20] * [1.0, 0.5] + [0.0, 900.0]

    def estimate(keypoints: np.ndarray, score: np.ndarray) -> GroundPlane:
        seen = replace(Observations.from_keypoints(Keypoints(keypoints, np.full(keypoints.shape[:2], 0.9)), embedded_source()), score=score)
        return estimate_from(GigapixelImage(tmp_path / "black.png"), seen, Known(camera), use_lines=False).ground

    alone = estimate(people, np.ones(60))
    assert np.rad2deg(np.arccos(alone.normal @ ground.normal)) < 0.2
    together = np.concatenate([people, nobody])
    unsure = estimate(together, np.r_[np.ones(60), np.full(20, 0.4)])
    np.testing.assert_array_equal(unsure.coefficients, alone.coefficients)
    sure = estimate(together, np.ones(80))
    assert not np.array_equal(sure.coefficients, alone.coefficients)
    # where nobody is sure, those who may be people are all there is
    doubtful = estimate(people, np.full(60, 0.4))
    assert np.rad2deg(np.arccos(doubtful.normal @ ground.normal)) < 0.4
    assert doubtful.offset_m == pytest.approx(alone.offset_m, rel=0.03)


def test_legs_that_are_hidden_and_guessed_too_short_hardly_move_the_camera():
    camera, ground = Camera.from_focal(4000.0, (6000, 2000)), GroundPlane.from_angles(np.deg2rad(15), 0.0, 7.0)
    rng = np.random.default_rng(3)
    height = np.array([getattr(PROPORTIONS, name) for name in 5 * ["eye"] + 6 * ["shoulder"] + 2 * ["hip"] + 2 * ["knee"] + 2 * ["ankle"]])
    foot = ground.intersect(camera, np.stack([rng.uniform(500, 5500, 60), rng.uniform(700, 1900, 60)], 1))
    hidden = (np.arange(60)[:, None] % 2 == 0) & (np.arange(17) >= 11)
    up = 1.7 * (height + 0.1 * hidden)
    xy = camera.project(foot[:, None] + up[..., None] * ground.normal)
    seen = Observations.from_keypoints(Keypoints(xy, np.full((60, 17), 0.9)), embedded_source())
    sigma = np.where(hidden, 0.15, 0.09) * person_size_px(xy)[:, None]
    seen = replace(seen, sigma_px=sigma, visible=np.where(hidden, 0.3, 0.9), score=np.ones(60))
    plain_spreads = replace(seen, source=replace(seen.source, error_factor=1.0, error_power=1.0, hidden_factor=1.0))
    off, plainly_off = (abs(from_people(people, (6000, 2000), Known(camera)).ground.offset_m - 7.0) for people in (seen, plain_spreads))
    assert off < 0.5 * plainly_off


def test_exif_is_left_aside_on_demand(tmp_path):
    crowd = simulate_crowd(Camera.from_focal(1500.0, (1600, 900)), GroundPlane.from_angles(0.2, 0.0, 5.0), 4, np.random.default_rng(2))
    seen = Observations.from_keypoints(Keypoints(crowd.keypoints[..., :2], crowd.keypoints[..., 2]), plain("given"))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 35
    for name, told in (("told.jpg", exif), ("silent.jpg", Image.Exif())):
        Image.fromarray(np.full((900, 1600, 3), 90, np.uint8)).save(tmp_path / name, exif=told)

    def focal(name: str, known: Known) -> float:
        return estimate_from(GigapixelImage(tmp_path / name), seen, known).camera.fx

    silent = focal("silent.jpg", Known())
    assert focal("told.jpg", Known(use_exif=False)) == silent
    assert abs(focal("told.jpg", Known()) / silent - 1.0) > 0.02
