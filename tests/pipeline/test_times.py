"""When the pictures of a folder were taken: EXIF, a table, a rate, and what happens when these disagree."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crowd3d.errors import BadConfig
from crowd3d.pipeline.frames import Frame, read_frames

LATE = datetime(2024, 5, 1, 23, 59, 58)
"""Midnight comes soon."""


def picture(path: Path, seconds: float | None = None, digits: int = 2) -> None:
    """A tiny picture, taken so long after `LATE` by its EXIF, with so many digits behind the full second."""
    exif = Image.Exif()
    if seconds is not None:
        moment = LATE + timedelta(seconds=seconds)
        told = {0x9003: moment.strftime("%Y:%m:%d %H:%M:%S")}
        if digits:
            told[0x9291] = f"{moment.microsecond:06d}"[:digits]
        exif[0x8769] = told
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(path, exif=exif)


def folder(root: Path, *seconds: float | None, digits: int = 2, suffix: str = "jpg") -> Path:
    for number, one in enumerate(seconds):
        picture(root / f"{number}.{suffix}", one, digits)
    return root


def seconds_of(frames: list[Frame]) -> list[float]:
    return [round(frame.time_s, 6) for frame in frames]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_by_exif(suffix: str, tmp_path: Path) -> None:
    folder(tmp_path, 0.25, 0.75, 3.05, 10.5, suffix=suffix)
    assert seconds_of(read_frames(tmp_path, tmp_path)) == [0.0, 0.5, 2.8, 10.25]


def test_without_digits_whole_seconds_hold(tmp_path: Path) -> None:
    assert seconds_of(read_frames(folder(tmp_path, 0.3, 1.9, 5.0, digits=0), tmp_path)) == [0.0, 1.0, 5.0]


@pytest.mark.parametrize("told", [(0.0, 1.0, None), (0.0, 2.0, 1.0), (0.0, 0.0, 1.0), (5.0,), (None, None)])
def test_exif_that_does_not_tell_all_times_is_left_aside(told: tuple[float | None, ...], tmp_path: Path) -> None:
    frames = read_frames(folder(tmp_path, *told), tmp_path)
    assert seconds_of(frames) == [0.5 * number for number in range(len(told))]


def test_times_that_do_not_rise_are_said_to_be_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_frames(folder(tmp_path, 0.0, 2.0, 1.0), tmp_path)
    assert f"times by EXIF do not rise from picture to picture in {tmp_path}; 2 per second are assumed" in caplog.text


def test_a_picture_that_cannot_be_read_does_not_cost_the_times_of_the_others(tmp_path: Path) -> None:
    folder(tmp_path, 0.0, 1.0, 3.0, 7.0, 8.0)
    for number in (0, 2, 4):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    assert seconds_of(read_frames(tmp_path, tmp_path))[1:4] == [0.0, 3.0, 6.0]


def test_a_rate_must_agree_with_exif(tmp_path: Path) -> None:
    folder(tmp_path, 0.0, 0.52, 0.98, 1.5)
    assert seconds_of(read_frames(tmp_path, tmp_path, 2.0)) == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(BadConfig, match=r"--fps 1 has the 4 pictures taken in 3\.0 s, EXIF in 1\.5 s; leave it away"):
        read_frames(tmp_path, tmp_path, 1.0)
    # Whole seconds say less.
    folder(tmp_path, 0.4, 1.7, 3.0, 4.3, digits=0)
    assert seconds_of(read_frames(tmp_path, tmp_path, 0.8)) == [0.0, 1.25, 2.5, 3.75]


def test_by_a_table_whatever_exif_says(tmp_path: Path) -> None:
    folder(tmp_path, 0.0, 1.0, 2.0)
    table = tmp_path / "times.csv"
    table.write_text("\ufeffname,seconds\r\n2.jpg, 100.5\r\n0.jpg,101\r\n\r\n1.jpg,1e2\r\ngone.jpg,7\r\n", encoding="utf-8")
    frames = read_frames(tmp_path, tmp_path, times=table)
    assert [frame.path.name for frame in frames] == ["1.jpg", "2.jpg", "0.jpg"]
    assert seconds_of(frames) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.jpg,0\n", r"tells no time of 1 of 2 pictures, 1\.jpg first"),
        ("0.jpg,0\n1.jpg,soon\n", r"line 2 of .* is 1\.jpg,soon; it must be NAME,SECONDS"),
        ("0.jpg,0\n1.jpg,nan\n", "line 2"),
        ("0.jpg,0,1\n", "line 1"),
        ("0.jpg,0\n0.jpg,1\n", r"tells the time of 0\.jpg twice"),
        ("0.jpg,3\n1.jpg,3\n", "two pictures of .* at the same time"),
        ("\udcff", "cannot be read as times"),
    ],
)
def test_a_table_that_does_not_fit(text: str, reason: str, tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    table.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(BadConfig, match=reason):
        read_frames(folder(tmp_path, None, None), tmp_path, times=table)


def test_what_says_times_twice_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, None, None)
    with pytest.raises(BadConfig, match="--fps and --times both"):
        read_frames(tmp_path, tmp_path, 2.0, tmp_path / "times.csv")
    (tmp_path / "clip.avi").touch()
    with pytest.raises(BadConfig, match=r"clip\.avi is no folder, and a video tells its times"):
        read_frames(tmp_path / "clip.avi", tmp_path, times=tmp_path / "times.csv")
