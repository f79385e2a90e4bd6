"""Stages of a run: what is kept and what is done again."""

import sys
from pathlib import Path

import pytest

from crowd3d.pipeline.manifest import Run
from crowd3d.pipeline.memory import peak_memory_mb


class Work:
    """Three stages that note when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []

    def go(self, inputs: dict[str, str], *, fail: str = "", overwrite: bool = False) -> list[str]:
        self.done = []
        run = Run(self.folder, overwrite=overwrite)
        for name in "abc":
            output = self.folder / name

            def make(name=name, output=output):
                if name == fail:
                    raise RuntimeError(name)
                self.done.append(name)
                output.write_text(name)

            run.stage(name, {"value": inputs[name]}, [output], make)
        return self.done


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


SAME = {"a": "1", "b": "1", "c": "1"}


def test_second_run_does_nothing(work):
    assert work.go(SAME) == ["a", "b", "c"]
    assert work.go(SAME) == []


def test_changed_inputs_redo_the_stage_and_what_follows(work):
    work.go(SAME)
    assert work.go({**SAME, "b": "2"}) == ["b", "c"]


def test_missing_output_is_made_again(work):
    work.go(SAME)
    (work.folder / "b").unlink()
    assert work.go(SAME) == ["b"]


def test_finished_stages_survive_a_failure(work):
    with pytest.raises(RuntimeError):
        work.go(SAME, fail="b")
    assert work.go(SAME) == ["b", "c"]


def test_overwrite_and_damaged_manifest_start_again(work):
    work.go(SAME)
    assert work.go(SAME, overwrite=True) == ["a", "b", "c"]
    (work.folder / "manifest.json").write_text("{ truncated")
    assert work.go(SAME) == ["a", "b", "c"]


def test_memory_is_counted_in_the_units_of_the_system(work, monkeypatch):
    resource = pytest.importorskip("resource")
    usage = type("Usage", (), {"ru_maxrss": 300 << 20})
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    for platform, expected in (("darwin", 300), ("linux", 300 << 10)):
        monkeypatch.setattr(sys, "platform", platform)
        assert peak_memory_mb() == expected
    monkeypatch.undo()
    monkeypatch.setattr("crowd3d.pipeline.memory.find_spec", lambda name: None)
    assert peak_memory_mb() is None
    assert work.go(SAME) == ["a", "b", "c"]
