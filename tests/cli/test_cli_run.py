from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from crowd3d.cli import USUAL_THRESHOLDS
from crowd3d.cli.run import EXTRAS, run_cli
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


def test_a_long_error_loses_its_middle() -> None:
    said = str(BadImage("cannot read " + "x" * 5000 + "; copy it again"))
    assert len(said) < 1100
    assert said.startswith("cannot read xx")
    assert said.endswith("xx; copy it again")


@pytest.mark.parametrize("name", ["-dash.jpg", "--two.jpg", "-d"])
def test_files_may_begin_with_a_dash(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", type=Path)
        parser.add_argument("--image", type=Path)
        parser.add_argument("-n", type=float)

    def run(arguments: argparse.Namespace) -> int:
        return int((arguments.path or arguments.image).read_text()) + (arguments.n or 0)

    for given in ([name], ["--image", name], [name, "-n", "-1"]):
        with pytest.raises(SystemExit):
            run_cli(add_arguments, run, given)
    (tmp_path / name).write_text("7")
    assert [run_cli(add_arguments, run, given) for given in ([name], ["--image", name], [name, "-n", "-1"])] == [7, 7, 6]


def test_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(no_arguments, raiser(KeyboardInterrupt()), []) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_package_of_an_extra_is_named_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'lightning_fabric'", name="lightning_fabric.plugins")
    assert run_cli(no_arguments, raiser(error), []) == 1
    assert capsys.readouterr().err == "crowd3d: error: lightning-fabric is not installed; pip install 'crowd3d[train]'\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError("No module named 'crowd3d.fly'", name="crowd3d.fly")])
def test_a_programming_error_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_cli(no_arguments, raiser(error), [])


def test_extras_are_those_that_the_package_declares() -> None:
    extra_of = {one.name: str(one.marker) for one in map(Requirement, requires("crowd3d") or []) if "extra" in str(one.marker)}
    for package, extra in EXTRAS.items():
        assert f'extra == "{extra}"' in extra_of[package.replace("_", "-")]


@pytest.mark.parametrize(("options", "told"), [({"default": 3}, "tiles (default: 3)"), ({}, "tiles"), ({"action": "store_true"}, "tiles")])
def test_help_tells_defaults_where_there_are_some(options: dict, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_cli(lambda parser: parser.add_argument("--tiles", help="tiles", **options), raiser(KeyboardInterrupt()), ["--help"])
    assert capsys.readouterr().out.rstrip().endswith(f" {told}")


def test_help_tells_a_default_once(capsys: pytest.CaptureFixture[str]) -> None:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--tiles", default=3, help="tiles (default: three)")

    with pytest.raises(SystemExit):
        run_cli(add_arguments, raiser(KeyboardInterrupt()), ["--help"])
    assert capsys.readouterr().out.rstrip().endswith(" tiles (default: three)")


def test_a_command_collects_garbage_as_any_program() -> None:
    seen: list[tuple[int, int, int]] = []
    gc.set_threshold(100_000)
    run_cli(no_arguments, lambda arguments: seen.append(gc.get_threshold()) or 0, [])  # type: ignore[func-returns-value]
    assert seen == [USUAL_THRESHOLDS]


def test_what_is_left_at_the_end_of_a_command_is_not_looked_through() -> None:
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count())); import crowd3d.cli; print(gc.get_freeze_count())"
    begin, end = map(int, subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert begin == 0
    assert end > 1000


def test_the_first_half_does_not_import_what_only_the_second_needs() -> None:
    code = "import sys, crowd3d.cli.process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"torch", "numba", "scipy.optimize", "crowd3d.optimise", "crowd3d.render", "crowd3d.pipeline.infer"} & set(loaded)


@pytest.mark.parametrize("verb", ["inference", "reconstruct", "measure", "view", "export"])
def test_whoever_only_runs_networks_does_not_import_pytorch(verb: str) -> None:
    code = f"import sys, crowd3d.cli.{verb}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
