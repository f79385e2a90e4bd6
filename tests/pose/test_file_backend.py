"""Keypoints from files: every format gives the same people."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.imaging import parse_tile_name
from crowd3d.pose import write_alphapose
from crowd3d.pose.alphapose_json import tile_sightings
from crowd3d.pose.file_backend import FileBackend, has_torso
from crowd3d.pose.keypoint_files.layouts import BODY25_TO_COCO, OPENPOSE_TO_COCO
from crowd3d.pose.standing import STANDING, complete
from crowd3d.types import TileLayout

IMAGE = Path("folder") / "my crowd.v2_b.jpg"
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def people() -> np.ndarray:
    """(3, 17, 3) people in a 900 × 480 photograph, everything known."""
    xy = np.array([200.0, 100.0, 150.0])[:, None, None] * STANDING + np.array([[200.0, 300], [430, 200], [700, 400]])[:, None]
    noise = np.random.default_rng(0).normal(0, 1.0, xy.shape)
    return np.concatenate([xy + noise, np.full((3, 17, 1), 0.8)], -1).round(3)


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def body(person: np.ndarray, order: list[int], count: int) -> list[float]:
    """Keypoints in an order of OpenPose, those that COCO does not have being unknown."""
    points = np.zeros((count, 3))
    points[order] = person
    return points.ravel().tolist()


def results(people: np.ndarray, image: str | int) -> list[dict[str, object]]:
    return [{"image_id": image, "category_id": 1, "keypoints": person.ravel().tolist(), "score": 0.5} for person in people]


@pytest.mark.parametrize(
    "form", ["npy", "coco", "coco with numbers", "alphapose cmu", "alphapose open", "openpose 18", "openpose 25", "folder"]
)
def test_all_formats_give_the_same_people(form: str, people: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "keypoints.json"
    if form == "npy":
        path = tmp_path / "keypoints.npy"
        np.save(path, people)
    elif form == "coco":
        write(path, results(people, IMAGE.name) + results(people + [5, 5, 0], "somebody_else.jpg"))
    elif form == "coco with numbers":
        write(path, results(people, 139))
    elif form == "alphapose cmu":
        write(path, {IMAGE.name: {"version": 0.1, "bodies": [{"joints": body(person, OPENPOSE_TO_COCO, 18)} for person in people]}})
    elif form == "alphapose open":
        listed = [{"pose_keypoints_2d": body(person, OPENPOSE_TO_COCO, 18)} for person in people]
        write(path, {IMAGE.name: {"version": 0.1, "people": listed}, "other.jpg": {"version": 0.1, "people": listed[:1]}})
    else:
        order, count = (OPENPOSE_TO_COCO, 18) if form == "openpose 18" else (BODY25_TO_COCO, 25)
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": body(person, order, count)} for person in people]}
        file = write(tmp_path / "openpose" / f"{IMAGE.stem}_keypoints.json", content)
        path = file.parent if form == "folder" else file
    found = FileBackend(path).people(IMAGE, (900, 480))
    np.testing.assert_allclose(found.array, people)


def test_body_25_is_what_openpose_says() -> None:
    published = "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"
    coco = "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle"
    assert [published.split()[index] for index in BODY25_TO_COCO] == coco.split()


def test_tiles_are_merged(people: np.ndarray, tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 480, 480], [0, 210, 480, 690], [0, 420, 480, 900]])
    layout = TileLayout(boxes, np.array([[0, 0], [0, 1], [0, 2]]), (900, 480))
    person, tile = tile_sightings(people, layout)
    assert len(person) > len(people)
    path = tmp_path / "alphapose-results-scale.json"
    write_alphapose(path, people[person], tile, layout, IMAGE.stem)
    found = FileBackend(path).people(IMAGE, (900, 480))
    order = np.argsort(found.xy_px[:, 0, 0])
    np.testing.assert_allclose(found.array[order], people[np.argsort(people[:, 0, 0])], atol=2e-3)


def test_alphapose_results_of_a_whole_crowd(tmp_path: Path) -> None:
    path = tmp_path / "alphapose-results.json"
    path.write_bytes(gzip.decompress((DATA / "alphapose_results.json.gz").read_bytes()))
    tile = parse_tile_name(json.loads(path.read_text(encoding="utf-8"))[0]["image_id"])
    assert tile is not None
    assert len(FileBackend(path).people(Path(tile.name + ".jpg"), (19200, 6518))) == 400


def test_unknown_keypoints_are_guessed_and_people_without_torso_left_out(people: np.ndarray, tmp_path: Path) -> None:
    people[0, [9, 10, 15, 16]] = 0
    people[1, 5:7, 2] = 0
    people[2, [0, 1, 2, 3, 4, 13, 14, 15, 16], 2] = 0
    np.save(tmp_path / "k.npy", people)
    found = FileBackend(tmp_path / "k.npy").people(IMAGE, (900, 480))
    assert len(found) == 2
    ankles = 200.0 * STANDING[15:] + [200.0, 300]
    np.testing.assert_allclose(found.xy_px[0, 15:], ankles, atol=10)
    np.testing.assert_allclose(found.xy_px[1, 0], 150.0 * STANDING[0] + [700.0, 400], atol=15)
    np.testing.assert_array_equal(found.score, people[[0, 2], :, 2])


def test_a_person_from_behind_keeps_sides(people: np.ndarray) -> None:
    behind = people.copy()
    behind[..., 0] = 2 * people[:, :1, 0] - people[..., 0]
    behind[:, [13, 15, 9], 2] = 0
    assert has_torso(behind).all()
    guess = complete(behind).xy_px
    assert (guess[:, 15, 0] < guess[:, 16, 0]).all()
    assert (guess[:, 15, 1] > guess[:, 11, 1]).all()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.json", None, "no keypoints at"),
        ("k.npy", b"not an array", "cannot read keypoints"),
        ("k.json", b"{", "cut off"),
        ("k.json", b"{]", "not JSON"),
        ("k.json", b'[{"image_id": 1}]', "entry 1 of 1 has no keypoints"),
        ("k.json", b'{"other.jpg": {"bodies": [{"joints": [1, 2, 3]}]}}', "has 1 keypoints"),
    ],
)
def test_bad_files(name: str, content: bytes | None, told: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingAsset, match=told):
        FileBackend(tmp_path / name).people(IMAGE, (900, 480))


def test_keypoints_of_another_shape_or_of_other_images(people: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", people[:, :16])
    with pytest.raises(MissingAsset, match=r"\(3, 16, 3\)"):
        FileBackend(tmp_path / "k.npy").people(IMAGE, (900, 480))
    others = write(tmp_path / "k.json", results(people, "a.jpg") + results(people, "b.jpg"))
    with pytest.raises(MissingAsset, match=r"2 other images such as 'a\.jpg'"):
        FileBackend(others).people(IMAGE, (900, 480))
    tile = write(tmp_path / "t.json", results(people, "other_0_0_0_0_512_512.jpg"))
    with pytest.raises(MissingAsset, match="another image, 'other_0"):
        FileBackend(tile).people(IMAGE, (900, 480))
