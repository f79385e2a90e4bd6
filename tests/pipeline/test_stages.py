"""Stages of a run: what is kept, what is done again, and that nothing of an interrupted or another run is ever left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crowd3d.files
from crowd3d.errors import FolderInUse
from crowd3d.locks import LOCK, locked
from crowd3d.pipeline.memory import peak_memory_mb
from crowd3d.pipeline.stages import MANIFEST, Owner, Run, Stage, known_owner, own_folder

PHOTOGRAPH = Owner("/photographs/a.jpg", "aa")
SAME = {"a": "1", "b": "1", "c": "1"}


class Interrupted(Exception):
    pass


class Work:
    """Three stages, each of which writes what it was given and what the one before wrote; they note when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []

    def go(
        self,
        values: dict[str, str],
        *,
        stop_before: str = "",
        stop_in: str = "",
        owner: Owner = PHOTOGRAPH,
        version: int = 1,
        without: str = "",
        overwrite: bool = False,
    ) -> list[str]:
        self.done = []
        with Run(self.folder, owner, overwrite=overwrite) as run:
            before: list[Path] = []
            for name in sorted(values):
                if name in without:
                    continue
                if name == stop_before:
                    raise Interrupted
                output, folder = self.folder / name, self.folder / f"{name} parts"

                def make(name=name, before=tuple(before), output=output, folder=folder) -> str:
                    self.done.append(name)
                    text = values[name] + "".join(path.read_text() for path in before)
                    folder.mkdir()
                    for number in range(int(values[name])):
                        (folder / str(number)).write_text(text)
                    if name == stop_in:
                        raise Interrupted
                    output.write_text(text)
                    return text

                stage = Stage(name, version, before, {"value": values[name]}, [output, folder])
                assert run.do(stage, make, load=output.read_text) == output.read_text()
                before = [output]
        return self.done

    def files(self) -> dict[str, str]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_text()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name not in (MANIFEST, LOCK)
        }


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crowd3d.files, "_to_disk", lambda path: None)
        yield


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def test_second_run_does_nothing(work: Work) -> None:
    assert work.go(SAME) == ["a", "b", "c"]
    before = {path: path.stat().st_mtime_ns for path in work.folder.rglob("*")}
    assert work.go(SAME) == []
    assert {path: path.stat().st_mtime_ns for path in work.folder.rglob("*")} == before


def test_changed_values_redo_the_stage_and_what_follows(work: Work) -> None:
    work.go(SAME)
    assert work.go({**SAME, "b": "2"}) == ["b", "c"]


def test_a_new_version_of_the_code_does_everything_again(work: Work) -> None:
    work.go(SAME)
    assert work.go(SAME, version=2) == ["a", "b", "c"]


@pytest.mark.parametrize("damage", ["gone", "other", "part gone", "part cut"])
def test_what_is_not_as_it_was_written_is_made_again(work: Work, damage: str) -> None:
    work.go(SAME)
    whole = work.files()
    if damage == "gone":
        (work.folder / "b").unlink()
    elif damage == "other":
        (work.folder / "b").write_text("21")
    elif damage == "part gone":
        (work.folder / "b parts" / "0").unlink()
    else:
        (work.folder / "b parts" / "0").write_text("")
    assert work.go(SAME) == ["b", "c"]
    assert work.files() == whole


def test_an_edited_file_that_may_be_edited_stays_and_what_reads_it_is_made_again(tmp_path: Path) -> None:
    people, drawn = tmp_path / "people", tmp_path / "drawn"

    def go() -> None:
        with Run(tmp_path, PHOTOGRAPH) as run:
            run.do(Stage("people", 1, [], {}, [people], editable=[people]), lambda: people.write_text("found"))
            run.do(Stage("drawn", 1, [people], {}, [drawn]), lambda: drawn.write_text(people.read_text()))

    go()
    people.write_text("edited")
    go()
    assert (people.read_text(), drawn.read_text()) == ("edited", "edited")


def test_finished_stages_survive_an_interruption_and_nothing_out_of_date_does(work: Work) -> None:
    work.go(SAME)
    with pytest.raises(Interrupted):
        work.go({**SAME, "b": "2"}, stop_in="b")
    assert set(work.files()) == {"a", "a parts/0", "b parts/0", "b parts/1"}, "of stage c nothing is left, of b what it was at"
    with pytest.raises(Interrupted):
        work.go(SAME, stop_before="b")
    assert set(work.files()) == {"a", "a parts/0"}
    assert work.go(SAME) == ["b", "c"]


def test_what_a_killed_process_had_begun_to_write_goes(work: Work) -> None:
    work.go(SAME)
    with crowd3d.files.atomic_path(work.folder / "x.jpg") as begun:
        shutil.copy(begun, work.folder / ".0123456789ab.tar")
    (work.folder / ".mine").touch()
    work.go(SAME)
    assert {path.name for path in work.folder.glob(".*")} == {LOCK, ".mine"}


def test_what_it_had_begun_to_write_elsewhere_goes_too(tmp_path: Path) -> None:
    """Camera and ground in the release's files lie in another folder than the results that they belong to."""
    elsewhere = tmp_path / "mid" / "ground"
    stage = Stage("ground", 1, writes=[elsewhere])
    elsewhere.mkdir(parents=True)
    (elsewhere / ".0123456789ab.npy").touch()
    with Run(tmp_path / "res", PHOTOGRAPH) as run:
        run.do(stage, lambda: crowd3d.files.write_json(elsewhere / "ground.json", 1))
    assert [path.name for path in elsewhere.iterdir()] == ["ground.json"]


