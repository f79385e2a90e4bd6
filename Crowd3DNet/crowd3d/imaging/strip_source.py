"""Pictures that are made strip by strip, given to libvips as if they were read from a pipe."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import pyvips

_BLOCK_BYTES = 8_000_000


class StripSource:
    """A stream of an uncompressed PNG, which libvips decodes as fast as memory can be copied; no more than a strip is in memory.

    An error of whoever makes the strips cannot pass through libvips; `error` keeps it.

    Args:
        size: (width, height) of the picture.
        strips: (h, width, 3) uint8 RGB, from top to bottom.
    """

    def __init__(self, size: tuple[int, int], strips: Iterable[np.ndarray]) -> None:
        self.error: Exception | None = None
        self._blocks = _png(size, strips)
        self._rest = memoryview(b"")
        self._source = pyvips.SourceCustom()
        self._source.on_read(self._read)
        # The source calls this object back, which therefore must live as long as the image.
        self.image = pyvips.Image.new_from_source(self._source, "", access="sequential", fail_on="truncated")

    def _read(self, count: int) -> bytes:
        while not self._rest:
            try:
                block = next(self._blocks, None)
            except Exception as error:  # noqa: BLE001 - kept for whoever asked for the picture
                self.error = error
                block = None
            if block is None:
                return b""
            self._rest = memoryview(block)
        given, self._rest = self._rest[:count], self._rest[count:]
        return bytes(given)


def _png(size: tuple[int, int], strips: Iterable[np.ndarray]) -> Iterator[bytes]:
    """The bytes of an uncompressed PNG (RFC 2083), in pieces."""
    width, height = size
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(0)
    at_once = max(1, _BLOCK_BYTES // (3 * width))
    for strip in strips:
        for top in range(0, len(strip), at_once):
            part = strip[top : top + at_once]
            # Each row begins with the number of its filter: none.
            rows = np.zeros((len(part), 1 + 3 * width), np.uint8)
            rows[:, 1:] = part.reshape(len(part), -1)
            yield _chunk(b"IDAT", packer.compress(rows.data))
    yield _chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
