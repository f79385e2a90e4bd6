"""The predictor: photographs in any form, networks loaded once, nothing written unless a folder is given."""

from __future__ import annotations

import io
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import crowd3d
from crowd3d.errors import BadConfig, BadImage, MissingAsset
from crowd3d.files import write_npy
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.pipeline import weights as weights_module
from crowd3d.pipeline.predictor import observations_of_array
from crowd3d.pipeline.world import NOBODY
from crowd3d.pose import embedded
from crowd3d.settings import load_settings
from crowd3d.types import Scene

SIZE = (480, 270)
CAMERA, GROUND = Camera.from_focal(430.0, SIZE), GroundPlane.from_angles(np.deg2rad(20.0), 0.02, 6.0)
PIXELS = np.random.default_rng(3).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
KEYPOINTS = simulate_crowd(CAMERA, GROUND, 15, np.random.default_rng(7)).keypoints
KNOWN = crowd3d.Known(CAMERA, GROUND)


@pytest.fixture(scope="module")
def predictor() -> crowd3d.Crowd3D:
    return crowd3d.Crowd3D(pose_backend="file", optimise="none")


def same(first: Scene, second: Scene) -> None:
    assert (first.camera, first.ground.coefficients.tolist()) == (second.camera, second.ground.coefficients.tolist())
    for field in fields(first.people):
        np.testing.assert_array_equal(getattr(first.people, field.name), getattr(second.people, field.name))
    assert first.remarks == second.remarks


def test_a_photograph_in_any_form_gives_one_result(predictor: crowd3d.Crowd3D, tmp_path: Path) -> None:
    path, encoded = tmp_path / "photo.png", io.BytesIO()
    Image.fromarray(PIXELS).save(path)
    Image.fromarray(PIXELS).save(encoded, "PNG")
    scene = predictor.reconstruct(path, KNOWN, keypoints=KEYPOINTS)
    assert len(scene.people) > 10
    assert scene.image == "photo.png"
    for image in (str(path), encoded.getvalue(), PIXELS, Image.open(path), Image.fromarray(PIXELS)):
        same(predictor.reconstruct(image, KNOWN, keypoints=KEYPOINTS), scene)
    with pytest.raises(BadImage, match=r"float64 of shape \(4, 5\)"):
        predictor.reconstruct(np.zeros((4, 5)), keypoints=KEYPOINTS)
    with pytest.raises(BadImage, match="no picture format"):
        predictor.reconstruct(b"no picture", keypoints=KEYPOINTS)


def test_keypoints_in_any_form_give_one_result(predictor: crowd3d.Crowd3D, tmp_path: Path) -> None:
    write_npy(tmp_path / "keypoints.npy", KEYPOINTS)
    scene = predictor.reconstruct(PIXELS, keypoints=KEYPOINTS)
    for keypoints in (tmp_path / "keypoints.npy", observations_of_array(KEYPOINTS)):
        same(predictor.reconstruct(PIXELS, keypoints=keypoints), scene)
    same(crowd3d.reconstruct(PIXELS, keypoints=KEYPOINTS, optimise="none"), scene)
    with pytest.raises(BadConfig, match=r"\(N, 17, 3\)"):
        predictor.reconstruct(PIXELS, keypoints=KEYPOINTS[0])
    with pytest.raises(MissingAsset, match="keypoints="):
        predictor.reconstruct(PIXELS)
    with pytest.raises(MissingAsset, match="leave one of them out"):
        crowd3d.reconstruct(PIXELS, keypoints=KEYPOINTS, pose_backend="embedded")


def test_without_a_folder_nothing_is_written(predictor: crowd3d.Crowd3D, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def only_reading(path: Any, flags: int, *more: Any, **options: Any) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), path
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", only_reading)
    monkeypatch.setattr("tempfile.mkdtemp", None)
    monkeypatch.setattr(Path, "mkdir", None)
    assert len(predictor.reconstruct(PIXELS, keypoints=KEYPOINTS).people) > 10


