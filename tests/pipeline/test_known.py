"""What users know is honoured together, or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from crowd3d.errors import BadConfig, ImplausibleKeypoints
from crowd3d.geometry import Camera, GroundPlane, RadialTangential
from crowd3d.ground import Opinion
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.imaging import GigapixelImage
from crowd3d.pipeline.known import ANY_CROWD, Known
from crowd3d.pipeline.world import find_world
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.types import Keypoints

SIZE = (1600, 900)
CAMERA, GROUND = Camera.from_focal(1400.0, SIZE), GroundPlane.from_angles(0.4, 0.02, 5.0)


def points(metres: float) -> tuple[float, float, float, float, float]:
    """Two pixels of the ground 4 m apart, as if they were `metres` apart."""
    ends = CAMERA.project(GROUND.from_world(np.array([[-2.0, 0.0, -12.0], [2.0, 0.0, -12.0]])))
    return (*map(float, ends.ravel()), metres)  # type: ignore[return-value]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["focal_px", "height_m", "stature_m"])
def test_no_length_is_0_or_less_or_no_number(name, value):
    with pytest.raises(BadConfig, match="positive"):
        Known(**{name: value})
    with pytest.raises(BadConfig):
        Known(Camera.from_focal(value, SIZE))
    with pytest.raises(BadConfig, match="scale points"):
        Known(scale_points=points(value))


@pytest.mark.parametrize(
    ("known", "unit"),
    [({"stature_m": 170}, "centimetres are meant, give 1.7"), ({"stature_m": 1700}, "millimetres are meant, give 1.7"),
     ({"stature_m": 5.6}, "feet are meant, give 1.71"), ({"height_m": 904}, "centimetres are meant, give 9.04"),
     ({"camera": CAMERA, "ground": replace(GROUND, offset_m=904.0)}, "centimetres"), ({"height_m": 1e6}, "between"),
     ({"scale_points": (0, 0, 0, 0, 1)}, "same pixel"), ({"ground": GROUND}, "camera"),
     ({"camera": CAMERA, "focal_px": 3.0}, "one of them"),
     ({"camera": Camera.from_focal(35.0, SIZE)}, "millimetres")],
)  # fmt: skip
def test_evident_mistakes_are_named(known, unit):
    with pytest.raises(BadConfig, match=unit):
        Known(**known)


def test_photograph_of_another_size():
    with pytest.raises(BadConfig, match="800x450"):
        Known(CAMERA).check_size((800, 450))
    with pytest.raises(BadConfig, match="millimetres"):
        Known(focal_px=50.0).check_size((6000, 4000))


def test_a_measured_height_or_distance_scales_a_given_ground():
    assert Known(CAMERA, GROUND).world == (CAMERA, GROUND)
    assert Known(CAMERA, GROUND).knowns.height_m == 5.0
    assert Known(CAMERA).world is None
    covariance = np.diag([0.01, 0.02, 0.03, 0.1]) ** 2
    by_height = Known(CAMERA, GROUND, covariance, height_m=7.5)
    assert by_height.world[1].offset_m == 7.5
    assert (by_height.world[1].normal == GROUND.normal).all()
    assert by_height.world_covariance.diagonal() == pytest.approx([1e-4, 4e-4, 9e-4, 0])
    by_distance = Known(CAMERA, GROUND, scale_points=points(8.0))
    assert by_distance.world[1].offset_m == pytest.approx(10.0)
    assert by_distance.world_covariance is None
    both = Known(CAMERA, GROUND, height_m=10.1, scale_points=points(8.0))
    assert both.world[1].offset_m == 10.1
    with pytest.raises(BadConfig, match=r"contradicts the scale points, by which it is 10\.00 m"):
        Known(CAMERA, GROUND, height_m=12.0, scale_points=points(8.0)).check_size(SIZE)
    with pytest.raises(BadConfig, match="above the horizon"):
        Known(CAMERA, GROUND, scale_points=(5, -900, 10, 800, 3)).check_size(SIZE)


def test_distances_are_measured_through_the_lens():
    lens = replace(CAMERA, distortion=RadialTangential(k1=-0.2))
    bent = lens.from_ideal_px(np.reshape(points(8.0)[:4], (2, 2)))
    known = Known(lens, GROUND, scale_points=(*bent.ravel().tolist(), 8.0))
    assert known.world[1].offset_m == pytest.approx(10.0)


def test_only_the_direction_of_a_ground():
    known = Known(CAMERA, GROUND, refit_height=True, stature_m=1.2)
    assert known.world is None
    assert (known.knowns.tilt_rad, known.knowns.roll_rad) == pytest.approx((0.4, 0.02))
    assert known.knowns.height_m is None
    assert known.stature == replace(ANY_CROWD, mean_m=1.2)
    assert replace(known, height_m=8.0).world[1].offset_m == 8.0


def test_key_is_json_and_tells_everything():
    seen = set()
    for known in (Known(), Known(CAMERA), Known(CAMERA, GROUND), Known(CAMERA, GROUND, np.eye(4)), Known(CAMERA, GROUND, refit_height=True),
                  Known(focal_px=900.0), Known(height_m=3.0), Known(scale_points=points(3.0)), Known(stature_m=1.6),
                  Known(replace(CAMERA, distortion=RadialTangential(k1=0.1))), Known(opinion=Opinion(900.0)), Known(opinion=Opinion(901.0)),
                  Known(remarks=("a",))):  # fmt: skip
        seen.add(json.dumps(known.key()))
    assert len(seen) == 13


def test_who_gives_an_opinion_is_asked_once_with_a_small_picture():
    asked = []

    def somebody(image: np.ndarray) -> Opinion:
        asked.append(image.shape)
        return Opinion(focal_px=100.0, source="somebody")

    def picture(factor: float) -> np.ndarray:
        return np.zeros((int(900 / factor), int(1600 / factor), 3), np.uint8)

    known = Known(opinion=somebody).resolved(picture, SIZE)
    assert asked == [(720, 1280, 3)]
    assert known.knowns.opinion == Opinion(focal_px=125.0, source="somebody")
    assert Known(CAMERA, GROUND, opinion=somebody).resolved(picture, SIZE).world == (CAMERA, GROUND)
    assert len(asked) == 1


def test_a_given_ground_on_which_nobody_can_stand_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    image = GigapixelImage(tmp_path / "black.png")
    crowd = simulate_crowd(CAMERA, GROUND, 20, np.random.default_rng(1))
    people = Observations.from_keypoints(Keypoints.from_array(crowd.keypoints), plain("given"))
    assert find_world(image, people, Known(CAMERA, GROUND)).ground == GROUND
    looking_up = GroundPlane.from_angles(np.deg2rad(-40.0), 0.0, 5.0)
    with pytest.raises(ImplausibleKeypoints, match="above the horizon"):
        find_world(image, people, Known(CAMERA, looking_up))
    with pytest.raises(ImplausibleKeypoints, match="above the horizon"):
        find_world(image, people, Known(CAMERA, looking_up, remarks=("of the scene",)))
    found_before = Known(CAMERA, looking_up, 1e-4 * np.eye(4), remarks=("from other pictures",))
    assert find_world(image, people, found_before).ground == looking_up
