"""What the synthetic pictures say is true against exact geometry and against the pictures themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crowd3d.bodies import COCO17_FROM_SMPL54, TORSO54, load_body
from crowd3d.cli import synthesize
from crowd3d.cli.run import run_cli
from crowd3d.errors import UnsolvableGround
from crowd3d.raster import render_meshes
from crowd3d.synthetic import Crop, sample_crop
from crowd3d.synthetic.scene import SyntheticScene, synthesize_scene

SIZE = (1536, 512)


@pytest.fixture(scope="module")
def crops() -> list[Crop]:
    body = load_body("free_low")
    return [sample_crop(np.random.default_rng(seed), body) for seed in range(30)]


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return synthesize_scene(3, "playground1_01", 40, SIZE)


def truths(crops: list[Crop], scene: SyntheticScene) -> list:
    return [*[c for c in crops if len(c)], scene.truth]


def test_pose_shape_and_translation_give_the_pixels(crops: list[Crop], scene: SyntheticScene) -> None:
    bodies = {"free_body_low": load_body("free_low"), "free_body_high": load_body("free")}
    for truth in truths(crops, scene):
        body = bodies[scene.body if truth is scene.truth else "free_body_low"]
        vertices, joints = body.pose(truth.pose_rad, truth.betas)
        joints = joints + truth.translation_cam_m[:, None]
        np.testing.assert_allclose(truth.camera.project(joints[:, COCO17_FROM_SMPL54]), truth.keypoints_px[..., :2], atol=0.1)
        np.testing.assert_allclose(joints[:, TORSO54].mean(axis=1), truth.torso_cam_m, atol=1e-4)
        height = truth.ground.signed_distance(vertices + truth.translation_cam_m[:, None])
        np.testing.assert_allclose(height.min(axis=1), 0, atol=1e-4)


def raised_hand_share(truths: list) -> float:
    body = load_body("free_low").restrict()
    raised = []
    for truth in truths:
        height = body.pose(truth.pose_rad, truth.betas)[1][:, :24] @ truth.ground.normal
        raised.append((height[:, [20, 21]] > height[:, [16, 17]]).any(1))
    return float(np.concatenate(raised).mean())


def test_training_crops_show_rare_poses_more_often_than_crowds_do(crops: list[Crop], scene: SyntheticScene) -> None:
    assert raised_hand_share([scene.truth]) < 0.1
    assert raised_hand_share([c for c in crops if len(c)]) > 0.13


def test_hvip_is_the_foot_of_the_torso_centre(crops: list[Crop], scene: SyntheticScene) -> None:
    for truth in truths(crops, scene):
        np.testing.assert_allclose(truth.ground.signed_distance(truth.hvip_cam_m), 0, atol=1e-9)
        along = truth.torso_cam_m - truth.hvip_cam_m
        np.testing.assert_allclose(np.cross(along, truth.ground.normal), 0, atol=1e-9)
        np.testing.assert_allclose(truth.ground.intersect(truth.camera, truth.hvip_px), truth.hvip_cam_m, rtol=1e-7, atol=1e-7)


def test_keypoints_inside_are_marked_so(crops: list[Crop], scene: SyntheticScene) -> None:
    for truth in truths(crops, scene):
        u, v, state = np.moveaxis(truth.keypoints_px, 2, 0)
        inside = (u >= 0) & (v >= 0) & (u < truth.camera.width) & (v < truth.camera.height)
        np.testing.assert_array_equal(state > 0, inside)
        assert set(np.unique(state)) <= {0, 1, 2}


def test_visibility_agrees_with_bodies_drawn_alone(scene: SyntheticScene) -> None:
    """A joint called visible may not be covered by the body of somebody else, by a separate drawing of naked bodies."""
    truth = scene.truth
    body = load_body("free_low")
    vertices = body.pose(truth.pose_rad, truth.betas)[0] + truth.translation_cam_m[:, None]
    _, identity, _ = render_meshes(vertices, body.faces, np.full((len(truth), 3), 200.0), truth.camera, scale=0.25)
    rows, columns = np.nonzero(truth.keypoints_px[..., 2] == 2)
    pixels = np.floor(truth.keypoints_px[rows, columns, :2] * 4).astype(int).clip(0, np.array([4 * SIZE[0], 4 * SIZE[1]]) - 1)
    who = identity[pixels[:, 1], pixels[:, 0]] - 1
    assert len(rows) > 150
    assert ((who == rows) | (who < 0)).mean() > 0.97


def test_visible_fraction(crops: list[Crop], scene: SyntheticScene) -> None:
    truth = scene.truth
    assert (truth.visible_fraction <= 1).all()
    assert (truth.visible_fraction > 0.9).sum() >= 5
    front = truth.visible_fraction > 0.95
    assert (truth.keypoints_px[front, 5:, 2] > 0).mean() > 0.98
    cut = np.concatenate([c.visible_fraction[(c.bbox[:, 0] < -0.5 * (c.bbox[:, 2] - c.bbox[:, 0]))] for c in crops])
    assert len(cut)
    assert cut.max() < 0.9


def test_boxes_hold_the_keypoints(scene: SyntheticScene) -> None:
    truth = scene.truth
    left, top, right, bottom = truth.bbox.T[..., None]
    u, v = truth.keypoints_px[..., 0], truth.keypoints_px[..., 1]
    assert ((u > left - 1) & (u < right + 1) & (v > top - 1) & (v < bottom + 1)).all()
    np.testing.assert_allclose(truth.height_px, truth.bbox[:, 3] - truth.bbox[:, 1])


def test_people_stand_apart(scene: SyntheticScene) -> None:
    truth = scene.truth
    walking = truth.kind == "walk"
    ground = truth.ground.to_world(truth.hvip_cam_m)[walking][:, [0, 2]]
    distance = np.linalg.norm(ground[:, None] - ground[None], axis=2) + 9 * np.eye(len(ground))
    assert distance.min() > 0.25


def test_crops_are_varied(crops: list[Crop]) -> None:
    assert len({len(c) for c in crops}) > 8
    assert max(len(c) for c in crops) > 15
    assert np.ptp([c.image.mean() for c in crops]) > 40
    heights = np.concatenate([c.height_px for c in crops])
    assert np.percentile(heights, 95) / np.percentile(heights, 5) > 3


def test_same_seed_same_crop() -> None:
    body = load_body("free_low")
    first, again, other = (sample_crop(np.random.default_rng(seed), body, 128) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name])
    assert not np.array_equal(first.image, other.image)


def test_same_seed_same_scene_whatever_the_threads(scene: SyntheticScene) -> None:
    again = synthesize_scene(3, "playground1_01", 40, SIZE, threads=1)
    np.testing.assert_array_equal(scene.image, again.image)
    np.testing.assert_array_equal(scene.truth.visible_fraction, again.truth.visible_fraction)


def test_too_many_people_for_a_camera() -> None:
    with pytest.raises(UnsolvableGround, match="ask for fewer"):
        synthesize_scene(0, "stadiumEntrance_01", 100_000, SIZE)


def test_command_writes_image_annotation_and_truth(tmp_path) -> None:
    out = tmp_path / "my scene.v1"
    arguments = ["--output", str(out), "--people", "12", "--size", "1024x400", "--camera", "random", "--seed", "5"]
    assert run_cli(synthesize.add_arguments, synthesize.run, arguments) == 0
    assert {p.name for p in out.iterdir()} == {"image.jpg", "annotation.json", "truth.npz"}
    with np.load(out / "truth.npz") as z:
        truth = {name: z[name] for name in z.files}
    assert truth["image_size"].tolist() == [1024, 400]
    assert truth["K"].shape == (3, 3)
    assert truth["ground"][3] > 0
    np.testing.assert_allclose(np.linalg.norm(truth["ground"][:3]), 1)
    information = json.loads((out / "annotation.json").read_text())
    assert information["image_shape"] == {"height": 400, "width": 1024}
    people = information["frame_info"]["image.jpg"]
    assert len(people) == 12
    for n, person in enumerate(people):
        assert set(person) == {"bbox", "keypoints", "type", "hvip2d", "hvip3d", "torso_center"}
        keypoints = np.reshape(person["keypoints"], (17, 2)) * [1024, 400]
        np.testing.assert_allclose(keypoints, truth["keypoints_px"][n, :, :2], atol=1e-3)
        np.testing.assert_allclose(person["hvip2d"], truth["hvip_px"][n], atol=1e-3)
        assert person["type"] in {"normal", "severe_occlusion", "truncation"}


def test_command_refuses_nonsense(tmp_path, capsys) -> None:
    for arguments in (["--size", "19200"], ["--people", "0"], ["--camera", "moon"]):
        with pytest.raises(SystemExit):
            run_cli(synthesize.add_arguments, synthesize.run, ["--output", str(tmp_path), *arguments])
    assert "not a size such as" in capsys.readouterr().err
