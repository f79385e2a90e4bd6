"""Ways of people for the programs of pedestrian dynamics: regular frames, metres to the right of and in front of the camera's foot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crowd3d.errors import NoPeopleFound
from crowd3d.files import atomic_path
from crowd3d.scene.paths import Sequence

_MARGIN_M = 1.0
_SCHEMA = """
CREATE TABLE metadata(key TEXT NOT NULL UNIQUE PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE geometry(hash INTEGER NOT NULL, wkt TEXT NOT NULL);
CREATE TABLE frame_data(frame INTEGER NOT NULL, geometry_hash INTEGER NOT NULL);
CREATE TABLE trajectory_data(
    frame INTEGER NOT NULL, id INTEGER NOT NULL, pos_x REAL NOT NULL, pos_y REAL NOT NULL, ori_x REAL NOT NULL, ori_y REAL NOT NULL);
CREATE INDEX frame_id_idx ON trajectory_data(frame, id);
"""
"""Of JuPedSim's files, version 2."""


@dataclass(frozen=True)
class RegularPaths:
    """Ways at equal steps of time, sorted by person and frame; a person is there from the first to the last sighting without a gap.

    Attributes:
        rate_hz: frames per second.
        id: (R,) int64, from 1.
        frame: (R,) int64, from 0.
        place_m: (R, 2) smoothed metres to the right and ahead.
        heading: (R, 2) unit vectors of the velocity; (1, 0) for people who stand.
    """

    rate_hz: float
    id: np.ndarray
    frame: np.ndarray
    place_m: np.ndarray
    heading: np.ndarray

    @classmethod
    def of(cls, sequence: Sequence, rate_hz: float | None = None) -> RegularPaths:
        """Smoothed ways, linearly between pictures.

        Args:
            sequence: what was reconstructed; pictures at uneven times and skipped ones do not matter.
            rate_hz: frames per second; by default one per median step between pictures.

        Raises:
            NoPeopleFound: nobody was seen.
        """
        seen = sequence.sightings
        seen = seen[np.isfinite(seen.smooth_m).all(1)]
        if len(seen) == 0:
            raise NoPeopleFound("nobody was seen in the whole sequence: there are no trajectories to export")
        if rate_hz is None:
            rate_hz = float(1.0 / np.median(np.diff(sequence.times_s))) if len(sequence.times_s) > 1 else 1.0
        parts = []
        ids = np.unique(seen.id)
        order = np.lexsort((seen.time_s, seen.id))
        for number, rows in enumerate(np.split(order, np.searchsorted(seen.id[order], ids[1:])), 1):
            time, place = seen.time_s[rows], seen.smooth_m[rows]
            # A sighting belongs to the frame that is nearest in time, so that nobody's ends are lost.
            frames = np.arange(round(time[0] * rate_hz), round(time[-1] * rate_hz) + 1)
            way = np.stack([np.interp(frames / rate_hz, time, axis) for axis in place.T], -1)
            step = np.gradient(way, axis=0) if len(way) > 1 else np.zeros_like(way)
            length = np.hypot(*step.T)[:, None]
            heading = np.where(length > 1e-6, step / np.maximum(length, 1e-6), [1.0, 0.0])
            parts.append((np.full(len(frames), number), frames, way, heading))
        return cls(rate_hz, *(np.concatenate(column) for column in zip(*parts, strict=True)))

    @property
    def area(self) -> np.ndarray:
        """(4, 2) rectangle around everybody, a metre wider, counter-clockwise."""
        low, high = self.place_m.min(0) - _MARGIN_M, self.place_m.max(0) + _MARGIN_M
        return np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])


def write_archive_txt(path: Path, paths: RegularPaths) -> None:
    """Text of the Pedestrian Data Archive, which PedPy reads: id, frame, x, y, z in metres; z is the ground's, 0.

    Raises:
        BadOutput: the file cannot be written.
    """
    header = f"# framerate: {paths.rate_hz:.6g}\n# x to the right of the camera, y away from it, z up\n# id frame x/m y/m z/m\n"
    _write_rows(path, header, "%d %d %.4f %.4f %.4f", [paths.id, paths.frame, *paths.place_m.T, np.zeros(len(paths.id))])


