from __future__ import annotations

import dataclasses
import os
import runpy
from pathlib import Path

import pytest

from crowd3d.errors import MissingAsset
from crowd3d.settings import SETTINGS_FILE, Home, Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = {field.name for field in dataclasses.fields(Settings)} - {"home"}


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


def installed(monkeypatch: pytest.MonkeyPatch, here: Path, user: Path) -> Settings:
    """Settings of a package that belongs to no checkout."""
    package = here.parent / "site-packages" / "crowd3d"
    monkeypatch.setattr("crowd3d.settings.PACKAGE", package)
    monkeypatch.setattr("crowd3d.settings._user_folder", lambda: user)
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    settings = load_settings()
    assert settings.pretrained_root == package / "pretrained"
    assert settings.configs_root == package / "configs"
    return settings


def test_an_installed_package_writes_to_the_current_folder_and_executes_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, user = tmp_path / "here", tmp_path / "user"
    here.mkdir()
    (here / SETTINGS_FILE).write_text("raise SystemExit\n", encoding="utf-8")
    settings = installed(monkeypatch, here, user)
    results = here / "crowd3d_results"
    assert settings.root == here
    assert (settings.single_image_mid_root, settings.single_image_res_root) == (results / "intermediate", results)
    assert (settings.train_log_root, settings.checkpoints_root) == (results / "train_log", results / "checkpoints")
    assert (settings.smpl_model_root, settings.released_weights) == (user / "smpl", user / "pretrained" / "base_69.pkl")


def test_an_installed_package_reads_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user"
    user.mkdir()
    (user / SETTINGS_FILE).write_text("largecrowd_root = 'crowds'\nalphapose_root = '/opt/AlphaPose'\n", encoding="utf-8")
    settings = installed(monkeypatch, tmp_path / "here", user)
    assert (settings.largecrowd_root, settings.alphapose_root) == (user / "crowds", Path("/opt/AlphaPose"))
    monkeypatch.setenv("CROWD3D_LARGECROWD_ROOT", "elsewhere")
    assert load_settings().largecrowd_root == tmp_path / "here" / "elsewhere"


@pytest.mark.parametrize(
    ("platform", "variable", "usual"),
    [
        ("linux", "XDG_CONFIG_HOME", ".config/crowd3d"),
        ("win32", "APPDATA", "AppData/Roaming/crowd3d"),
        ("darwin", "", "Library/Application Support/crowd3d"),
    ],
)
def test_the_users_file_is_where_the_platform_keeps_settings(
    platform: str, variable: str, usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowd3d.settings.sys.platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert Home.installed().settings == tmp_path / usual / SETTINGS_FILE
    if variable:
        monkeypatch.setenv(variable, "/chosen")
        assert Home.installed().settings == Path("/chosen") / "crowd3d" / SETTINGS_FILE


def test_a_folder_that_only_looks_like_a_checkout_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SETTINGS_FILE).write_text("raise SystemExit\n", encoding="utf-8")
    monkeypatch.setattr("crowd3d.settings.PACKAGE", tmp_path / "site-packages" / "crowd3d")
    monkeypatch.chdir(tmp_path)
    assert not load_settings().home.checkout
