"""all_result.pkl: the release's keys, dtypes and shapes; readable by anybody; nothing executed."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera
from crowd3d.scene import ReleaseResults, read_all_result, release_results, write_all_result
from crowd3d.types import People, TileLayout

KEYS = {
    "pose": ("float32", (72,)),
    "betas": ("float32", (10,)),
    "pj2d": ("float64", (71, 2)),
    "center_conf": ("float32", (1,)),
    "centers_pred": ("int64", (2,)),
    "hvip3d": ("float64", (3,)),
    "final_trans": ("float64", (3,)),
    "hvip2d_org": ("float64", (2,)),
    "hvip2d_in_scene": ("float64", (2,)),
    "tc3d": ("float64", (3,)),
    "pj2d_org": ("float64", (71, 2)),
    "center": ("int64", (2,)),
    "torso_center": ("int64", (2,)),
}
CAMERA = Camera.from_focal(3000.0, (4000, 2000))
LAYOUT = TileLayout(np.array([[0, 0, 800, 800], [500, 1000, 1500, 2000]]), np.array([[0, 0], [1, 1]]), (4000, 2000))
NAMES = ["a_0_0_0_0_800_800.jpg", "a_1_1_500_1000_1500_2000.jpg"]


@pytest.fixture
def results() -> ReleaseResults:
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.3, (5, 71, 3)) + (-3, -0.5, 20)
    hvip = rng.normal((-3, 1, 20), 0.1, (5, 3))
    people = People(
        pose_rad=rng.normal(0, 1, (5, 24, 3)).astype(np.float32),
        betas=rng.normal(0, 1, (5, 10)).astype(np.float32),
        translation_cam_m=joints[:, 49] - 0.1,
        hvip_px=CAMERA.project(hvip),
        hvip_cam_m=hvip,
        score=rng.random(5),
        keypoints_px=np.zeros((5, 17, 3)),
    )
    cells = rng.integers(0, 64, (5, 2))
    return release_results(people, joints, cells, np.array([1, 1, 0, 1, 0]), NAMES, LAYOUT, CAMERA)


def test_plain_pickle_gives_the_published_dictionary(results: ReleaseResults, tmp_path: Path) -> None:
    write_all_result(tmp_path / "all_result.pkl", results)
    content = pickle.loads((tmp_path / "all_result.pkl").read_bytes())
    assert {name: len(people) for name, people in content.items()} == {NAMES[0]: 2, NAMES[1]: 3}
    for person in content[NAMES[0]] + content[NAMES[1]]:
        assert {key: (value.dtype.name, value.shape) for key, value in person.items()} == KEYS


def test_file_names_nothing_but_public_numpy(results: ReleaseResults, tmp_path: Path) -> None:
    write_all_result(tmp_path / "all_result.pkl", results)
    assert b"_core" not in (tmp_path / "all_result.pkl").read_bytes()


def test_pixels_of_tile_and_scene_agree(results: ReleaseResults) -> None:
    left_top = LAYOUT.boxes[[1, 1, 0, 1, 0]][:, [1, 0]]
    np.testing.assert_allclose(results.hvip2d_org + left_top, results.hvip2d_in_scene)
    np.testing.assert_allclose(CAMERA.project(results.hvip3d), results.hvip2d_in_scene)
    side = np.array([1000, 1000, 800, 1000, 800])[:, None]
    np.testing.assert_allclose((results.pj2d + 1) / 2 * side[:, None], results.pj2d_org)
    np.testing.assert_allclose(CAMERA.project(results.final_trans), results.pj2d_org[:, 49] + left_top)
    assert (np.abs(results.torso_center + left_top - CAMERA.project(results.tc3d)) <= 0.5).all()
    assert (np.abs(results.center - (results.centers_pred * side / 64)) <= 0.5).all()


def test_round_trip(results: ReleaseResults, tmp_path: Path) -> None:
    write_all_result(tmp_path / "all_result.pkl", results)
    back = read_all_result(tmp_path / "all_result.pkl")
    order = np.argsort(results.tile_name != NAMES[1], kind="stable")  # tiles come in the order in which they first appear
    for field in dataclasses.fields(results):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(results, field.name)[order], err_msg=field.name)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_ordinary_numpy_pickles_are_read(results: ReleaseResults, tmp_path: Path, protocol: int) -> None:
    person = {key: getattr(results, key)[0] for key in KEYS}
    path = tmp_path / "all_result.pkl"
    path.write_bytes(pickle.dumps({"t.jpg": [person]}, protocol=protocol))
    if protocol < 4:  # as NumPy 1 wrote it; later protocols store the length of names
        path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    back = read_all_result(path)
    assert back.tile_name.tolist() == ["t.jpg"]
    np.testing.assert_array_equal(back.pj2d[0], results.pj2d[0])


class Malice:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_nothing_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "all_result.pkl"
    path.write_bytes(pickle.dumps({"t.jpg": [Malice(tmp_path / "executed")]}))
    with pytest.raises(MissingAsset, match="mkdir"):
        read_all_result(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"t.jpg": [{"pose": np.zeros(3)}]}), b"\x80\x02}r\xff\xff\xff\xff."],
)
def test_other_files_are_one_clear_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "all_result.pkl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingAsset, match=r"all_result\.pkl"):
        read_all_result(path)
