"""Pictures of all formats and kinds of samples: read rightly, or refused with the format's name and a remedy, never black."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import pyvips
from PIL import Image

from crowd3d.errors import BadImage
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging import other_readers as other_readers_module
from crowd3d.imaging.exif import taken
from crowd3d.imaging.formats import PICTURE_SUFFIXES, VIDEO_SUFFIXES, format_of


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(60, 90, 3) smooth, with everything from 0 to 255."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (90, 60), interpolation=cv2.INTER_CUBIC)
    smooth[0, 0], smooth[0, 1] = 0, 255
    return smooth


def read(path: Path) -> np.ndarray:
    image = GigapixelImage(path)
    return image.region(np.array([0, 0, image.size[1], image.size[0]])).astype(int)


def write_tiff(path: Path, samples: np.ndarray, extra: dict[int, tuple[str, list[float]]] | None = None, codec: int = 1) -> None:
    """A little-endian TIFF of (H, W, 3) samples in one strip."""
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    bits = samples.dtype.itemsize * 8
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    data = zlib.compress(data) if codec == 8 else data
    height, width, _ = samples.shape
    fields = {256: ("H", [width]), 257: ("H", [height]), 258: ("H", [bits] * 3), 259: ("H", [codec]), 262: ("H", [2]), 277: ("H", [3])}
    fields |= {273: ("I", [0]), 278: ("H", [height]), 279: ("I", [len(data)]), 284: ("H", [1]), 339: ("H", [kind] * 3), **(extra or {})}
    count = len(fields)
    far = 8 + 2 + 12 * count + 4
    entries, values = b"", b""
    for tag in sorted(fields):
        letter, numbers = fields[tag]
        raw = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        if len(raw) > 4:
            raw, values = struct.pack("<I", far + len(values)), values + raw
        entries += struct.pack("<HHI4s", tag, {"H": 3, "I": 4, "h": 8, "f": 11}[letter], len(numbers), raw)
    start = far + len(values)
    strip = struct.pack("<HHI", 273, 4, 1)
    entries = entries.replace(strip + struct.pack("<I", 0), strip + struct.pack("<I", start))
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", count) + entries + bytes(4) + values + data)


SAMPLES = {
    "8 bits": (lambda p: p, False),
    "16 bits": (lambda p: p.astype(np.uint16) * 257, False),
    "12 bits in 16": (lambda p: (p * 16.06).astype(np.uint16), True),
    "10 bits in 16": (lambda p: (p * 4.01).astype(np.uint16), True),
    "8 bits in 16": (lambda p: p.astype(np.uint16), True),
    "32 bits": (lambda p: p.astype(np.uint32) * 16843009, False),
    "signed 8 bits": (lambda p: (p.astype(int) - 128).astype(np.int8), False),
    "signed 16 bits": (lambda p: (p.astype(int) * 257 - 32768).astype(np.int16), False),
    "signed, all positive": (lambda p: p.astype(np.int16), True),
    "float to 1": (lambda p: (p / 255).astype(np.float32), True),
    "float to 255": (lambda p: p.astype(np.float32), True),
    "float to 65535": (lambda p: (p * 257.0).astype(np.float32), True),
    "float with highlights": (lambda p: np.where(p == 255, 3.0, p / 255).astype(np.float32), True),
    "float from -1 to 1": (lambda p: (p / 127.5 - 1).astype(np.float32), True),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_of_any_range(kind: str, picture: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make, told = SAMPLES[kind]
    write_tiff(tmp_path / "a.tif", make(picture))
    np.testing.assert_allclose(read(tmp_path / "a.tif"), picture, atol=1)
    assert ("does not tell the range" in caplog.text) == told


def test_samples_that_are_no_number_are_black(picture: np.ndarray, tmp_path: Path) -> None:
    samples = (picture / 255).astype(np.float32)
    samples[10:20, 10:20] = np.nan
    write_tiff(tmp_path / "a.tif", samples)
    expected = picture.copy()
    expected[10:20, 10:20] = 0
    np.testing.assert_allclose(read(tmp_path / "a.tif"), expected, atol=1)


@pytest.mark.parametrize(("low", "high"), [(341, 340), (281, 280)])
def test_a_range_that_the_file_tells(low: int, high: int, picture: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    white, black = low, high
    samples = (100 + picture.astype(np.uint16) * 100).astype(np.uint16)
    samples[0, :2] = [[200], [20000]]  # it does not use all of the range
    write_tiff(tmp_path / "a.tif", samples, {white: ("H", [25600] * 3), black: ("H", [100] * 3)})
    found = read(tmp_path / "a.tif")
    np.testing.assert_allclose(found[1:], picture[1:], atol=1)
    assert caplog.text == ""
    write_tiff(tmp_path / "b.tif", picture.astype(np.uint16) * 257, {white: ("H", [1000] * 3)})
    np.testing.assert_allclose(read(tmp_path / "b.tif"), picture, atol=1)


def test_large_pictures_are_scaled_as_small_ones(picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crowd3d.imaging.reader.HELD_BYTES", 0)
    for name in ("12 bits in 16", "float to 255", "signed 16 bits"):
        write_tiff(tmp_path / "a.tif", SAMPLES[name][0](picture), {274: ("H", [6])})
        np.testing.assert_allclose(read(tmp_path / "a.tif"), np.rot90(picture, -1), atol=1)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparency_of_any_depth_is_over_white(depth: type, tmp_path: Path) -> None:
    full = np.iinfo(depth).max
    pixels = np.zeros((4, 4, 4), depth)
    pixels[..., 3] = [0, full // 2, full, full]
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    np.testing.assert_allclose(read(tmp_path / "a.png")[0, :, 0], [255, 128, 0, 0], atol=1)


@pytest.mark.parametrize("codec", [50000, 34925, 34887, 34712, 50002, 65000])
def test_a_tiff_whose_codec_is_lacking_is_named_not_black(codec: int, picture: np.ndarray, tmp_path: Path) -> None:
    """The data are those of no codec, so that no reader can read them, but libvips alone would see a black picture."""
    path = tmp_path / "a.tif"
    write_tiff(path, picture, codec=codec)
    with pytest.raises(BadImage, match=r"8 bits per sample and .* compression is not supported .* pip install tifffile") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["zstd", "lzma"])
def test_a_tiff_that_pillow_reads(codec: str, picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_readers_module, "find_spec", lambda name: None)
    try:
        Image.fromarray(picture).save(tmp_path / "a.tif", compression=codec)
    except (OSError, KeyError):
        pytest.skip(f"this Pillow cannot write {codec}")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), picture)


@pytest.mark.skipif(find_spec("tifffile") is None or find_spec("imagecodecs") is None, reason="optional: pip install tifffile imagecodecs")
@pytest.mark.parametrize("codec", ["zstd", "lzma", "lerc", "jpeg2000", "jpegxl"])
def test_a_tiff_that_tifffile_reads(codec: str, picture: np.ndarray, tmp_path: Path) -> None:
    import tifffile

    for samples in (picture, picture.astype(np.uint16) * 257):
        tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", compression=codec, tile=(64, 64))
        np.testing.assert_allclose(read(tmp_path / "a.tif"), picture, atol=1)
    tifffile.imwrite(tmp_path / "b.tif", (picture.astype(np.uint16) * 16), photometric="rgb", bitspersample=12)
    np.testing.assert_allclose(read(tmp_path / "b.tif"), picture, atol=2)


@pytest.mark.parametrize("suffix", ["jp2", "ppm", "tga", "pcx", "sgi"])
def test_formats_that_only_pillow_reads(suffix: str, picture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(read(tmp_path / f"a.{suffix}"), picture, atol=1)


def test_grey_icon_and_lab(picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = Image.fromarray(picture[..., 1])
    grey.save(tmp_path / "a.pgm")
    np.testing.assert_array_equal(read(tmp_path / "a.pgm"), np.repeat(picture[..., 1:2], 3, -1))
    Image.fromarray(picture).resize((64, 64)).save(tmp_path / "a.ico", sizes=[(64, 64)])
    assert read(tmp_path / "a.ico").shape == (64, 64, 3)
    soft = (picture // 2 + 64).astype(np.uint8)
    lab = cv2.cvtColor((soft / 255).astype(np.float32), cv2.COLOR_RGB2LAB) * [2.55, 1, 1]
    Image.frombytes("LAB", (90, 60), lab.round().astype(int).astype(np.uint8).tobytes()).save(tmp_path / "lab.tif")
    np.testing.assert_allclose(read(tmp_path / "lab.tif"), soft, atol=6)
    monkeypatch.setattr(other_readers_module, "find_spec", lambda name: None)
    np.testing.assert_allclose(read(tmp_path / "lab.tif"), soft, atol=6)


def test_heic(picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "head.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    with pytest.raises(BadImage, match=r"head\.heic.*"):
        read(tmp_path / "head.heic")
    if find_spec("pillow_heif") is None:
        pytest.skip("pillow-heif is not installed")
    import pillow_heif

    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read(tmp_path / "a.heic") - smooth).mean() < 4
    monkeypatch.setattr(other_readers_module, "find_spec", lambda name: None)
    told = ""
    try:
        read(tmp_path / "a.heic")
    except BadImage as error:
        told = str(error)
    # A libvips that has HEVC reads it.
    assert told == "" or "HEIC is not supported by the installed readers; pip install pillow-heif" in told
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jpg", b"  <!DOCTYPE html><html>", "a web page"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.psd", b"8BPS\0\1", "a Photoshop file; save it as TIFF"),
        ("a.pdf", b"%PDF-1.7", "PDF or PostScript; export"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0", "RAW file; develop it"),
        ("a.nef", b"MM\0*\0\0\0\x08", "RAW file; develop it"),
        ("a.jpg", b"PK\x03\x04", "a ZIP archive; unpack it"),
        ("a.jpg", b"\0\0\0\x20ftypisom\0\0\2\0", "a video; give it to `crowd3d reconstruct`"),
        ("a.exr", b"v/1\x01\2\0\0\0", "OpenEXR; convert"),
        ("a.jpg", b"no picture", "begins like no picture format"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "a.jp2"),
    ],
)
def test_what_is_no_picture_is_named(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadImage, match=told) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_address_is_told_from_a_file() -> None:
    with pytest.raises(BadImage, match="is an address; download"):
        GigapixelImage("https://example.com/a.jpg")


def test_jpeg_xl_is_read_or_named(picture: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("pillow_jxl") is not None:
        import pillow_jxl  # noqa: F401

        Image.fromarray(picture).save(tmp_path / "a.jxl", lossless=True)
        np.testing.assert_array_equal(read(tmp_path / "a.jxl"), picture)
    monkeypatch.setattr(other_readers_module, "find_spec", lambda name: None)
    (tmp_path / "b.jxl").write_bytes(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100))
    if not pyvips.type_find("VipsForeignLoad", "jxlload_source"):
        with pytest.raises(BadImage, match="JPEG XL is not supported by the installed readers; pip install pillow-jxl-plugin"):
            read(tmp_path / "b.jxl")


def test_exif_of_other_readers(tmp_path: Path, picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 28, 0x9003: "2024:05:01 12:00:00", 0x9291: "05"}
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    expected = GigapixelImage(tmp_path / "a.png").exif_focal_px()
    with Image.open(tmp_path / "a.png") as image:
        decoded = other_readers_module.from_pillow(image)
    assert decoded.tags["FocalLengthIn35mmFilm"] == "28"
    assert taken(decoded.tags) == GigapixelImage(tmp_path / "a.png").exif_taken()
    assert decoded.tags["SubSecTimeOriginal"] == "05"
    assert expected == pytest.approx(28 * np.hypot(90, 60) / np.hypot(36, 24), rel=1e-6)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".bmp"])
def test_names_that_are_not_utf_8(suffix: str, picture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / f"a{suffix}")
    name = os.fsencode(tmp_path) + b"/caf\xe9" + suffix.encode()
    os.rename(tmp_path / f"a{suffix}", name)
    assert np.abs(read(Path(os.fsdecode(name))) - picture).mean() < 20


def test_what_a_file_is(tmp_path: Path) -> None:
    assert not set(PICTURE_SUFFIXES) & set(VIDEO_SUFFIXES)
    assert format_of(b"\x47" + bytes(187) + b"\x47", ".mts").kind == "video"
    assert format_of(b"\0\0\x01\xba", ".mpg").kind == "video"
    assert format_of(b"whatever", ".tga").name == "TGA"
    assert format_of(b"", ".jpg") is None
