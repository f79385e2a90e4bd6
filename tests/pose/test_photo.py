"""The backend of networks that were trained on photographs, with stand-ins for the networks: no photograph, no download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage, turned
from crowd3d.pose import photo, photo_finder
from crowd3d.pose.observations import Observations
from crowd3d.pose.photo import PERSON_THRESHOLD, PhotoSeeker, Seen, photo_source
from crowd3d.pose.photo_finder import FILL, TILE_PX, Boxes, BoxFinder, _in_image, distinct_boxes, pyramid, tiles_on_ground
from crowd3d.pose.photo_keypoints import ALONE_MARGIN, CROP_SIZE, BoxKeypoints, KeypointsInBoxes, _paint_around, averaged
from crowd3d.pose.search import search
from crowd3d.types import NOMINAL_STATURE_M, Keypoints


@pytest.fixture
def image(tmp_path: Path) -> GigapixelImage:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((600, 900, 3), 128, np.uint8))
    return GigapixelImage(tmp_path / "grey.png")


def test_the_pyramid_begins_with_the_whole_picture() -> None:
    levels = pyramid((900, 600), 1000)
    top, left, bottom, right = levels[0][0]
    assert len(levels[0]) == 1
    assert left <= 0
    assert top <= 0
    assert right >= 900
    assert bottom >= 600
    sides = [level[0, 2] - level[0, 0] for level in levels]
    assert sides == sorted(set(sides), reverse=True)
    assert sum(map(len, pyramid((19200, 6480), 150))) <= 150


def test_boxes_return_to_the_photograph() -> None:
    """Cut off by a tile inside the picture: left out. By the picture's own border: kept, and clipped."""
    tiles = np.array([[100, 200, 300, 400], [100, 200, 300, 400], [0, 700, 200, 900], [100, 200, 300, 400]])
    corners = np.array([[52, 52, 156, 312], [1, 52, 156, 312], [260, 52, 416, 312], [100, 100, 110, 110]]) * (TILE_PX / 416)
    found = _in_image(tiles, np.zeros(4), corners, np.array([0.9, 0.8, 0.7, 0.6]), (900, 600))
    np.testing.assert_allclose(found.score, [0.9, 0.7])
    np.testing.assert_allclose(found.corners[0], [225, 125, 275, 250])
    np.testing.assert_allclose(found.corners[1], [825, 25, 900, 150])


def test_a_weak_box_inside_a_better_one_is_left_out() -> None:
    """Not one beside it, nor one that fills the picture."""
    middle, size = np.array([[300.0, 300], [302, 270], [360, 300], [300, 310]]), np.array([[60.0, 160], [50, 70], [60, 150], [200, 400]])
    boxes = Boxes(middle, size, np.array([0.8, 0.3, 0.3, 0.2]), np.zeros(4))
    assert distinct_boxes(boxes, (900, 600)).score.tolist() == [0.8, 0.3, 0.2]
    np.testing.assert_allclose(distinct_boxes(boxes, (900, 600)).middle_px, middle[[0, 2, 3]])
    sure = replace(boxes, score=np.array([0.8, 0.5, 0.3, 0.2]))
    assert len(distinct_boxes(sure, (900, 600))) == 4


def test_rows_are_replaced() -> None:
    boxes, others = three(0.9), three(0.4)
    changed = boxes.with_rows(np.array([2, 0]), others[np.array([1, 2])])
    np.testing.assert_allclose(changed.score, [0.4, 0.9, 0.4])
    np.testing.assert_allclose(changed.middle_px, [others.middle_px[2], boxes.middle_px[1], others.middle_px[1]])


def test_a_leaning_box_is_turned_about_its_tile() -> None:
    tile, lean = np.array([[100, 200, 300, 400]]), np.array([0.4])
    corners = np.array([[104.0, 52.0, 208.0, 312.0]])
    straight, leaning = (_in_image(tile, angle, corners, np.ones(1), (900, 600)) for angle in (np.zeros(1), lean))
    middle = np.array([300.0, 200.0])
    np.testing.assert_allclose(leaning.middle_px - middle, turned(straight.middle_px - middle, lean))
    np.testing.assert_allclose(leaning.size_px, straight.size_px)
    assert leaning.lean_rad.tolist() == lean.tolist()


