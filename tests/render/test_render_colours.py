"""Colours of people: neighbours differ, also to colour-blind eyes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from crowd3d.render.colours import HUES, person_colours

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DICHROMATS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab_from_linear(linear: np.ndarray) -> np.ndarray:
    xyz = np.clip(linear, 0, 1) @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


@pytest.mark.parametrize("eye", DICHROMATS)
def test_hues_differ_to_dichromats(eye: str) -> None:
    srgb = HUES / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    # A just noticeable difference is about 2.3.
    assert pdist(lab_from_linear(linear @ np.array(DICHROMATS[eye]).T)).min() > 9.0


@pytest.mark.parametrize("seed", range(4))
def test_nearest_neighbours_never_share_a_colour(make_scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = make_scene(rng.uniform([-10, 8], [10, 60], (300, 2))).people
    colours = person_colours(people)
    _, nearest = cKDTree(people.hvip_cam_m).query(people.hvip_cam_m, k=4)
    difference = np.abs(colours[nearest[:, 1:]].astype(int) - colours[:, None]).sum(axis=-1)
    assert difference.min() > 25
    np.testing.assert_array_equal(colours, person_colours(people))


def test_nobody_and_unplaced_people_have_colours_too(make_scene) -> None:
    assert person_colours(make_scene(np.zeros((0, 2))).people).shape == (0, 3)
    people = make_scene([[0.0, 10.0], [np.nan, np.nan], [1.0, 12.0]]).people
    assert person_colours(people).shape == (3, 3)
