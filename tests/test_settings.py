from __future__ import annotations

import dataclasses
import os
import runpy
from pathlib import Path

import pytest

from crowd3d.errors import MissingAsset
from crowd3d.settings import SETTINGS_FILE, Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = {field.name for field in dataclasses.fields(Settings)} - {"root"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CROWD3D_"):
            monkeypatch.delenv(name)


def test_every_setting_has_a_line_in_the_users_file_and_nothing_else_has() -> None:
    assert {name for name in runpy.run_path(str(ROOT / SETTINGS_FILE)) if not name.startswith("_")} == NAMES


def test_users_file_states_the_defaults(tmp_path: Path) -> None:
    shipped, defaults = load_settings(ROOT), load_settings(tmp_path)
    for name in NAMES:
        value = getattr(defaults, name)
        assert getattr(shipped, name) == (None if value is None else ROOT / value.relative_to(tmp_path)), name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_environment_wins_over_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SETTINGS_FILE).write_text(f"{name} = 'from/file'\n", encoding="utf-8")
    assert getattr(load_settings(tmp_path), name) == tmp_path / "from" / "file"
    monkeypatch.setenv(f"CROWD3D_{name.upper()}", "/from/environment")
    assert getattr(load_settings(tmp_path), name) == Path("/from/environment")


def test_empty_means_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SETTINGS_FILE).write_text("alphapose_root = '/opt/AlphaPose'\nsmpl_model_root = ''\n", encoding="utf-8")
    monkeypatch.setenv("CROWD3D_ALPHAPOSE_ROOT", "")
    settings = load_settings(tmp_path)
    assert settings.alphapose_root is None
    assert settings.smpl_model_root == tmp_path / Settings.smpl_model_root


def test_relative_paths_start_at_the_file_or_at_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CROWD3D_TEST_RES_ROOT", "mine")
    settings = load_settings()
    assert settings.root == ROOT
    assert settings.single_image_res_root == ROOT / "single_image" / "single_image_res"
    assert settings.test_res_root == folder / "mine"


@pytest.mark.parametrize("line", ["alphapose_root = unquoted", "alphapose_root = 3", "alphapose_root = 'open", "alphapose_root = 1 / 'a'"])
def test_a_mistake_in_the_users_file_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(MissingAsset, match=SETTINGS_FILE):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache/crowd3d"),
        ("win32", "LOCALAPPDATA", "AppData/Local/crowd3d"),
        ("darwin", "", "Library/Caches/crowd3d"),
    ],
)
def test_fetched_networks_go_where_the_platform_keeps_its_caches(
    platform: str, variable: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowd3d.settings.sys.platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert load_settings(tmp_path).models_folder == tmp_path / expected
    if variable:
        monkeypatch.setenv(variable, "relative")
        assert load_settings(tmp_path).models_folder == tmp_path / expected
        monkeypatch.setenv(variable, "/caches")
        assert load_settings(tmp_path).models_folder == Path("/caches/crowd3d")
    monkeypatch.setenv("CROWD3D_MODELS", "/mine")
    assert load_settings(tmp_path).models_folder == Path("/mine")
