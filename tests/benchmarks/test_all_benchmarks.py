"""`python benchmarks` runs every script, with arguments that it knows, to its end, and says what came of each."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def everything() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "__main__.py")))


def test_every_script_has_its_place(everything: SimpleNamespace) -> None:
    scripts = {path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text(encoding="utf-8")} - {"__main__.py"}
    there = scripts | {path.name for path in FOLDER.glob("*.sh")}
    assert [bench.script for bench in everything.BENCHES if bench.script not in there] == []
    assert {bench.script for bench in everything.BENCHES} == there


def test_options_are_those_of_the_script(everything: SimpleNamespace) -> None:
    for bench in everything.BENCHES:
        options = [argument for argument in bench.arguments if argument.startswith("--")]
        text = (FOLDER / bench.script).read_text(encoding="utf-8")
        assert [option for option in options if f'"{option}"' not in text] == [], bench.script


def test_a_table_of_what_they_say_and_one_that_fails(everything: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.py").write_text('"""How many?\n\nMore."""\nprint("few 1")\nprint("mean  2 | 3")\nprint("end")\n', encoding="utf-8")
    (tmp_path / "bad.py").write_text('"""Does it fail?"""\nraise SystemExit("no scenes")\n', encoding="utf-8")
    good = everything.run(everything.Bench("good.py", tells="mean"), tmp_path, tmp_path)
    bad = everything.run(everything.Bench("bad.py"), tmp_path, tmp_path)
    omitted = everything.run(everything.Bench("long.sh", omitted="takes a folder"), tmp_path, tmp_path)
    assert (good.answer, good.question, good.failed) == ("mean 2 | 3", "How many?", False)
    assert (bad.answer, bad.failed) == ("exit code 1: no scenes", True)
    lines = everything.table([good, bad, omitted]).splitlines()
    cells = [line.split("|")[-2].strip() for line in lines if line.startswith("| `")]
    assert cells == ["mean 2 / 3", "**failed** exit code 1: no scenes", "takes a folder"]
    monkeypatch.setitem(everything.main.__globals__, "BENCHES", (everything.Bench("largecrowd.sh", omitted="takes a folder"),))
    assert everything.main(["--output", str(tmp_path / "out"), "--only", "largecrowd"]) == 0
    assert json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))[0]["answer"] == "takes a folder"
