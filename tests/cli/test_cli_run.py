from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from crowd3d.cli.run import run_cli
from crowd3d.errors import BadImage


def no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def raiser(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def test_arguments_reach_the_command_and_its_code_is_returned() -> None:
    assert run_cli(lambda parser: parser.add_argument("--number", type=int), lambda arguments: arguments.number, ["--number", "7"]) == 7


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(no_arguments, raiser(BadImage("crowd.jpg is truncated\nafter row 3; copy it again")), []) == 1
    assert capsys.readouterr().err == "crowd3d: error: crowd.jpg is truncated after row 3; copy it again\n"


def test_a_system_error_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(no_arguments, lambda arguments: len((tmp_path / "absent").read_bytes()), []) == 1
    assert capsys.readouterr().err == f"crowd3d: error: {tmp_path / 'absent'}: No such file or directory\n"


def test_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(no_arguments, raiser(KeyboardInterrupt()), []) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_programming_error_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_cli(no_arguments, raiser(ZeroDivisionError()), [])
