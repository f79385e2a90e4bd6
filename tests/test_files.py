"""Files: text of all systems is read, and a file appears whole, with usual permissions, or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crowd3d.errors import BadOutput
from crowd3d.files import atomic_path, read_json, write_json


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_the_encodings_of_all_systems(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_text('{"größe": [1]}', encoding=encoding)
    assert read_json(tmp_path / "a.json") == {"größe": [1]}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": "\xe9"}', b"[" * 100_000, b"\xff\xfe{"])
def test_what_is_no_json_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "a.json")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    write_json(tmp_path / "a.json", 1)
    assert calls == ["fsync", "replace"]


def test_a_folder_in_the_place_of_the_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(BadOutput, match=r"cannot write .*a\.json"):
        write_json(tmp_path / "a.json", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("write", ["npy(Path('a.npy'), a)", "npz(Path('a.npz'), a=a)", "json(Path('a.json'), a.tolist())"])
def test_what_may_not_grow_is_told_and_not_left_half_written(tmp_path: Path, write: str) -> None:
    """As on a full disk: the last bytes of a file are refused."""
    code = f"""
import resource, signal
import numpy as np
from pathlib import Path
from crowd3d.errors import BadOutput
from crowd3d.files import write_json, write_npy, write_npz
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
a = np.random.default_rng(0).random(900)
try:
    write_{write}
except BadOutput as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said.startswith("cannot write a.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
@pytest.mark.parametrize(("mask", "mode"), [("022", 0o644), ("077", 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: str, mode: int) -> None:
    code = f"import os; os.umask(0o{mask}); from pathlib import Path; from crowd3d.files import write_json; write_json(Path('a.json'), 1)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode
