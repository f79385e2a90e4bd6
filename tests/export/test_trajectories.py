"""Trajectories and keypoints read back by the programs that they are for, where installed, and by hand."""

from __future__ import annotations

import argparse
import json
import sqlite3
from pathlib import Path

import made_sequence as made
import numpy as np
import pytest

from crowd3d.cli import export as command
from crowd3d.errors import MissingAsset, NoPeopleFound
from crowd3d.export.trajectories import RegularPaths
from crowd3d.scene.paths import Sequence, Sightings

FORMATS = ("pedpy", "jupedsim", "sqlite", "vadere", "coco")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence, exported."""
    folder = made.write_sequence(tmp_path_factory.mktemp("plaza"))
    assert export(folder, "--format", *FORMATS, "bvh", "rigged") == 0
    return folder


def export(folder: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(folder), *more]))


def expected() -> dict[tuple[int, int], np.ndarray]:
    """Id in the files and frame → metres, those of the gaps within a way too."""
    span = {0: (0, 6), 1: (1, 6), 2: (0, 6), 3: (0, 4)}
    return {(person + 1, frame): made.places(frame)[person] for person, (a, b) in span.items() for frame in range(a, b + 1)}


def check(rows: np.ndarray) -> None:
    """(R, 4) id, frame, x, y."""
    truth = expected()
    assert [(int(a), int(b)) for a, b in rows[:, :2]] == sorted(truth)
    np.testing.assert_allclose(rows[:, 2:], [truth[key] for key in sorted(truth)], atol=2e-4)


def test_text_files_hold_regular_frames(folder: Path) -> None:
    text = (folder / "trajectories.txt").read_text()
    assert text.startswith("# framerate: 2\n")
    rows = np.loadtxt(folder / "trajectories.txt")
    check(rows[:, :4])
    assert (rows[:, 4] == 0).all()
    rows = np.loadtxt(folder / "trajectories_jupedsim.txt")
    check(rows[:, :4])
    of_first = rows[rows[:, 0] == 1]
    np.testing.assert_allclose(of_first[:, 7], 0.0, atol=0.01)
    of_second = rows[rows[:, 0] == 2]
    np.testing.assert_allclose(of_second[:, 7], np.degrees(np.arctan2(0.1, -1.0)), atol=0.1)


def test_sqlite_has_the_tables_of_version_2(folder: Path) -> None:
    connection = sqlite3.connect(folder / "trajectories.sqlite")
    told = dict(connection.execute("SELECT key, value FROM metadata"))
    assert (told["version"], float(told["fps"])) == ("2", 2.0)
    check(np.array(list(connection.execute("SELECT id, frame, pos_x, pos_y FROM trajectory_data ORDER BY id, frame"))))
    used = list(connection.execute("SELECT DISTINCT geometry_hash FROM frame_data"))
    assert used == list(connection.execute("SELECT hash FROM geometry"))
    connection.close()


def test_pedpy_reads_every_file(folder: Path) -> None:
    pedpy = pytest.importorskip("pedpy", reason="pip install pedpy reads the files with it")
    ours = folder / "trajectories.txt"
    data = pedpy.load_trajectory(trajectory_file=ours)
    assert data.frame_rate == 2.0
    check(data.data.sort_values(["id", "frame"])[["id", "frame", "x", "y"]].to_numpy())
    speed = pedpy.compute_individual_speed(traj_data=data, frame_step=1, speed_calculation=pedpy.SpeedCalculation.BORDER_SINGLE_SIDED)
    np.testing.assert_allclose(speed[speed.id == 1].speed, 1.2, atol=2e-3)
    density = pedpy.compute_classic_density(traj_data=data, measurement_area=pedpy.MeasurementArea([(-9, 5), (9, 5), (9, 25), (-9, 25)]))
    assert density.density.max() == pytest.approx(4 / 360)
    sqlite = pedpy.load_trajectory_from_jupedsim_sqlite(trajectory_file=folder / "trajectories.sqlite")
    check(sqlite.data.sort_values(["id", "frame"])[["id", "frame", "x", "y"]].to_numpy())
    area = pedpy.load_walkable_area_from_jupedsim_sqlite(trajectory_file=folder / "trajectories.sqlite")
    assert area.polygon.area > 4.0
    text = pedpy.load_trajectory_from_txt(trajectory_file=folder / "trajectories_jupedsim.txt", default_unit=pedpy.TrajectoryUnit.METER)
    assert text.frame_rate == 2.0
    vadere = pedpy.load_trajectory_from_vadere(trajectory_file=folder / "postvis.traj", frame_rate=2.0)
    first = vadere.data[vadere.data.id == 1].sort_values("frame")
    np.testing.assert_allclose(first[["x", "y"]].to_numpy()[0], made.places(0)[0], atol=1e-3)


def test_pycocotools_reads_the_keypoints(folder: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pip install pycocotools reads the file with it")
    loaded = coco.COCO(str(folder / "keypoints_coco.json"))
    assert len(loaded.getImgIds()) == made.PICTURES
    third = loaded.loadAnns(loaded.getAnnIds(imgIds=[3]))
    assert len(third) == 4


def test_keypoints_are_those_of_the_scenes(folder: Path) -> None:
    document = json.loads((folder / "keypoints_coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == [f"plaza_{number}.jpg" for number in range(made.PICTURES)]
    scene, ids = made.scene_at(5)
    found = [one for one in document["annotations"] if one["image_id"] == 6]
    assert [one["track_id"] for one in found] == ids.tolist()
    points = np.array(found[0]["keypoints"]).reshape(17, 3)
    known = np.delete(np.arange(17), 3)
    np.testing.assert_allclose(points[known, :2], scene.people.keypoints_px[0, known, :2], atol=0.006)
    assert (points[known, 2] == 2).all()
    assert (points[3] == 0).all()
    assert found[0]["num_keypoints"] == 16
    x, y, width, height = found[0]["bbox"]
    assert (points[known, 0] > x).all()
    assert (points[known, 1] < y + height).all()
    assert found[0]["area"] == pytest.approx(width * height, rel=1e-3)


def test_rigged_formats_are_written_for_sequences(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "bvh").iterdir()) == [f"person_{number}.bvh" for number in range(4)]
    assert (folder / "crowd_rigged.glb").stat().st_size > 100_000


def test_pictures_at_uneven_times_become_regular_frames() -> None:
    times = np.array([0.0, 0.4, 1.1, 1.5, 2.0])
    way = np.column_stack([1.3 * times, 10.0 + 0 * times])
    count = len(times)
    sightings = Sightings(np.arange(count), times, np.full(count, 7), np.zeros(count, int), way, way, np.ones(count))
    sequence = Sequence(made.CAMERA, made.GROUND, made.COVARIANCE, sightings, ("a",) * count, times)
    paths = RegularPaths.of(sequence, rate_hz=4.0)
    np.testing.assert_array_equal(paths.frame, np.arange(9))
    np.testing.assert_allclose(paths.place_m[:, 0], 1.3 * paths.frame / 4.0)
    with pytest.raises(NoPeopleFound):
        RegularPaths.of(Sequence(made.CAMERA, made.GROUND, made.COVARIANCE, sightings[:0], (), times))


def test_formats_of_the_other_kind_are_refused(folder: Path) -> None:
    with pytest.raises(MissingAsset, match="frames"):
        export(folder, "--format", "ply")
    with pytest.raises(MissingAsset, match="sequence"):
        export(folder / "frames" / "plaza_0", "--format", "pedpy")
    with pytest.raises(SystemExit):
        export(folder, "--rate", "0")
