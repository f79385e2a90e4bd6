"""Backends that run in this process, with stand-ins for the packages that they use."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose import merge_keypoints
from crowd3d.pose.rtmpose import RtmPose
from crowd3d.pose.torchvision_backend import TorchvisionPose
from crowd3d.types import TileLayout

SPOTS = np.array([[100.5, 90.5], [400.5, 250.5], [750.5, 300.5]])
OFFSETS = np.stack([np.linspace(-8, 8, 17), np.linspace(-30, 30, 17)], axis=1)
"""Keypoints that the stand-ins plant around the middle of a white spot, in pixels of the resized tile."""


def spot_middle(tile: np.ndarray) -> np.ndarray:
    """(n, 2) middle of the white spot in an (S, S) tile; n is 0 or 1, because no tile of the layout holds two spots."""
    rows, columns = np.nonzero(tile > 0.95 * 255)
    return np.array([[columns.mean() + 0.5, rows.mean() + 0.5]]) if len(rows) else np.zeros((0, 2))


class PlantedDetector(torch.nn.Module):
    """Finds white spots; beside each, something that is hardly a person."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.unused = torch.nn.Dropout()

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        assert all(image.shape == (3, 640, 640) and image.dtype == torch.float32 for image in images)
        assert all(0 <= image.min() <= image.max() <= 1 for image in images)
        self.batches.append(len(images))
        return [self.look(spot_middle(image[0].numpy() * 255)) for image in images]

    def look(self, middle: np.ndarray) -> dict[str, torch.Tensor]:
        xy = torch.from_numpy(np.repeat(middle, 2, axis=0)[:, None] + OFFSETS).float()
        return {
            "scores": torch.tensor([0.9, 0.2] * len(middle)),
            "keypoints": torch.cat([xy, torch.ones(*xy.shape[:2], 1)], -1),
            "keypoints_scores": torch.full(xy.shape[:2], 7.0),
        }


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> PlantedDetector:
    """The network that the stand-in torchvision makes."""
    model = PlantedDetector()

    def make(*, weights: str, min_size: int, max_size: int) -> PlantedDetector:
        assert (weights, min_size, max_size) == ("DEFAULT", 640, 640)
        return model

    detection = ModuleType("torchvision.models.detection")
    detection.keypointrcnn_resnet50_fpn = make  # type: ignore[attr-defined]
    url = "https://example.org/models/keypointrcnn-1234.pth"
    detection.KeypointRCNN_ResNet50_FPN_Weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=url))  # type: ignore[attr-defined]
    models = ModuleType("torchvision.models")
    models.detection = detection  # type: ignore[attr-defined]
    for name, module in {"torchvision": ModuleType("torchvision"), "torchvision.models": models, detection.__name__: detection}.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return model


def assert_spots_found(keypoints: np.ndarray, tile_index: np.ndarray, layout: TileLayout) -> None:
    boxes = layout.boxes[tile_index]
    scale = (boxes[:, 2] - boxes[:, 0])[:, None, None] / 640
    middle = (keypoints[..., :2] - OFFSETS * scale).mean(axis=1)
    distance = np.linalg.norm(middle[:, None] - SPOTS, axis=-1)
    assert distance.min(axis=1).max() < 0.3
    seen = {(int(tile), int(spot)) for tile, spot in zip(tile_index, distance.argmin(axis=1), strict=True)}
    assert seen == {(0, 0), (1, 1), (2, 2), (3, 1)}


def test_torchvision_coordinates_scores_and_batches(photograph: GigapixelImage, layout: TileLayout, detector: PlantedDetector) -> None:
    keypoints, tile_index = TorchvisionPose().detect(photograph, layout, Path("unused"))
    assert keypoints.shape == (4, 17, 3)
    assert keypoints.dtype == np.float64
    assert_spots_found(keypoints, tile_index, layout)
    np.testing.assert_allclose(keypoints[..., 2], 1 / (1 + np.exp(-2)), rtol=1e-6)
    assert detector.batches == [4, 1]
    rows, people = merge_keypoints(keypoints, tile_index, layout)
    assert len(rows) == len(people) == 3


def test_torchvision_finds_nobody(photograph: GigapixelImage, detector: PlantedDetector) -> None:
    empty = TileLayout(np.array([[320, 500, 480, 660]]), np.array([[0, 0]]), photograph.size)
    keypoints, tile_index = TorchvisionPose().detect(photograph, empty, Path("unused"))
    assert keypoints.shape == (0, 17, 3)
    assert tile_index.shape == (0,)


def test_torchvision_knows_whether_its_weights_are_here(
    tmp_path: Path, detector: PlantedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert not TorchvisionPose().downloaded()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "keypointrcnn-1234.pth").touch()
    assert TorchvisionPose().downloaded()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("Name or service not known"), "cannot download .*Name or service not known"),
        (UnpicklingError("invalid load key, '<'."), "cannot load .*invalid load key.*delete .*keypointrcnn-1234.pth"),
        (RuntimeError("failed finding central directory\nmore"), r"central directory\); delete .*keypointrcnn-1234.pth"),
    ],
)
def test_torchvision_offline_or_spoilt(
    error: Exception, told: str, photograph: GigapixelImage, layout: TileLayout, detector: PlantedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["torchvision.models.detection"], "keypointrcnn_resnet50_fpn", fail)
    with pytest.raises(BackendFailed, match=told):
        TorchvisionPose().detect(photograph, layout, Path("unused"))


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "not installed"), ("raise RuntimeError('operator torchvision::nms does not exist')", "does not fit torch")],
)
def test_torchvision_absent_or_broken(content: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    if content is None:
        monkeypatch.setitem(sys.modules, "torchvision", None)  # type: ignore[arg-type]
    else:
        (tmp_path / "torchvision.py").write_text(content, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingAsset, match=rf"{told}.*pip install torchvision"):
        TorchvisionPose().check()


class PlantedBody:
    """What `rtmlib.Body` offers: a detector and a pose network."""

    def __init__(self, *, mode: str, backend: str, device: str) -> None:
        assert (mode, backend, device) == ("balanced", "onnxruntime", "cpu")

    def det_model(self, image: np.ndarray) -> np.ndarray:
        middle = spot_middle(image[..., 0])
        return np.concatenate([middle - 20, middle + 20], axis=1)

    def pose_model(self, image: np.ndarray, bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        xy = (bboxes[:, None, :2] + bboxes[:, None, 2:]) / 2 + OFFSETS - 0.5
        return np.concatenate([xy, xy]), np.concatenate([np.full(xy.shape[:2], 1.1), np.full(xy.shape[:2], 0.1)])


def test_rtmpose(photograph: GigapixelImage, layout: TileLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, rtmlib = ModuleType("onnxruntime"), ModuleType("rtmlib")
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]  # type: ignore[attr-defined]
    rtmlib.Body = PlantedBody  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setitem(sys.modules, "rtmlib", rtmlib)
    keypoints, tile_index = RtmPose().detect(photograph, layout, Path("unused"))
    assert_spots_found(keypoints, tile_index, layout)
    assert (keypoints[..., 2] == 1).all()


def test_rtmpose_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)  # type: ignore[arg-type]
    with pytest.raises(MissingAsset, match="pip install rtmlib"):
        RtmPose().check()
