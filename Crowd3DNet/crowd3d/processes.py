"""Ending a program that was started, with everything that it started itself."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

POLL_S = 0.05
GRACE_S = 2.0
"""Between asking the process group to end and killing it."""


def end_group(process: Any) -> None:
    """End a ``subprocess.Popen`` that leads its own session, and everything that it started, whether it has ended itself or not."""
    deadline = time.monotonic() + GRACE_S
    if signal_group(process, signal.SIGTERM):
        while time.monotonic() < deadline and signal_group(process, 0):
            time.sleep(POLL_S)
        signal_group(process, signal.SIGKILL)
    process.wait()


def signal_group(process: Any, number: int) -> bool:
    """False when nobody is left. Collects the leader, who would count as somebody otherwise."""
    process.poll()
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
