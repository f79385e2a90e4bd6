"""The wheel, installed into an environment of its own beside nothing but the packages that it declares, works from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import cv2
import pytest
from packaging.requirements import Requirement

from crowd3d.synthetic.scene import synthesize_scene

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = {"tensorboard", "lightning_fabric", "jsonschema", "trimesh", "omegaconf", "smplx", "openvino", "onnxruntime", "pytest"}


# Neither the settings of whoever runs the tests, nor another crowd3d on their path, may be found.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("CROWD3D_", "PYTHON", "XDG_"))}


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **{"env": CLEAN, **options})  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing of an earlier build gets in and nothing is left in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md"):
        shutil.copy(ROOT / name, source)
    left_out = shutil.ignore_patterns("*.pkl", "train_log", "checkpoints", "public_params", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "Crowd3DNet", source / "Crowd3DNet", ignore=left_out)
    done = run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", target, source])
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


def declared(name: str, found: set[str]) -> set[str]:
    """Names of a package and of all that it needs without extras."""
    if name not in found:
        found.add(name)
        for requirement in map(Requirement, distribution(name).requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                declared(requirement.name, found)
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of programs of a new environment with the wheel; what the wheel needs is borrowed from the present environment."""
    home = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", home])
    (packages,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        lines = archive.read(metadata).decode().partition("\n\n")[0].splitlines()
    found: set[str] = set()
    for requirement in (Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist: ")):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            declared(requirement.name, found)
    for name in found:
        package = distribution(name)
        for entry in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(Path(str(package.locate_file(entry))).resolve())
    done = run([sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--no-deps", "--no-index", wheel])
    assert done.returncode == 0, done.stderr
    return home / "bin"


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, object]:
    """An empty folder, and a user without settings."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return {"cwd": folder, "env": {**CLEAN, "HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}}


def test_the_wheel_holds_code_data_weights_and_configs(wheel: Path) -> None:
    source = ROOT / "Crowd3DNet"
    code = {path.relative_to(source).as_posix() for path in (source / "crowd3d").rglob("*") if path.is_file()}
    beside = [*(source / "configs").rglob("*.yml"), *(source / "pretrained").glob("*.safetensors"), source / "pretrained" / "MODEL_CARD.md"]
    expected = {name for name in code if "__pycache__" not in name} | {f"crowd3d/{path.relative_to(source).as_posix()}" for path in beside}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"crowd3d/py.typed", "crowd3d/pretrained/keypoints.safetensors", "crowd3d/configs/train/all.yml"} <= held
    assert wheel.stat().st_size < 25e6


def test_it_knows_its_version_and_reads_no_settings_of_the_current_folder(environment: Path, outside: dict, tmp_path: Path) -> None:
    (outside["cwd"] / "global_setting.py").write_text("raise SystemExit('executed')\n", encoding="utf-8")
    user = tmp_path / ("Library/Application Support" if sys.platform == "darwin" else ".config") / "crowd3d"
    user.mkdir(parents=True)
    (user / "global_setting.py").write_text("largecrowd_root = 'crowds'\n", encoding="utf-8")
    code = """
import json, sys, crowd3d, crowd3d.settings
settings = crowd3d.settings.load_settings()
names = ("root", "pretrained_root", "released_weights", "largecrowd_root", "single_image_res_root", "smpl_model_root", "checkpoints_root")
print(json.dumps({"version": crowd3d.__version__, "file": crowd3d.__file__} | {name: str(getattr(settings, name)) for name in names}))
"""
    done = run([environment / "python", "-c", code], **outside)
    assert done.returncode == 0, done.stderr
    told, here = json.loads(done.stdout), outside["cwd"]
    package = Path(told["file"]).parent
    assert package.is_relative_to(environment.parent)
    assert told["version"] == run([environment / "crowd3d", "--version"], **outside).stdout.split()[-1]
    assert told["pretrained_root"] == str(package / "pretrained")
    assert told["root"] == str(here)
    assert told["single_image_res_root"] == str(here / "crowd3d_results")
    assert told["checkpoints_root"] == str(here / "crowd3d_results" / "checkpoints")
    assert told["largecrowd_root"] == str(user / "crowds")
    assert told["smpl_model_root"] == str(user / "smpl")
    assert told["released_weights"] == str(user / "pretrained" / "base_69.pkl")


def test_it_reconstructs_from_an_empty_folder(environment: Path, outside: dict) -> None:
    image = synthesize_scene(1, "playground1_00", 12, (2000, 667)).image
    assert cv2.imwrite(str(outside["cwd"] / "photo.jpg"), image[..., ::-1])
    installed = {path: path.stat().st_mtime_ns for path in environment.parent.rglob("*.py")}
    done = run([environment / "python", "-m", "crowd3d", "reconstruct", "photo.jpg"], **outside)
    assert done.returncode == 0, done.stderr
    results = outside["cwd"] / "crowd3d_results" / "photo"
    assert done.stdout.split()[-1] == str(results)
    assert len(json.loads((results / "predict.json").read_text(encoding="utf-8"))["photo.jpg"]["person_list"]) > 3
    assert {"scene.npz", "scene.json", "overlay.jpg", "topview.png", "crowd.glb"} <= {path.name for path in results.iterdir()}
    assert {path.name for path in outside["cwd"].iterdir()} == {"photo.jpg", "crowd3d_results"}
    assert {path: path.stat().st_mtime_ns for path in environment.parent.rglob("*.py")} == installed


def test_what_needs_an_extra_names_it(environment: Path, outside: dict) -> None:
    loaded = run([environment / "python", "-c", "import sys, crowd3d.cli.reconstruct; print(*sys.modules)"], **outside)
    assert not OPTIONAL & set(loaded.stdout.split()), loaded.stderr
    assert not [name for name in loaded.stdout.split() if name.startswith(("crowd3d.training", "crowd3d.tuning"))]
    (outside["cwd"] / "predict.json").write_text('{"photo.jpg": {}}', encoding="utf-8")
    for command, extra in ((["train", "dataset=synthetic"], "train"), (["evaluate", "--predict", "predict.json"], "evaluate")):
        done = run([environment / "crowd3d", *command], **outside)
        assert done.returncode == 1
        assert f"pip install 'crowd3d[{extra}]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1
