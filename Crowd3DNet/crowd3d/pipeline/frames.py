"""The pictures of a sequence: a folder of photographs, or a video, of which one picture at a time is in memory."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import NamedTuple

import cv2
from tqdm import tqdm

from crowd3d.errors import BadImage
from crowd3d.files import write_json
from crowd3d.imaging import write_jpeg
from crowd3d.pipeline.manifest import Run

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
_USUAL_RATE = 25.0


class Frame(NamedTuple):
    """One picture of a sequence.

    Attributes:
        path: its file.
        time_s: when it was taken, in seconds after the first one.
    """

    path: Path
    time_s: float

    @property
    def name(self) -> str:
        """Name of its folders."""
        return self.path.stem


def is_sequence(path: Path) -> bool:
    """Whether a path is a folder or a video rather than a photograph."""
    return path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES


def read_frames(source: Path, store: Path, per_second: float) -> list[Frame]:
    """All pictures of a folder in the order of their names (2 before 10), or `per_second` pictures per second of a video.

    Args:
        source: the folder, or the video in a format that OpenCV reads.
        store: where the pictures of a video go, as JPEG; those that are there from an earlier run are kept.
        per_second: for a folder the rate at which its pictures were taken.

    Raises:
        BadImage: nothing can be read, or two pictures have the same name.
        BadOutput: `store` cannot be written.
    """
    if source.is_dir():
        return _frames_of_folder(source, per_second)
    if not source.is_file():
        raise BadImage(f"no folder and no video at {source}; check the path")
    status = source.stat()
    run = Run(store)
    listed = store / "frames.json"
    inputs = {"video": [source.name, status.st_size, status.st_mtime_ns], "per_second": per_second}
    run.stage("frames", inputs, [listed], lambda: _extract(source, store, per_second))
    rate = _open(source)[1]
    paths = sorted(store.glob(f"{_safe(source.stem)}_*.jpg"))
    return [Frame(path, int(path.stem.rsplit("_", 1)[1]) / rate) for path in paths]


def _frames_of_folder(folder: Path, per_second: float) -> list[Frame]:
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not paths:
        raise BadImage(f"no pictures in {folder}; their names must end in {', '.join(IMAGE_SUFFIXES)}")
    paths.sort(key=lambda path: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)])
    names = [path.stem for path in paths]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise BadImage(f"{folder} has two pictures called {double}; rename one, or move it away")
    return [Frame(path, number / per_second) for number, path in enumerate(paths)]


def _open(video: Path) -> tuple[cv2.VideoCapture, float]:
    """The opened video and its pictures per second."""
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise BadImage(f"{video} cannot be read as a video; convert it to MP4 (H.264), or give a folder of pictures")
    rate = capture.get(cv2.CAP_PROP_FPS)
    return capture, rate if math.isfinite(rate) and rate > 0 else _USUAL_RATE


def _extract(video: Path, store: Path, per_second: float) -> None:
    """Write the wanted pictures; only the one at hand is in memory."""
    for old in store.glob("*.jpg"):
        old.unlink()
    capture, rate = _open(video)
    step = max(1.0, rate / per_second)
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    number = taken = 0
    try:
        with tqdm(total=max(announced, 0) or None, desc="reading the video", unit="picture") as bar:
            while capture.grab():
                if number >= round(taken * step):
                    taken += 1
                    fine, picture = capture.retrieve()
                    if fine:
                        write_jpeg(store / f"{_safe(video.stem)}_{number:06d}.jpg", cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                    else:
                        log.error("skipped picture %d of %s: it cannot be decoded", number, video)
                number += 1
                bar.update()
    finally:
        capture.release()
    if number == 0:
        raise BadImage(f"{video} has no picture that can be decoded; copy or convert it again")
    if number < announced:
        log.warning("%s ends after %d of %d announced pictures", video, number, announced)
    write_json(store / "frames.json", {"pictures": number, "taken": taken, "pictures_per_second": rate})


def _safe(stem: str) -> str:
    """Without characters that `Path.glob` reads as wildcards."""
    return re.sub(r"[\[\]*?]", "_", stem)
