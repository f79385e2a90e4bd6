"""Reading photographs of any size, crop by crop."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from threading import Lock, Thread

import cv2
import numpy as np

from crowd3d.errors import BadImage
from crowd3d.imaging import exif
from crowd3d.imaging.disk_pixels import ORIENTED, STRIP_BYTES, DiskPixels, shrunk
from crowd3d.imaging.other_readers import Decoded
from crowd3d.imaging.stored import StoredPicture, decoding

HELD_BYTES = 600_000_000
"""Images whose pixels take more than this stay on disk: they are decoded once, into a temporary file."""


class GigapixelImage:
    """A photograph as 8-bit sRGB, upright by its EXIF orientation, decoded once and on first use.

    Reads what libvips reads (JPEG, PNG, TIFF, WebP, GIF, AVIF, …), BMP, and through Pillow and tifffile what those read with the plugins
    that are installed; any number of bits, grey, palette, CMYK, Lab; transparency over white.
    At most one decoded copy is held: in memory, or for images above `HELD_BYTES` in a temporary file (folder: ``TMPDIR``).

    Args:
        path: the file.
        decoded: the picture, where a program has it and no file is read; `path` is then only what it is called.

    Attributes:
        path: the file.
        size: (width, height) in pixels, upright.

    Raises:
        BadImage: at construction when the file is missing, empty or no image; at the first use of pixels when it is truncated or damaged.
    """

    def __init__(self, path: str | Path, decoded: Decoded | None = None) -> None:
        if "://" in os.fspath(path):
            raise BadImage(f"{path} is an address; download what is there and give the file")
        self.path = Path(path)
        self._decoded = decoded
        self._stored = StoredPicture(self.path, decoded)
        self._lock = Lock()
        self._held: np.ndarray | None = None
        if decoded is not None and decoded.pixels.dtype == np.uint8 and decoded.pixels.shape[2:] == (3,) and not decoded.lab:
            self._held = ORIENTED[self._stored.orientation](decoded.pixels)
        self._on_disk: DiskPixels | None = None
        self.size = self._stored.size if self._stored.orientation < 5 else self._stored.size[::-1]

    @cached_property
    def content_hash(self) -> str:
        """Hexadecimal BLAKE2b-128 of the file's bytes, or of the pixels that a program gave."""
        digest = hashlib.blake2b(digest_size=16)
        if self._decoded is not None:
            pixels = self._decoded.pixels
            digest.update(repr((pixels.shape, pixels.dtype.str, self._decoded.orientation, sorted(self._decoded.tags.items()))).encode())
            digest.update(np.ascontiguousarray(pixels).data)
            return digest.hexdigest()
        with self.path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
        return digest.hexdigest()

    def exif_focal_px(self) -> float | None:
        """Focal length in pixels by EXIF, or None when the file does not tell."""
        return exif.focal_px(self._stored.tags, self.size)

    def exif_trust(self) -> float:
        """Probability that the file is not a part of what the camera took (`exif.trust`)."""
        return exif.trust(self._stored.tags, self.size)

    def exif_taken(self) -> exif.Moment | None:
        """When the shutter opened by EXIF, or None when the file does not tell."""
        return exif.taken(self._stored.tags)

    def region(self, box: Sequence[int] | np.ndarray, fill: int = 128) -> np.ndarray:
        """Pixels of one box at full resolution.

        Args:
            box: (4,) top, left, bottom, right; may reach over the image's edges.
            fill: grey value outside the image.

        Returns:
            (bottom − top, right − left, 3) uint8 RGB; do not write into it.
        """
        top, left, bottom, right = (int(edge) for edge in box)
        if self._pixels is None:
            return self._disk.padded((top, left, bottom, right), fill)
        inside = np.clip([top, bottom], 0, self.size[1]), np.clip([left, right], 0, self.size[0])
        pixels = self._pixels[slice(*inside[0]), slice(*inside[1])]
        if pixels.shape[:2] == (bottom - top, right - left):
            return pixels
        canvas = np.full((bottom - top, right - left, 3), fill, np.uint8)
        canvas[slice(*(inside[0] - top)), slice(*(inside[1] - left))] = pixels
        return canvas

    def crops(
        self, boxes: np.ndarray, size: int, batch_size: int = 64, fill: int = 128, turn_rad: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Boxes resized to squares, batch by batch, in the order given; hardly aliased when reduced, bilinear when enlarged.

        The next batch is cut while the caller works on one.

        Args:
            boxes: (T, 4) top, left, bottom, right in pixels; may reach over the image's edges.
            size: side of the squares in pixels.
            batch_size: largest number of boxes in one batch.
            fill: grey value outside the image; 255 for white.
            turn_rad: (T,) boxes are turned about their middles by so much, clockwise, before they are cut; see `turned`.

        Yields:
            (B,) rows of `boxes`, and (B, size, size, 3) uint8 RGB.
        """
        boxes = np.asarray(boxes).reshape(-1, 4)
        turn = np.zeros(len(boxes)) if turn_rad is None else turn_rad

        def cut(rows: np.ndarray) -> np.ndarray:
            batch = np.empty((len(rows), size, size, 3), np.uint8)
            for target, row in zip(batch, rows, strict=True):
                target[...] = turned_square(partial(self._square, fill=fill), boxes[row], size, fill, turn[row])
            return batch

        batches = np.split(np.arange(len(boxes)), range(batch_size, len(boxes), batch_size)) if len(boxes) else []
        with ThreadPoolExecutor(1) as worker:
            coming = [worker.submit(cut, rows) for rows in batches[:1]]
            for index, rows in enumerate(batches):
                batch = coming.pop().result()
                coming = [worker.submit(cut, following) for following in batches[index + 1 : index + 2]]
                yield rows, batch

    def reduced(self, factor: float) -> np.ndarray:
        """The whole image, area-averaged by `factor` ≥ 1: (round(H / factor), round(W / factor), 3) uint8 RGB, each side ≥ 1."""
        width, height = (max(1, round(side / factor)) for side in self.size)
        if self._pixels is not None:
            return _averaged(self._pixels, (width, height))
        return self._disk.reduced((width, height))

    def decode_ahead(self) -> None:
        """Begin to decode while the caller does something else; errors come up at the first use of pixels."""
        Thread(target=self._try_decoding).start()

    def _try_decoding(self) -> None:
        with suppress(BadImage):
            _ = self._disk if self._pixels is None else self._pixels

    @property
    def _pixels(self) -> np.ndarray | None:
        """(H, W, 3) uint8 upright view of the one decoded copy, or None when the image is too large to be held."""
        with self._lock:
            if self._held is None and 3 * self.size[0] * self.size[1] <= HELD_BYTES:
                with decoding(self.path):
                    self._held = ORIENTED[self._stored.orientation](self._stored.srgb("sequential").numpy())
            return self._held

    @property
    def _disk(self) -> DiskPixels:
        with self._lock:
            if self._on_disk is None:
                self._on_disk = DiskPixels(self._stored)
            return self._on_disk

    def _square(self, box: np.ndarray, size: int, *, fill: int) -> np.ndarray:
        side = int(box[2] - box[0])
        if self._pixels is not None and 3 * side * side <= STRIP_BYTES:
            return _resize(self.region(box, fill), (size, size))
        # The largest whole reduction that leaves the last step a factor of two is done in strips, whatever the size of the box.
        shrink = next(factor for factor in range(max(1, side // (2 * size)), 0, -1) if side % factor == 0)
        top, left, bottom, right = (int(edge) for edge in box)
        return _resize(shrunk(self.region, (top, left, bottom, right), shrink, fill), (size, size))


def turned(offset: np.ndarray, turn_rad: np.ndarray | float) -> np.ndarray:
    """Offsets (..., 2) from the middle of a turned crop → offsets in the image: what is above the middle moves to the right."""
    cosine, sine = np.cos(turn_rad), np.sin(turn_rad)
    x, y = offset[..., 0], offset[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def turned_square(cut: Callable[[np.ndarray, int], np.ndarray], box: np.ndarray, size: int, fill: int, turn_rad: float) -> np.ndarray:
    """A square of an image turned about its middle before it is cut; see `turned`.

    Args:
        cut: (box, size) → (size, size, 3) uint8, a straight square.
        box: (4,) top, left, bottom, right in pixels.
        size: side of the result in pixels.
        fill: grey value where there is no image.
        turn_rad: clockwise.
    """
    if turn_rad == 0:
        return cut(box, size)
    side = int(box[2] - box[0])
    reach = abs(np.cos(turn_rad)) + abs(np.sin(turn_rad))
    around, around_size = int(np.ceil(side * reach)), int(np.ceil(size * reach))
    top, left = (box[:2] - (around - side) / 2).round().astype(int)
    straight = cut(np.array([top, left, top + around, left + around]), around_size)
    scale = around_size / around
    middle = ((box[[1, 0]] + side / 2) - [left, top]) * scale
    step = turned(np.eye(2), turn_rad).T * (side / size * scale)
    # Pixel centres lie at half pixels; OpenCV counts from them.
    start = middle + step @ np.full(2, 0.5 - size / 2) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(straight, np.c_[step, start], (size, size), flags=flags, borderValue=(fill, fill, fill))


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`size` is (width, height).

    OpenCV halves ten times faster than it averages areas of any other size. So of a reduction all but a factor of at most √2 is halvings:
    first of what is even, then of what was sampled at the nearest power of two times the size. From averaged areas that differs by half a
    grey level, a tenth of what a shift by one pixel does.
    """
    image = _halved(image, size)
    factor = min(now / wanted for now, wanted in zip(image.shape[1::-1], size, strict=True))
    times = 2 ** max(0, round(float(np.log2(factor))))
    image = cv2.resize(image, (times * size[0], times * size[1]), interpolation=cv2.INTER_LINEAR)
    return image if times == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _averaged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Over areas, however long it takes; `size` is (width, height), nowhere more than that of the image."""
    return cv2.resize(_halved(image, size), size, interpolation=cv2.INTER_AREA)


def _halved(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As often as its sides are even and at least four times `size`."""
    if image.strides[1:] != (3, 1):
        image = np.ascontiguousarray(image)
    while all(now % 2 == 0 and now >= 4 * wanted for now, wanted in zip(image.shape[1::-1], size, strict=True)):
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return image
