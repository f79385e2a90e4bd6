"""Commands as children of a server that has imported everything: a kill lands in the work and not in three seconds of imports."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from crowd3d.cli.main import main

LEAST_S, MOST_MB = 60.0, 2048
"""What a case may take: seconds, and memory."""
SERVER = multiprocessing.get_context("forkserver")
PRELOADED = (*(f"crowd3d.cli.{verb}" for verb in ("process", "inference", "reconstruct", "train")), "numba.typed", "PIL.JpegImagePlugin")
SERVER.set_forkserver_preload([__name__, "torture_cases.inputs", *PRELOADED])
# A lock between processes would outlive those that are killed.
tqdm.set_lock(threading.RLock())
ERROR = "crowd3d: error: "


@dataclass(frozen=True)
class Ended:
    """What became of a command.

    Attributes:
        code: its exit code; negative for the signal that ended it; None where it had to be ended because it took too long.
        said: both of its streams.
        mb: the most memory that it held; 0 if it was killed.
    """

    code: int | None
    said: str
    mb: int = 0

    @property
    def fault(self) -> str:
        """What a user should never see; empty after success or an error of one line."""
        lines = self.said.splitlines()
        errors = [line for line in lines if line.startswith(ERROR)]
        if self.code is None:
            return "hang"
        if "Traceback" in self.said:
            return "traceback"
        if self.mb > MOST_MB:
            return "memory"
        if self.code not in (0, 1) or (self.code == 1 and (len(errors) != 1 or lines[-1] != errors[0])):
            return f"crash {self.code}"
        return ""


class Started:
    """A command at work, with its children in a process group of its own.

    Args:
        arguments: those of ``crowd3d``.
        said: file for what it says.
        most_bytes: how long any file that it writes may become; None for any length.
    """

    def __init__(self, arguments: list[str], said: Path, most_bytes: int | None = None) -> None:
        self.said = said
        self.receiver, sender = SERVER.Pipe(duplex=False)
        self.process = SERVER.Process(target=_command, args=(arguments, str(said), most_bytes, sender))
        self.process.start()
        sender.close()

    def kill(self) -> bool:
        """End it at once with all that it started; whether it was still at work."""
        working = self.process.exitcode is None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.receiver.close()
        return working

    def end(self, limit_s: float = LEAST_S) -> Ended:
        """Wait for it."""
        self.process.join(limit_s)
        code, mb = self.process.exitcode, 0
        with suppress(EOFError):
            mb = self.receiver.recv() if code is not None and self.receiver.poll() else 0
        self.kill()
        return Ended(code, self.said.read_text(encoding="utf-8", errors="replace"), mb)


def _command(arguments: list[str], said: str, most_bytes: int | None, sender: Connection) -> None:
    os.setsid()
    file = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        sys.exit(main(arguments))
    finally:
        sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 << 20 if sys.platform == "darwin" else 1 << 10))


def run(arguments: list[str], said: Path, most_bytes: int | None = None) -> Ended:
    """Run a command to its end."""
    return Started(arguments, said, most_bytes).end()


def run_and_kill(arguments: list[str], said: Path, after_s: float) -> bool:
    """Start a command and kill it after so many seconds; whether it was still at work."""
    started = Started(arguments, said)
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and started.process.exitcode is None:
        time.sleep(min(0.02, max(0.0, deadline - time.monotonic())))
    return started.kill()


def run_all(commands: list[list[str]], said: Path) -> list[float]:
    """Run commands that must succeed; seconds that each took.

    Raises:
        RuntimeError: one of them fails.
    """
    taken = []
    for arguments in commands:
        started = time.perf_counter()
        ended = run(arguments, said)
        taken.append(time.perf_counter() - started)
        if ended.code != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {ended.code} {ended.said}")
    return taken