def test_the_ground_chooses_tiles_in_which_people_have_a_good_size() -> None:
    camera, ground = Camera.from_fov(50.0, (4000, 2000)), GroundPlane.from_angles(np.deg2rad(15), 0.0, 8.0)
    levels = pyramid((4000, 2000), 5000)
    kept = tiles_on_ground(levels, camera, ground)
    assert 0 < len(kept) < sum(map(len, levels)) / 2
    feet = np.stack(np.meshgrid(np.linspace(300, 3700, 9), np.linspace(500, 1800, 6)), -1).reshape(-1, 2)
    feet = feet[np.isfinite(ground.intersect(camera, feet)).all(1)]
    tall = NOMINAL_STATURE_M * ground.pixels_per_metre(camera, feet)
    for foot, height in zip(feet[tall > 40], tall[tall > 40], strict=True):
        top, left, bottom, right = kept.T
        inside = (left < foot[0] - height / 4) & (right > foot[0] + height / 4) & (top < foot[1] - height) & (bottom > foot[1])
        share = height / (bottom - top)[inside]
        assert ((share > 0.08) & (share < 0.5)).any(), "somebody who stands there is whole in a tile, and of a good size"


class StandIn:
    """Finds people where they were put; sees their keypoints where the boxes are."""

    def __init__(self, boxes: Boxes, score: float) -> None:
        self.boxes, self.score = boxes, score
        self.looked_at: list[Boxes] = []
        self.mirrored = 0

    def find(self, image: GigapixelImage, tiles: np.ndarray, lean_rad: np.ndarray, describe: str) -> Boxes:
        return self.boxes

    def look(self, image: GigapixelImage, boxes: Boxes, describe: str, alone: bool = False, mirrored: bool = False) -> BoxKeypoints:
        self.looked_at.append(boxes)
        self.mirrored += mirrored * len(boxes)
        unit = photo_test_person()
        xy = boxes.middle_px[:, None] + unit * boxes.size_px[:, None, 1:]
        score = np.full((len(boxes), 17), self.score)
        return BoxKeypoints(xy, score, xy, score / 10, np.zeros(score.shape), score[:, 0])

    def turned_deg(self, image: GigapixelImage) -> int:
        return 90


def photo_test_person() -> np.ndarray:
    from crowd3d.pose.standing import STANDING

    return STANDING + [0.0, 0.5]


class NoDepths:
    """In place of the keypoint network."""

    def observe(self, image, candidates, describe):
        raise AssertionError("nobody is to be looked at")


def seeker(boxes: Boxes, score: float) -> PhotoSeeker:
    made = PhotoSeeker.__new__(PhotoSeeker)
    made.source = photo_source()
    made.finder = made.keypoints = StandIn(boxes, score)  # type: ignore[assignment]
    made.depths = NoDepths()  # type: ignore[assignment]
    return made


def three(score: float) -> Boxes:
    return Boxes(np.array([[200.0, 300], [450, 310], [700, 290]]), np.tile([60.0, 160], (3, 1)), np.full(3, score), np.zeros(3))


def test_weak_boxes_with_weak_keypoints_are_nobody(image: GigapixelImage) -> None:
    assert len(search(seeker(three(0.3), 0.1), image, lambda seen: None)) == 0
    assert len(search(seeker(Boxes.none(), 0.9), image, lambda seen: None)) == 0


