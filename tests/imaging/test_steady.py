"""A camera that stands still, one that was bumped, and two pictures that have nothing in common."""

import cv2
import numpy as np
import pytest

from crowd3d.imaging.steady import STEADY, background_shift


def picture(seed: int) -> np.ndarray:
    """Shapes of many sizes."""
    rng = np.random.default_rng(seed)
    image = np.full((360, 640), 128, np.uint8)
    for x, y, side, grey in np.c_[rng.uniform(0, 640, 150), rng.uniform(0, 360, 150), rng.uniform(5, 60, 150), rng.uniform(0, 255, 150)]:
        cv2.rectangle(image, (int(x), int(y)), (int(x + side), int(y + 0.6 * side)), float(grey), -1)
    return image


def with_people(image: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    seen = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    for x, y in np.c_[rng.uniform(0, 640, 12), rng.uniform(0, 300, 12)].astype(int):
        cv2.rectangle(seen, (x, y), (x + 15, y + 45), int(rng.uniform(0, 255)), -1)
    return seen


def test_people_move_and_the_camera_does_not() -> None:
    shift = background_shift(with_people(picture(0), 1), with_people(picture(0), 2))
    assert shift is not None
    assert shift < STEADY


@pytest.mark.parametrize(("turn_deg", "aside_px"), [(0.0, 6.0), (1.0, 0.0)])
def test_a_bump_is_measured(turn_deg: float, aside_px: float) -> None:
    move = cv2.getRotationMatrix2D((320, 180), turn_deg, 1.0) + [[0, 0, aside_px], [0, 0, 0]]
    moved = cv2.warpAffine(picture(0), move, (640, 360), borderMode=cv2.BORDER_REFLECT)
    shift = background_shift(with_people(picture(0), 1), with_people(moved, 2))
    expected = aside_px / 640 if aside_px else np.deg2rad(turn_deg) * np.hypot(320, 180) / 640
    assert shift == pytest.approx(expected, rel=0.2)
    assert expected > STEADY


def test_other_places_and_blank_walls_tell_nothing() -> None:
    assert background_shift(picture(0), picture(1)) is None
    assert background_shift(picture(0), np.full((360, 640), 90, np.uint8)) is None
