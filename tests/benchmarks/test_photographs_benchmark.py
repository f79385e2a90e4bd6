"""`benchmarks/photographs.py`: what it prints and writes when reconstructions are perfect, refused, or wrong by a known amount."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

import crowd3d
from crowd3d.errors import NoPeopleFound
from crowd3d.geometry import GroundPlane
from crowd3d.synthetic.scene import SyntheticScene, synthesize_scene
from crowd3d.types import People, Scene

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "photographs.py"


@pytest.fixture(scope="module")
def photographs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("photographs_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def synthetic() -> SyntheticScene:
    return synthesize_scene(3, "random", 8, (640, 360), threads=1)


@pytest.fixture
def folder(photographs: ModuleType, synthetic: SyntheticScene, tmp_path: Path) -> Path:
    """Two metric pictures of one scene, and one of each other kind."""
    folder = tmp_path / "folder"
    folder.mkdir()
    cv2.imwrite(str(folder / "square.jpg"), synthetic.image[..., ::-1])
    told = photographs.truth_of(synthetic)
    for person in told["people"]:
        person["visible"] = True
    (folder / "truth.json").write_text(json.dumps(told), encoding="utf-8")
    kinds = {"first": "metric", "second": "metric", "joints": "keypoints", "faces": "heads", "plain": "picture"}
    entries = [{"id": name, "file": "square.jpg", "kind": kind, "truth": "truth.json", "scene": kind} for name, kind in kinds.items()]
    (folder / "index.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture
def reconstruct(monkeypatch: pytest.MonkeyPatch, synthetic: SyntheticScene) -> list[str]:
    """`crowd3d.reconstruct` finds everybody; in ``second`` the world is a quarter too large, ``faces`` is refused. Records calls."""
    truth, calls = synthetic.truth, []

    def scaled(factor: float) -> Scene:
        people = People(
            truth.pose_rad, truth.betas, factor * truth.translation_cam_m, truth.hvip_px, factor * truth.hvip_cam_m,
            np.full(len(truth), 0.9), truth.keypoints_px,
        )  # fmt: skip
        ground = GroundPlane(truth.ground.normal, factor * truth.ground.offset_m)
        return Scene(truth.camera, ground, people, synthetic.body, "square.jpg", np.diag([0.01, 0.01, 0.01, 0.1]) ** 2)

    def fake(image: Path, *, folder: Path, **choices: object) -> Scene:
        calls.append(folder.name)
        if folder.name == "faces":
            raise NoPeopleFound("nobody found")
        scene = scaled(1.25 if folder.name == "second" else 1.0)
        scene.save(folder)
        return scene

    monkeypatch.setattr(crowd3d, "reconstruct", fake, raising=False)
    return calls


def test_table_and_json(
    photographs: ModuleType, folder: Path, reconstruct: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert photographs.main([str(folder), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    told = json.loads((output / "figures.json").read_text(encoding="utf-8"))
    first, second, faces = (told["pictures"][name] for name in ("first", "second", "faces"))
    assert first["ppds"] == pytest.approx(100, abs=0.1)
    assert (second["ppds"], second["camera_height_error_percent"]) == (pytest.approx(75, abs=0.1), pytest.approx(25, abs=0.1))
    assert told["kinds"]["metric"]["ppds"] == pytest.approx(87.5, abs=0.1)
    assert told["kinds"]["keypoints"]["oks_body"] == pytest.approx(1, abs=1e-3)
    assert (faces["refused"], faces["f1"], faces["message"]) == (1, 0, "NoPeopleFound: nobody found")
    assert told["pictures"]["plain"]["predicted_people"] == 8
    # 100 % and, as the logarithm of 1.25 is beyond one spread of 0.1, 50 %.
    assert "log focal 100 %, tilt 100 %, roll 100 %, log height 50 % of 2 pictures" in printed
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith("metric")] == [["metric", "pictures"], ["metric", "2"]]


def test_a_run_continues_and_a_choice_starts_again(
    photographs: ModuleType, folder: Path, reconstruct: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(folder), "--output", str(tmp_path / "out"), "--kinds", "heads", "picture"]
    photographs.main(command)
    photographs.main(command)
    assert reconstruct == ["faces", "plain"]
    photographs.main([*command, "--pose_backend", "file", "--keypoints", str(tmp_path)])
    assert reconstruct == ["faces", "plain"] * 2
    assert "faces: 0.0 s, NoPeopleFound: nobody found" in capsys.readouterr().out


def test_the_truth_of_a_synthetic_picture_is_its_truth(photographs: ModuleType, synthetic: SyntheticScene) -> None:
    told = photographs.truth_of(synthetic)
    place = np.array([[*person["position_m"], 0.0] for person in told["people"]])
    camera = {name: np.array(told["camera"][name]) for name in ("K", "R", "t")}
    image = (place @ camera["R"].T + camera["t"]) @ camera["K"].T
    assert np.allclose(image[:, :2] / image[:, 2:], synthetic.truth.hvip_px)
    assert np.linalg.det(camera["R"]) == pytest.approx(1.0)
