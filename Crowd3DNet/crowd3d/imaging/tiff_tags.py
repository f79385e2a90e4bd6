"""What a TIFF says about its samples: read here because libvips does not tell."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

CODECS = {
    6: "old JPEG",
    7: "JPEG",
    34677: "SGILog",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    1: "none",
    5: "LZW",
    8: "Deflate",
    32946: "Deflate",
    32773: "PackBits",
}
_BITS, _CODEC, _LEAST, _MOST, _KIND, _SLEAST, _SMOST = 258, 259, 280, 281, 339, 340, 341
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_ENTRIES, _MOST_VALUES = 4096, 64


class TiffTags(NamedTuple):
    """Of the first picture in a TIFF.

    Attributes:
        bits: bits per sample.
        codec: name of the compression.
        low, high: the range of the samples where the file tells it, else None.
    """

    bits: int
    codec: str
    low: float | None
    high: float | None


def read_tiff_tags(path: Path) -> TiffTags | None:
    """What the file says, or None when it is damaged before that."""
    try:
        with Path(path).open("rb") as file:
            tags = _first_directory(file)
    except (OSError, struct.error, OverflowError):
        return None
    code = int(tags.get(_CODEC, (1,))[0])
    low, high = tags.get(_SLEAST, tags.get(_LEAST)), tags.get(_SMOST, tags.get(_MOST))
    return TiffTags(
        bits=int(max(tags.get(_BITS, (1,)))),
        codec=CODECS.get(code, f"number {code}"),
        low=None if low is None else float(min(low)),
        high=None if high is None else float(max(high)),
    )


def _first_directory(file: BinaryIO) -> dict[int, tuple[float, ...]]:
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    (start,) = struct.unpack(f"{order}Q", head[8:16]) if big else struct.unpack(f"{order}I", head[4:8])
    counter, entry = ("Q", "HHQ8s") if big else ("H", "HHI4s")
    file.seek(start)
    (count,) = struct.unpack(order + counter, file.read(struct.calcsize(order + counter)))
    tags: dict[int, tuple[float, ...]] = {}
    size = struct.calcsize(order + entry)
    for row in range(min(count, _MOST_ENTRIES)):
        file.seek(start + struct.calcsize(order + counter) + row * size)
        tag, kind, number, raw = struct.unpack(order + entry, file.read(size))
        if tag not in (_BITS, _CODEC, _LEAST, _MOST, _KIND, _SLEAST, _SMOST) or kind not in _TYPES or not 0 < number <= _MOST_VALUES:
            continue
        layout = f"{order}{number}{_TYPES[kind]}"
        if struct.calcsize(layout) > len(raw):
            file.seek(struct.unpack(f"{order}{'Q' if big else 'I'}", raw)[0])
            raw = file.read(struct.calcsize(layout))
        tags[tag] = struct.unpack(layout, raw[: struct.calcsize(layout)])
    return tags
