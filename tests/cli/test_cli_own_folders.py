"""Two cameras number their pictures alike: photographs of one name never share results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.cli import inference, process
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.types import Scene

SIZE = (480, 270)
WORLD = Camera.from_fov(50.0, SIZE), GroundPlane.from_angles(0.35, 0.0, 5.0)
PEOPLE = {"a": 8, "b": 12}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders with an ``IMG_0001.png`` each, and their people."""
    monkeypatch.setenv("CROWD3D_SINGLE_IMAGE_MID_ROOT", str(tmp_path / "mid"))
    monkeypatch.setenv("CROWD3D_SINGLE_IMAGE_RES_ROOT", str(tmp_path / "res"))
    for number, (camera, count) in enumerate(PEOPLE.items()):
        (tmp_path / camera).mkdir()
        cv2.imwrite(str(tmp_path / camera / "IMG_0001.png"), np.full((SIZE[1], SIZE[0], 3), 90 + number, np.uint8))
        np.save(tmp_path / camera / "keypoints.npy", simulate_crowd(*WORLD, count, np.random.default_rng(number)).keypoints)
    return tmp_path


def test_photographs_of_one_name_never_share_results(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(half: object, camera: str, *more: str) -> str:
        given = ["--keypoints", str(root / camera / "keypoints.npy")] if half is process else []
        image = ["--scene_image_path", str(root / camera / "IMG_0001.png"), "--camera_height", "5", "--fov_deg", "50"]
        code = half.main([*image, *given, *more])  # type: ignore[attr-defined]
        told = capsys.readouterr()
        return told.err.splitlines()[-1] if code else told.out.strip()

    mids = [run(process, camera) for camera in PEOPLE]
    assert Path(mids[0]) == root / "mid" / "IMG_0001"
    assert mids[0] != mids[1]
    results = [run(inference, camera) for camera in PEOPLE]
    assert Path(results[0]) == root / "res" / "IMG_0001"
    assert [len(Scene.load(result).people) for result in results] == list(PEOPLE.values())
    assert [run(inference, camera) for camera in PEOPLE] == results
    message = run(inference, "a", "--save_mid_folder", mids[1])
    assert f"about another photograph, {root / 'b' / 'IMG_0001.png'}; run process.py" in message

    cv2.imwrite(str(root / "a" / "IMG_0001.png"), np.full((SIZE[1], SIZE[0], 3), 200, np.uint8))
    assert "IMG_0001.png has changed since process.py found people in it" in run(inference, "a")
    assert run(process, "a") == mids[0]
    assert run(inference, "a") == results[0]
    assert cv2.imread(f"{results[0]}/overview.jpg").mean() > 150
