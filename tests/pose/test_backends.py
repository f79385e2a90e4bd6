"""Which backend a run gets, and the one shape that all have."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose import backends
from crowd3d.pose.alphapose import SCRIPT, AlphaPose
from crowd3d.pose.backends import BACKEND_NAMES, REGISTRY, Assets, FunctionBackend, SearchBackend, TileBackend, choose_backend, scout
from crowd3d.pose.file_backend import FileBackend
from crowd3d.pose.rtmpose import RtmPose
from crowd3d.pose.search import Surroundings
from crowd3d.pose.standing import STANDING
from crowd3d.pose.torchvision_backend import TorchvisionPose

PYTHON = Path(sys.executable)
AROUND = Surroundings(None, lambda seen: None)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Folder with AlphaPose's script."""
    (tmp_path / SCRIPT).parent.mkdir()
    (tmp_path / SCRIPT).touch()
    return tmp_path


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    """Files in place of the shipped networks."""
    for name in ("detector", "keypoints"):
        (tmp_path / name).touch()
    return Assets(tmp_path / "detector", tmp_path / "keypoints")


@pytest.fixture(autouse=True)
def _nothing_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setattr(TorchvisionPose, "downloaded", lambda self: False)


def test_every_name_has_its_way_to_be_made() -> None:
    assert set(BACKEND_NAMES) == {"auto", *REGISTRY}


def test_auto_prefers_what_the_user_set_up(checkout: Path, assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    file = checkout / "keypoints.npy"
    file.touch()
    installed: set[str] = set()
    weights_here: set[str] = set()
    monkeypatch.setattr(backends, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(TorchvisionPose, "downloaded", lambda self: "torchvision" in weights_here)
    monkeypatch.setattr(RtmPose, "downloaded", lambda self: "rtmpose" in weights_here)
    monkeypatch.setattr(RtmPose, "check", lambda self: None)
    monkeypatch.setattr(TorchvisionPose, "check", lambda self: None)
    assert choose_backend("auto", assets).name == "embedded"
    fetched = replace(assets, finder=file, movenet=file)
    assert choose_backend("auto", fetched).name == "movenet"
    weights_here |= {"torchvision"}
    assert choose_backend("auto", fetched) == TileBackend(TorchvisionPose())
    installed |= {"rtmlib", "onnxruntime"}
    assert choose_backend("auto", fetched) == TileBackend(TorchvisionPose()), "nothing is downloaded unasked"
    weights_here |= {"rtmpose"}
    assert choose_backend("auto", fetched) == TileBackend(RtmPose())
    configured = replace(fetched, alphapose_root=checkout, alphapose_python=PYTHON)
    assert choose_backend("auto", configured) == TileBackend(AlphaPose(checkout, PYTHON))
    assert choose_backend("auto", replace(configured, keypoint_file=file)) == FileBackend(file)
    assert choose_backend("embedded", configured).name == "embedded"
    assert scout(replace(configured, keypoint_file=file)).name == "movenet"
    assert scout(assets).name == "embedded"


def test_auto_without_torchvision(assets: Assets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torchvision", None)  # type: ignore[arg-type]
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert choose_backend("auto", assets).name == "embedded"


@pytest.mark.parametrize("name", ["auto", "alphapose"])
def test_a_configured_alphapose_that_is_not_there_is_no_reason_to_take_another(name: str, assets: Assets, tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="alphapose_root"):
        choose_backend(name, replace(assets, alphapose_root=tmp_path / "nowhere", alphapose_python=PYTHON))


def test_what_a_backend_lacks_is_said(assets: Assets, tmp_path: Path) -> None:
    for name, names_the_matter in {
        "alphapose": "alphapose_root is not set",
        "file": "--keypoints PATH",
        "movenet": "crowd3d fetch people",
        "openpose": "no pose backend 'openpose'; there are auto, movenet",
    }.items():
        with pytest.raises(MissingAsset, match=names_the_matter):
            choose_backend(name, assets)
    with pytest.raises(MissingAsset, match="no keypoints at"):
        choose_backend("file", replace(assets, keypoint_file=tmp_path / "k.npy"))
    with pytest.raises(MissingAsset, match="goes with --pose_backend file"):
        choose_backend("embedded", replace(assets, keypoint_file=tmp_path / "k.npy"))
    assets.detector.unlink()
    with pytest.raises(MissingAsset, match="restore the shipped weights"):
        choose_backend("embedded", assets)


def test_a_replaced_network_changes_the_key(assets: Assets) -> None:
    backend = choose_backend("embedded", assets)
    before = backend.key()
    assets.keypoints.write_bytes(b"other")
    assert isinstance(backend, SearchBackend)
    assert backend.key() != before


@pytest.fixture
def image(tmp_path: Path) -> GigapixelImage:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((120, 160, 3), 128, np.uint8))
    return GigapixelImage(tmp_path / "grey.png")


def test_a_users_own_function(image: GigapixelImage) -> None:
    person = np.concatenate([STANDING * 60 + [80, 100], np.full((17, 1), 0.8)], 1)
    hidden = person.copy()
    hidden[13:, :2], hidden[13:, 2] = np.nan, 0.0
    shown: list[tuple[int, ...]] = []

    def estimate(rgb: np.ndarray) -> np.ndarray:
        shown.append(rgb.shape)
        return np.stack([person, person + [0.5, 0, 0], hidden - [40, 0, 0]])

    observed = FunctionBackend(estimate).observe(image, AROUND)
    assert shown == [(120, 160, 3)]
    assert len(observed) == 2, "one of two that nearly coincide"
    assert observed.source.name.endswith("estimate")
    np.testing.assert_allclose(observed.xy_px[1, 13:, 1], person[13:, 1], atol=1.5), "hidden legs are guessed"
    assert (observed.visible[1, 13:] == 0).all()
    with pytest.raises(BackendFailed, match=r"\(17, 3\), not \(N, 17, 3\)"):
        FunctionBackend(lambda rgb: person).observe(image, AROUND)
