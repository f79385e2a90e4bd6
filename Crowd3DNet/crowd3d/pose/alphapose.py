"""AlphaPose, run as it is, in its own environment, as a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from tqdm import tqdm

from crowd3d.errors import BackendFailed, MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.alphapose_json import read_alphapose
from crowd3d.processes import end_group
from crowd3d.progress import progress_bar
from crowd3d.types import TileLayout

SCRIPT = "scripts/demo_inference.py"
CONFIG = "configs/coco/resnet/256x192_res152_lr1e-3_1x-duc.yaml"
CHECKPOINT = "pretrained_models/fast_421_res152_256x192.pth"
DETECTOR = "detector/yolo/data/yolov3-spp.weights"
ALPHAPOSE_FILES = (SCRIPT, CONFIG, CHECKPOINT, DETECTOR)
"""What a checkout must hold, relative to its root."""

RESULTS = "alphapose-results.json"
KEPT_RESULTS = "alphapose-results-scale.json"
STDOUT, STDERR = "alphapose-stdout.log", "alphapose-stderr.log"

POLL_S = 0.1
TAIL_LINES, TAIL_CHARACTERS = 4, 400
BAR = re.compile(r"[^\r\n]*\d+/\d+ \[[^\]\r\n]*\]?")
REMAINING = re.compile(rb"remaining (\d+) images")
CARRIED_BYTES = 200
"""Longer than any message that tells progress: so much of what was read is read again, in case a message was cut."""


@dataclass(frozen=True)
class AlphaPose:
    """FastPose-DUC with the YOLOv3-SPP detector, by the command line of the 2023 release.

    Attributes:
        root: checkout of AlphaPose.
        python: interpreter of the environment that AlphaPose is installed in; None for ``python`` on the PATH.
        stall_s: seconds without a further tile after which it counts as hung; its start is included.
        total_s: seconds after which it is ended in any case.
    """

    root: Path
    python: Path | None = None
    stall_s: float = 900.0
    total_s: float = 86_400.0
    name: ClassVar[str] = "alphapose"

    def check(self) -> None:
        """Raise MissingAsset unless script and interpreter are there."""
        if not (self.root / SCRIPT).is_file():
            raise MissingAsset(f"no {SCRIPT} in alphapose_root {self.root}; set it to AlphaPose's checkout in global_setting.py")
        self._interpreter()

    def command(self, tiles_folder: Path, output_folder: Path) -> list[str]:
        """Argument list for tiles in one folder, results in another; it is to be run in `root`."""
        options = {"--cfg": CONFIG, "--checkpoint": CHECKPOINT, "--indir": str(tiles_folder), "--outdir": str(output_folder)}
        return [self._interpreter(), SCRIPT, *(part for option in options.items() for part in option)]

    def detect(self, image: GigapixelImage, layout: TileLayout, tiles_folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Everybody in the tiles that were written to `tiles_folder`; leaves results and logs in its parent folder.

        Returns:
            (M, 17, 3) float64 u, v, score in scene pixels; (M,) rows of `layout`.

        Raises:
            MissingAsset: script or interpreter are not there.
            BackendFailed: AlphaPose failed, hung, or left no usable results.
        """
        tiles_folder = Path(tiles_folder).absolute()
        output = tiles_folder.parent
        results, kept = output / RESULTS, output / KEPT_RESULTS
        self.check()
        for stale in (results, kept):
            stale.unlink(missing_ok=True)
        self._run(self.command(tiles_folder, output), output, len(layout))
        if not results.is_file():
            raise BackendFailed(f"AlphaPose ended without writing {results}{_told(output)}")
        try:
            found = read_alphapose(results, layout)
        except MissingAsset as error:
            raise BackendFailed(f"AlphaPose wrote unusable results: {error}") from error
        os.replace(results, kept)
        return found

    def _interpreter(self) -> str:
        wanted = str(self.python or "python")
        found = shutil.which(wanted)
        if found is None:
            raise MissingAsset(f"cannot run alphapose_python {wanted!r}; set it to AlphaPose's own interpreter in global_setting.py")
        return found

    def _run(self, command: Sequence[str], output: Path, tiles: int) -> None:
        # Files instead of pipes: nothing can block on a full pipe, and whoever inherits them cannot make us wait for their end.
        with (
            (output / STDOUT).open("w+b") as stdout,
            (output / STDERR).open("w+b") as stderr,
            progress_bar(total=tiles, desc="AlphaPose", unit="tile") as bar,
        ):
            try:
                process = subprocess.Popen(
                    command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
                )
            except OSError as error:
                raise BackendFailed(f"cannot start {command[0]}: {error.strerror}; check alphapose_python in global_setting.py") from error
            try:
                self._watch(process, Progress(tiles, (output / STDOUT, output / STDERR)), bar, output)
            finally:
                end_group(process)

    def _watch(self, process: subprocess.Popen[bytes], progress: Progress, bar: tqdm, output: Path) -> None:
        """Return when the process has succeeded.

        Raises:
            BackendFailed: it failed, stalled or took too long.
        """
        started = moved = time.monotonic()
        with progress:
            while (code := process.poll()) is None:
                now = time.monotonic()
                if progress.advanced():
                    moved = now
                    bar.update(progress.done - bar.n)
                if now - moved > self.stall_s:
                    where = f"after {progress.done} of {progress.tiles} tiles"
                    raise BackendFailed(f"AlphaPose was ended because it did nothing for {self.stall_s:g} s, {where}{_told(output)}")
                if now - started > self.total_s:
                    raise BackendFailed(f"AlphaPose was ended because it took longer than {self.total_s:g} s{_told(output)}")
                time.sleep(POLL_S)
            progress.advanced()
            bar.update(progress.done - bar.n)
        if code:
            ending = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
            raise BackendFailed(f"AlphaPose failed with {ending}{_told(output)}")


class Progress:
    """How far AlphaPose is, by its progress bar and its count of images still to be written; anything else that it prints is no progress.

    Args:
        tiles: number of images that it works on; bars of another length are not its main one.
        logs: files that its output goes to.
    """

    def __init__(self, tiles: int, logs: Sequence[Path]) -> None:
        self.tiles = tiles
        self.done = 0
        self._state: tuple[int, int] = (0, -1)
        self._bar = re.compile(rb"(\d+)/%d \[" % tiles)
        self._logs: list[BinaryIO] = [log.open("rb") for log in logs]
        self._carried = [b""] * len(logs)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        for log in self._logs:
            log.close()

    def advanced(self) -> bool:
        """Read what was printed since the last call; True when a tile was finished or written."""
        done, remaining = self._state
        for index, log in enumerate(self._logs):
            text = self._carried[index] + log.read()
            self._carried[index] = text[-CARRIED_BYTES:]
            done = max([done, *(min(int(count), self.tiles) for count in self._bar.findall(text))])
            remaining = int(found[-1]) if (found := REMAINING.findall(text)) else remaining
        before, self._state, self.done = self._state, (done, remaining), done
        return self._state != before


def _told(output: Path) -> str:
    """The last lines of the errors that it printed, else of its output, without progress bars."""
    for log in (output / STDERR, output / STDOUT):
        text = log.read_bytes()[-20_000:].decode("utf-8", errors="replace")
        # The bar leaves the cursor at its end, so that an error message begins on the same line.
        lines = [line.strip() for line in re.split(r"[\r\n]+", BAR.sub("", text)) if line.strip()]
        if lines:
            tail = " | ".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:]
            return f"; it said: {tail} (all of it: {log}); `crowd3d doctor` checks the installation"
    return "; it said nothing; `crowd3d doctor` checks the installation"
