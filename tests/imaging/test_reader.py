"""The reader against images written by OpenCV and Pillow."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from crowd3d.errors import BadImage, BadOutput
from crowd3d.imaging import GigapixelImage, exif, reader, turned, write_jpeg

WHOLE = np.array([0, 0, 96, 160])


@pytest.fixture
def picture() -> np.ndarray:
    """(96, 160, 3) uint8 RGB, smooth, different in every corner and channel."""
    small = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (160, 96), interpolation=cv2.INTER_LINEAR)


@pytest.fixture(params=["held", "on disk"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of keeping pixels."""
    if request.param == "on disk":
        monkeypatch.setattr(reader, "HELD_BYTES", 0)
    return request.param


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg", "webp"])
def test_formats(tmp_path: Path, picture: np.ndarray, suffix: str, storage: str) -> None:
    path = tmp_path / f"image.{suffix}"
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 99, cv2.IMWRITE_WEBP_QUALITY, 101])
    image = GigapixelImage(path)
    assert image.size == (160, 96)
    difference = np.abs(image.region(WHOLE).astype(int) - picture)
    assert difference.max() <= (12 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_and_grey(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    for name, stored, expected in [
        ("rgb16", picture[..., ::-1].astype(np.uint16) * 257, picture),
        ("grey16", picture[..., 0].astype(np.uint16) * 257, np.repeat(picture[..., :1], 3, axis=2)),
        ("grey8", picture[..., 0], np.repeat(picture[..., :1], 3, axis=2)),
    ]:
        path = tmp_path / f"{name}.{suffix}"
        cv2.imwrite(str(path), stored)
        assert np.abs(GigapixelImage(path).region(WHOLE).astype(int) - expected).max() <= 1, name


def test_transparency_is_over_white(tmp_path: Path, picture: np.ndarray) -> None:
    alpha = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (96, 1))
    for bits, name in [(1, "a8.png"), (257, "a16.png")]:
        stored = np.dstack([picture[..., ::-1], alpha]).astype(np.uint16 if bits > 1 else np.uint8) * bits
        cv2.imwrite(str(tmp_path / name), stored)
        share = alpha[..., None] / 255.0
        expected = picture * share + 255.0 * (1 - share)
        assert np.abs(GigapixelImage(tmp_path / name).region(WHOLE) - expected).max() <= 2, name


def test_palette_and_cmyk(tmp_path: Path, picture: np.ndarray) -> None:
    palette = Image.fromarray(picture).quantize(64)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(GigapixelImage(tmp_path / "palette.png").region(WHOLE), np.asarray(palette.convert("RGB")))
    Image.new("CMYK", (160, 96), (0, 0, 0, 255)).save(tmp_path / "black.jpg")
    Image.new("CMYK", (160, 96), (0, 0, 0, 0)).save(tmp_path / "white.jpg")
    assert GigapixelImage(tmp_path / "black.jpg").region(WHOLE).max() < 70
    assert GigapixelImage(tmp_path / "white.jpg").region(WHOLE).min() > 250


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, picture: np.ndarray, orientation: int, storage: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "rotated.tif"
    Image.fromarray(picture).save(path, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    image = GigapixelImage(path)
    assert image.size == upright.shape[1::-1]
    np.testing.assert_array_equal(image.region(np.array([10, 20, 70, 90])), upright[10:70, 20:90])
    reduced = cv2.resize(upright, (image.size[0] // 4, image.size[1] // 4), interpolation=cv2.INTER_AREA)
    assert np.abs(image.reduced(4).astype(int) - reduced).max() <= 8


def test_regions_beyond_the_edges(tmp_path: Path, picture: np.ndarray, storage: str) -> None:
    Image.fromarray(picture).save(tmp_path / "i.png")
    image = GigapixelImage(tmp_path / "i.png")
    padded = np.pad(picture, ((40, 40), (40, 40), (0, 0)), constant_values=255)
    for top, left, side in [(-30, -20, 64), (60, 130, 64), (-40, -40, 176), (20, 30, 40)]:
        box = np.array([top, left, top + side, left + side])
        np.testing.assert_array_equal(image.region(box, fill=255), padded[top + 40 :, left + 40 :][:side, :side])
    assert (image.region(np.array([500, 500, 510, 510]), fill=7) == 7).all()


def test_crops_are_area_averages(tmp_path: Path, picture: np.ndarray, storage: str) -> None:
    Image.fromarray(picture).save(tmp_path / "i.png")
    boxes = np.array([[0, 0, 96, 96], [16, 40, 64, 88], [8, 3, 88, 83], [30, 30, 38, 38]])
    found = list(GigapixelImage(tmp_path / "i.png").crops(boxes, 16, batch_size=3))
    assert [rows.tolist() for rows, _ in found] == [[0, 1, 2], [3]]
    crops = np.concatenate([crops for _, crops in found])
    assert crops.shape == (4, 16, 16, 3)
    assert crops.dtype == np.uint8
    for crop, (top, left, bottom, right) in zip(crops[:3], boxes[:3], strict=True):
        factor = (bottom - top) // 16
        blocks = picture[top:bottom, left:right].reshape(16, factor, 16, factor, 3)
        assert np.abs(crop - blocks.mean(axis=(1, 3))).max() <= 3
    enlarged = cv2.resize(picture[30:38, 30:38], (16, 16), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(crops[3], enlarged)


def test_turned_crops(tmp_path: Path, picture: np.ndarray, storage: str) -> None:
    """A quarter turn is exact; any other is the picture where `turned` says that it is."""
    Image.fromarray(picture).save(tmp_path / "i.png")
    image = GigapixelImage(tmp_path / "i.png")
    box = np.array([20, 40, 68, 88])
    turns = np.array([0.0, np.pi / 2, -np.pi / 2])
    straight, clockwise, back = next(image.crops(np.tile(box, (3, 1)), 48, turn_rad=turns))[1].astype(int)
    np.testing.assert_array_equal(straight, picture[20:68, 40:88])
    assert np.abs(np.rot90(clockwise, -1) - straight).max() <= 1
    assert np.abs(np.rot90(back, 1) - straight).max() <= 1

    x, y = np.meshgrid(np.arange(160.0), np.arange(120.0))
    Image.fromarray(np.stack([x, 2 * y, 0 * x], -1).astype(np.uint8)).save(tmp_path / "ramp.png")
    box, turn = np.array([25, 40, 89, 104]), 0.6
    crop = next(GigapixelImage(tmp_path / "ramp.png").crops(box[None], 32, turn_rad=np.array([turn])))[1][0].astype(float)
    offset = (np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1) + 0.5 - 16) * 2
    place = turned(offset, turn) + [72, 57] - 0.5
    inner = slice(4, 28)
    assert np.abs(crop[inner, inner, :2] - place[inner, inner] * [1, 2]).max() < 2.0


def test_fractional_reduction(tmp_path: Path, picture: np.ndarray, storage: str) -> None:
    Image.fromarray(picture).save(tmp_path / "i.png")
    image = GigapixelImage(tmp_path / "i.png")
    reduced = image.reduced(3.3)
    assert reduced.shape == (29, 48, 3)
    assert np.abs(reduced.astype(int) - cv2.resize(picture, (48, 29), interpolation=cv2.INTER_AREA)).max() <= 8
    assert image.reduced(1000).shape == (1, 1, 3)


def test_any_path(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ["two words.v1.2.png", "näme[page=1]", "noending", "upper.JPEG.PnG"]:
        cv2.imwrite(str(tmp_path / "plain.png"), picture[..., ::-1])
        (tmp_path / "plain.png").rename(tmp_path / name)
        np.testing.assert_array_equal(GigapixelImage(tmp_path / name).region(WHOLE), picture)


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "truncated.jpg", "truncated.png", "truncated.tif", "truncated.bmp"])
def test_bad_images(tmp_path: Path, kind: str, storage: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not an image at all")
    elif kind.startswith("truncated"):
        noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
        cv2.imwrite(str(path), noise)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadImage) as caught:
        GigapixelImage(path).reduced(2)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message


def test_exif_focal(tmp_path: Path, picture: np.ndarray) -> None:
    def focal(**tags: object) -> float | None:
        numbers = {"f35": 0xA405, "f": 0x920A, "resolution": 0xA20E, "unit": 0xA210, "width": 0xA002}
        exif = Image.Exif()
        ratios = {tag: IFDRational(round(value * 10), 10) if isinstance(value, float) else value for tag, value in tags.items()}
        exif.get_ifd(0x8769).update({numbers[tag]: value for tag, value in ratios.items()})
        Image.fromarray(picture).save(tmp_path / "i.jpg", exif=exif)
        return GigapixelImage(tmp_path / "i.jpg").exif_focal_px()

    diagonal = float(np.hypot(160, 96))
    assert focal() is None
    assert focal(f35=0) is None
    assert focal(f=50.0) is None
    assert focal(f35=43) == pytest.approx(diagonal * 43 / np.hypot(36, 24))
    # 160 px on a sensor 20 mm wide are 80 px per cm; a lens of 50 mm is 400 px.
    assert focal(f=50.0, resolution=80.0, unit=3) == pytest.approx(400)
    assert focal(f=50.0, resolution=203.2, unit=2) == pytest.approx(400)
    assert focal(f=50.0, resolution=160.0, unit=3, width=320, f35=99) == pytest.approx(400)


@pytest.mark.parametrize(
    ("frame", "size", "least", "most"),
    [
        ((4000, 3000), (1600, 1200), 0.9, 1.0),
        ((3000, 4000), (1600, 1200), 0.9, 1.0),
        ((4000, 3000), (1600, 900), 0.0, 0.2),
        (None, (1500, 1000), 0.8, 0.9),
        (None, (1500, 517), 0.3, 0.5),
    ],
)
def test_exif_is_trusted_unless_its_shape_differs(frame: tuple[int, int] | None, size: tuple[int, int], least: float, most: float) -> None:
    fields = {} if frame is None else {"PixelXDimension": f"{frame[0]} (px)", "PixelYDimension": str(frame[1])}
    assert least <= exif.trust(fields, size) <= most


def test_content_hash_follows_content(tmp_path: Path, picture: np.ndarray) -> None:
    for name, pixels in [("a.png", picture), ("b.png", picture), ("c.png", picture[::-1])]:
        Image.fromarray(pixels).save(tmp_path / name)
    a, b, c = (GigapixelImage(tmp_path / name).content_hash for name in ("a.png", "b.png", "c.png"))
    assert a == b
    assert a != c


def test_write_jpeg(tmp_path: Path, picture: np.ndarray) -> None:
    write_jpeg(tmp_path / "new" / "i[1].jpg", picture[:, ::-1])
    stored = np.asarray(Image.open(tmp_path / "new" / "i[1].jpg"))
    assert np.abs(stored.astype(int) - picture[:, ::-1]).max() < 16
    (tmp_path / "occupied.jpg").mkdir()
    with pytest.raises(BadOutput, match=r"occupied\.jpg"):
        write_jpeg(tmp_path / "occupied.jpg", picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "occupied.jpg"]