def test_a_folder_keeps_everything_and_the_next_run_reads_it(predictor: crowd3d.Crowd3D, tmp_path: Path) -> None:
    scene = predictor.reconstruct(PIXELS, KNOWN, keypoints=KEYPOINTS, folder=tmp_path / "out")
    same(predictor.reconstruct(PIXELS, KNOWN, keypoints=KEYPOINTS), scene)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert {"overlay.jpg", "scene.json", "position.npy"} <= {path.name for path in before}
    assert not list((tmp_path / "out").rglob("part_images_scale")), "nothing asks for the photograph in tiles"
    same(predictor.reconstruct(PIXELS, KNOWN, keypoints=KEYPOINTS, folder=tmp_path / "out"), scene)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    same(crowd3d.load(tmp_path / "out"), scene)
    assert crowd3d.load(tmp_path / "out").source == scene.source
    assert scene.source["version"] == crowd3d.__version__
    assert scene.source["keypoints"] == "given"
    other = predictor.reconstruct(255 - PIXELS, KNOWN, keypoints=KEYPOINTS[:9], folder=tmp_path / "out")
    assert len(crowd3d.load(tmp_path / "out").people) == len(other.people) < len(scene.people)


def test_nobody_gives_an_empty_scene_that_says_so(predictor: crowd3d.Crowd3D, tmp_path: Path) -> None:
    scene = predictor.reconstruct(PIXELS, keypoints=KEYPOINTS[:0], folder=tmp_path)
    assert len(scene.people) == 0
    assert NOBODY in scene.remarks
    assert scene.ground_covariance is not None
    assert len(crowd3d.load(tmp_path).people) == 0
    assert (tmp_path / "overlay.jpg").is_file()
    known = predictor.reconstruct(PIXELS, KNOWN, KEYPOINTS[:0])
    assert (known.camera, known.ground_covariance, known.remarks[0]) == (CAMERA, None, "nobody was found")


def test_progress_never_goes_back_and_draws_no_bars(predictor: crowd3d.Crowd3D, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[float, str]] = []
    predictor.reconstruct(PIXELS, KNOWN, keypoints=KEYPOINTS, progress=lambda done, text: told.append((done, text)), folder=tmp_path)
    shares = [done for done, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert {"finding people", "reconstructing"} == {text for _, text in told}
    assert "%" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"pose_backend": "foo"}, "movenet, embedded"),
        ({"optimise": "foo"}, "none, people, all"),
        ({"engine": "foo"}, "torch, openvino, onnx"),
        ({"device": "foo"}, "auto or cpu|auto or cuda|auto or mps"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_unknown_words_are_refused_with_the_choices(options: dict[str, Any], named: str) -> None:
    with pytest.raises(BadConfig, match=named):
        crowd3d.Crowd3D(**options)


def test_weights_of_the_release_are_taken_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    own = replace(settings.home, own=tmp_path)
    monkeypatch.setattr("crowd3d.pipeline.predictor.load_settings", lambda: replace(settings, home=own, crowd3dnet_weights=None))
    assert crowd3d.Crowd3D(pose_backend="file")._options.network is None
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / "base_69.pkl").touch()
    network = crowd3d.Crowd3D(pose_backend="file")._options.network
    assert network is not None
    assert network.path == tmp_path / "pretrained" / "base_69.pkl"


def test_networks_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    seen = observations_of_array(KEYPOINTS)

    class Seeker:
        def __init__(self, *files: Any) -> None:
            loaded.append("seeker")

        def first_look(self, image: Any) -> None:
            pass

        def sure(self, image: Any, found: None) -> Any:
            return seen[:0]

        def people(self, image: Any, found: None) -> Any:
            return seen

    read = weights_module.load_lifter
    monkeypatch.setattr(embedded, "EmbeddedSeeker", Seeker)
    monkeypatch.setattr(weights_module, "load_lifter", lambda *given: loaded.append("lifter") or read(*given))
    predictor = crowd3d.Crowd3D(pose_backend="embedded", optimise="none")
    assert loaded == []
    for _ in range(2):
        assert len(predictor.reconstruct(PIXELS).people) > 10
    assert loaded == ["seeker", "lifter"]
