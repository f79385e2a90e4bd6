"""Both halves of the real pipeline: any order of options and interruptions ends as a fresh run does, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crowd3d.files
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.imaging import GigapixelImage, PartParams
from crowd3d.locks import LOCK
from crowd3d.pipeline import process as process_module
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.known import Known
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.solve import InferOptions
from crowd3d.pipeline.stages import MANIFEST
from crowd3d.pipeline.weights import DefaultWeights
from crowd3d.pose.file_backend import FileBackend
from crowd3d.settings import load_settings

SIZE = (480, 270)
CAMERA, GROUND = Camera.from_focal(430.0, SIZE), GroundPlane.from_angles(np.deg2rad(20.0), 0.02, 6.0)
SHIPPED = DefaultWeights.shipped(load_settings())
WRITES = 40
"""More files than one run writes."""

OPTIONS = st.fixed_dictionaries(
    {
        "people": st.sampled_from([4, 6]),
        "part_params": st.sampled_from([PartParams(30, 90, 40, 270), PartParams(20, 60, 40, 270)]),
        "height_m": st.sampled_from([6.0, 5.0]),
        "meshes": st.booleans(),
    }
)


class Killed(BaseException):
    pass


class Disk:
    """Counts down the files that are still written, and then kills the run while one is on its way."""

    left = 10**9

    def __call__(self, path: Path) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    disk = Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crowd3d.files, "_to_disk", disk)
        patch.setattr(process_module, "RELEASE_TILE_PX", 32)
        yield disk


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    cv2.imwrite(str(root / "photo.png"), np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
    crowd = simulate_crowd(CAMERA, GROUND, 6, np.random.default_rng(7)).keypoints
    for people in (4, 6):
        np.save(root / f"{people}.npy", crowd[:people])
    return root


def run(inputs: Path, folder: Path, options: dict) -> None:
    image, known = GigapixelImage(inputs / "photo.png"), Known(CAMERA, GROUND, height_m=options["height_m"])
    mid, results = MidFolder(folder / "mid"), ResultFolder(folder / "res")
    process(image, mid, ProcessOptions(FileBackend(inputs / f"{options['people']}.npy"), None, options["part_params"], known))
    meshes = "single" if options["meshes"] else None
    infer(image, mid, results, InferOptions(SHIPPED, known=known, optimise="none", mesh_mode=meshes, pictures=False))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, LOCK))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@given(st.lists(st.tuples(OPTIONS, st.one_of(st.just(10**9), st.integers(0, WRITES))), min_size=1, max_size=2), OPTIONS)
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_options_and_kills_ends_as_a_fresh_run(
    inputs: Path, disk: Disk, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[dict, int]], last: dict
) -> None:
    root = tmp_path_factory.mktemp("interleaved")
    for options, disk.left in history:
        try:
            run(inputs, root / "work", options)
        except Killed:
            continue
    disk.left = 10**9
    run(inputs, root / "work", last)
    run(inputs, root / "fresh", last)
    found, fresh = contents(root / "work"), contents(root / "fresh")
    assert {name: found.get(name) == content for name, content in fresh.items()} == dict.fromkeys(fresh, True)
    assert all("extract_mesh" in name for name in found.keys() - fresh.keys()), "meshes of the same scene may stay"


def test_both_halves_in_one_folder(inputs: Path, disk: Disk, tmp_path: Path) -> None:
    disk.left = 10**9
    image, known, folder = GigapixelImage(inputs / "photo.png"), Known(CAMERA, GROUND), tmp_path / "all"
    options = InferOptions(SHIPPED, known=known, optimise="none", pictures=False)
    for overwrite in (False, True):
        process(image, MidFolder(folder), ProcessOptions(FileBackend(inputs / "4.npy"), known=known))
        first = folder / MANIFEST
        before = first.stat().st_mtime_ns
        scene = infer(image, MidFolder(folder), ResultFolder(folder), replace(options, overwrite=overwrite))
        assert len(scene.people) == 4
        assert first.stat().st_mtime_ns > before
    assert infer(image, MidFolder(folder), ResultFolder(folder), options).source == scene.source
