"""A square with a stand beside it, from keypoints in a file to scene, map and mesh: everybody on their own level."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_levels import CAMERA, RISE_M, SIZE, square_with_stairs, square_with_stand
from scipy.spatial import cKDTree

from crowd3d.bodies import load_body
from crowd3d.cli import reconstruct
from crowd3d.cli.run import run_cli
from crowd3d.export.mesh import crowd_mesh
from crowd3d.files import write_npy
from crowd3d.imaging import opened
from crowd3d.pipeline.ground import estimate_from, levels_of
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import plain
from crowd3d.types import Keypoints, Scene


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result folder of the scene; the camera is known, the ground is not."""
    root = tmp_path_factory.mktemp("stand")
    write_npy(root / "k.npy", square_with_stand(0)[0])
    cv2.imwrite(str(root / "square.png"), np.full((SIZE[1], SIZE[0], 3), 120, np.uint8))
    given = ["--pose_backend", "file", "--keypoints", str(root / "k.npy"), "--fov_deg", f"{CAMERA.fov_x_deg}", "--optimise", "none"]
    given += ["--part_params", "30", "200", "100", "950", "--save_mid_folder", str(root / "mid"), "--save_res_folder", str(root / "res")]
    assert run_cli(reconstruct.add_arguments, reconstruct.run, [str(root / "square.png"), *given]) == 0
    return root / "res" / "square"


def test_people_stand_on_their_own_level(made: Path) -> None:
    scene = Scene.load(made)
    keypoints, places, above, standing = square_with_stand(0)
    assert len(scene.planes) == 2
    assert scene.planes[0] == scene.ground
    assert scene.levels_m[1] == pytest.approx(RISE_M, rel=0.15)
    flat = keypoints[..., :2].reshape(len(keypoints), -1)
    _, row = cKDTree(flat).query(scene.people.keypoints_px[..., :2].reshape(len(scene.people), -1))
    assert ((scene.people.plane == 1) == above[row]).mean() > 0.95
    assert scene.people.plane_probability.mean() > 0.8
    for level, plane in enumerate(scene.planes):
        mine = scene.people.plane == level
        assert np.abs(plane.signed_distance(scene.people.hvip_cam_m[mine])).max() < 1e-6
    world = scene.ground.to_world(scene.people.hvip_cam_m)
    error = np.linalg.norm(world[:, [0, 2]] - places[row], axis=1)
    usual = standing[row]
    assert np.median(error[usual & above[row]]) < 1.3 * max(np.median(error[usual & ~above[row]]), 0.5)


def test_every_plane_is_in_the_files(made: Path) -> None:
    scene = Scene.load(made)
    info = json.loads((made / "scene.json").read_text())
    assert info["schema_version"] == 3
    assert [plane[3] for plane in info["planes"]] == pytest.approx([plane.offset_m for plane in scene.planes])
    mesh = crowd_mesh(scene, load_body("free_low"), np.zeros((len(scene.people), 3), np.uint8))
    assert mesh.planes[:, 0, 1].tolist() == pytest.approx(scene.levels_m)
    assert b'"level 1"' in (made / "crowd.glb").read_bytes()
    assert "plane" not in json.loads((made / "predict.json").read_text())["square.png"]["person_list"][0]


def test_stairs_do_not_spoil_the_terrace() -> None:
    """Twenty people between both levels, on neither: those of the terrace are as well placed as those of the square."""
    keypoints, places, height, standing = square_with_stairs(0)
    observed = Observations.from_keypoints(Keypoints(keypoints[..., :2], keypoints[..., 2]), plain("given"))
    with opened(np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)) as image:
        estimate = estimate_from(image, observed)
    levels = levels_of(observed, estimate.camera, estimate.ground)
    assert levels.heights_m[1] == pytest.approx(RISE_M, rel=0.15)
    assert (levels.level[height == RISE_M] == 1).mean() > 0.95
    planes = [estimate.ground.raised(rise) for rise in levels.heights_m]
    feet = keypoints[:, 15:17, :2].mean(1)
    world = np.array(
        [planes[k].to_world(planes[k].intersect(estimate.camera, at[None]))[0] for k, at in zip(levels.level, feet, strict=True)]
    )
    error = np.linalg.norm(world[:, [0, 2]] - places, axis=1)
    assert np.median(error[standing & (height == RISE_M)]) < 1.3 * np.median(error[standing & (height == 0)])
