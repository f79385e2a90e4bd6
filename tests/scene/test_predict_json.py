"""predict.json: schema, exact round trip, streaming, and files that are not it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import BadOutput, MissingAsset
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.scene import predict_json, read_predict_json, validate_predict_json, write_predict_json
from crowd3d.types import People, Scene


def random_scene(image: str, count: int) -> Scene:
    rng = np.random.default_rng(count)
    people = People(
        pose_rad=rng.normal(0, 1, (count, 24, 3)).astype(np.float32),
        betas=rng.normal(0, 1, (count, 10)).astype(np.float32),
        translation_cam_m=rng.normal(0, 30, (count, 3)),
        hvip_px=rng.uniform(0, 19200, (count, 2)),
        hvip_cam_m=rng.normal(0, 30, (count, 3)),
        score=rng.random(count),
        keypoints_px=rng.random((count, 17, 3)),
    )
    return Scene(Camera.from_focal(29199.908, (19200, 6518)), GroundPlane.from_angles(0.2, 0.01, 16.0), people, "free", image)


@pytest.fixture
def scenes() -> list[Scene]:
    return [random_scene("crowd 0.1.jpg", 7), random_scene("leer.jpg", 0), random_scene('plaza "ü".jpg', 3)]


def test_every_key_and_length_is_the_published_one(scenes: list[Scene], tmp_path: Path) -> None:
    write_predict_json(tmp_path / "predict.json", scenes)
    content = json.loads((tmp_path / "predict.json").read_text(encoding="utf-8"))
    assert list(content) == [scene.image for scene in scenes]
    frame = content["crowd 0.1.jpg"]
    assert set(frame) == {"Intrinsic_matrix", "person_list"}
    assert frame["Intrinsic_matrix"] == [[29199.908, 0, 9600], [0, 29199.908, 3259], [0, 0, 1]]
    person = frame["person_list"][6]
    lengths = {key: len(value) for key, value in person.items() if isinstance(value, list)}
    assert lengths == {"pose": 72, "shape": 10, "trans_cam": 3, "hvip2d": 2, "hvip3d": 3}
    assert (person["gender"], person["scale_smpl"]) == ("neutral", 1.0)
    assert person["pose"][66:] == [0.0] * 6
    assert person["trans_cam"] == scenes[0].people.translation_cam_m[6].tolist()
    assert validate_predict_json(tmp_path / "predict.json") == 3


@pytest.mark.parametrize("chunk", [1 << 22, 64, 7])
def test_round_trip_is_exact_however_the_file_is_cut(
    scenes: list[Scene], tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_predict_json(tmp_path / "predict.json", scenes)
    monkeypatch.setattr(predict_json, "_CHUNK", chunk)
    frames = list(read_predict_json(tmp_path / "predict.json"))
    for scene, frame in zip(scenes, frames, strict=True):
        assert frame.image == scene.image
        np.testing.assert_array_equal(frame.K, scene.camera.K)
        np.testing.assert_array_equal(frame.people.pose_rad[:, :22], scene.people.pose_rad[:, :22])
        assert not frame.people.pose_rad[:, 22:].any()
        for field in ("betas", "translation_cam_m", "hvip_px", "hvip_cam_m", "score"):
            np.testing.assert_array_equal(getattr(frame.people, field), getattr(scene.people, field), err_msg=field)


def test_side_file_names_body_plane_and_ids(scenes: list[Scene], tmp_path: Path) -> None:
    write_predict_json(tmp_path / "predict.json", iter(scenes))
    extra = json.loads((tmp_path / "predict_extra.json").read_text(encoding="utf-8"))["crowd 0.1.jpg"]
    assert extra["body"] == "free"
    assert extra["ground"] == scenes[0].ground.coefficients.tolist()
    assert extra["id"] == list(range(7))
    assert extra["image_size"] == [19200, 6518]


def test_files_of_other_programs_are_read_without_side_file(scenes: list[Scene], tmp_path: Path) -> None:
    write_predict_json(tmp_path / "predict.json", scenes)
    (tmp_path / "predict_extra.json").unlink()
    content = json.loads((tmp_path / "predict.json").read_text(encoding="utf-8"))
    for text in (json.dumps(content), json.dumps(content, indent=4), "{}", " {\n} "):
        (tmp_path / "predict.json").write_text(text, encoding="utf-8")
        frames = list(read_predict_json(tmp_path / "predict.json"))
        assert len(frames) == len(json.loads(text))
        assert all((frame.people.score == 1.0).all() for frame in frames)


def break_key(content: dict, key: str, value: object) -> str:
    content["crowd 0.1.jpg"]["person_list"][2][key] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("key", "value"), [("pose", [0.0] * 71), ("shape", ["1"] * 10), ("gender", "other"), ("box", []), ("scale_smpl", 0)]
)
def test_schema_refuses_and_names_the_place(scenes: list[Scene], tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "predict.json"
    write_predict_json(path, scenes)
    path.write_text(break_key(json.loads(path.read_text(encoding="utf-8")), key, value), encoding="utf-8")
    with pytest.raises(MissingAsset, match=r"crowd 0\.1\.jpg/person_list/2"):
        validate_predict_json(path)


@pytest.mark.parametrize("text", ["", "[]", '{"a.jpg"', '{"a.jpg": {"person_list": []}}', '{"a.jpg": {}', '{"a.jpg": 3}'])
def test_other_files_are_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "predict.json"
    path.write_text(text)
    with pytest.raises(MissingAsset, match=r"predict\.json"):
        list(read_predict_json(path))
    with pytest.raises(MissingAsset, match=r"predict\.json"):
        validate_predict_json(path)
    with pytest.raises(MissingAsset):
        validate_predict_json(tmp_path / "absent.json")


def test_a_failure_leaves_the_old_file(scenes: list[Scene], tmp_path: Path) -> None:
    path = tmp_path / "predict.json"
    write_predict_json(path, scenes)
    before = path.read_bytes()

    def broken():
        yield scenes[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predict_json(path, broken())
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["predict.json", "predict_extra.json"]


@pytest.mark.parametrize("ids", [[], [np.arange(7)], [np.arange(7), np.arange(0), np.arange(2)]])
def test_ids_that_do_not_fit_are_refused_and_nothing_is_written(scenes: list[Scene], ids: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="ids"):
        write_predict_json(tmp_path / "predict.json", scenes, ids)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["hvip_px", "score", "pose_rad"])
def test_somebody_without_numbers_is_named(scenes: list[Scene], name: str, tmp_path: Path) -> None:
    values = getattr(scenes[2].people, name).copy()
    values[1] = np.nan
    broken = replace(scenes[2], people=replace(scenes[2].people, **{name: values}))
    with pytest.raises(BadOutput, match=f"{name} of person 1"):
        write_predict_json(tmp_path / "predict.json", [*scenes[:2], broken])
    assert list(tmp_path.iterdir()) == []


def test_deep_nesting_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "predict.json"
    path.write_text('{"a": ' + "[" * 200_000, encoding="utf-8")
    for read in (validate_predict_json, lambda path: list(read_predict_json(path))):
        with pytest.raises(MissingAsset, match="nested too deeply"):
            read(path)
