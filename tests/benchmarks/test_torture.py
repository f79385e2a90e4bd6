"""The torture bench sees what it looks for: half-written files, results that differ, errors that no user should see."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("torture_cases.folders")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Files of many kinds."""
    folder = tmp_path / "result"
    folder.mkdir()
    picture = np.arange(1200, dtype=np.uint8).reshape(20, 20, 3)
    cv2.imwrite(str(folder / "a.png"), picture)
    cv2.imwrite(str(folder / "a.jpg"), picture)
    np.savez(folder / "a.npz", a=np.arange(9), b=np.ones(3))
    (folder / "a.json").write_text('{"a": [1, 2]}')
    (folder / "a.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    save_file({"weight": np.zeros((3, 3), np.float32)}, folder / "a.safetensors")
    torch.save({"step": 3, "average": torch.ones(4)}, folder / "a.pt")
    (folder / "a.glb").write_bytes(b"glTF" + bytes([2, 0, 0, 0, 16, 0, 0, 0]) + bytes(4))
    return folder


def test_a_file_that_ends_too_early_is_seen(folders: ModuleType, result: Path) -> None:
    assert folders.half_written(result) == []
    for path in sorted(result.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-3])
        assert folders.half_written(result) == [path.name]
        path.write_bytes(content)
    (result / ".0123456789ab.npz").write_bytes(b"PK")
    assert folders.half_written(result) == []
    assert folders.temporary(result) == [".0123456789ab.npz"]


def test_another_result_is_seen(folders: ModuleType, result: Path, tmp_path: Path) -> None:
    fresh = result.rename(tmp_path / "fresh")
    for name in ("scene.txt", "state.pt"):
        result.mkdir(exist_ok=True)
        torch.save({"step": torch.arange(3)}, fresh / name) if name.endswith("pt") else (fresh / name).write_text(f"in {fresh}")
    for path in fresh.iterdir():
        (result / path.name).write_bytes(path.read_bytes())
    (result / "scene.txt").write_text(f"in {result}")
    assert folders.compared(result, fresh)["outcome"] == "same", "but for the names of their folders"
    torch.save({"step": torch.arange(3) + 1}, result / "state.pt")
    (result / "more.csv").touch()
    assert folders.compared(result, fresh) == {"outcome": "different", "wrong": ["state.pt"], "more": ["more.csv"]}


@pytest.mark.parametrize(
    ("code", "said", "fault"),
    [
        (0, "a warning\n", ""),
        (1, "a warning\ncrowd3d: error: no space; free some\n", ""),
        (1, "no reason\n", "crash 1"),
        (1, "crowd3d: error: a\ncrowd3d: error: b\n", "crash 1"),
        (1, "Traceback (most recent call last):\ncrowd3d: error: a\n", "traceback"),
        (-11, "", "crash -11"),
        (None, "", "hang"),
    ],
)
def test_what_a_user_should_never_see(code: int | None, said: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    commands = importlib.import_module("torture_cases.commands")
    assert commands.Ended(code, said).fault == fault
    assert commands.Ended(0, "", 3000).fault == "memory"