def _cells(images: np.ndarray, stride: int) -> np.ndarray:
    """(B, H, W, 3) → (B, 3, H / stride, W / stride) means, 0…1."""
    batch, height, width, colours = images.shape
    cells = images.reshape(batch, height // stride, stride, width // stride, stride, colours).mean((2, 4)) / 255
    return cells.transpose(0, 3, 1, 2)


class _HeadsUp:
    """Sees a person around every red pixel that has something green a quarter of the window below it."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        assert images.shape[1:3] == (TILE_PX, TILE_PX)
        cells = _cells(images, 8)
        height = cells.shape[2]
        feet = np.pad(cells[:, 1] - cells[:, 0], ((0, 0), (0, height // 4), (0, 0)))[:, height // 4 :]
        person = 40 * (np.minimum(cells[:, 0] - cells[:, 1], feet) - 0.1)
        whole = np.concatenate([person[:, None], np.zeros((len(images), 32, *person.shape[1:]))], 1)
        return whole, *(np.full((len(images), 33, side, side), -9.0) for side in (height // 2, height // 4))


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_which_side_is_up(tmp_path: Path, quarters: int) -> None:
    photo = np.full((600, 900, 3), 90, np.uint8)
    for left in range(200, 801, 150):
        photo[180:210, left : left + 30], photo[405:435, left : left + 30] = (250, 0, 0), (0, 250, 0)
    cv2.imwrite(str(tmp_path / "turned.png"), np.rot90(photo, quarters)[..., ::-1])
    finder = BoxFinder.__new__(BoxFinder)
    finder.network = _HeadsUp()  # type: ignore[assignment]
    assert finder.turned_deg(GigapixelImage(tmp_path / "turned.png")) == 90 * quarters, "rot90 turns counterclockwise"


def test_of_few_people_it_is_said_that_the_picture_is_turned(image: GigapixelImage) -> None:
    remarks = search(seeker(Boxes.none(), 0.9), image, lambda seen: None).remarks
    assert any("turned by 90° clockwise" in remark for remark in remarks)


def test_certainty_grows_with_both_scores() -> None:
    finder, keypoint = np.meshgrid(np.linspace(0.2, 0.9, 8), np.linspace(0.1, 0.9, 8))
    certainty = photo._certainty(finder.ravel(), np.repeat(keypoint.ravel()[:, None], 17, 1), np.full(64, 0.2)).reshape(8, 8)
    assert (np.diff(certainty, axis=0) > 0).all()
    assert (np.diff(certainty, axis=1) > 0).all()
    assert certainty.min() < 0.1
    assert certainty.max() > 0.95
    one = np.full((1, 17), 0.5)
    small, large = (photo._certainty(np.array([0.2]), one, np.array([share]))[0] for share in (0.1, 0.9))
    assert large / (1 - large) == pytest.approx(photo.LARGE_ODDS * small / (1 - small)), "twice the odds for who fills the picture"
    cut_off = np.r_[np.full(8, 0.8), np.zeros(9)]
    legless = photo._certainty(np.array([0.7]), cut_off[None], np.array([0.2]))[0]
    assert legless > PERSON_THRESHOLD, "legs outside of the picture are no reason for doubt"


def test_in_a_crowd_less_makes_a_person(image: GigapixelImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mistaken for people does not become more with them: the odds that are asked for fall in proportion."""

    def people_among(others: int) -> int:
        places = np.stack([np.arange(others + 1) % 12 * 70.0 + 60, np.arange(others + 1) // 12 * 110.0 + 60], 1)
        boxes = Boxes(places, np.tile([40.0, 100], (others + 1, 1)), np.r_[0.162, np.full(others, 0.95)], np.zeros(others + 1))
        made = seeker(boxes, 0.9)
        made.depths = NothingMore()  # type: ignore[assignment]
        found = made.first_look(image)
        assert len(made.sure(image, found)) == others
        observed = made._people(image, found)
        assert len(observed) == others or 0.65 < observed.score.min() < 0.7
        return len(observed)

    monkeypatch.setattr(photo, "_with_depths", lambda observed, other, per_metre: observed)

    assert [people_among(others) - others for others in (0, 3, 8, 10, 40)] == [0, 0, 0, 1, 1]
    thresholds = np.array([photo._threshold_among(sure) for sure in (0, 8, 16, 32, 500)])
    odds = thresholds / (1 - thresholds)
    np.testing.assert_allclose(odds / odds[0], [1, 1, 0.5, 0.25, 0.25])
    assert thresholds[0] == pytest.approx(PERSON_THRESHOLD)


class NothingMore:
    """In place of the keypoint network: it says nothing."""

    def observe(self, image, candidates, describe):
        return None


class MostConspicuous(StandIn):
    """Sees the first of all people wherever somebody else is not alone."""

    def look(self, image: GigapixelImage, boxes: Boxes, describe: str, alone: bool = False, mirrored: bool = False) -> BoxKeypoints:
        seen = super().look(image, boxes, describe, alone, mirrored)
        front = super().look(image, self.boxes[np.zeros(len(boxes), int)], describe)
        near = np.abs(boxes.middle_px[:, 0] - self.boxes.middle_px[0, 0]) < 100
        taken = near[:, None, None] & (not alone)
        return replace(seen, xy_px=np.where(taken, front.xy_px, seen.xy_px), other_px=np.where(taken, front.other_px, seen.other_px))


@pytest.mark.parametrize("lean_rad", [0.0, 0.4])
def test_somebody_behind_another_is_looked_at_alone(image: GigapixelImage, lean_rad: float) -> None:
    """In the box of the second of three the network shows the first. A second box of the first shows nobody else."""
    people = Boxes(np.array([[300.0, 300], [345, 290], [700, 290], [306, 302]]), np.tile([60.0, 160], (4, 1)), np.full(4, 0.9), np.zeros(4))
    people = replace(people, lean_rad=np.full(4, lean_rad), score=np.array([0.9, 0.8, 0.85, 0.7]))
    made = seeker(people, 0.8)
    made.keypoints = MostConspicuous(people, 0.8)  # type: ignore[assignment]
    found = made.first_look(image)
    assert len(made.sure(image, found)) == 2
    whole = made._with_hidden(image, found)
    np.testing.assert_allclose(whole.boxes.middle_px[len(people) :], people.middle_px[[1]])
    assert len(made.sure(image, whole)) == 3


def test_everybody_is_seen_mirrored_once_and_no_second_box_of_theirs(image: GigapixelImage) -> None:
    people = three(0.9)
    again = replace(people, middle_px=people.middle_px + [3.0, 2.0], score=people.score - 0.1)
    made = seeker(Boxes.joined([people, again, replace(people[:1], middle_px=np.array([[100.0, 90]]), score=np.array([0.05]))]), 0.8)
    found = made.first_look(image)
    assert len(found.boxes) == 7
    assert made.keypoints.mirrored == 3  # type: ignore[attr-defined]


def test_two_views_are_averaged_unless_they_dissent() -> None:
    boxes = three(0.9)[:1]
    side = 1.15 * boxes.size_px[0, 1]
    rng = np.random.default_rng(2)
    xy = rng.uniform(100, 200, (1, 17, 2))
    first, second = rng.uniform(0.2, 0.9, (2, 1, 17))
    apart = np.zeros((1, 17, 2))
    apart[0, :8, 0], apart[0, 8:, 0] = 0.03 * side, 0.2 * side
    zero = np.zeros((1, 17))
    plain = BoxKeypoints(xy, first, xy + 50, zero, zero, np.array([0.5]))
    mirrored = BoxKeypoints(xy + apart, second, xy + 60, zero, zero, np.array([0.5]))
    both = averaged(plain, mirrored, boxes)
    np.testing.assert_allclose(both.xy_px[0, :8], (xy + apart * (second / (first + second))[..., None])[0, :8])
    surer = np.where((first > second)[..., None], xy, xy + apart)
    np.testing.assert_allclose(both.xy_px[0, 8:], surer[0, 8:])
    np.testing.assert_allclose(both.other_px[0, 8:], (2 * xy + apart - surer)[0, 8:], err_msg="the other place comes second")
    np.testing.assert_allclose(both.score, (first + second) / 2)
    np.testing.assert_allclose(both.apart_px, np.abs(apart[..., 0]))


def test_a_mirrored_look_tells_the_same_places(image: GigapixelImage) -> None:
    """Of a network that finds the brightest pixel of each side for left and right."""
    photo = np.full((600, 900, 3), 90, np.uint8)
    photo[300:304, 420:424], photo[300:304, 476:480] = (250, 0, 0), (0, 250, 0)
    cv2.imwrite(str(image.path), photo[..., ::-1])
    box = Boxes(np.array([[450.0, 300]]), np.array([[90.0, 200]]), np.ones(1), np.zeros(1))
    looks = KeypointsInBoxes.__new__(KeypointsInBoxes)
    looks.network = _Colours()  # type: ignore[assignment]
    plain, mirrored = (looks.look(GigapixelImage(image.path), box, "", mirrored=flip) for flip in (False, True))
    np.testing.assert_allclose(plain.xy_px[0, 5], [422, 302], atol=2.0)
    np.testing.assert_allclose(plain.xy_px[0, 6], [478, 302], atol=2.0)
    # Red is the left of whoever is seen, and of the mirrored their right.
    np.testing.assert_allclose(mirrored.xy_px[0, [6, 5]], plain.xy_px[0, [5, 6]], atol=2.0)


class _Colours:
    """Heat of left joints is red, of right joints green."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        small = _cells(images, 4)
        heat = np.stack([small[:, 0] - small[:, 2] if joint % 2 else small[:, 1] - small[:, 2] for joint in range(17)], 1)
        nothing = np.zeros((len(images), 17, 2, *heat.shape[2:]))
        return heat[:, :1] * 0, np.maximum(heat, 0), nothing, nothing + 0.5


def test_around_a_box_all_is_grey() -> None:
    images = np.full((2, *CROP_SIZE, 3), 7, np.uint8)
    half = np.array([[20.0, 50.0], [40.0, 100.0]])
    _paint_around(images, half)
    for crop, reach in zip(images, (1 + ALONE_MARGIN) * half, strict=True):
        inside = (crop == 7).all(2)
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        assert inside.sum() == len(rows) * len(columns)
        assert len(columns) == pytest.approx(2 * float(reach[0]), abs=1)
        assert len(rows) == pytest.approx(2 * float(reach[1]), abs=1)
        assert rows[0] + rows[-1] == CROP_SIZE[0] - 1
        assert (crop[~inside] == FILL).all()


def test_people_who_lean_are_looked_at_again_upright(image: GigapixelImage) -> None:
    """A camera rolled by 20°: everybody again, turned; a level one: nobody."""
    made = seeker(three(0.9), 0.8)
    found = made.first_look(image)
    camera = Camera.from_fov(60.0, image.size)
    for roll, again in ((np.deg2rad(20.0), 3), (np.deg2rad(2.0), 0)):
        made.keypoints.looked_at.clear()  # type: ignore[attr-defined]
        upright = made.look_again(image, found, camera, GroundPlane.from_angles(0.2, roll, 5.0))
        assert sum(map(len, made.keypoints.looked_at)) == 2 * again  # type: ignore[attr-defined]
        assert len(upright.boxes) == 3
        if again:
            np.testing.assert_allclose(upright.boxes.lean_rad, roll, atol=0.1)


def test_a_second_look_adds_only_whom_the_first_did_not_see(image: GigapixelImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "FIRST_TILES", 1)
    made = seeker(three(0.9), 0.8)
    some = three(0.9)[:2]
    first = Seen(some, made.keypoints.look(image, some, ""))
    camera, ground = Camera.from_fov(60.0, image.size), GroundPlane.from_angles(0.25, 0.0, 5.0)
    both = made.look_again(image, first, camera, ground)
    np.testing.assert_allclose(both.boxes.middle_px, three(0.9).middle_px)
    assert both.world == (camera, ground)
    assert both.keypoints is not None
    assert len(both.keypoints) == 3
    assert photo_finder.FIRST_TILES > 1


def test_the_place_on_the_ground_is_known_where_ankles_are_sure() -> None:
    """It is told beside the torso, so that a shift between both networks does not move it."""
    xy = np.random.default_rng(0).uniform(100, 300, (2, 17, 2))
    score = np.full((2, 17), 0.95)
    score[1, 15] = 0.1
    observed = Observations.from_keypoints(Keypoints(xy, score), photo_source())
    shift = np.array([4.0, -3.0])
    other = replace(observed, xy_px=xy + shift, hvip_px=np.array([[200.0, 310.0], [220.0, 320.0]]) + shift)
    found = photo._with_depths(observed, replace(other, depth_m=score, depth_sigma_m=score), np.full(2, 100.0))
    np.testing.assert_allclose(found.hvip_px[0], [200.0, 310.0])
    assert np.isnan(found.hvip_px[1]).all()
