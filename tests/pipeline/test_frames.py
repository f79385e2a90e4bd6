"""The pictures of folders and videos: none is left out silently, and a list that lacks a picture is made again."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowd3d.errors import BadImage
from crowd3d.pipeline.frames import is_sequence, read_frames


def picture(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", np.full((30, 40, 3), 99, np.uint8))[1].tobytes())


def video(path: Path, count: int = 6) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 2.0, (64, 48))
    for number in range(count):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()


def test_no_picture_is_left_out_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.jpg", "2.heic", "3.AVIF", "4", "10.jp2", "a.jpg_original", ".hidden.jpg"):
        picture(tmp_path / name)
    (tmp_path / "raw.CR2").write_bytes(b"II*")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "7").write_text("no picture")
    (tmp_path / "folder.jpg").mkdir()
    frames = read_frames(tmp_path, tmp_path, 2.0)
    assert [frame.path.name for frame in frames] == ["1.jpg", "2.heic", "3.AVIF", "4", "10.jp2"]
    assert "2 pictures of other endings or formats that are not read: a.jpg_original, raw.CR2" in caplog.text


def test_a_folder_of_what_is_not_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.nef").write_bytes(b"II*")
    with pytest.raises(BadImage, match=r"no pictures in .* a\.nef would have to be saved as JPEG"):
        read_frames(tmp_path, tmp_path, 2.0)


def test_pictures_that_were_deleted_are_taken_again(tmp_path: Path) -> None:
    video(tmp_path / "clip.avi")
    store = tmp_path / "store"
    frames = read_frames(tmp_path / "clip.avi", store, 2.0)
    assert [frame.path.name for frame in frames] == [f"clip_{number:06d}.jpg" for number in range(6)]
    before = frames[0].path.stat().st_mtime_ns
    frames[3].path.unlink()
    assert read_frames(tmp_path / "clip.avi", store, 2.0) == frames
    assert all(frame.path.is_file() for frame in frames)
    assert frames[0].path.stat().st_mtime_ns > before
    (store / "clip_000099.jpg").write_bytes(b"not of this video")
    assert read_frames(tmp_path / "clip.avi", store, 2.0) == frames
    for frame in frames:
        frame.path.unlink()
    assert read_frames(tmp_path / "clip.avi", store, 2.0) == frames


def test_a_damaged_list_is_made_again(tmp_path: Path) -> None:
    video(tmp_path / "clip.avi")
    frames = read_frames(tmp_path / "clip.avi", tmp_path / "store", 2.0)
    for content in ("{", "[]", json.dumps({"names": {}}), json.dumps({"names": {"a.jpg": 1}, "pictures_per_second": 0})):
        (tmp_path / "store" / "frames.json").write_text(content)
        assert read_frames(tmp_path / "clip.avi", tmp_path / "store", 2.0) == frames


@pytest.mark.parametrize("name", ["a.mpg", "a.MTS", "a.m2ts", "a.wmv", "a.3gp", "a.mp4"])
def test_videos_by_their_endings(name: str, tmp_path: Path) -> None:
    assert is_sequence(tmp_path / name)


def test_videos_by_their_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    picture(tmp_path / "photo")
    assert is_sequence(tmp_path / "clip")
    assert not is_sequence(tmp_path / "photo")
    assert not is_sequence(tmp_path / "absent")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_video_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    video(tmp_path / "clip.avi", 3)
    name = os.fsencode(tmp_path) + b"/caf\xe9.avi"
    os.rename(tmp_path / "clip.avi", name)
    frames = read_frames(Path(os.fsdecode(name)), tmp_path / "store", 2.0)
    assert [frame.path.name for frame in frames] == [f"caf__{number:06d}.jpg" for number in range(3)]
