"""`crowd3d train` and `train.sh`: what is missing is said, wrong arguments are one line, nothing on disk changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from crowd3d.cli.main import main
from crowd3d.errors import BadConfig
from crowd3d.model.configs import read_config
from crowd3d.training.config import TrainConfig
from crowd3d.training.train_crowd3dnet import check_continued, stage_configs

ROOT = Path(__file__).resolve().parents[2]


def test_without_data_sets_it_says_which_and_what_needs_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWD3D_TRAIN_DATA_ROOT", str(tmp_path))
    assert main(["train"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    for name in ("h36m_scale", "muco_scale", "agora_scale", "largecrowd_scale"):
        assert str(tmp_path / name) in said
    assert "dataset=synthetic" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dataset=synthetic", "epochs=2"], "epochs"),
        (["dataset=synthetic", "--steps", "7"], "--steps"),
        (["default", "epoch=2"], "epoch=2"),
        (["dataset=synthetic", "model_precision=fp16", "device=cpu"], "fp16"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("place", [".", "Crowd3DNet"])
def test_the_script_works_from_both_folders(place: str, tmp_path: Path) -> None:
    (tmp_path / "Crowd3DNet").mkdir()
    for script in ("train.sh", "Crowd3DNet/train.sh"):
        shutil.copy(ROOT / script, tmp_path / script)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    command = ["bash", "train.sh", "dataset=synthetic", "tag=a b"]
    done = subprocess.run(command, cwd=tmp_path / place, capture_output=True, text=True, check=True)
    assert done.stdout == "-m crowd3d.cli.main train dataset=synthetic tag=a b\n"


def test_a_run_is_not_continued_as_another_one(tmp_path: Path) -> None:
    config = read_config(ROOT / "Crowd3DNet" / "configs" / "train" / "foot.yml", TrainConfig, ["dataset=synthetic"])
    check_continued(tmp_path, config)
    check_continued(tmp_path, replace(config, epoch=99, nw=0))
    assert json.loads((tmp_path / "config.json").read_text())["epoch"] == 99
    with pytest.raises(BadConfig, match=r"lr=5e-05.*tag="):
        check_continued(tmp_path, replace(config, lr=1e-3))
    for damaged in ('{"epoch":', "[]", "[" * 100_000):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(BadConfig, match=r"config\.json.*delete it|holds a run"):
            check_continued(tmp_path, config)


def test_the_small_backbone_learns_faster_unless_told_otherwise() -> None:
    configs = ROOT / "Crowd3DNet" / "configs" / "train"
    assert [config.lr for config in stage_configs(configs, ["dataset=synthetic"])] == [5e-5, 5e-5]
    assert [config.lr for config in stage_configs(configs, ["backbone=compact"])] == [1e-3, 1e-3]
    assert [config.lr for config in stage_configs(configs, ["backbone=compact", "lr=2e-4"])] == [2e-4, 2e-4]
