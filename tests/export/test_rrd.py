"""What a recording tells rerun, noted by a stand-in for its package; with the package installed, that it takes it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_sequence as made
import numpy as np
import pytest

from crowd3d.cli.main import main
from crowd3d.export import write_rrd
from crowd3d.export.rig import Shot

PICTURES = (0, 1, 5)
"""Somebody comes in the second and somebody goes in the last."""


class Recording:
    """Notes what is logged when."""

    notes: list[tuple[float | None, str, Any]]

    def __init__(self, _name: str, recording_id: str) -> None:
        self.notes, self.time = [], None
        Recording.last = self

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(b"RRF2")

    def save(self, path: Path) -> None:
        self.path = path

    def set_time(self, timeline: str, duration: float) -> None:
        assert timeline == "picture_time"
        self.time = duration

    def log(self, entity: str, *parts: Any, static: bool = False) -> None:
        self.notes += [(None if static else self.time, entity, part) for part in parts]


def part(kind: str):
    return lambda *values, **named: SimpleNamespace(kind=kind, values=values, compress=lambda: SimpleNamespace(kind=kind), **named)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float | None, str, Any]]:
    kinds = {name: part(name) for name in ("Transform3D", "Pinhole", "Image", "Clear", "Mesh3D")}
    coordinates = SimpleNamespace(RIGHT_HAND_Y_UP=SimpleNamespace(kind="y up"))
    monkeypatch.setitem(sys.modules, "rerun", SimpleNamespace(RecordingStream=Recording, ViewCoordinates=coordinates, **kinds))
    write(tmp_path / "crowd.rrd", np.zeros((80, 120, 3), np.uint8))
    return Recording.last.notes


def write(path: Path, photograph: np.ndarray | None = None) -> None:
    shots = [Shot(picture * made.STEP_S, *made.scene_at(picture)) for picture in PICTURES]
    write_rrd(path, shots, {person: np.array([person, 2, 3], np.uint8) for person in range(4)}, made.body(), photograph)
    assert path.stat().st_size > 0


def test_everybody_is_a_mesh_where_they_are_and_gone_where_they_are_not(notes: list[tuple[float | None, str, Any]]) -> None:
    before: set[int] = set()
    for picture in PICTURES:
        scene, ids = made.scene_at(picture)
        world = scene.ground.to_world(scene.people.vertices_cam_m(made.body()))
        logged = {entity: one for time, entity, one in notes if time == picture * made.STEP_S}
        assert set(logged) == {f"world/person_{person}" for person in before | set(ids.tolist())}
        for person in before | set(ids.tolist()):
            one = logged[f"world/person_{person}"]
            assert one.kind == ("Mesh3D" if person in ids else "Clear")
            if person in ids:
                np.testing.assert_array_equal(one.vertex_positions, world[list(ids).index(person)])
                np.testing.assert_array_equal(one.albedo_factor, [person, 2, 3])
        before = set(ids.tolist())
    assert sum(one.kind == "Clear" for _, _, one in notes) == 1


def test_the_camera_sees_the_photograph_in_its_size(notes: list[tuple[float | None, str, Any]]) -> None:
    camera = {one.kind: one for time, entity, one in notes if time is None and entity == "world/camera"}
    assert set(camera) == {"Transform3D", "Pinhole", "Image"}
    assert camera["Pinhole"].resolution == [120, 80]
    # A point of the upright world through pose and lens, and by the scene's own camera.
    point = np.array([1.0, 0.5, -12.0])
    seen = camera["Transform3D"].mat3x3.T @ (point - camera["Transform3D"].translation)
    pixel = camera["Pinhole"].image_from_camera @ seen
    true = made.CAMERA.project(made.GROUND.from_world(point)[None])[0] * 120 / made.CAMERA.width
    np.testing.assert_allclose(pixel[:2] / pixel[2], true)


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["export", str(made.write_sequence(tmp_path)), "--format", "rrd"]) == 1
    assert "pip install 'crowd3d[rerun]'" in capsys.readouterr().err
    assert not (tmp_path / "crowd.rrd").exists()


@pytest.mark.skipif(find_spec("rerun") is None, reason="rerun-sdk is not installed")
def test_the_real_package_takes_it(tmp_path: Path) -> None:
    write(tmp_path / "crowd.rrd", np.zeros((80, 120, 3), np.uint8))
    assert (tmp_path / "crowd.rrd").read_bytes()[:4] == b"RRF2"
