"""The overlay at full size, its overview and its zoom."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from crowd3d.bodies import Body
from crowd3d.imaging import GigapixelImage, path_for_size, write_jpeg, write_strips
from crowd3d.render.crowd import PLAIN, Crowd, Style, paint
from crowd3d.types import Scene

Window = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the photograph."""

_STRIP_PX, _STRIP_BYTES = 1200, 48_000_000
"""Rows of a strip, fewer where the photograph is so wide that they would take more memory than this."""
_SUPERSAMPLING = 2
_LONGEST_OVERVIEW_PX = 12_000
"""Of photographs that are very high and narrow."""
_ZOOM_HEIGHTS = 3.5


def render_overlay(scene: Scene, body: Body, image: GigapixelImage, output: Path, style: Style = PLAIN) -> Path:
    """Write the photograph at full size with everybody's body drawn in, strip by strip.

    Args:
        scene: what was reconstructed.
        body: body model of the scene's betas.
        image: the photograph.
        output: JPEG file to write.
        style: how people are drawn.

    Returns:
        `output`, or its name ending in ``.tif`` where the photograph is larger than JPEG allows; see `path_for_size`.

    Raises:
        BadImage: the photograph cannot be read.
        BadOutput: `output` cannot be written.
    """
    width, height = image.size
    crowd = Crowd.of(scene, body)
    rows = max(1, min(_STRIP_PX, _STRIP_BYTES // (3 * width)))

    def painted(top: int) -> np.ndarray:
        strip = image.region(np.array([top, 0, min(top + rows, height), width])).copy()
        paint(strip, crowd.seen_in(0, top, (width, len(strip))), style)
        return strip

    def strips() -> Iterator[np.ndarray]:
        # The next strip is painted while the last is encoded.
        with ThreadPoolExecutor(1) as painter:
            coming = painter.submit(painted, 0)
            for following in (*range(rows, height, rows), None):
                strip = coming.result()
                if following is not None:
                    coming = painter.submit(painted, following)
                yield strip

    written = path_for_size(output, image.size)
    write_strips(written, image.size, strips())
    return written


def render_overview(scene: Scene, body: Body, image: GigapixelImage, output: Path, style: Style = PLAIN, *, width_px: int = 2400) -> None:
    """Write the whole overlay, at most `width_px` pixels wide, as JPEG; see `render_overlay`."""
    width, height = image.size
    scale = max(width / width_px, height / _LONGEST_OVERVIEW_PX, 1.0)
    out = (max(1, round(width / scale)), max(1, round(height / scale)))
    photo = image.reduced(max(scale / _SUPERSAMPLING, 1.0))
    crowd = Crowd.of(scene, body)
    paint(photo, crowd.seen_in(0, 0, photo.shape[1::-1], width / photo.shape[1]), style)
    write_jpeg(output, cv2.resize(photo, out, interpolation=cv2.INTER_AREA), 92)


def render_zoom(
    scene: Scene,
    body: Body,
    image: GigapixelImage,
    output: Path,
    style: Style = PLAIN,
    *,
    window: Window | None = None,
    width_px: int = 1600,
) -> None:
    """Write a part of the overlay, `width_px` pixels wide, as JPEG; see `render_overlay`.

    `window` is that part; None is where most people stand close together.
    """
    crowd = Crowd.of(scene, body)
    left, top, right, bottom = window or busiest_window(crowd, image.size, width_px)
    region = image.region(np.array([top, left, bottom, right]))
    scale = (right - left) / (width_px * _SUPERSAMPLING)
    fine = (width_px * _SUPERSAMPLING, round((bottom - top) / scale))
    photo = cv2.resize(region, fine, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)
    paint(photo, crowd.seen_in(left, top, fine, scale), style)
    out = (width_px, round(fine[1] / _SUPERSAMPLING))
    write_jpeg(output, cv2.resize(photo, out, interpolation=cv2.INTER_AREA), 92)


def busiest_window(crowd: Crowd, image_size: tuple[int, int], width_px: int, aspect: float = 16 / 9) -> Window:
    """The window in which most bodies lie entirely, counting those less that are small in it.

    Each person proposes the window that is centred on them, `_ZOOM_HEIGHTS` times as high as they are and at least `width_px` pixels wide,
    so that nothing has to be enlarged where the photograph is large enough.
    """
    width, height = image_size
    if len(crowd) == 0:
        return (0, 0, width, height)
    box, tall = crowd.bounds_px, crowd.height_px
    window_height = np.minimum(np.maximum(_ZOOM_HEIGHTS * tall, width_px / aspect), min(height, width / aspect))
    size = np.stack([aspect * window_height, window_height], axis=-1)
    centre = (box[:, :2] + box[:, 2:]) / 2.0
    low = np.clip(centre - size / 2.0, 0.0, np.array(image_size) - size)
    inside = (box[None, :, :2] >= low[:, None]).all(axis=-1) & (box[None, :, 2:] <= (low + size)[:, None]).all(axis=-1)
    legible = np.minimum(_ZOOM_HEIGHTS * tall / window_height[:, None], 1.0) ** 2
    best = int(np.argmax((inside * legible).sum(axis=1)))
    left, top = np.floor(low[best]).astype(int).tolist()
    return left, top, left + int(size[best, 0]), top + int(size[best, 1])
