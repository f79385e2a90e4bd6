"""Everybody's way through a sequence of pictures: the table ``trajectories.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crowd3d.errors import MissingAsset, NoPeopleFound
from crowd3d.files import read_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Rows

TRAJECTORY_COLUMNS = (
    "frame", "image", "time_s", "id", "person", "x_m", "z_m", "smooth_x_m", "smooth_z_m", "speed_m_s", "score", "sigma_m", "speed_sigma_m_s"
)  # fmt: skip
"""Of ``trajectories.csv``: x to the right, z towards the viewer, in the upright world; spreads per axis of what was smoothed."""
_READ = TRAJECTORY_COLUMNS[:-2]


@dataclass(frozen=True)
class Sightings(Rows):
    """R sightings of people in pictures of one static camera, sorted by picture.

    Attributes:
        frame: (R,) int64 number of the picture.
        time_s: (R,) seconds after the first picture.
        id: (R,) int64, the same for the same person.
        person: (R,) int64 row in the scene of that picture.
        place_m: (R, 2) measured place: metres to the right of and in front of the camera's foot.
        smooth_m: (R, 2) the same, smoothed over all pictures.
        score: (R,) confidence in 0…1.
    """

    frame: np.ndarray
    time_s: np.ndarray
    id: np.ndarray
    person: np.ndarray
    place_m: np.ndarray
    smooth_m: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Sequence:
    """A reconstructed sequence.

    Attributes:
        camera, ground: of all pictures.
        ground_covariance: (4, 4) of (log focal, tilt, roll, log height), zero for exact ones.
        sightings: who was seen where and when.
        images: (T,) file names of the pictures.
        times_s: (T,) when they were taken.
    """

    camera: Camera
    ground: GroundPlane
    ground_covariance: np.ndarray
    sightings: Sightings
    images: tuple[str, ...]
    times_s: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Sequence:
        """Read the result folder of ``crowd3d reconstruct FOLDER|VIDEO``.

        Raises:
            MissingAsset: there is none, or it is damaged.
            NoPeopleFound: nobody is in its pictures.
        """
        try:
            world = read_json(folder / "camera_ground.json")
            with (folder / "trajectories.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            if not rows:
                raise NoPeopleFound(f"nobody was found in the pictures of {folder}: there is nothing to show or to measure")
            column = {name: np.array([row[name] for row in rows]) for name in _READ}
            number = {name: column[name].astype(np.float64) for name in _READ if name != "image"}
            frame = number["frame"].astype(np.int64)
            frames, first = np.unique(frame, return_index=True)
            sightings = Sightings(
                np.searchsorted(frames, frame),
                number["time_s"],
                number["id"].astype(np.int64),
                number["person"].astype(np.int64),
                np.stack([number["x_m"], -number["z_m"]], -1),
                np.stack([number["smooth_x_m"], -number["smooth_z_m"]], -1),
                number["score"],
            )
            return cls(
                Camera(**world["camera"]),
                GroundPlane.from_coefficients(world["ground"]),
                np.zeros((4, 4)) if world["covariance"] is None else np.array(world["covariance"]),
                sightings,
                tuple(column["image"][first].tolist()),
                number["time_s"][first],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingAsset(f"no readable sequence in {folder}: {error}; run crowd3d reconstruct on a folder or video first") from error


def is_sequence_result(folder: Path) -> bool:
    """Whether a result folder is that of a sequence."""
    return (folder / "trajectories.csv").is_file()
