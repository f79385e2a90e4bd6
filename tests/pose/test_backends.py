"""Which backend a run gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crowd3d.errors import MissingAsset
from crowd3d.pose import backends
from crowd3d.pose.alphapose import SCRIPT, AlphaPose
from crowd3d.pose.backends import choose_backend
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.rtmpose import RtmPose
from crowd3d.pose.torchvision_backend import TorchvisionPose

PYTHON = Path(sys.executable)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Folder with AlphaPose's script."""
    (tmp_path / SCRIPT).parent.mkdir()
    (tmp_path / SCRIPT).touch()
    return tmp_path


def test_auto_prefers_what_the_user_set_up(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = checkout / "keypoints.npy"
    file.touch()
    installed: set[str] = set()
    weights_here = False
    monkeypatch.setattr(backends, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(TorchvisionPose, "downloaded", lambda self: weights_here)
    monkeypatch.setattr(RtmPose, "check", lambda self: None)
    monkeypatch.setattr(TorchvisionPose, "check", lambda self: None)
    assert choose_backend("auto") == "embedded"
    weights_here = True
    assert choose_backend("auto") == TorchvisionPose()
    installed |= {"rtmlib", "onnxruntime"}
    assert choose_backend("auto") == RtmPose()
    assert choose_backend("auto", alphapose_root=checkout, alphapose_python=PYTHON) == AlphaPose(checkout, PYTHON)
    assert choose_backend("auto", alphapose_root=checkout, alphapose_python=PYTHON, keypoints=file) == FileBackend(file)
    assert choose_backend("embedded", alphapose_root=checkout) == "embedded"


def test_auto_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # type: ignore[arg-type]
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert choose_backend("auto") == "embedded"


@pytest.mark.parametrize("name", ["auto", "alphapose"])
def test_a_configured_alphapose_that_is_not_there_is_no_reason_to_take_another(name: backends.BackendName, tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="alphapose_root"):
        choose_backend(name, alphapose_root=tmp_path / "nowhere", alphapose_python=PYTHON)


def test_what_a_backend_lacks_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="alphapose_root is not set"):
        choose_backend("alphapose")
    with pytest.raises(MissingAsset, match="--keypoints PATH"):
        choose_backend("file")
    with pytest.raises(MissingAsset, match="no keypoints at"):
        choose_backend("file", keypoints=tmp_path / "k.npy")
    with pytest.raises(MissingAsset, match="goes with --pose_backend file"):
        choose_backend("embedded", keypoints=tmp_path / "k.npy")
