from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crowd3d.cli import main as cli

PACKAGE = Path(cli.__file__).parent


def test_help_lists_exactly_the_verbs_that_exist(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "fly", ("fly", "not there"))
    assert set(cli.available_verbs()) == {verb for verb, (module, _) in cli.VERBS.items() if (PACKAGE / f"{module}.py").is_file()}
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    listed = capsys.readouterr().out.split("verbs:\n")[1]
    assert stop.value.code == 0
    assert [line.split()[0] for line in listed.splitlines()] == list(cli.available_verbs())


@pytest.mark.parametrize("argv", [[], ["fly"], ["doctor", "--fly"]])
def test_wrong_usage_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    assert "usage: crowd3d" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["reconstruct", "process"])
def test_an_address_is_no_file(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([verb, "--scene_image_path", "https://example.com/a.jpg"])
    assert "https://example.com/a.jpg is an address; download" in capsys.readouterr().err


def test_only_the_chosen_verb_is_imported() -> None:
    code = """
import sys
from crowd3d.cli.main import main
try:
    main(["doctor", "--help"])
except SystemExit:
    print(*(name for name in sys.modules if name.startswith("crowd3d.cli.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) == {f"crowd3d.cli.{name}" for name in ("main", "run", "console", "doctor")}


@pytest.mark.parametrize("verb", cli.available_verbs())
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: crowd3d {verb}")
