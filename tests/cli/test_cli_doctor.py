from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crowd3d.cli import doctor
from crowd3d.cli.main import main
from crowd3d.settings import Settings, load_settings


def finding(settings: Settings, name: str) -> doctor.Finding:
    return next(found for found in doctor.examine(settings) if found.name == name)


def fill(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_bare_checkout_lacks_what_the_default_path_needs(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    missing = [found for found in doctor.examine(settings) if not found.found]
    assert {"default weights", "released weights", "SMPL neutral", "AlphaPose"} <= {found.name for found in missing}
    assert all(found.remedy for found in missing)
    fill(settings.pretrained_root, ("crowd3dnet.safetensors",))
    assert finding(settings, "default weights").found


def test_networks_for_photographs_must_be_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWD3D_MODELS", str(tmp_path / "models"))
    settings = load_settings(tmp_path)
    missing = finding(settings, "photo networks")
    assert missing.detail == f"no nanodet.safetensors, movenet.safetensors in {tmp_path / 'models'}"
    assert missing.remedy.startswith("crowd3d fetch people")
    fill(tmp_path / "models", ("nanodet.safetensors", "movenet.safetensors", "people.json"))
    assert finding(settings, "photo networks").detail.startswith("damaged")


def test_smpl_needs_its_regressors(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    fill(settings.smpl_model_root, ("SMPL_NEUTRAL.pkl", "J_regressor_extra.npy"))
    assert finding(settings, "SMPL neutral").detail == "no J_regressor_h36m.npy"
    fill(settings.smpl_model_root, ("J_regressor_h36m.npy",))
    assert finding(settings, "SMPL neutral").found
    assert finding(settings, "SMPL male").detail == "no SMPL_MALE.pkl"


def test_alphapose_lists_what_its_checkout_lacks(tmp_path: Path) -> None:
    (tmp_path / "global_setting.py").write_text("alphapose_root = 'AlphaPose'\nalphapose_python = 'bin/python'\n", encoding="utf-8")
    settings = load_settings(tmp_path)
    fill(tmp_path / "AlphaPose", doctor.ALPHAPOSE_FILES[:-1])
    assert finding(settings, "AlphaPose").detail == f"no {doctor.ALPHAPOSE_FILES[-1]}, interpreter {tmp_path / 'bin' / 'python'}"
    fill(tmp_path / "AlphaPose", doctor.ALPHAPOSE_FILES)
    fill(tmp_path, ("bin/python",))
    (tmp_path / "bin" / "python").chmod(0o755)
    assert finding(settings, "AlphaPose").found


def test_which_pose_estimator_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("rtmlib", "torchvision"):
        monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    assert finding(load_settings(tmp_path), "2D pose").detail == "auto is embedded"
    (tmp_path / "global_setting.py").write_text("alphapose_root = 'AlphaPose'\n", encoding="utf-8")
    broken = finding(load_settings(tmp_path), "2D pose")
    assert not broken.found
    assert "no scripts/demo_inference.py" in broken.detail
    fill(tmp_path / "AlphaPose", doctor.ALPHAPOSE_FILES)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    assert finding(load_settings(tmp_path), "2D pose").detail == "auto is alphapose"


def test_a_broken_package_is_told_from_an_absent_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision.py").write_text(f"raise RuntimeError('{reason}')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    found = finding(load_settings(tmp_path), "torchvision")
    assert not found.found
    assert found.detail == f"installed but broken: {reason}"


def test_report_and_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "load_settings", lambda: load_settings(tmp_path))
    assert main(["doctor"]) == 1
    report = capsys.readouterr().out
    assert "MISSING default weights" in report
    assert "crowd3d train default" in report
    fill(load_settings(tmp_path).pretrained_root, ("crowd3dnet.safetensors",))
    monkeypatch.setattr(doctor, "_shipped_body", lambda: doctor.Finding("free body", True, "free_body_high.npz", needed=True))
    assert main(["doctor"]) == 0
    assert "MISSING" not in capsys.readouterr().out
