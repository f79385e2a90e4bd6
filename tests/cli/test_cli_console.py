"""Every text reaches any console or pipe, and the package needs nothing that only POSIX has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENCODINGS = ["ascii", "cp1252", "utf-8"]


def said(encoding: str, *command: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "CROWD3D_SINGLE_IMAGE_MID_ROOT": str(cwd / "mid")}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(("encoding", "script"), [("ascii", "process.py"), ("cp1252", "inference.py")])
def test_help_and_errors_of_the_scripts(encoding: str, script: str, tmp_path: Path) -> None:
    assert said(encoding, str(ROOT / "single_image" / script), "--help", cwd=tmp_path).returncode == 0
    done = said(encoding, str(ROOT / "single_image" / script), "--scene_image_path", "größe → 1.jpg", cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
    assert done.stderr.startswith(b"crowd3d: error: ")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_doctor_and_ground(encoding: str, tmp_path: Path) -> None:
    done = said(encoding, "-m", "crowd3d.cli.main", "doctor", cwd=tmp_path)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    assert ("→".encode() if encoding == "utf-8" else b"->") in done.stdout
    depth, x = np.meshgrid(np.array([14.0, 18.0, 23.0, 30.0]), np.linspace(-0.38, 0.38, 4))
    feet = np.stack([480 + 800 * x.ravel(), 20 + 4000 / depth.ravel()], 1)
    from crowd3d.pose.standing import STANDING

    xy = feet[:, None] + (1360 / depth.ravel())[:, None, None] * STANDING
    np.save(tmp_path / "k.npy", np.concatenate([xy, np.full((16, 17, 1), 0.9)], -1))
    done = said(encoding, "-m", "crowd3d.cli.main", "ground", "k.npy", "--size", "960", "600", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"ascii": b"+/-", "cp1252": b"\xb1", "utf-8": "±".encode()}[encoding] in done.stdout


def test_it_starts_where_posix_has_no_say(tmp_path: Path) -> None:
    """As on Windows: modules and functions that only POSIX has are gone. Every module of the package is imported."""
    code = """
import os, sys
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("killpg", "umask", "setsid", "getpgid", "fork", "getuid", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
import importlib, pkgutil
import crowd3d
for module in pkgutil.walk_packages(crowd3d.__path__, "crowd3d."):
    importlib.import_module(module.name)
from crowd3d.pipeline.memory import peak_memory_mb
from crowd3d.files import write_json
from pathlib import Path
write_json(Path("a.json"), 1)
from crowd3d.cli.main import main
main(["--help"])
"""
    done = said("utf-8", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"usage: crowd3d" in done.stdout
