"""When the pictures of a folder were taken: by a table of the user, at a given rate, by EXIF, or at a usual rate."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crowd3d.errors import BadConfig, BadImage
from crowd3d.files import read_text
from crowd3d.imaging import GigapixelImage
from crowd3d.imaging.exif import Moment

log = logging.getLogger(__name__)

USUAL_RATE_HZ = 2.0
_DRIFT = 0.02
"""A rate that somebody gives may be off by so much without contradicting EXIF."""


def picture_times(paths: Sequence[Path], rate_hz: float | None, table: Path | None) -> np.ndarray:
    """Seconds of every picture after the first one.

    Args:
        paths: T pictures in the order of their names.
        rate_hz: pictures per second, if they were taken evenly.
        table: see `_read_table`.

    Returns:
        (T,) seconds; they rise unless a table says otherwise.

    Raises:
        BadConfig: what is told contradicts itself, or the table is none or incomplete.
    """
    if table is not None:
        if rate_hz is not None:
            raise BadConfig("--fps and --times both say when the pictures were taken; give one of them")
        return _by_table(paths, table)
    even_s = np.arange(len(paths)) / (rate_hz or USUAL_RATE_HZ)
    told = _by_exif(paths)
    if told is None:
        return even_s
    if np.diff(told.times_s).min() <= 0:
        if rate_hz is None:
            folder = paths[0].parent
            log.warning("times by EXIF do not rise from picture to picture in %s; %g per second are assumed", folder, USUAL_RATE_HZ)
        return even_s
    if rate_hz is None:
        log.info("times by EXIF: %d pictures in %.1f s", len(paths), told.times_s[-1])
        # What cannot be read is skipped later on; until then it needs a time.
        return np.interp(np.arange(len(paths)), told.rows, told.times_s)
    compared_s = even_s[told.rows] - even_s[told.rows[0]]
    if (np.abs(told.times_s - compared_s) > told.step_s + 0.5 / rate_hz + _DRIFT * told.times_s).any():
        raise BadConfig(
            f"--fps {rate_hz:g} has the {len(paths)} pictures taken in {compared_s[-1]:.1f} s, EXIF in {told.times_s[-1]:.1f} s; leave it "
            "away to believe EXIF, or give --times"
        )
    return even_s


class _Told(NamedTuple):
    """What EXIF tells of K pictures that can be read: (K,) their rows, (K,) seconds after the first of them, the coarsest step of these."""

    rows: np.ndarray
    times_s: np.ndarray
    step_s: float


def _by_exif(paths: Sequence[Path]) -> _Told | None:
    """None where EXIF lacks the time of a picture that can be read, or where there is one picture only."""
    told: dict[int, Moment] = {}
    for row, path in enumerate(paths):
        with suppress(BadImage):
            moment = GigapixelImage(path).exif_taken()
            if moment is None:
                return None
            told[row] = moment
    if len(told) < 2:
        return None
    clock_s = np.array([moment.time_s for moment in told.values()])
    return _Told(np.array(list(told)), clock_s - clock_s[0], max(moment.step_s for moment in told.values()))


def _by_table(paths: Sequence[Path], table: Path) -> np.ndarray:
    seconds = _read_table(table)
    lacking = [path.name for path in paths if path.name not in seconds]
    if lacking:
        raise BadConfig(f"{table} tells no time of {len(lacking)} of {len(paths)} pictures, {lacking[0]} first; a line is NAME,SECONDS")
    times_s = np.array([seconds[path.name] for path in paths])
    if len(np.unique(times_s)) < len(paths):
        raise BadConfig(f"{table} has two pictures of {paths[0].parent} at the same time; give every picture a time of its own")
    return times_s - times_s.min()


def _read_table(table: Path) -> dict[str, float]:
    """File name → seconds since any moment, from lines ``name,seconds``; a first line of that wording is a header.

    Raises:
        BadConfig: it cannot be read, or a line is another one.
    """
    found: dict[str, float] = {}
    try:
        lines = list(csv.reader(read_text(table).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise BadConfig(f"{table} cannot be read as times: {error}") from error
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line]
        if not any(cells) or (number == 1 and cells == ["name", "seconds"]):
            continue
        value = math.nan
        with suppress(ValueError):
            value = float(cells[-1])
        if len(cells) != 2 or not math.isfinite(value):
            raise BadConfig(f"line {number} of {table} is {','.join(line)}; it must be NAME,SECONDS")
        if cells[0] in found:
            raise BadConfig(f"{table} tells the time of {cells[0]} twice; remove one of the lines")
        found[cells[0]] = value
    return found
