"""Reading text as programs of all systems write it, and writing files so that nobody ever sees a half-written one."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import BadOutput

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks that PowerShell, Excel and Notepad put before a text → Python's name of its encoding."""


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in the encoding that its byte order mark tells.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no text (a ValueError).
    """
    content = Path(path).read_bytes()
    return content.decode(next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8"))


def read_json(path: Path) -> Any:
    """The value in a JSON file; see `read_text`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, is cut off, or is nested too deeply.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; rename it to `path` on success, remove it otherwise.

    What was written is on the disk before it gets its name, so that a power cut leaves the old file or the new one. The new file has the
    permissions that any new file of this process gets.

    Raises:
        BadOutput: the folder is read-only, the disk is full, or the path is unusable.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file(path)
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise BadOutput(f"cannot write {path}: {error.strerror or error}; free space or choose another folder") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    """An empty hidden file that nobody else has, beside `path`."""
    while True:
        temporary = path.with_name(f".{secrets.token_hex(6)}{path.suffix}")
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return temporary


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented by one space."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write one array atomically."""
    with atomic_path(path) as temporary:
        np.save(temporary, array)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write several arrays atomically, compressed."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def file_digest(path: Path) -> str:
    """Hexadecimal BLAKE2b-96 of a file's bytes."""
    digest = hashlib.blake2b(digest_size=12)
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
