"""Reading text as programs of all systems write it, and writing files so that nobody ever sees a half-written one."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import secrets
import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from crowd3d.errors import BadOutput

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks that PowerShell, Excel and Notepad put before a text → Python's name of its encoding."""

PLAIN = "array"
"""What the only array of a file is called."""
_OF_ARCHIVES = (BadZipFile, zlib.error, struct.error, tokenize.TokenError)


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
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """The value in a text.

    Raises:
        ValueError: it is no JSON, is cut off, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_array(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file; nothing in it is executed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or holds no plain array.
    """
    arrays = load_arrays(path)
    if list(arrays) != [PLAIN]:
        raise ValueError("several arrays instead of one")
    return arrays[PLAIN]


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` file by their names, or the one of a ``.npy`` file as `PLAIN`; nothing in it is executed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or holds something else.
    """
    with _numpy_errors():
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {PLAIN: content}
        with content:
            return {name: content[name] for name in content.files}


@contextmanager
def _numpy_errors() -> Iterator[None]:
    """NumPy lets the errors of all that it reads with through: ZIP, its decompressors, its parser of headers."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except (EOFError, LookupError, TypeError, RuntimeError, MemoryError, OverflowError, SyntaxError, *_OF_ARCHIVES) as error:
        raise ValueError(f"it is damaged ({' '.join(str(error).split()) or type(error).__name__})") from error


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


def is_temporary(path: Path) -> bool:
    """Whether a file is one of those of `atomic_path`, which only a killed process leaves behind."""
    return re.fullmatch(r"\.[0-9a-f]{12}", path.name.removesuffix(path.suffix)) is not None and path.is_file()


def temporaries(folder: Path) -> list[Path]:
    """Those in a folder, which may go if nobody else works there."""
    return [path for path in Path(folder).glob(".*") if is_temporary(path)]


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
    # NumPy does not notice where its own writing into a file ends early.
    content = io.BytesIO()
    np.save(content, array)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


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


def weights_digest(path: Path) -> str:
    """`file_digest` of weights, which are read once as long as size and time stay."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, time_ns: int) -> str:
    return file_digest(path)
