"""Writing files so that nobody ever sees a half-written one."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import BadOutput


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; rename it to `path` on success, remove it otherwise.

    Raises:
        BadOutput: the folder is read-only, the disk is full, or the path is unusable.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise BadOutput(f"cannot write {path}: {error.strerror or error}; free space or choose another folder") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
