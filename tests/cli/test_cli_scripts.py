from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "single_image"


@pytest.mark.parametrize("script", ["process.py", "inference.py"])
def test_a_missing_image_is_one_line_from_any_folder(script: str, tmp_path: Path) -> None:
    image = "no such crowd.v2.jpg"
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), "--scene_image_path", image],
        cwd=tmp_path,
        env={**os.environ, "CROWD3D_SINGLE_IMAGE_MID_ROOT": "mid", "CROWD3D_SINGLE_IMAGE_RES_ROOT": "res"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("crowd3d: error: ")
    assert image in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["process.py", "inference.py"])
def test_the_image_is_required(script: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPTS / script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "scene_image_path" in done.stderr
    assert "Traceback" not in done.stderr
