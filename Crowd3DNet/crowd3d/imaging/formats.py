"""What a file is, by its first bytes: which picture, a video, or something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from crowd3d.errors import BadImage

HEAD_BYTES = 512
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".heic", ".heif", ".hif", ".avif"),
    *(".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".pcx", ".sgi", ".dds"),
)
"""Endings of pictures that are read, some of them with optional packages only."""
RAW_SUFFIXES = (".cr2", ".cr3", ".nef", ".nrw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr", ".iiq")
UNREAD_SUFFIXES = (*RAW_SUFFIXES, ".psd", ".psb", ".exr", ".hdr", ".svg", ".pdf", ".dcm", ".fits", ".xcf", ".eps", ".insp")
"""Endings of pictures that are not read."""
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".mpe", ".m2v", ".mts", ".m2ts", ".ts", ".wmv", ".asf", ".flv"),
    *(".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".vob", ".mod", ".tod", ".divx", ".dv", ".insv"),
)

Kind = Literal["picture", "video", "other"]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        name: what people call it.
        kind: ``other`` is what is never read as a picture.
        remedy: what to do where it cannot be read.
    """

    name: str
    kind: Kind = "picture"
    remedy: str = "save it as JPEG, PNG or TIFF"


HEIC = Format("HEIC", remedy="pip install pillow-heif, or save it as JPEG")
JPEG_XL = Format("JPEG XL", remedy="pip install pillow-jxl-plugin, or save it as JPEG, PNG or TIFF")
JPEG_2000 = Format("JPEG 2000")
TIFF = Format("TIFF")
BMP = Format("BMP")
RAW = Format("a camera's RAW file", "other", "develop it and save it as JPEG or TIFF")
VIDEO = Format("a video", "video", "give it to `crowd3d reconstruct`, with an ending such as .mp4")

_MAGIC: list[tuple[bytes, Format]] = [
    (rb"\xff\xd8\xff", Format("JPEG")),
    (rb"\x89PNG", Format("PNG")),
    (rb"GIF8", Format("GIF")),
    (rb"RIFF....WEBP", Format("WebP")),
    (rb"RIFF....AVI ", VIDEO),
    (rb"BM", BMP),
    (rb"II\*\0....CR", RAW),
    (rb"IIU\0|IIR[OS]|FUJIFILMCCD-RAW|....ftypcrx", RAW),
    (rb"II[*+]\0|MM\0[*+]", TIFF),
    (rb"....ftyp(avif|avis)", Format("AVIF")),
    (rb"....ftyp(hei[cxms]|hev[cmx]|mif1|msf1)", HEIC),
    (rb"....ftyp", VIDEO),
    (rb"\x1aE\xdf\xa3|\0\0\x01[\xba\xb3]|FLV\x01|0&\xb2u|OggS|\x06\x0e+4|....(moov|mdat|wide)|\x47.{187}\x47|.{4}\x47.{191}\x47", VIDEO),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", JPEG_XL),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", JPEG_2000),
    (rb"P[1-7fF]\s", Format("PPM or PGM")),
    (rb"\0\0\x01\0[\x01-\x40]\0", Format("ICO")),
    (rb"DDS ", Format("DDS")),
    (rb"8BPS", Format("a Photoshop file", "other", "save it as TIFF, PNG or JPEG")),
    (rb"v/1\x01", Format("OpenEXR", "other", "convert it to TIFF or JPEG")),
    (rb"#\?RADIANCE|#\?RGBE", Format("Radiance HDR", "other", "convert it to TIFF or JPEG")),
    (rb"%PDF|%!PS", Format("PDF or PostScript", "other", "export the picture as PNG or TIFF")),
    (rb"SIMPLE  =", Format("FITS", "other", "convert it to TIFF or PNG")),
    (rb".{128}DICM", Format("DICOM", "other", "convert it to PNG")),
    (rb"\s*(<!doctype html|<html)", Format("a web page", "other", "open it in the browser and download the picture itself")),
    (rb"version https://git-lfs", Format("a pointer of Git LFS", "other", "run `git lfs pull`")),
    (rb"PK\x03\x04", Format("a ZIP archive", "other", "unpack it")),
    (rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ", Format("a packed file", "other", "unpack it")),
]
_PATTERNS = [(re.compile(pattern, re.DOTALL | re.IGNORECASE if b"html" in pattern else re.DOTALL), kind) for pattern, kind in _MAGIC]


def format_of(head: bytes, suffix: str) -> Format | None:
    """The format of a file by its first `HEAD_BYTES` bytes, and by its ending where those leave it open; None when it is unknown."""
    suffix = suffix.lower()
    found = next((kind for pattern, kind in _PATTERNS if pattern.match(head)), None)
    if found is TIFF and suffix in RAW_SUFFIXES:
        # Most cameras' RAW files are TIFFs whose first picture is a thumbnail.
        return RAW
    return Format("TGA") if found is None and suffix == ".tga" else found


def read_head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        BadImage: it cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise BadImage(f"cannot open image {path}: {error.strerror}; check the path") from error
