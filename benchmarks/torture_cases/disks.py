"""Full disks, files that may not grow, closed folders: one line, nothing half-written, and afterwards as if nothing had been."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torture_cases.commands import run, run_all
from torture_cases.folders import compared, contents, half_written, temporary
from torture_cases.kinds import KINDS, commands_of
from torture_cases.runs import Fresh

ROOMY = 1 << 30
LEAST_FILE = 1 << 12
"""Of a file system's blocks."""
LEAST_SAID = 400
"""Bytes. What a run says goes to a file, too, and its error line must fit in."""
TROUBLES = ("full disk", "short files", "closed folder")


def troubled_disk(fresh: Fresh, disk: Path, rng: random.Random) -> dict[str, Any]:
    """A run that cannot write all that it wants, and the same one when it can."""
    trouble, kind = rng.choice(TROUBLES), rng.choice(KINDS)
    what = f"{kind}, {trouble}"
    if trouble != "short files" and not can_mount(disk):
        return {"what": what, "outcome": "skipped", "text": "needs Linux and the right to mount a small disk"}
    sizes = sorted(map(len, contents(fresh.of_kind(kind)[0]).values()))
    if trouble == "short files":
        shutil.rmtree(disk, ignore_errors=True)
        most_bytes = max(LEAST_SAID, rng.choice(sizes) - 1)
        return {"what": what, **_tried(fresh, kind, disk / "work", most_bytes, lambda: None)}
    with mounted(disk):
        commands = commands_of(kind, fresh.good, disk / "work")
        if trouble == "full disk":
            remount(disk, f"size={max(LEAST_FILE, int(rng.random() * sum(sizes)))}")
        else:
            run_all(commands[: rng.randrange(len(commands))], fresh.said)
            remount(disk, "ro")
        return {"what": what, **_tried(fresh, kind, disk / "work", None, lambda: remount(disk, f"rw,size={ROOMY}"))}


def _tried(fresh: Fresh, kind: str, work: Path, most_bytes: int | None, relieve: Callable[[], None]) -> dict[str, Any]:
    """Run until something fails, look at what is there, `relieve`, and run everything again."""
    expected, _ = fresh.of_kind(kind)
    commands = commands_of(kind, fresh.good, work)
    ended = next((one for one in (run(arguments, fresh.said, most_bytes) for arguments in commands) if one.code != 0), None)
    said = "" if ended is None else ended.said[-700:]
    if ended is not None and ended.fault:
        return {"outcome": ended.fault, "text": ended.said[-2500:]}
    if left := [*half_written(work), *temporary(work)]:
        return {"outcome": "half", "files": left[:9], "text": said}
    relieve()
    for arguments in commands:
        ended = run(arguments, fresh.said)
        if ended.code or ended.fault:
            return {"outcome": ended.fault or "failed", "text": ended.said[-1500:], "said": said}
    return {**compared(work, expected), "said": said}


def can_mount(disk: Path) -> bool:
    """Whether this system lets this user have a disk of their own in memory."""
    if sys.platform != "linux":
        return False
    disk.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(disk)], capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(["umount", str(disk)], check=True)
    return done.returncode == 0


@contextmanager
def mounted(disk: Path) -> Iterator[None]:
    """A disk in memory, and its folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "none", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def remount(disk: Path, options: str) -> None:
    """Give the disk another size, or close and open it."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)