def test_a_stage_that_another_run_left_out_goes_when_what_it_was_made_of_does(work: Work) -> None:
    work.go(SAME)
    assert work.go(SAME, without="c") == []
    assert "c" in work.files()
    assert work.go({**SAME, "a": "2"}, without="c") == ["a", "b"]
    assert "c" not in work.files()


def test_two_stages_never_write_one_file(tmp_path: Path) -> None:
    with Run(tmp_path, PHOTOGRAPH) as run:
        run.do(Stage("a", 1, writes=[tmp_path / "tiles"]), (tmp_path / "tiles").mkdir)
        with pytest.raises(ValueError, match="stages a and b both write"):
            run.do(Stage("b", 1, writes=[tmp_path / "tiles" / "1.jpg"]), lambda: None)


def test_overwrite_and_a_damaged_manifest_start_again(work: Work) -> None:
    work.go(SAME)
    whole = work.files()
    assert work.go(SAME, overwrite=True) == ["a", "b", "c"]
    manifest = json.loads((work.folder / MANIFEST).read_text())
    older, torn = {**manifest, "format": 1}, {**manifest, "stages": {"a": {"key": 1}}}
    for damaged in ("{ truncated", "[]", json.dumps(older), json.dumps(torn), "[" * 99999):
        (work.folder / MANIFEST).write_text(damaged)
        assert work.go(SAME) == ["a", "b", "c"]
        assert work.files() == whole


def test_a_manifest_from_elsewhere_removes_nothing_outside_of_its_folder(work: Work) -> None:
    work.go(SAME)
    mine = work.folder.parent / "mine"
    mine.write_text("mine")
    path = work.folder / MANIFEST
    for name in ("../mine", "..", ".", "", str(mine), "\0"):
        manifest = json.loads(path.read_text())
        manifest["stages"]["c"] |= {"key": "", "writes": {name: None}}
        manifest["stages"]["a"]["reads"] = [name]
        path.write_text(json.dumps(manifest))
        work.go(SAME)
        assert mine.read_text() == "mine"
        assert "a" in work.files()


def test_another_photograph_takes_the_folder_with_nothing_of_the_first_left(work: Work) -> None:
    work.go(SAME)
    assert known_owner(work.folder) == PHOTOGRAPH
    edited, moved, other = Owner("/photographs/a.jpg", "bb"), Owner("/moved/a.jpg", "bb"), Owner("/others/a.jpg", "cc")
    assert work.go(SAME, owner=edited) == work.go(SAME, owner=moved) == []
    assert known_owner(work.folder) == edited
    assert work.go({"a": "1"}, owner=other) == ["a"]
    assert set(work.files()) == {"a", "a parts/0"}


def test_photographs_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    first, second = Owner("/a/crowd.jpg", "0123456789"), Owner("/b/crowd.jpg", "ffffffffff")
    assert own_folder(tmp_path, "crowd", first) == tmp_path / "crowd"
    with Run(tmp_path / "crowd", first):
        pass
    assert own_folder(tmp_path, "crowd", first) == tmp_path / "crowd"
    assert own_folder(tmp_path, "crowd", Owner("/b/crowd.jpg", "0123456789")) == tmp_path / "crowd", "a copy is the same photograph"
    assert own_folder(tmp_path, "crowd", Owner("/a/crowd.jpg", "edited")) == tmp_path / "crowd"
    assert own_folder(tmp_path, "crowd", second) == tmp_path / "crowd-ffffffff"
    sequences = [own_folder(tmp_path, "crowd", Owner(path)).name for path in ("/a/crowd", "/b/crowd", "/a/crowd")]
    assert sequences[0] == sequences[2] != sequences[1]


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_ended_however_it_ended(tmp_path: Path) -> None:
    code = f"from crowd3d.locks import locked; from pathlib import Path; l = locked(Path({str(tmp_path)!r})); l.__enter__()\n"
    holder = subprocess.Popen([sys.executable, "-c", code + "print('held', flush=True); input()"], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(FolderInUse, match=f"another run works in {tmp_path}"), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path), pytest.raises(FolderInUse), locked(tmp_path):
        pass


@given(
    st.lists(
        st.tuples(
            st.fixed_dictionaries({name: st.sampled_from("123") for name in "abc"}),
            st.sampled_from(["", "a", "b", "c"]),
            st.sampled_from(["", "a", "b", "c"]),
            st.sampled_from(["", "c", "bc"]),
        ),
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_interleaving_of_options_and_interruptions_is_a_fresh_run(
    tmp_path_factory: pytest.TempPathFactory, history: Sequence[tuple[dict[str, str], str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("interleaved")
    work, fresh = Work(root / "work"), Work(root / "fresh")
    for values, stop_before, stop_in, without in history:
        try:
            work.go(values, stop_before=stop_before, stop_in=stop_in, without=without)
        except Interrupted:
            continue
    last = {"a": "2", "b": "1", "c": "3"}
    work.go(last)
    fresh.go(last)
    assert work.files() == fresh.files()
    assert work.go(last) == []


def test_memory_is_counted_in_the_units_of_the_system(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_processor_seconds_of_a_stage_are_those_of_its_work(tmp_path: Path) -> None:
    def work() -> str:
        time.sleep(0.3)
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        return "done"

    with Run(tmp_path, PHOTOGRAPH) as run:
        run.do(Stage("work", 1, [], {}, [tmp_path / "work"]), work, (tmp_path / "work").write_text)
    told = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))["stages"]["work"]
    assert told["processor_seconds"] == pytest.approx(0.2, abs=0.05)
    assert told["seconds"] >= told["processor_seconds"] + 0.2, "sleeping is no work; other threads of the tests may do some"
