"""Threads of PyTorch do not spin while they wait, unless the user wants that."""

import os
import subprocess
import sys

SCRIPT = "import crowd3d, os; print(os.environ['OMP_WAIT_POLICY'])"


def wait_policy(**env: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=inherited | env, capture_output=True, text=True, check=True).stdout.strip()


def test_waiting_threads_sleep() -> None:
    assert wait_policy() == "PASSIVE"


def test_the_users_choice_stays() -> None:
    assert wait_policy(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
