"""Scores and spreads of keypoints."""

import json
from dataclasses import replace

import numpy as np

from crowd3d.pose.observations import Observations, person_size_px
from crowd3d.pose.source import Source, plain
from crowd3d.types import Keypoints


def person(scale: float = 100.0) -> np.ndarray:
    """(17, 2) a standing figure whose stature is about `scale`."""
    x = [0, 2, -2, 4, -4, 12, -12, 16, -16, 16, -16, 8, -8, 8, -8, 8, -8]
    y = [-88, -90, -90, -88, -88, -78, -78, -58, -58, -40, -40, -48, -48, -26, -26, -2, -2]
    return np.stack([x, y], 1) * scale / 100.0


def test_score_and_spread_are_inverse():
    score = np.linspace(0.05, 1.0, 50)
    source = plain("test")
    np.testing.assert_allclose(source.score(source.sigma(score)), score, atol=1e-9)
    assert (np.diff(source.sigma(score)) < 0).all()


def test_errors_are_spreads_unless_a_calibration_says_otherwise():
    keypoints = Keypoints(person(200.0)[None], np.linspace(0.2, 1.0, 17)[None])
    observed = Observations.from_keypoints(keypoints, plain("test"))
    np.testing.assert_array_equal(observed.error_px, observed.sigma_px)
    size = person_size_px(observed.xy_px)
    wide = replace(observed, source=replace(observed.source, error_factor=4.0, error_power=2.0, hidden_factor=3.0))
    hidden = np.where(observed.visible < 0.5, 3.0, 1.0)
    assert set(hidden.ravel()) == {1.0, 3.0}
    np.testing.assert_allclose(wide.error_px, hidden * 4.0 * size * (observed.sigma_px / size) ** 2)


def test_a_source_survives_json():
    source = plain("test", "1.2")
    assert Source.from_dict(json.loads(json.dumps(source.as_dict()))) == source


def test_plain_keypoints_survive_the_round_trip_and_leave_the_rest_unknown():
    keypoints = np.concatenate([np.stack([person(100), person(300)]), np.full((2, 17, 1), 0.6)], 2)
    observed = Observations.from_keypoints(Keypoints.from_array(keypoints), plain("test"))
    np.testing.assert_allclose(observed.keypoints.array, keypoints, atol=1e-9)
    assert np.isnan(observed.depth_m).all()
    assert np.isnan(observed.hvip_px).all()
    np.testing.assert_allclose(observed.sigma_px[1], 3 * observed.sigma_px[0])


def test_size_of_people_who_are_cut_off_follows_from_the_torso():
    whole = person(200)[None]
    cut = whole.copy()
    cut[:, 13:] = cut[:, 11:12]
    np.testing.assert_allclose(person_size_px(cut), person_size_px(whole), rtol=0.25)


def test_save_and_load(tmp_path):
    observed = Observations.from_keypoints(Keypoints.from_array(np.random.default_rng(0).random((3, 17, 3))), plain("test"))
    observed.save(tmp_path / "observations.npz")
    again = Observations.load(tmp_path / "observations.npz")
    for name, value in vars(observed).items():
        np.testing.assert_array_equal(value, getattr(again, name))


def test_doubtful_people_and_their_source_are_remarked():
    keypoints = Keypoints.from_array(np.concatenate([np.stack([person(100)] * 4), np.full((4, 17, 1), 0.6)], 2))
    source = replace(plain("test"), scores_are_probabilities=True, remark="look twice")
    sure, unsure = (replace(Observations.from_keypoints(keypoints, source), score=np.full(4, score)) for score in (0.9, 0.5))
    assert sure.remarks == ("look twice",)
    assert unsure.remarks == ("look twice", "people are doubtful: in the mean 50 % probable")
    assert replace(unsure, source=plain("test")).remarks == (), "mean keypoint scores tell nothing of the kind"
