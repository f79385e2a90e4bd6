"""Pictures of any size: written strip by strip, read from a file, without ever being in memory as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips

from crowd3d.errors import BadOutput
from crowd3d.imaging import GigapixelImage, path_for_size, write_strips


def gradient(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    down, across = np.mgrid[:height, :width]
    return np.stack([across * 255 // width, down * 255 // height, (across + down) % 50], -1).astype(np.uint8)


def in_strips(picture: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    yield from (picture[top : top + rows] for top in range(0, len(picture), rows))


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_jpeg_of_strips_is_that_of_the_whole(rows: int, tmp_path: Path) -> None:
    picture = gradient((120, 64))
    write_strips(tmp_path / "a.jpg", (120, 64), in_strips(picture, rows), 92)
    expected = pyvips.Image.new_from_array(picture).jpegsave_buffer(Q=92)
    found, wanted = (cv2.imdecode(np.frombuffer(file, np.uint8), 1) for file in ((tmp_path / "a.jpg").read_bytes(), expected))
    np.testing.assert_array_equal(found, wanted)


def test_beyond_jpeg_it_is_a_tiled_pyramid(tmp_path: Path) -> None:
    size = (70_000, 300)
    path = path_for_size(tmp_path / "overlay.jpg", size)
    assert path == tmp_path / "overlay.tif"
    assert path_for_size(tmp_path / "overlay.jpg", (65_535, 65_535)).suffix == ".jpg"
    picture = gradient(size)
    write_strips(path, size, in_strips(picture, 128))
    found = GigapixelImage(path)
    assert found.size == size
    box = np.array([100, 69_000, 200, 69_900])
    assert np.abs(found.region(box).astype(int) - picture[100:200, 69_000:69_900]).mean() < 8
    stored = pyvips.Image.new_from_file(str(path))
    assert stored.get("n-pages") > 5
    assert pyvips.Image.new_from_file(str(path), page=1).width == 35_000
    assert [file.name for file in tmp_path.iterdir()] == ["overlay.tif"]


def test_errors_of_the_strips_come_through_and_leave_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield gradient((100, 50))
        raise ZeroDivisionError("strip 2")

    with pytest.raises(ZeroDivisionError, match="strip 2"):
        write_strips(tmp_path / "a.jpg", (100, 5000), broken())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(BadOutput, match=r"cannot write .*a\.jpg"):
        write_strips(tmp_path / "a.jpg", (100, 50), in_strips(gradient((100, 50)), 10))


def test_memory_does_not_grow_with_the_picture(tmp_path: Path) -> None:
    """60 megapixels more, read from disk in crops, reduced, and written: the peak may not grow by what they take uncompressed (180 MB)."""
    code = """
import sys, resource
import numpy as np, pyvips
from pathlib import Path
import crowd3d.imaging.reader as reader
from crowd3d.imaging import GigapixelImage, write_strips
reader.HELD_BYTES = 0
reader_path, height = Path(sys.argv[1]) / "big.jpg", int(sys.argv[2])
def strips():
    for top in range(0, height, 500):
        yield np.full((500, 6000, 3), top % 250, np.uint8)
write_strips(reader_path, (6000, height), strips())
image = GigapixelImage(reader_path)
assert image.reduced(7.3).shape == (round(height / 7.3), 822, 3)
for rows, crops in image.crops(np.array([[0, 0, 3000, 3000], [height - 2900, 5000, height - 2000, 5900]]), 512):
    assert crops.shape == (2, 512, 512, 3)
def again():
    for top in range(0, height, 500):
        yield image.region(np.array([top, 0, top + 500, 6000]))
write_strips(Path(sys.argv[1]) / "again.jpg", (6000, height), again())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    if sys.platform != "linux":
        pytest.skip("memory is counted in other units elsewhere")
    peak = [
        float(subprocess.run([sys.executable, "-c", code, str(tmp_path), height], capture_output=True, text=True, check=True).stdout)
        for height in ("3000", "13000")
    ]
    assert peak[1] - peak[0] < 90, peak


@pytest.mark.parametrize("orientation", range(1, 9))
def test_any_part_of_a_picture_on_disk(orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pyvips.Image.new_from_array(gradient((90, 61))).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.tiffsave(str(tmp_path / "a.tif"))
    held = GigapixelImage(tmp_path / "a.tif")
    whole = held.region(np.array([0, 0, *held.size[::-1]]))
    monkeypatch.setattr("crowd3d.imaging.reader.HELD_BYTES", 0)
    monkeypatch.setattr("crowd3d.imaging.disk_pixels.STRIP_BYTES", 3000)
    disk = GigapixelImage(tmp_path / "a.tif")
    np.testing.assert_array_equal(disk.region(np.array([0, 0, *disk.size[::-1]])), whole)
    np.testing.assert_array_equal(disk.region(np.array([5, 7, 11, 40])), whole[5:11, 7:40])
    np.testing.assert_array_equal(disk.region(np.array([-3, 50, 4, 200]), 9), held.region(np.array([-3, 50, 4, 200]), 9))
    for factor in (1.0, 1.7, 4.0, 9.3):
        np.testing.assert_allclose(disk.reduced(factor).astype(int), held.reduced(factor), atol=2)
    boxes = np.array([[-10, -10, 54, 54], [20, 20, 52, 52], [3, 5, 51, 53], [7, 2, 57, 52]])
    for (_, there), (_, here) in zip(disk.crops(boxes, 8), held.crops(boxes, 8), strict=True):
        np.testing.assert_allclose(there.astype(int), here, atol=2)


def test_a_tile_that_reaches_far_over_the_picture_is_read_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyvips.Image.new_from_array(gradient((40, 300))).copy().pngsave(str(tmp_path / "a.png"))
    image = GigapixelImage(tmp_path / "a.png")
    boxes = np.array([[-132, -2, 172, 302], [0, 0, 304, 304]])
    means = [image.region(box, 50).astype(float).reshape(8, 38, 8, 38, 3).mean((1, 3)) for box in boxes]
    for module in ("reader", "disk_pixels"):
        monkeypatch.setattr(f"crowd3d.imaging.{module}.STRIP_BYTES", 12_000)
    read, region = [], image.region
    monkeypatch.setattr(image, "region", lambda *box: read.append(region(*box)) or read[-1])
    ((_, crops),) = image.crops(boxes, 8, fill=50)
    np.testing.assert_allclose(crops, means, atol=1.1)
    assert max(part.nbytes for part in read) <= 20_000
