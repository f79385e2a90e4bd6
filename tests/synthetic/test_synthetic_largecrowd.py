"""Synthetic data sets in the shape of LargeCrowd: static cameras, the same people, walkers who move on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.distance import pdist

from crowd3d.bodies import load_body
from crowd3d.geometry.published_cameras import published_camera
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.data_set import PACE_M_S, SECONDS, walk_on, write_largecrowd
from crowd3d.synthetic.people import MIN_SPACING_M
from crowd3d.synthetic.plaza import build_square, in_picture, place_people

SIZE = (640, 216)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> LargeCrowdFolder:
    folder = LargeCrowdFolder(tmp_path_factory.mktemp("lc"))
    write_largecrowd(folder, ["playground1_00", "stadiumEntrance_01"], 2, 12, SIZE, 4, threads=1)
    return folder


def test_files_are_where_the_data_set_has_them(folder: LargeCrowdFolder) -> None:
    assert folder.scenes() == ["square_00", "square_01"]
    for scene in folder.scenes():
        names = [path.name for path in folder.frames(scene)]
        assert names == [f"{scene}_000000.jpg", f"{scene}_000050.jpg"]
        annotation = json.loads(folder.annotation(scene).read_text())
        assert annotation["image_shape"] == {"height": SIZE[1], "width": SIZE[0]}
        assert list(annotation["frame_info"]) == names
        for people in annotation["frame_info"].values():
            assert len(people) == 12
            assert set(people[0]) == {"bbox", "keypoints", "type", "hvip2d", "hvip3d", "torso_center"}


def test_the_camera_stands_and_walkers_walk(folder: LargeCrowdFolder) -> None:
    for scene in folder.scenes():
        first, second = (dict(np.load(folder.truth(scene, path.stem))) for path in folder.frames(scene))
        params = json.loads(folder.params(scene).read_text())
        for truth in (first, second):
            np.testing.assert_allclose(truth["K"], params["K"])
            np.testing.assert_allclose(truth["ground"], params["planes"][0]["coefficients"])
        np.testing.assert_array_equal(first["betas"], second["betas"])
        walking = np.isin(first["kind"], list(PACE_M_S))
        moved = np.linalg.norm(second["hvip_cam_m"] - first["hvip_cam_m"], axis=1)
        assert np.abs(moved[~walking]).max() < 1e-6
        assert moved[walking].max() > 1.0
        pictures = [cv2.imread(str(path)).astype(int) for path in folder.frames(scene)]
        changed = np.abs(pictures[0] - pictures[1]).max(2) > 40
        assert 0 < changed.mean() < 0.2, "only people changed"


def test_the_same_seed_gives_the_same_files(folder: LargeCrowdFolder, tmp_path: Path) -> None:
    write_largecrowd(LargeCrowdFolder(tmp_path), ["playground1_00"], 1, 12, SIZE, 4, threads=1)
    name = Path("images") / "test" / "square_00" / "square_00_000000.jpg"
    assert (tmp_path / name).read_bytes() == (folder.root / name).read_bytes()


def test_nobody_walks_into_anybody_or_out_of_the_picture() -> None:
    rng = np.random.default_rng(2)
    view = Viewpoint(*published_camera("playground1_01", (19200, 6480)))
    world = build_square(rng, view, load_body("free_low"))
    placement = place_people(rng, view, world, 300)
    least = min(MIN_SPACING_M, pdist(placement.xz_m).min())
    for _ in range(20):
        before = placement
        placement = walk_on(rng, view, world, placement)
        assert in_picture(view, placement).all()
        assert pdist(placement.xz_m).min() >= least - 1e-9
        step = np.linalg.norm(placement.xz_m - before.xz_m, axis=1)
        assert step.max() <= max(PACE_M_S.values()) * SECONDS + 1e-9
    walking = np.isin(placement.kind, list(PACE_M_S))
    assert (step[walking] > 1).mean() > 0.5, "most of them go on walking"
