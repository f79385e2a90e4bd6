"""The pictures of a sequence: a folder of photographs, or a video, of which one picture at a time is in memory."""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from crowd3d.errors import BadConfig, BadImage
from crowd3d.files import read_json, write_json
from crowd3d.imaging import write_jpeg
from crowd3d.imaging.formats import PICTURE_SUFFIXES, UNREAD_SUFFIXES, VIDEO_SUFFIXES, format_of, read_head
from crowd3d.pipeline.stages import Owner, Run, Stage
from crowd3d.pipeline.times import USUAL_RATE_HZ, picture_times
from crowd3d.progress import progress_bar

log = logging.getLogger(__name__)

_USUAL_RATE = 25.0
"""Of videos that do not tell theirs."""


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
    """Whether a path is a folder or a video rather than a photograph: by its ending, or where that says nothing by its first bytes."""
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in VIDEO_SUFFIXES:
        return True
    if suffix in PICTURE_SUFFIXES or not path.is_file():
        return False
    kind = format_of(read_head(path), suffix)
    return kind is not None and kind.kind == "video"


def read_frames(source: Path, store: Path, per_second: float | None = None, times: Path | None = None) -> list[Frame]:
    """All pictures of a folder in the order of their names (2 before 10) or given times, or `per_second` pictures per second of a video.

    Args:
        source: the folder, or the video in a format that OpenCV reads.
        store: where the pictures of a video go, as JPEG; those that are there from an earlier run are kept.
        per_second: for a folder the rate at which its pictures were taken; by default EXIF tells their times where it can.
        times: for a folder a table of the times of its pictures, see `picture_times`.

    Raises:
        BadImage: nothing can be read, or two pictures have the same name.
        BadConfig: contradictory or incomplete times.
        BadOutput: `store` cannot be written.
    """
    if source.is_dir():
        paths = _pictures(source)
        times_s = picture_times(paths, per_second, times)
        return [Frame(paths[row], float(times_s[row])) for row in np.argsort(times_s, kind="stable")]
    if times is not None:
        raise BadConfig(f"--times is for folders of pictures; {source.name} is no folder, and a video tells its times")
    per_second = per_second or USUAL_RATE_HZ
    if not source.is_file():
        raise BadImage(f"no folder and no video at {source}; check the path")
    status = source.stat()
    listed = store / "frames.json"
    # A video is known by size and time: reading gigabytes would take as long as what is to be saved.
    values = {"video": [source.name, status.st_size, status.st_mtime_ns], "per_second": per_second}
    with Run(store.parent, sequence_owner(source)) as run:
        return run.do(Stage("frames", 3, [], values, [store]), lambda: _extract(source, store, per_second), load=lambda: _listed(listed))


def sequence_owner(source: Path) -> Owner:
    """Folders of a folder or video have this owner: pictures may come to it and go."""
    return Owner(os.path.abspath(source))


def _listed(path: Path) -> list[Frame]:
    """The pictures that `_extract` wrote and their times."""
    return [Frame(path.with_name(name), time_s) for name, time_s in read_json(path)["times_s"].items()]


def _pictures(folder: Path) -> list[Path]:
    """Its pictures in the order of their names."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    paths = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES or (not path.suffix and _is_picture(path))]
    others = [path.name for path in files if path not in paths and (path.suffix.lower() in UNREAD_SUFFIXES or _is_picture(path))]
    if others:
        log.warning("left out of %s: %d pictures of other endings or formats that are not read: %s", folder, len(others), _few(others))
    if not paths:
        there = f"; {_few(others)} would have to be saved as JPEG" if others else ""
        raise BadImage(f"no pictures in {folder}; their names must end in {', '.join(PICTURE_SUFFIXES[:6])} or the like{there}")
    paths.sort(key=lambda path: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)])
    names = [path.stem for path in paths]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise BadImage(f"{folder} has two pictures called {double}; rename one, or move it away")
    return paths


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _is_picture(path: Path) -> bool:
    """Whether a file begins like a picture, whatever its name ends in."""
    try:
        kind = format_of(read_head(path), path.suffix)
    except BadImage:
        return False
    return kind is not None and kind.kind == "picture"


def _open(video: Path) -> tuple[cv2.VideoCapture, float]:
    """The opened video and its pictures per second."""
    with _utf8_name(video) as name:
        capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        raise BadImage(f"{video} cannot be read as a video; convert it to MP4 (H.264), or give a folder of pictures")
    rate = capture.get(cv2.CAP_PROP_FPS)
    return capture, rate if math.isfinite(rate) and rate > 0 else _USUAL_RATE


def _time_s(capture: cv2.VideoCapture, number: int, rate: float) -> float:
    """When the picture at hand was taken: as the video says, whose rate may vary, else by its number."""
    told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
    return told if math.isfinite(told) and told > 0 else number / rate


@contextmanager
def _utf8_name(video: Path) -> Iterator[str]:
    """A name that OpenCV takes: one that is not UTF-8 ends the whole process there."""
    try:
        str(video).encode("utf-8")
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / f"video{_safe(video.suffix)}"
            try:
                link.symlink_to(video.absolute())
            except OSError as error:
                raise BadImage(f"{video} has a name that is not UTF-8, which no video reader takes; rename it") from error
            yield str(link)
        return
    yield str(video)


def _extract(video: Path, store: Path, per_second: float) -> list[Frame]:
    """Write the wanted pictures; only the one at hand is in memory."""
    capture, rate = _open(video)
    interval = 1.0 / per_second
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    number, due, before_s = 0, 0.0, -1.0 / rate
    times: dict[str, float] = {}
    try:
        with progress_bar(total=max(announced, 0) or None, desc="reading the video", unit="picture") as bar:
            while capture.grab():
                time_s = _time_s(capture, number, rate)
                slack, before_s = 0.5 * (time_s - before_s), time_s
                if time_s > due - slack:
                    # Where the video has fewer pictures than are wanted, nothing is made up for later.
                    due = interval * (math.floor((time_s + slack) / interval) + 1)
                    fine, picture = capture.retrieve()
                    if fine:
                        name = f"{_safe(video.stem)}_{number:06d}.jpg"
                        write_jpeg(store / name, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
                        times[name] = time_s
                    else:
                        log.error("skipped picture %d of %s: it cannot be decoded", number, video)
                number += 1
                bar.update()
    finally:
        capture.release()
    if not times:
        raise BadImage(f"{video} has no picture that can be decoded; copy or convert it again")
    if number < announced:
        log.warning("%s ends after %d of %d announced pictures", video, number, announced)
    write_json(store / "frames.json", {"pictures": number, "pictures_per_second": rate, "times_s": times})
    return _listed(store / "frames.json")


def _safe(stem: str) -> str:
    """Without characters that `Path.glob` reads as wildcards, and in UTF-8, as libraries want names."""
    return re.sub(r"[\[\]*?\ud800-\udfff]", "_", stem)
