"""The documentation is true: its commands parse, its snippets run, its drawing of the house is the contract's, and it builds."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
import yaml

from crowd3d.bodies import Body, load_body
from crowd3d.cli.main import available_verbs
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.model.configs import read_config
from crowd3d.training.config import TrainConfig
from crowd3d.types import People, Scene

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = {
    "single_image/process.py": "process",
    "single_image/inference.py": "infer",
    "test/preprocess.py": "preprocess",
    "test/inference_eval.py": "inference_eval",
    "test/evaluate.py": "evaluate",
}
PROGRAM = re.compile(r"(?:\.venv/bin/)?(?:crowd3d|python|make|bash)\b(?!\.)")


class Parsed(BaseException):
    """The arguments were understood; nothing is run."""


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """Those of code blocks, and those of running text."""
    for block in fenced(page, "bash"):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if PROGRAM.match(line))
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from (code for code in re.findall(r"`([^`\n]+)`", text) if PROGRAM.match(code))


ALL = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in dict.fromkeys(commands(page))]


def parser_of(verb: str) -> argparse.ArgumentParser:
    module = importlib.import_module(available_verbs().get(verb, f"crowd3d.cli.{verb}"))
    parser = argparse.ArgumentParser(verb, exit_on_error=False)
    module.add_arguments(parser)
    return parser


def understood(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Arguments without placeholders parse; of others the options exist. A command that is only named needs no arguments."""
    options = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
    assert [option for option in options if option not in parser._option_string_actions] == []
    if arguments and not re.search(r"[A-Z]{3}|…|\.\.\.|\|", " ".join(arguments)):
        parser.parse_args(arguments)


def script_parser(path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """What a script parses its arguments with."""
    caught: list[argparse.ArgumentParser] = []

    def parse_args(parser: argparse.ArgumentParser, *_: object) -> None:
        caught.append(parser)
        raise Parsed

    monkeypatch.syspath_prepend(str(path.parent))
    main = runpy.run_path(str(path))["main"]
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Parsed):
            main()
    return caught[0]


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}: {command}" for page, command in ALL])
def test_a_command_is_understood(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command, comments=True)
    program, *arguments = words[0].rpartition("/")[2], *words[1:]
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "bash":
        assert arguments.pop(0) == "train.sh"
        keys = [argument for argument in arguments if argument != "backbone=shallow"]
        read_config(ROOT / "Crowd3DNet" / "configs" / "train" / "all.yml", TrainConfig, keys)
    elif program == "crowd3d" or arguments[:2] == ["-m", "crowd3d"]:
        verb, *rest = arguments[2:] if arguments[:1] == ["-m"] else arguments or ["--help"]
        if verb == "train" and rest[:1] == ["default"]:
            verb, rest = "train_default", rest[1:]
        if not verb.startswith("--"):
            assert verb in (*available_verbs(), "train_default", "VERB")
            understood(parser_of(verb), rest)
    elif arguments and not arguments[0].startswith("-"):
        script = arguments.pop(0)
        path = ROOT / script / "__main__.py" if (ROOT / script).is_dir() else ROOT / script
        takes_arguments = script in SCRIPTS or "argparse" in path.read_text(encoding="utf-8")
        assert takes_arguments or not arguments
        if takes_arguments:
            understood(parser_of(SCRIPTS[script]) if script in SCRIPTS else script_parser(path, monkeypatch), arguments)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body("free_low")


@pytest.fixture(scope="module")
def scene(body: Body) -> Scene:
    """Three people who stand on the ground."""
    camera, ground = Camera.from_fov(50.0, (800, 600)), GroundPlane.from_angles(0.3, 0.0, 5.0)
    feet = ground.from_world(np.array([[-2.0, 0.0, -12.0], [0.0, 0.0, -14.0], [3.0, 0.0, -15.0]]))
    zeros = np.zeros((3, 24, 3), np.float32)
    zeros[:, 0, 0] = np.pi
    betas, torso, unseen = np.zeros((3, 10), np.float32), feet + 1.1 * ground.normal, np.zeros((3, 17, 3))
    return Scene(camera, ground, People(zeros, betas, torso, camera.project(feet), feet, np.ones(3), unseen), "free_low", "a.jpg")


SNIPPETS = [(name, n, code) for name in ("conventions.md", "extending.md") for n, code in enumerate(fenced(ROOT / "docs" / name, "python"))]


