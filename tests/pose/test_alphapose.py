"""AlphaPose as a program, with a stand-in checkout that has its command line and its output files."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage, format_tile_name
from crowd3d.pose.alphapose import KEPT_RESULTS, RESULTS, SCRIPT, AlphaPose
from crowd3d.types import TileLayout

STAND_IN = """
import argparse, json, os, signal, subprocess, sys, time

parser = argparse.ArgumentParser()
for name in ("cfg", "checkpoint", "indir", "outdir"):
    parser.add_argument("--" + name, required=True)
options = parser.parse_args()
with open("called.json", "w") as file:
    json.dump([sys.argv, os.getcwd()], file)
tiles = sorted(os.listdir(options.indir))

def progress(done):
    text = "\\r %3d%%|###   | %d/%d [00:01<00:02,  1.00it/s]" % (100 * done // len(tiles), done, len(tiles))
    print(text, end="", file=sys.stderr, flush=True)

def write():
    people = [{"image_id": tile, "category_id": 1, "score": 2.5, "box": [0, 0, 9, 9], "idx": [0.0],
               "keypoints": [value for joint in range(17) for value in (10.0 * joint, 256.0, 0.9)]} for tile in tiles]
    with open(os.path.join(options.outdir, "alphapose-results.json"), "w") as file:
        json.dump(people, file)

def child(program="sleep 60"):
    # It inherits stdout and stderr.
    process = subprocess.Popen(["sh", "-c", program])
    with open("child", "w") as file:
        file.write(str(process.pid))

progress(0)
"""
SUCCEED = "for done in range(1, len(tiles) + 1): progress(done)\nwrite()"


@pytest.fixture
def tiles(tmp_path: Path, layout: TileLayout) -> Path:
    """Folder with the (empty) files of the tiles; the stand-in only looks at their names."""
    folder = tmp_path / "mid folder" / "part_images_scale"
    folder.mkdir(parents=True)
    for where, box in zip(layout.row_col, layout.boxes, strict=True):
        (folder / format_tile_name("a crowd.v2_b", where, box)).touch()
    return folder


def checkout(tmp_path: Path, behaviour: str, **limits: float) -> AlphaPose:
    root = tmp_path / "Alpha Pose"
    (root / SCRIPT).parent.mkdir(parents=True)
    (root / SCRIPT).write_text(STAND_IN + behaviour, encoding="utf-8")
    return AlphaPose(root, Path(sys.executable), **{"stall_s": 20.0, "total_s": 30.0} | limits)


def is_ended(pid_file: Path) -> bool:
    """Whether the process never was, is gone, or is dead and waiting to be collected; a killed one may need a moment on a busy machine."""
    if not pid_file.exists():
        return True
    status = Path("/proc", pid_file.read_text(encoding="utf-8"), "status")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if "\nState:\tZ" in status.read_text(encoding="utf-8"):
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_success(tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path) -> None:
    backend = checkout(tmp_path, SUCCEED)
    keypoints, tile_index = backend.detect(photograph, layout, tiles)
    assert sorted(tile_index) == list(range(len(layout)))
    boxes = layout.boxes[tile_index]
    side = boxes[:, 2] - boxes[:, 0]
    np.testing.assert_allclose(keypoints[:, 3], np.stack([boxes[:, 1] + side * 30 / 512, boxes[:, 0] + side / 2, np.full(5, 0.9)], 1))
    assert len(json.loads((tiles.parent / KEPT_RESULTS).read_text(encoding="utf-8"))) == 5
    assert not (tiles.parent / RESULTS).exists()


def test_the_command_line_is_that_of_the_release(tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path) -> None:
    backend = checkout(tmp_path, SUCCEED)
    backend.detect(photograph, layout, tiles)
    arguments, folder = json.loads((backend.root / "called.json").read_text(encoding="utf-8"))
    assert folder == str(backend.root)
    assert arguments == [
        "scripts/demo_inference.py",
        "--cfg",
        "configs/coco/resnet/256x192_res152_lr1e-3_1x-duc.yaml",
        "--checkpoint",
        "pretrained_models/fast_421_res152_256x192.pth",
        "--indir",
        str(tiles),
        "--outdir",
        str(tiles.parent),
    ]


@pytest.mark.parametrize(
    ("behaviour", "limits", "told"),
    [
        ("sys.exit('RuntimeError: CUDA out of memory')", {}, "exit code 1; it said: RuntimeError: CUDA out of memory"),
        ("write(); os.kill(os.getpid(), signal.SIGSEGV)", {}, "signal SIGSEGV"),
        ("progress(2)", {}, "without writing"),
        ("open(os.path.join(options.outdir, 'alphapose-results.json'), 'w').write('[{\"image_id\"')", {}, "cut off at the end"),
        ("tiles = ['other_0_0_0_0_8_8.jpg']; write()", {}, "no tile of this run"),
        ("progress(2); time.sleep(60)", {"stall_s": 3.0}, "did nothing for 3 s, after 2 of 5 tiles"),
        (
            "while True: print('Rendering remaining 3 images in the queue', end=chr(13), flush=True); time.sleep(0.05)",
            {"stall_s": 2.0},
            "did nothing for 2 s",
        ),
        (
            "for left in range(10**9): print('remaining %d images' % left, flush=True); time.sleep(0.05)",
            {"stall_s": 10.0, "total_s": 2.0},
            "longer than 2 s",
        ),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", {"stall_s": 1.0}, "did nothing"),
    ],
)
def test_every_failure_is_told_and_leaves_nothing(
    behaviour: str, limits: dict[str, float], told: str, tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path
) -> None:
    backend = checkout(tmp_path, "child()\n" + behaviour, **limits)
    for stale in (RESULTS, KEPT_RESULTS):
        (tiles.parent / stale).write_text("[]", encoding="utf-8")
    with pytest.raises(BackendFailed) as error:
        backend.detect(photograph, layout, tiles)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tiles.parent / KEPT_RESULTS).exists()
    assert is_ended(backend.root / "child")


def test_an_orphan_is_ended_and_does_not_make_us_wait(tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path) -> None:
    backend = checkout(tmp_path, """child("trap '' TERM; sleep 60; sleep 60")\n""" + SUCCEED)
    started = time.monotonic()
    _, tile_index = backend.detect(photograph, layout, tiles)
    assert time.monotonic() - started < 30, "the child would run for 60 s"
    assert len(tile_index) == 5
    assert is_ended(backend.root / "child")


def test_garbage_on_its_outputs_is_no_progress_and_no_harm(
    tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path
) -> None:
    garbage = "for log in (sys.stdout.buffer, sys.stderr.buffer): log.write(bytes(range(256)) * 2000 + b'7/9 [99/5 [')\n"
    _, tile_index = checkout(tmp_path, garbage + SUCCEED).detect(photograph, layout, tiles)
    assert len(tile_index) == 5


def test_what_is_missing_is_said_before_anything_runs(tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path) -> None:
    with pytest.raises(MissingAsset, match=r"no scripts/demo_inference\.py"):
        AlphaPose(tmp_path).detect(photograph, layout, tiles)
    backend = checkout(tmp_path, SUCCEED)
    with pytest.raises(MissingAsset, match="alphapose_python"):
        AlphaPose(backend.root, tmp_path / "no python").detect(photograph, layout, tiles)


def test_an_interpreter_that_is_no_program(tmp_path: Path, photograph: GigapixelImage, layout: TileLayout, tiles: Path) -> None:
    backend = checkout(tmp_path, SUCCEED)
    program = tmp_path / "python"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(BackendFailed, match="cannot start"):
        AlphaPose(backend.root, program).detect(photograph, layout, tiles)
