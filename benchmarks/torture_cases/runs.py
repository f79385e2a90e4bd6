"""Runs that are killed, that follow others with other options, that meet another one in their folder: the end is that of a fresh run."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

from crowd3d.files import write_json
from torture_cases.commands import Started, run, run_all, run_and_kill
from torture_cases.folders import compared, half_written
from torture_cases.kinds import KINDS, commands_of, halves, photograph

FIRST = ([], ["--part_params", "20", "90", "40", "270"], ["--camera_height", "5"], ["--fov_deg", "50"], ["--stature", "1.5"])
"""Options of ``process``; ``infer`` and ``reconstruct`` take them, too, but for the tiles."""
SECOND = (
    *([], ["--camera_height", "5"], ["--fov_deg", "50"], ["--stature", "1.5"], ["--optimise", "none"], ["--optimise", "all"]),
    *(["--render_with_hvip"], ["--save_mesh"], ["--save_mesh", "--save_mesh_mode", "single"], ["--before_after"], ["--blur_faces"]),
    ["--overwrite"],
)


LEAST_KILLS, MOST_KILLS = 3, 9
"""Of one command, one after the other: each goes on where the one before was."""
KILLED_SHARE = 0.6
"""Of the runs that others follow, and of their commands."""


class Fresh:
    """Results of runs in empty folders, made once.

    Args:
        good: sound inputs.
        folder: where the results are kept.
    """

    def __init__(self, good: Path, folder: Path) -> None:
        self.good, self.folder = good, folder
        self.said = folder / "said.txt"
        folder.mkdir(parents=True, exist_ok=True)

    def of_kind(self, kind: str) -> tuple[Path, list[float]]:
        """The folder, and the seconds of each of the commands."""
        return self.of(kind, commands_of(kind, self.good, self.folder / kind))

    def of(self, name: str, commands: list[list[str]]) -> tuple[Path, list[float]]:
        """The same of commands that work in the folder of that name."""
        result, times = self.folder / name, self.folder / f"{name}.json"
        if not times.is_file():
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir(parents=True)
            write_json(times, run_all(commands, self.said))
        return result, json.loads(times.read_text())


def killed_run(fresh: Fresh, work: Path, rng: random.Random) -> dict[str, Any]:
    """Killed at random moments, what it left looked at, then run to its end."""
    kind = rng.choice(("photograph", "photograph", "photograph", "halves", "sequence", "training"))
    expected, times = fresh.of_kind(kind)
    shutil.rmtree(work, ignore_errors=True)
    kills = 0
    for arguments, seconds in zip(commands_of(kind, fresh.good, work), times, strict=True):
        for _ in range(rng.randint(LEAST_KILLS, MOST_KILLS)):
            kills += run_and_kill(arguments, fresh.said, rng.uniform(0.02, 0.4) * seconds)
            if half := half_written(work):
                return {"what": kind, "outcome": "half", "files": half, "kills": kills}
        ended = run(arguments, fresh.said)
        if ended.code or ended.fault:
            return {"what": kind, "outcome": ended.fault or "failed", "text": ended.said[-1500:], "kills": kills}
    return {"what": kind, "kills": kills, **compared(work, expected)}


def other_options(fresh: Fresh, work: Path, rng: random.Random) -> dict[str, Any]:
    """A few runs with random options in one folder, the earlier ones killed or not; the last is as if it had been the only one."""
    shutil.rmtree(work, ignore_errors=True)
    kills, history = 0, []
    for last in (False,) * rng.randint(1, 3) + (True,):
        way, first, second = rng.choice(("photograph", "halves")), rng.choice(FIRST), rng.choice(SECOND)
        killed = not last and rng.random() < KILLED_SHARE
        history.append((way, first, second, killed))
        for arguments in _way(fresh.good, work, way, first, second):
            if killed and rng.random() < KILLED_SHARE:
                kills += run_and_kill(arguments, fresh.said, rng.uniform(0.05, 2.0))
                break
            ended = run(arguments, fresh.said)
            if ended.code or ended.fault:
                return {"what": way, "outcome": ended.fault or "failed", "history": history, "text": ended.said[-1500:]}
    name = " ".join(["options", way, *first, "and", *second])
    expected, _ = fresh.of(name, _way(fresh.good, fresh.folder / name, way, first, second))
    return {"what": way, "history": history, "kills": kills, **compared(work, expected)}


def _way(good: Path, folder: Path, way: str, first: list[str], second: list[str]) -> list[list[str]]:
    return halves(good, folder, first, second) if way == "halves" else photograph(good, folder, [*first, *second])


def two_at_once(fresh: Fresh, work: Path, rng: random.Random) -> dict[str, Any]:
    """The second is refused in one line, or both end well; the result is that of one."""
    kind = rng.choice(KINDS)
    expected, times = fresh.of_kind(kind)
    shutil.rmtree(work, ignore_errors=True)
    for arguments, seconds in zip(commands_of(kind, fresh.good, work), times, strict=True):
        both = [Started(arguments, fresh.said)]
        time.sleep(rng.uniform(0.0, 0.8) * seconds)
        both.append(Started(arguments, fresh.said.with_suffix(".other.txt")))
        ended = [one.end() for one in both]
        refused = [one for one in ended if one.code != 0]
        if len(refused) > 1 or any(one.fault or "another run works in" not in one.said for one in refused):
            said = " ".join(one.said for one in refused)[-1500:]
            return {"what": kind, "outcome": "failed", "codes": [one.code for one in ended], "text": said}
    return {"what": kind, **compared(work, expected)}
