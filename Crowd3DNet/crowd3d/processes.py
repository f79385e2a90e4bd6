"""Ending a program that was started, with everything that it started itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

POLL_S = 0.05
GRACE_S = 2.0
"""Between asking the process group to end and killing it."""


def end_group(process: Any) -> None:
    """End a ``subprocess.Popen`` that leads its own session, and everything that it started, whether it has ended itself or not."""
    if hasattr(os, "killpg"):
        deadline = time.monotonic() + GRACE_S
        if signal_group(process, signal.SIGTERM):
            while time.monotonic() < deadline and signal_group(process, 0):
                time.sleep(POLL_S)
            signal_group(process, signal.SIGKILL)
    elif process.poll() is None:
        # Windows knows no process groups in this sense; its own tool ends a process with all that it started.
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
    process.wait()


def signal_group(process: Any, number: int) -> bool:
    """False when nobody is left. Collects the leader, who would count as somebody otherwise."""
    process.poll()
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
