"""One run at a time in a folder."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from crowd3d.errors import BadOutput, FolderInUse

log = logging.getLogger(__name__)

LOCK = ".lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made if it is not there. The system lets go when the process ends, however it ends.

    Who comes second is refused at once rather than made to wait: the other run may take hours, and may well be of other options.

    Raises:
        FolderInUse: another process, or another thread of this one, holds it.
        BadOutput: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadOutput(f"cannot write {folder}: {error.strerror or error}; free space or choose another folder") from error
    try:
        _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        if find_spec("fcntl") is not None:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in _TAKEN:
            raise FolderInUse(f"another run works in {folder}; wait until it has ended, or choose another folder") from error
        # Some network file systems know no locks.
        log.warning("%s cannot be locked (%s); let no other run work there", folder, error.strerror)
