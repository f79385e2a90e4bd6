"""The house rules hold: layers, bans, pins, package data, the Makefile's caching, and what the README promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from crowd3d.cli.main import available_verbs

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "Crowd3DNet"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("geometry/__init__.py", "import crowd3d.files", None),
        ("geometry/__init__.py", "import crowd3d.model", "crowd3d.geometry is not allowed to import crowd3d.model"),
        ("pipeline/__init__.py", "import crowd3d.training", "crowd3d.pipeline is not allowed to import crowd3d.training"),
    ],
)
def test_a_forbidden_import_breaks_a_contract(module: str, line: str, broken: str | None, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file in SOURCE.glob("crowd3d/**/__init__.py"):
        target = tmp_path / file.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    for name in ("__main__", "settings", "types", "files", "locks", "processes", "progress", "errors"):
        (tmp_path / "crowd3d" / f"{name}.py").touch()
    (tmp_path / "crowd3d" / module).write_text(line, encoding="utf-8")
    code = "import importlinter.cli; importlinter.cli.lint_imports_command()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
    assert (broken or "0 broken") in done.stdout


@pytest.mark.parametrize(
    ("file", "code", "rule"),
    [
        ("ground/solve.py", "import subprocess\n\nsubprocess.run([])\n", "TID251"),
        ("pose/alphapose.py", "import subprocess\n\nsubprocess.run([])\n", None),
        ("pipeline/publishers.py", "import subprocess\n\nsubprocess.run([])\n", None),
        ("ground/solve.py", "import os\n\nprint(os.environ)\n", "TID251"),
        ("settings.py", "import os\n\nprint(os.environ)\n", None),
        ("ground/solve.py", "from numpy import *\n", "F403"),
        ("ground/solve.py", "print(eval('1'))\n", "S307"),
        ("ground/solve.py", "try:\n    print()\nexcept Exception:\n    print()\n", "BLE001"),
    ],
)
def test_bans(file: str, code: str, rule: str | None) -> None:
    command = [str(BIN / "ruff"), "check", "--quiet", "--output-format=concise", f"--stdin-filename={SOURCE / 'crowd3d' / file}", "-"]
    done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert (rule or "") in done.stdout
    assert done.returncode == (1 if rule else 0), done.stdout


def test_requirements_pin_every_dependency() -> None:
    first, *lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n")
    pins = [Requirement(line) for line in lines if line]
    assert first == "-e ."
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    declared = [Requirement(requirement) for requirement in requires("crowd3d") or []]
    extras = [{"extra": extra} for extra in ("", "dev", "openvino", "evaluate", "train")]
    needed = {one.name for one in declared if one.marker is None or any(map(one.marker.evaluate, extras))} - {"crowd3d"}
    for versions in ("3.10", "3.11", "3.13"):
        pinned = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": versions})]
        assert len(pinned) == len(set(pinned))
        assert needed <= set(pinned)


def test_every_data_file_of_the_package_is_installed_with_it() -> None:
    declared = re.search(r"^crowd3d = \[(.*)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    suffixes = set(re.findall(r"\*\*/\*(\.\w+)", declared[1])) | {".py", ".pyc"}
    files = [file for file in SOURCE.glob("crowd3d/**/*") if file.is_file() and "__pycache__" not in file.parts]
    assert [str(file) for file in files if file.suffix not in suffixes] == []


def test_makefile_installs_once_and_again_after_a_change(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    stub = tmp_path / "python"
    stub.write_text(
        """#!/bin/sh
echo "$(basename "$0") $*" >> calls
case "$*" in
"-m venv .venv") mkdir -p .venv/bin; for tool in python ruff mypy lint-imports; do cp "$0" .venv/bin/$tool; done ;;
esac
""",
        encoding="utf-8",
    )
    stub.chmod(0o755)

    def installs() -> int:
        (tmp_path / "calls").write_text("", encoding="utf-8")
        subprocess.run(["make", "test", "PYTHON=./python"], cwd=tmp_path, capture_output=True, check=True)
        calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
        assert calls[-5:-2] == ["ruff check", "mypy ", "lint-imports "]
        assert all(call.startswith("python -m pytest ") for call in calls[-2:])
        return calls.count("python -m pip install -r requirements.txt")

    assert [installs(), installs()] == [1, 0]
    (tmp_path / "requirements.txt").write_text("-e .\n", encoding="utf-8")
    assert [installs(), installs()] == [1, 0]
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    assert [installs(), installs()] == [1, 0]


def test_makefile_fetches_networks_until_they_are_there_and_works_without(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    stub = tmp_path / "python"
    stub.write_text(
        """#!/bin/sh
case "$*" in
"-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
*"fetch people") echo tried >> tries; test -e online ;;
esac
""",
        encoding="utf-8",
    )
    stub.chmod(0o755)

    def tries() -> int:
        subprocess.run(["make", "install", "PYTHON=./python"], cwd=tmp_path, capture_output=True, check=True)
        return len((tmp_path / "tries").read_text(encoding="utf-8").split())

    assert [tries(), tries()] == [1, 2]
    (tmp_path / "online").touch()
    assert [tries(), tries()] == [3, 3]


def test_continuous_integration_runs_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text("docs:\n\t@echo built\ntest:\n\t@echo tested\n", encoding="utf-8")
    # These tests may run below `make test` themselves; make then announces folders, which is not what is asked here.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run([tmp_path / ".ci" / "run"], cwd="/", env=outside, capture_output=True, text=True, check=True)
    assert done.stdout == "built\ntested\n"


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_readme_names_verbs_and_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"crowd3d ([a-z]+)\b", "\n".join(re.findall(r"`([^`\n]+)`", text)))) <= set(available_verbs())
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?<![\w ])make ([a-z]+)", text)) <= set(targets)
