"""Keypoint files of all tools give the same people; whatever is wrong with one is a line that says what and where."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowd3d.bodies import COCO17_NAMES
from crowd3d.errors import MissingAsset
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.keypoint_files.layouts import BODY25_TO_COCO, OPENPOSE_TO_COCO
from crowd3d.pose.keypoint_files.plausible import doubt, fault
from crowd3d.pose.standing import STANDING

SIZE = (1600, 900)
IMAGE = Path("pictures") / "IMG_0001.jpg"
COUNT = 12


def crowd() -> np.ndarray:
    """(12, 17, 3) people all over the photograph."""
    rng = np.random.default_rng(0)
    feet = np.stack([np.linspace(80, 1500, COUNT), rng.uniform(250, 880, COUNT)], -1)
    xy = feet[:, None] + 120.0 * STANDING + rng.normal(0, 1, (COUNT, 17, 2))
    return np.concatenate([xy, rng.uniform(0.2, 1.0, (COUNT, 17, 1))], -1).round(3)


PEOPLE = crowd()


def flat(people: np.ndarray) -> list[list[float]]:
    return people.reshape(len(people), -1).tolist()


def in_layout(people: np.ndarray, order: list[int], count: int) -> np.ndarray:
    points = np.random.default_rng(1).uniform(100, 800, (len(people), count, 3)) * [1, 1, 0.001]
    points[:, order] = people
    return points


def coco_results(people: np.ndarray = PEOPLE, image: str | int = IMAGE.name) -> list[dict[str, Any]]:
    return [{"image_id": image, "category_id": 1, "keypoints": person, "score": 0.9} for person in flat(people)]


def coco_annotations(size: tuple[int, int] = SIZE) -> dict[str, Any]:
    marked = np.concatenate([PEOPLE[..., :2], np.full((COUNT, 17, 1), 2)], -1)
    images = [{"id": 7, "file_name": f"train/{IMAGE.name}", "width": size[0], "height": size[1]}, {"id": 8, "file_name": "other.jpg"}]
    annotations = [{"id": row, "image_id": 7, "category_id": 1, "keypoints": person} for row, person in enumerate(flat(marked))]
    nobody = [{"id": 90, "image_id": 7, "bbox": [1, 2, 3, 4]}, {"id": 91, "image_id": 7, "keypoints": [0] * 51, "num_keypoints": 0}]
    other = [{"id": 92, "image_id": 8, "keypoints": annotations[0]["keypoints"]}]
    return {"images": images, "categories": [{"id": 1, "name": "person"}], "annotations": annotations + nobody + other}


def mmpose(people: np.ndarray = PEOPLE) -> list[dict[str, Any]]:
    return [
        {"keypoints": person[:, :2].tolist(), "keypoint_scores": person[:, 2].tolist(), "bbox": [[0, 0, 9, 9]], "bbox_score": 0.9}
        for person in people
    ]


def mmpose_demo() -> dict[str, Any]:
    """With an order of its own, which the file describes."""
    order = np.random.default_rng(2).permutation(17)
    names = {str(row): COCO17_NAMES[joint] for row, joint in enumerate(order)}
    return {"meta_info": {"dataset_name": "own", "keypoint_id2name": names}, "instance_info": mmpose(PEOPLE[:, order])}


def ultralytics() -> list[dict[str, Any]]:
    axes = ("x", "y", "visible")
    persons = [
        {"name": "person", "class": 0, "confidence": 0.8, "box": {"x1": 1}, "keypoints": dict(zip(axes, person.T.tolist(), strict=True))}
        for person in PEOPLE
    ]
    return [*persons, {"name": "dog", "class": 16, "confidence": 0.8, "box": {"x1": 1}}]


def openpifpaf() -> list[dict[str, Any]]:
    return [{"keypoints": person, "bbox": [1, 2, 3, 4], "score": 0.4, "category_id": 1} for person in flat(PEOPLE)]


def detectron2() -> dict[str, Any]:
    return {"instances": {"pred_boxes": [[0, 0, 1, 1]] * COUNT, "scores": [0.9] * COUNT, "pred_keypoints": PEOPLE.tolist()}}


def alphapose_open() -> dict[str, Any]:
    people = flat(in_layout(PEOPLE, OPENPOSE_TO_COCO, 18))
    return {IMAGE.name: {"version": 0.1, "people": [{"pose_keypoints_2d": person} for person in people]}}


def openpose() -> dict[str, Any]:
    return {"version": 1.3, "people": [{"pose_keypoints_2d": person} for person in flat(in_layout(PEOPLE, BODY25_TO_COCO, 25))]}


def found(path: Path, image: Path = IMAGE, size: tuple[int, int] = SIZE) -> np.ndarray:
    return FileBackend(path).people(image, size).array


def wrote(path: Path, content: Any, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(content), encoding=encoding)
    return path


FORMATS: list[Callable[[], Any]] = [coco_results, mmpose, mmpose_demo, ultralytics, openpifpaf, detectron2, alphapose_open, openpose]


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_every_tool(make: Callable[[], Any], encoding: str, tmp_path: Path) -> None:
    np.testing.assert_allclose(found(wrote(tmp_path / "results.json", make(), encoding)), PEOPLE)


def test_coco_annotations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = found(wrote(tmp_path / "a.json", coco_annotations()))
    np.testing.assert_allclose(people[..., :2], PEOPLE[..., :2])
    assert (people[..., 2] == 1).all()
    assert "2 of 15 annotations have a box but no keypoints" in caplog.text
    with pytest.raises(MissingAsset, match=r"IMG_0001.jpg' with 800×450 pixels, but IMG_0001.jpg has 1600×900"):
        found(wrote(tmp_path / "b.json", coco_annotations((800, 450))))
    with pytest.raises(MissingAsset, match="turned by 90°"):
        found(wrote(tmp_path / "c.json", coco_annotations(SIZE[::-1])))


def test_lines_of_json_are_frames_of_a_video(tmp_path: Path) -> None:
    path = tmp_path / "video.openpifpaf.json"
    path.write_text("\n".join(json.dumps({"frame": number, "predictions": openpifpaf()[:number]}) for number in (1, 2, 3)))
    assert [len(found(path, Path(f"video_{number:06d}.jpg"))) for number in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("count", [17, 18, 25, 26, 68, 133, 136])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_of_every_layout(count: int, suffix: str, tmp_path: Path) -> None:
    order = {18: OPENPOSE_TO_COCO, 25: BODY25_TO_COCO}.get(count, list(range(17)))
    points = in_layout(PEOPLE, order, count)
    path = tmp_path / f"k.{suffix}"
    if suffix == "npy":
        np.save(path, points.astype(np.float32))
    else:  # as supervision's KeyPoints are
        np.savez(path, xy=points[..., :2], confidence=points[..., 2], class_id=np.zeros(COUNT), detection_confidence=np.ones(COUNT))
    np.testing.assert_allclose(found(path), PEOPLE, rtol=1e-6)


def test_pairs_without_scores_are_sure(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", PEOPLE[..., :2])
    people = found(tmp_path / "k.npy")
    np.testing.assert_allclose(people[..., :2], PEOPLE[..., :2])
    assert (people[..., 2] == 1).all()


def test_low_scores_are_kept_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unsure = PEOPLE.copy()
    unsure[:5, :, 2] = 0.22
    for path in (wrote(tmp_path / "k.json", coco_results(unsure)), tmp_path / "k.npy"):
        np.save(tmp_path / "k.npy", unsure)
        caplog.clear()
        np.testing.assert_allclose(found(path), unsure)
        assert "5 of 12 have a mean keypoint score below 0.4; they are kept" in caplog.text


def test_nobody_is_a_result(tmp_path: Path) -> None:
    for content in ([], {}, {"version": 1.3, "people": []}, {"meta_info": {}, "instance_info": []}):
        assert len(found(wrote(tmp_path / "k.json", content))) == 0
    np.save(tmp_path / "k.npy", np.zeros((0, 17, 3)))
    assert len(found(tmp_path / "k.npy")) == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (json.dumps(coco_results()).encode()[:-200], "cut off at the end"),
        (b"\xff\xd8\xff\xe0 jpeg", "not JSON, but data"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps([*coco_results(), None]).encode(), "entry 13 of 13 is null"),
        (json.dumps([{**coco_results()[0], "keypoints": None}]).encode(), "keypoints of entry 1 of 1 is null"),
        (json.dumps([{**coco_results()[0], "keypoints": [1, 2, None] * 17}]).encode(), None),
        (json.dumps([{**coco_results()[0], "keypoints": ["a"] * 51}]).encode(), "keypoints of entry 1 of 1 is list"),
        (json.dumps([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]).encode(), "entry 1 of 1 has no keypoints, only image_id, bbox"),
        (json.dumps([{"name": "person", "box": {}}]).encode(), "person 1 of 1 of the list has no keypoints, only name, box"),
        (json.dumps({"fx": 1, "fy": 1}).encode(), "in no known format .* an object with 'fx', 'fy'"),
        (json.dumps([{"keypoints": [[1, 2]] * 14, "keypoint_scores": [1] * 14}]).encode(), "has 14 keypoints; known are 17"),
        (json.dumps([{"keypoints": [[1, 2]] * 17, "keypoint_scores": [1] * 16}]).encode(), "17 keypoints but 16 scores"),
        (json.dumps({"images": [{}], "annotations": []}).encode(), "image 1 of 1 has no id"),
        (json.dumps({"images": [], "annotations": [{"image_id": 3}]}).encode(), "annotation 1 of 1 is about the image 3"),
        (b"5", "a int: 5"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, told: str | None, tmp_path: Path) -> None:
    (tmp_path / "k.json").write_bytes(content)
    if told is None:
        # Single keypoints without a score are unknown, and nobody with a torso is left.
        assert len(found(tmp_path / "k.json")) == 0
        return
    with pytest.raises(MissingAsset, match=told) as caught:
        found(tmp_path / "k.json")
    assert str(tmp_path / "k.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("people", "told"),
    [
        (PEOPLE / [1600, 900, 1], "multiply u by 1600 and v by 900"),
        (PEOPLE[..., [1, 0, 2]], "u and v are exchanged"),
        (PEOPLE + [5000, 5000, 0], "shifted or of another picture"),
        (PEOPLE * [2.5, 2.5, 1], "times as large"),
        (PEOPLE * [1, 1, 100], "divide them by 100"),
        (PEOPLE[..., [2, 0, 1]], "scores run to"),
    ],
)
def test_the_evident_cause_is_named(people: np.ndarray, told: str, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", people)
    with pytest.raises(MissingAsset, match=told):
        found(tmp_path / "k.npy")


def test_doubts_are_remarks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert fault(PEOPLE, SIZE) is None
    assert doubt(PEOPLE, SIZE) is None
    np.save(tmp_path / "k.npy", PEOPLE * [0.5, 0.5, 1])
    assert len(found(tmp_path / "k.npy")) == COUNT
    assert "upper left" in caplog.text
    assert "exchanged" in (doubt(PEOPLE[..., [1, 0, 2]], (900, 1600)) or "")
    near_the_edge = PEOPLE - [60, 0, 0]
    assert fault(near_the_edge, SIZE) is None
    assert fault(np.zeros((3, 17, 3)), SIZE) is None


def test_a_file_about_another_picture_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(MissingAsset, match=r"another image, '7\.jpg'; give keypoints of IMG_0001\.jpg"):
        found(wrote(tmp_path / "a.json", coco_results(image="7.jpg")))
    assert len(found(wrote(tmp_path / "b.json", coco_results(image="C:\\photos\\IMG_0001.png")))) == COUNT
    assert "taken for IMG_0001.jpg, whose ending differs" in caplog.text
    caplog.clear()
    assert len(found(wrote(tmp_path / "c.json", coco_results(image=397133)))) == COUNT
    assert "picture 397133" in caplog.text
    assert len(found(tmp_path / "c.json", Path("000000397133.jpg"))) == COUNT


def test_one_array_cannot_speak_of_several_pictures(tmp_path: Path) -> None:
    pictures = [Path(f"f{number}.jpg") for number in (1, 2, 3)]
    np.save(tmp_path / "k.npy", PEOPLE)
    for path in (tmp_path / "k.npy", wrote(tmp_path / "k.json", mmpose()), wrote(tmp_path / "n.json", coco_results(image=3971))):
        with pytest.raises(MissingAsset, match="the people of one picture and cannot speak of 3"):
            FileBackend(path).for_pictures(pictures)
    with pytest.raises(MissingAsset, match=r"another image, 'a\.jpg', and about none of the 3 pictures"):
        FileBackend(wrote(tmp_path / "a.json", coco_results(image="a.jpg"))).for_pictures(pictures)
    assert len(FileBackend(tmp_path / "k.npy").for_pictures(pictures[:1]).people(pictures[0], SIZE)) == COUNT


def test_pictures_that_a_file_of_a_sequence_does_not_name_have_nobody(tmp_path: Path) -> None:
    pictures = [Path(f"f{number}.jpg") for number in (1, 2, 3)]
    path = wrote(tmp_path / "k.json", coco_results(image="f1.jpg") + coco_results(PEOPLE[:4], "f3.jpg"))
    backend = FileBackend(path).for_pictures(pictures)
    assert [len(backend.people(picture, SIZE)) for picture in pictures] == [COUNT, 0, 4]
    folder = tmp_path / "files"
    folder.mkdir()
    np.save(folder / "f1.npy", PEOPLE)
    wrote(folder / "f3_keypoints.json", openpose())
    backend = FileBackend(folder).for_pictures(pictures)
    assert [len(backend.people(picture, SIZE)) for picture in pictures] == [COUNT, 0, COUNT]


def test_alphapose_on_a_video(tmp_path: Path) -> None:
    path = wrote(tmp_path / "k.json", coco_results(image="0.jpg") + coco_results(PEOPLE[:4], "25.jpg"))
    pictures = [Path(f"clip_{number:06d}.jpg") for number in (0, 12, 25)]
    backend = FileBackend(path).for_pictures(pictures)
    assert [len(backend.people(picture, SIZE)) for picture in pictures] == [COUNT, 0, 4]
