from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from crowd3d.cli import doctor
from crowd3d.cli.main import main
from crowd3d.model import engines
from crowd3d.pipeline.weights import SHIPPED
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
    fill(settings.pretrained_root, tuple(f"{name}.safetensors" for name in SHIPPED[:-1]))
    assert f"no {SHIPPED[-1]}.safetensors" in finding(settings, "default weights").detail
    assert not finding(settings, "default weights").found
    fill(settings.pretrained_root, (f"{SHIPPED[-1]}.safetensors",))
    assert finding(settings, "default weights").found


def test_it_says_where_networks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert finding(load_settings(tmp_path), "machine").detail.endswith("GPU: A GPU; networks run on cuda by torch")


def test_networks_for_photographs_must_be_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWD3D_MODELS", str(tmp_path / "models"))
    settings = load_settings(tmp_path)
    missing = finding(settings, "photo networks")
    assert missing.detail == f"no nanodet.safetensors, movenet.safetensors in {tmp_path / 'models'}"
    assert missing.remedy.startswith("crowd3d fetch people")
    fill(tmp_path / "models", ("nanodet.safetensors", "movenet.safetensors", "people.json"))
    assert finding(settings, "photo networks").detail.startswith("damaged")


def small_smpl(path: Path, vertices: int = 50, joints: int = 24) -> None:
    """SMPL's arrays, made up, with few vertices; and the regressors beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "v_template": np.zeros((vertices, 3)),
        "shapedirs": np.zeros((vertices, 3, 10)),
        "posedirs": np.zeros((vertices, 3, 207)),
        "J_regressor": np.zeros((24, vertices)),
        "weights": np.zeros((vertices, joints)),
        "kintree_table": np.zeros((2, 24)),
        "f": np.zeros((1, 3), int),
    }
    with path.open("wb") as file:
        np.savez(file, **arrays) if path.suffix == ".npz" else pickle.dump(arrays, file)


def test_smpl_needs_its_regressors(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    folder = settings.smpl_model_root
    small_smpl(folder / "SMPL_NEUTRAL.pkl")
    np.save(folder / "J_regressor_extra.npy", np.zeros((9, 50)))
    assert finding(settings, "SMPL neutral").detail.startswith("J_regressor_h36m.npy not found in ")
    np.save(folder / "J_regressor_h36m.npy", np.zeros((17, 50)))
    assert finding(settings, "SMPL neutral").found
    assert finding(settings, "SMPL male").detail.startswith("no SMPL_MALE.pkl or .npz, nor basicmodel_m_lbs_10_207_0_v1.1.0.pkl, in ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "a web page, such as that of a login"),
        (b"PK\x03\x04 and no end", "cut off after"),
        (b"\x80\x02}q\x00(X\x05", "no usable body"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
    ],
)
def test_what_is_no_smpl_file_is_not_ok(content: bytes, told: str, tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    settings.smpl_model_root.mkdir(parents=True)
    (settings.smpl_model_root / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl").write_bytes(content)
    found = finding(settings, "SMPL neutral")
    assert not found.found
    assert told in found.detail


def test_other_body_models_are_told_apart(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    folder = settings.smpl_model_root
    for vertices, joints, told in ((10475, 55, "SMPL-X"), (6890, 52, "SMPL-H"), (778, 16, "MANO")):
        small_smpl(folder / "SMPL_NEUTRAL.npz", vertices, joints)
        assert f"is {told}" in finding(settings, "SMPL neutral").detail
    (folder / "SMPL_NEUTRAL.npz").rename(folder / "SMPLX_NEUTRAL.npz")
    assert "there are SMPLX_NEUTRAL.npz" in finding(settings, "SMPL neutral").detail


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
    monkeypatch.setenv("CROWD3D_MODELS", str(tmp_path / "models"))
    assert "restore the shipped weights" in finding(load_settings(tmp_path), "2D pose").detail
    fill(load_settings(tmp_path).pretrained_root, ("crowd3dnet_compact.safetensors", "keypoints.safetensors"))
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
    fill(load_settings(tmp_path).pretrained_root, tuple(f"{name}.safetensors" for name in SHIPPED))
    monkeypatch.setattr(doctor, "_shipped_body", lambda: doctor.Finding("free body", True, "free_body_high.npz", needed=True))
    assert main(["doctor"]) == 0
    assert "MISSING" not in capsys.readouterr().out