def write_jupedsim_txt(path: Path, paths: RegularPaths) -> None:
    """JuPedSim's text: ellipses of half axes A along and B across the way, ANGLE in degrees against x, one COLOR.

    Raises:
        BadOutput: the file cannot be written.
    """
    header = f"#framerate: {paths.rate_hz:.6g}\n#ID\tFR\tX\tY\tZ\tA\tB\tANGLE\tCOLOR\n"
    angle = np.rad2deg(np.arctan2(paths.heading[:, 1], paths.heading[:, 0]))
    constant = [np.full(len(paths.id), value) for value in (0.0, 0.15, 0.25)]
    columns = [paths.id, paths.frame, *paths.place_m.T, *constant, angle, np.full(len(paths.id), 255)]
    _write_rows(path, header, "%d\t%d\t%.4f\t%.4f\t%.4f\t%.2f\t%.2f\t%.2f\t%d", columns)


def write_jupedsim_sqlite(path: Path, paths: RegularPaths) -> None:
    """JuPedSim's SQLite file, version 2; the walkable area is a rectangle around everybody.

    Raises:
        BadOutput: the file cannot be written.
    """
    ring = ", ".join(f"{x:.3f} {y:.3f}" for x, y in [*paths.area, paths.area[0]])
    low, high = paths.area[0], paths.area[2]
    told = {"version": "2", "fps": f"{paths.rate_hz:.6g}"}
    told |= dict(zip(("xmin", "ymin", "xmax", "ymax"), (f"{value:.3f}" for value in (*low, *high)), strict=True))
    columns = (paths.frame, paths.id, *paths.place_m.T, *paths.heading.T)
    with atomic_path(path) as temporary:
        connection = sqlite3.connect(temporary)
        try:
            connection.executescript(_SCHEMA)
            connection.executemany("INSERT INTO metadata VALUES (?, ?)", told.items())
            connection.execute("INSERT INTO geometry VALUES (1, ?)", (f"POLYGON (({ring}))",))
            connection.executemany("INSERT INTO frame_data VALUES (?, 1)", [(frame,) for frame in range(int(paths.frame.max()) + 1)])
            rows = zip(*(column.tolist() for column in columns), strict=True)
            connection.executemany("INSERT INTO trajectory_data VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.commit()
        finally:
            connection.close()


def write_vadere(path: Path, paths: RegularPaths) -> None:
    """Vadere's ``postvis.traj``: a line per step of a person, from one frame to the next.

    Raises:
        BadOutput: the file cannot be written.
    """
    steps = np.flatnonzero(paths.id[1:] == paths.id[:-1])
    start, end = paths.frame[steps] / paths.rate_hz, paths.frame[steps + 1] / paths.rate_hz
    columns = [paths.id[steps], start, end, *paths.place_m[steps].T, *paths.place_m[steps + 1].T]
    order = np.lexsort((paths.id[steps], start))
    header = "pedestrianId simTime endTime-PID1 startX-PID1 startY-PID1 endX-PID1 endY-PID1\n"
    _write_rows(path, header, "%d %.4f %.4f %.4f %.4f %.4f %.4f", [column[order] for column in columns])


def _write_rows(path: Path, header: str, form: str, columns: list[np.ndarray]) -> None:
    with atomic_path(path) as temporary:
        np.savetxt(temporary, np.stack(columns, -1), form, header=header.rstrip("\n"), comments="")


TRAJECTORY_FORMATS: dict[str, tuple[str, Callable[[Path, RegularPaths], None]]] = {
    "pedpy": ("trajectories.txt", write_archive_txt),
    "jupedsim": ("trajectories_jupedsim.txt", write_jupedsim_txt),
    "sqlite": ("trajectories.sqlite", write_jupedsim_sqlite),
    "vadere": ("postvis.traj", write_vadere),
}
"""Format → file name and writer."""
