"""Every example runs as it stands and leaves its picture."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path

import cv2
import pytest

import crowd3d
from crowd3d.types import Scene

FOLDER = Path(__file__).resolve().parents[2] / "examples"
ALONE = {"made_up"}


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One picture for all examples, and each thing that is asked of it reconstructed once. Searching people is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import made_up

        photograph = made_up.photograph(tmp_path_factory.mktemp("made_up"))
        keypoints, real = photograph.with_name("keypoints.npy"), crowd3d.reconstruct

        @lru_cache
        def once(folder: Path | None, **known: object) -> Scene:
            return real(photograph, keypoints=keypoints, folder=folder, **known)

        def reconstruct(image: Path, *, keypoints: Path | None = None, folder: Path | None = None, **known: object) -> Scene:
            assert image == photograph
            return once(folder, **known)

        patch.setattr(made_up, "photograph", lambda folder: photograph)
        patch.setattr(made_up, "film", lambda folder, film=made_up.film: film(folder, pictures=2, people=8))
        patch.setattr(crowd3d, "reconstruct", reconstruct)
        yield


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ALONE))
def test_it_leaves_its_picture(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = importlib.import_module(name).main(["--output", str(tmp_path)])
    assert picture.is_relative_to(tmp_path)
    assert min(cv2.imread(str(picture)).shape[:2]) > 500
    printed = capsys.readouterr().out
    figures = {
        "one_photograph": "people, field of view",
        "own_keypoints": "people",
        "known_camera": "camera and height",
        "sequence_to_trajectories": "2 pictures",
        "compare_with_truth": "PPDS",
    }
    assert figures[name] in printed


def test_there_are_the_five_that_the_documentation_names() -> None:
    page = (FOLDER.parent / "docs" / "examples.md").read_text(encoding="utf-8")
    names = {path.stem for path in FOLDER.glob("*.py")} - ALONE
    assert len(names) == 5
    assert [name for name in names if f"examples/{name}.py" not in page] == []
