"""rtmlib and ONNX Runtime run for real, on made-up networks with the true inputs and outputs; skipped where they are not installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="RTMPose is optional: pip install rtmlib onnxruntime")
rtmlib = pytest.importorskip("rtmlib", reason="RTMPose is optional: pip install rtmlib onnxruntime")
pytest.importorskip("onnx", reason="the made-up networks are written with the package onnx")

from made_up_rtmpose import OFFSETS, write_detector, write_pose  # noqa: E402

from crowd3d.errors import BackendFailed  # noqa: E402
from crowd3d.imaging import GigapixelImage  # noqa: E402
from crowd3d.pose.rtmpose import RtmPose  # noqa: E402
from crowd3d.types import TileLayout  # noqa: E402

SPOTS = np.array([[60, 80, 100, 140], [300, 100, 348, 130]])
"""Left, top, right, bottom of red spots."""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in which rtmlib looks for what it has downloaded, with both networks."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    names = {kind: Path(rtmlib.Body.MODE["balanced"][kind]).stem for kind in ("det", "pose")}
    write_detector(folder / f"{names['det']}.onnx")
    write_pose(folder / f"{names['pose']}.onnx")
    return folder


@pytest.fixture
def photograph(tmp_path: Path) -> GigapixelImage:
    pixels = np.full((320, 480, 3), (130, 110, 90), np.uint8)
    for left, top, right, bottom in SPOTS:
        pixels[top:bottom, left:right] = (60, 60, 250)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return GigapixelImage(tmp_path / "a.png")


def test_keypoints_are_where_they_are_seen(
    networks: Path, photograph: GigapixelImage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tiles with a spot at two scales, and one without; the pose network sees its own colours only in the right order."""
    boxes = np.array([[40, 20, 200, 180], [0, 160, 320, 480], [200, 0, 320, 120]])
    layout = TileLayout(boxes, np.array([[0, 0], [0, 1], [1, 0]]), photograph.size)
    assert RtmPose().downloaded()
    keypoints, tile_index = RtmPose().detect(photograph, layout, Path("unused"))
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(tile_index, [0, 1])
    for spot, found in zip(SPOTS, keypoints, strict=True):
        size = spot[2:] - spot[:2]
        # The window is 1.25 times the box, widened to 192 × 256, which the network tells to half a pixel.
        per_pixel = 1.25 * max(size[0], 0.75 * size[1]) / 192
        wanted = (spot[:2] + spot[2:]) / 2 + OFFSETS * per_pixel
        assert np.abs(found[:, :2] - wanted).max() < 0.5 * per_pixel
    assert (keypoints[..., 2] == 1).all()


def test_what_is_spoilt_or_missing_is_told_in_one_line(
    networks: Path, photograph: GigapixelImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = TileLayout(np.array([[0, 0, 320, 320]]), np.array([[0, 0]]), photograph.size)
    detector = next(networks.glob("yolox*"))
    archive = networks / Path(rtmlib.Body.MODE["balanced"]["det"]).name
    detector.write_bytes(detector.read_bytes()[:300])
    with pytest.raises(BackendFailed, match=rf"cannot load RTMPose: .*delete its files in {networks}"):
        RtmPose().detect(photograph, layout, Path("unused"))
    detector.unlink()
    archive.write_text("<html>log in first</html>", encoding="utf-8")
    with pytest.raises(BackendFailed, match="not a zip file; delete"):
        RtmPose().detect(photograph, layout, Path("unused"))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "no network")
    with pytest.raises(BackendFailed, match="cannot load RTMPose"):
        RtmPose().detect(photograph, layout, Path("unused"))
    archive.unlink()
    assert not RtmPose().downloaded()

    def offline(*arguments: object, **options: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(rtmlib.tools.file, "urlopen", offline)
    with pytest.raises(BackendFailed, match="cannot download RTMPose: Name or service not known"):
        RtmPose().detect(photograph, layout, Path("unused"))