@pytest.mark.parametrize(("page", "number", "code"), SNIPPETS, ids=[f"{page} {number}" for page, number, _ in SNIPPETS])
def test_a_snippet_runs(
    page: str, number: int, code: str, scene: Scene, body: Body, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module, table in (("pose.backends", "REGISTRY"), ("model.crowd3dnet", "BACKBONES"), ("optimise.terms", "TERMS")):
        home = importlib.import_module(f"crowd3d.{module}")
        monkeypatch.setattr(home, table, dict(getattr(home, table)))
    (tmp_path / "snippet.py").write_text(code, encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "snippet.py"), {"predicted": scene, "truth": scene, "body": body})
    if "error" in names:
        assert names["error"] == pytest.approx(0.0)
    if "straight_spine" in names:
        check_term(names, scene, body)
    if "my_detector" in names:
        check_backend(tmp_path)


def check_backend(folder: Path) -> None:
    from crowd3d.pose.backends import Assets, choose_backend
    from crowd3d.pose.search import Surroundings

    (folder / "a.ppm").write_bytes(b"P6 4 3 255 " + bytes(36))
    found = choose_backend("mine", Assets(Path(), Path())).observe(GigapixelImage(folder / "a.ppm"), Surroundings(None, lambda _: None))
    assert len(found) == 0


def check_term(names: dict, scene: Scene, body: Body) -> None:
    """Its derivatives are those of its residuals."""
    from crowd3d.ground import StaturePrior
    from crowd3d.optimise.belief import INDEPENDENT
    from crowd3d.optimise.pose_prior import load_pose_prior
    from crowd3d.optimise.problem import state_problem
    from crowd3d.optimise.solver import chunks, freeze
    from crowd3d.pose.observations import Observations
    from crowd3d.pose.source import plain
    from crowd3d.types import Keypoints

    keypoints = scene.camera.project(scene.people.joints_cam_m(body)[:, :17])
    seen = Observations.from_keypoints(Keypoints(keypoints, np.ones((3, 17))), plain("test"))
    where = np.zeros(3, np.int64)
    problem, x, shared = state_problem(scene, seen, body, load_pose_prior(), StaturePrior(), ("people",), INDEPENDENT, where)
    held = freeze(problem, x, shared, np.full(3, 6.0))
    step = 0.01 * np.random.default_rng(0).normal(size=x.shape)
    rows = []
    for at in (x, x + step):
        ((_, chunk),) = chunks(problem, at, shared, held, True)
        rows.append(names["straight_spine"](chunk))
    change = np.einsum("ngdp,np->ngd", rows[0].person, step)
    np.testing.assert_allclose(rows[1].residual - rows[0].residual, change, atol=1e-9)
    assert np.abs(change).max() > 0


def test_the_drawing_of_the_house_is_the_contract() -> None:
    drawing = (ROOT / "docs" / "images" / "house.svg").read_text(encoding="utf-8")
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("layers = [")[2].partition("]")[0]
    layers = re.findall(r'"([\w |]+)"', contract)
    floors = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    drawn = re.findall(r'<g class="floor">(.*?)</g>', drawing, re.DOTALL)
    assert [set(re.findall(r"<text[^>]*>(\w+)</text>", floor)) for floor in drawn] == floors
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chain = re.search(r"`(cli → .*?)`", readme)
    assert chain is not None
    assert [set(part.split(", ")) for part in chain[1].split(" → ")] == [floor for floor in floors if not floor & HELPERS]


HELPERS = {"settings", "files", "locks", "processes", "progress", "errors"}
"""Rooms of one file that the README leaves out."""


PUBLIC = ("geometry", "ground", "imaging", "pose", "model", "evaluation", "measure")


def test_every_public_name_has_a_docstring_for_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in PUBLIC:
        assert f"::: crowd3d.{name}\n" in page
        module: ModuleType = importlib.import_module(f"crowd3d.{name}")
        public = [getattr(module, one) for one in module.__all__]
        assert [one for one in public if isinstance(one, type | FunctionType) and not one.__doc__] == []


def test_pages_are_all_in_the_navigation_and_the_citation_is_one() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent == ROOT / "docs" and f" {page.name}\n" not in text] == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Wen", "Huang", "Cui", "Lin", "Lai", "Fang", "Li"]
    assert f"## {citation['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        yaml.safe_load(form.read_text(encoding="utf-8"))


@pytest.mark.skipif(find_spec("mkdocs") is None or find_spec("mkdocstrings") is None, reason="needs pip install 'crowd3d[docs]'")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api" / "index.html").read_text(encoding="utf-8")
    for name in PUBLIC:
        assert [one for one in importlib.import_module(f"crowd3d.{name}").__all__ if f'id="crowd3d.{name}.{one}"' not in reference] == []
