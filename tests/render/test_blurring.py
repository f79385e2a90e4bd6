"""Blurred heads: nothing of a face is left where people were found, and everything else stays."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from crowd3d.render import Style
from crowd3d.render.blurring import blur_discs
from crowd3d.render.crowd import Crowd, paint

PLACES = np.array([[-1.5, 7.0], [0.5, 8.0], [2.0, 9.0]])


def detail(picture: np.ndarray) -> np.ndarray:
    """How much neighbouring pixels differ."""
    return np.abs(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)).mean(-1)


def test_heads_of_bodies_and_observed_faces_lose_their_detail(make_scene, body) -> None:
    scene = make_scene(PLACES)
    # Of the last person the keypoints show the face elsewhere than the body has it.
    keypoints = np.zeros((3, 17, 3))
    keypoints[2, :5] = np.r_[100.0, 60.0, 0.9]
    scene = dataclasses.replace(scene, people=dataclasses.replace(scene.people, keypoints_px=keypoints))
    photo = np.random.default_rng(0).integers(0, 255, (420, 640, 3)).astype(np.uint8)
    blurred = photo.copy()
    crowd = Crowd.of(scene, body)
    blur_discs(blurred, crowd.heads_px)
    eyes = scene.camera.project(scene.people.joints_cam_m(body)[:, 24:27]).reshape(-1, 2)
    before, after = detail(photo), detail(blurred)
    for u, v in np.concatenate([eyes, [[100.0, 60.0]]]).astype(int):
        around = np.s_[v - 1 : v + 2, u - 1 : u + 2]
        assert after[around].mean() < 0.05 * before[around].mean()
    y, x = np.mgrid[:420, :640]
    far = (np.hypot(x[..., None] + 0.5 - crowd.heads_px[:, 0], y[..., None] + 0.5 - crowd.heads_px[:, 1]) > crowd.heads_px[:, 2]).all(-1)
    np.testing.assert_array_equal(blurred[far], photo[far])
    assert far.mean() > 0.9


def test_overlays_blur_when_asked(make_scene, body) -> None:
    scene = make_scene(PLACES)
    photo = np.random.default_rng(0).integers(0, 255, (420, 640, 3)).astype(np.uint8)
    crowd = Crowd.of(scene, body)

    def shining_through(style: Style) -> np.ndarray:
        """What of the photograph is left under the bodies."""
        shown, without = photo.copy(), np.full_like(photo, 128)
        paint(shown, crowd, style)
        paint(without, crowd, style)
        return detail(shown.astype(np.float32) - without)

    plain, blurred = shining_through(Style()), shining_through(Style(blur_faces=True))
    heads = np.unique(np.floor(crowd.heads_px[:, :2]).astype(int), axis=0)
    assert len(heads) == 3
    for u, v in heads:
        around = np.s_[v - 1 : v + 2, u - 1 : u + 2]
        assert blurred[around].mean() < 0.15 * plain[around].mean()


def test_discs_at_and_beyond_the_border() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    before = picture.copy()
    blur_discs(picture, np.array([[-50.0, 5.0, 8.0], [15.0, 500.0, 3.0]]))
    np.testing.assert_array_equal(picture, before)
    blur_discs(picture, np.array([[0.0, 0.0, 6.0], [29.9, 19.9, 0.3]]))
    assert (picture[:4, :4] != before[:4, :4]).any()
