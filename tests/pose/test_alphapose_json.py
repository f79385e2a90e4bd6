"""AlphaPose's formats and the release's files about tiles."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.imaging import format_tile_name
from crowd3d.pose import read_alphapose, tiles_with_people, write_alphapose, write_optim_annotations, write_tiles_with_people
from crowd3d.types import TileLayout

LAYOUT = TileLayout(
    boxes=np.array([[0, 0, 400, 400], [0, 200, 400, 600], [-50, 400, 350, 800], [200, 0, 1000, 800]]),
    row_col=np.array([[0, 0], [0, 1], [0, 2], [1, 0]]),
    image_size=(800, 1000),
)
NAME = "my crowd.v2_b"
OPENPOSE_NAMES = [
    "nose",
    "neck",
    "RSho",
    "RElb",
    "RWri",
    "LSho",
    "LElb",
    "LWri",
    "RHip",
    "RKnee",
    "RAnkle",
    "LHip",
    "LKnee",
    "LAnkle",
    "REye",
    "LEye",
    "REar",
    "LEar",
]
COCO_NAMES = [
    "nose",
    "LEye",
    "REye",
    "LEar",
    "REar",
    "LSho",
    "RSho",
    "LElb",
    "RElb",
    "LWri",
    "RWri",
    "LHip",
    "RHip",
    "LKnee",
    "RKnee",
    "LAnkle",
    "RAnkle",
]


@pytest.fixture
def detections() -> tuple[np.ndarray, np.ndarray]:
    """(6, 17, 3) scene pixels and their tiles."""
    rng = np.random.default_rng(0)
    tile = np.array([0, 0, 1, 2, 3, 3])
    boxes = LAYOUT.boxes[tile]
    inside = rng.uniform(0.1, 0.9, (6, 17, 2)) * (boxes[:, 2] - boxes[:, 0])[:, None, None] + boxes[:, None, [1, 0]]
    return np.concatenate([inside, rng.uniform(0.45, 1, (6, 17, 1))], axis=-1), tile


def test_written_results_come_back(tmp_path: Path, detections: tuple[np.ndarray, np.ndarray]) -> None:
    path = tmp_path / "alphapose-results-scale.json"
    write_alphapose(path, *detections, LAYOUT, NAME)
    keypoints, tile = read_alphapose(path, LAYOUT)
    np.testing.assert_allclose(keypoints, detections[0], atol=1e-3)
    np.testing.assert_array_equal(tile, detections[1])
    entry = json.loads(path.read_text())[4]
    assert entry["image_id"] == "my crowd.v2_b_1_0_200_0_1000_800.jpg"
    in_tile = np.array(entry["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(in_tile[:, :2], (detections[0][4, :, :2] - [0, 200]) * 512 / 800, atol=1e-3)
    np.testing.assert_allclose(entry["box"], [*in_tile[:, :2].min(0), *np.ptp(in_tile[:, :2], axis=0)], atol=0.02)


@pytest.mark.parametrize(("people", "numbers", "version"), [("bodies", "joints", "AlphaPose v0.3"), ("people", "pose_keypoints_2d", 1.1)])
def test_openpose_order(tmp_path: Path, detections: tuple[np.ndarray, np.ndarray], people: str, numbers: str, version: object) -> None:
    content: dict[str, dict] = {}
    for keypoints, tile in zip(*detections, strict=True):
        top, left, bottom, _ = LAYOUT.boxes[tile]
        joints = dict(zip(COCO_NAMES, (keypoints - [left, top, 0]) * [512 / (bottom - top), 512 / (bottom - top), 1], strict=True))
        joints["neck"] = (joints["LSho"] + joints["RSho"]) / 2
        image = content.setdefault(format_tile_name(NAME, LAYOUT.row_col[tile], LAYOUT.boxes[tile]), {"version": version, people: []})
        image[people].append({numbers: np.concatenate([joints[name] for name in OPENPOSE_NAMES]).tolist()})
    path = tmp_path / "alphapose-results.json"
    path.write_text(json.dumps(content))
    keypoints, tile = read_alphapose(path, LAYOUT)
    np.testing.assert_allclose(keypoints, detections[0], atol=1e-6)
    np.testing.assert_array_equal(tile, detections[1])


def test_what_is_left_out(tmp_path: Path, detections: tuple[np.ndarray, np.ndarray]) -> None:
    keypoints, tile = detections
    keypoints[1, :, 2], keypoints[2, :, 2] = 0.39, 0.41
    path = tmp_path / "results.json"
    write_alphapose(path, keypoints, tile, LAYOUT, NAME)
    entries = json.loads(path.read_text())
    entries.append(entries[0] | {"image_id": ".fuse_hidden0001"})
    halpe = entries[0] | {"keypoints": entries[0]["keypoints"] + [9.0] * 27}
    path.write_text(json.dumps([halpe, *entries[1:]]))
    read, rows = read_alphapose(path, LAYOUT)
    np.testing.assert_allclose(read, keypoints[[0, 2, 3, 4, 5]], atol=1e-3)
    assert rows.tolist() == tile[[0, 2, 3, 4, 5]].tolist()


def test_no_people(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for content in ("[]", "{}"):
        path.write_text(content)
        keypoints, tile = read_alphapose(path, LAYOUT)
        assert keypoints.shape == (0, 17, 3)
        assert len(tile) == 0


@pytest.mark.parametrize(
    "content",
    [
        None,
        "garbage",
        "3",
        '[{"image_id": "a_0_0_0_0_400_400.jpg"}]',
        '[{"image_id": "a_0_0_0_0_400_400.jpg", "keypoints": [1, 2, 3]}]',
        '[{"image_id": "a_0_0_0_0_400_400.jpg", "keypoints": "x"}]',
        '{"a_0_0_0_0_400_400.jpg": {"bodies": [{"joints": [1]}]}}',
        '{"a_0_0_0_0_400_400.jpg": {"people": [{}]}}',
        '[{"image_id": "a_9_9_0_0_400_400.jpg", "keypoints": ' + str([0.9] * 51) + "}]",
        '[{"image_id": "photo.jpg", "keypoints": ' + str([0.9] * 51) + "}]",
    ],
)
def test_bad_files(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MissingAsset) as caught:
        read_alphapose(path, LAYOUT)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def person(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """(17, 3) keypoints along the diagonal of a box."""
    share = np.linspace(0, 1, 17)
    return np.stack([left + share * (right - left), top + share * (bottom - top), np.full(17, 0.8)], axis=1)


def test_tiles_with_people(tmp_path: Path) -> None:
    # The second person only touches tile 1 with the edge of their box, which is no overlap.
    people = np.stack([person(10, 10, 60, 150), person(600, 380, 700, 460)])
    np.testing.assert_array_equal(tiles_with_people(people, LAYOUT), [True, False, False, True])
    write_tiles_with_people(tmp_path / "have_people_image_name.json", people, LAYOUT, NAME)
    assert json.loads((tmp_path / "have_people_image_name.json").read_text()) == [
        "my crowd.v2_b_0_0_0_0_400_400.jpg",
        "my crowd.v2_b_1_0_200_0_1000_800.jpg",
    ]
    assert not tiles_with_people(np.zeros((0, 17, 3)), LAYOUT).any()


def test_optim_annotations(tmp_path: Path) -> None:
    whole = person(20, 100, 120, 200)
    half = person(150, 100, 250, 200)
    third = person(160, 100, 280, 200)
    people = np.stack([whole, half, third])
    path = tmp_path / "optim_annots_scale.pkl"
    write_optim_annotations(path, people, LAYOUT, NAME)
    annotations = pickle.loads(path.read_bytes())
    assert [tile for tile, _ in annotations] == ["my crowd.v2_b_0_0_0_0_400_400.jpg"]
    assert len(annotations[0][1]) == 3

    narrow = TileLayout(np.array([[0, 0, 200, 200], [0, 130, 200, 330]]), np.array([[0, 0], [0, 1]]), (400, 200))
    write_optim_annotations(path, people, narrow, NAME)
    (first, second) = pickle.loads(path.read_bytes())
    # Half of the second person and a third of the third one are in the first tile; more than 0.4 is needed.
    assert len(first[1]) == 2
    assert len(second[1]) == 2
    for keypoints, expected in zip(first[1], (whole, half), strict=True):
        assert keypoints.shape == (17, 3)
        assert keypoints.dtype == np.float64
        np.testing.assert_allclose(keypoints, expected * 512 / 200)
    np.testing.assert_allclose(second[1][0], (half - [130, 0, 0]) * 512 / 200)


def test_optim_annotations_of_nobody(tmp_path: Path) -> None:
    write_optim_annotations(tmp_path / "a.pkl", np.zeros((0, 17, 3)), LAYOUT, NAME)
    assert pickle.loads((tmp_path / "a.pkl").read_bytes()) == []
