"""The benchmark's first step checks a file of keypoints against all pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from crowd3d.cli import preprocess
from crowd3d.errors import MissingAsset
from crowd3d.settings import load_settings


def test_one_array_cannot_speak_of_two_scenes(tmp_path: Path) -> None:
    for scene in ("a_00", "b_00"):
        folder = tmp_path / "images" / "test" / scene
        folder.mkdir(parents=True)
        (folder / f"{scene}_000000.jpg").touch()
    np.save(tmp_path / "k.npy", np.zeros((1, 17, 3)))
    parser = argparse.ArgumentParser()
    preprocess.add_arguments(parser)
    args = parser.parse_args(["--data_root", str(tmp_path), "--keypoints", str(tmp_path / "k.npy")])
    with pytest.raises(MissingAsset, match="cannot speak of 2"):
        preprocess.process_options(args, load_settings(tmp_path), "a_00")
    args = parser.parse_args(["--data_root", str(tmp_path), "--keypoints", str(tmp_path / "k.npy"), "--scenes", "a_00"])
    assert preprocess.process_options(args, load_settings(tmp_path), "a_00").backend.name == "file"
