"""`crowd3d doctor`: what is installed, what is missing, how to get it."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from crowd3d.bodies import load_body
from crowd3d.bodies.assets import GENDERS
from crowd3d.bodies.smpl_files import find_smpl
from crowd3d.errors import MissingAsset
from crowd3d.model.engines import chosen_engine, core_count
from crowd3d.pipeline.photo_models import NETWORKS, photo_models
from crowd3d.pipeline.weights import SHIPPED, pose_assets
from crowd3d.pose.alphapose import ALPHAPOSE_FILES
from crowd3d.pose.backends import choose_backend
from crowd3d.raster import find_renderer
from crowd3d.settings import Settings, load_settings


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked for.
        found: whether it is there and usable.
        detail: version or path when found, what is absent otherwise.
        remedy: how to get it; empty when there is nothing to do.
        needed: whether the default path cannot run without it.
    """

    name: str
    found: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def examine(settings: Settings) -> list[Finding]:
    """Look for everything that Crowd3D can use. Reads SMPL's files but no weights, and starts no program."""
    return [
        _machine(),
        _shipped_body(),
        _shipped_weights(settings),
        _photo_networks(settings),
        _released_weights(settings),
        *(_smpl(settings, gender) for gender in GENDERS),
        _pose(settings),
        _alphapose(settings),
        _package("OpenVINO", "openvino", "twice as fast on CPUs: pip install openvino"),
        _package("ONNX Runtime", "onnxruntime", "optional second engine: pip install onnxruntime"),
        _package("RTMPose", "rtmlib", "optional 2D pose backend (--pose_backend rtmpose): pip install rtmlib onnxruntime"),
        _package("torchvision", "torchvision", "optional 2D pose backend: pip install torchvision, in the build that matches torch"),
        _package("HEIC", "pillow_heif", "optional, for pictures of phones: pip install pillow-heif"),
        _package("TIFF codecs", "imagecodecs", "optional, for TIFFs in Zstandard, LERC or JPEG 2000: pip install tifffile imagecodecs"),
        _package("JPEG XL", "pillow_jxl", "optional: pip install pillow-jxl-plugin"),
        _pytorch3d(),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The doctor takes no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 1 when something that the default path needs is missing."""
    findings = examine(load_settings())
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        state = "ok" if finding.found else "MISSING" if finding.needed else "absent"
        print(f"{state:8}{finding.name:{width}}  {finding.detail}")
        if finding.remedy and not finding.found:
            print(f"{'':8}{'':{width}}  → {finding.remedy}")
    return int(any(finding.needed and not finding.found for finding in findings))


def _machine() -> Finding:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    engine, device = chosen_engine("auto", "auto")
    used = f"networks run on {device} by {engine}"
    threads = f"{os.cpu_count()} cores, {core_count()} threads"
    return Finding("machine", True, f"{versions}, {threads}, GPU: {gpu}; {used}", needed=True)


def _shipped_body() -> Finding:
    files = sorted((Path(__file__).parents[1] / "bodies" / "data").glob("free_body_*.npz"))
    detail = ", ".join(file.name for file in files) or "no free_body_*.npz"
    return Finding("free body", bool(files), detail, "git checkout Crowd3DNet/crowd3d/bodies/data", needed=True)


def _shipped_weights(settings: Settings) -> Finding:
    files = [settings.pretrained_root / f"{name}.safetensors" for name in SHIPPED]
    absent = [file.name for file in files if not file.is_file()]
    there = ", ".join(f"{file.name} ({file.stat().st_size / 1e6:.1f} MB)" for file in files if file.is_file())
    detail = f"no {', '.join(absent)} in {settings.pretrained_root}" if absent else there
    remedy = "git checkout Crowd3DNet/pretrained, or train them: crowd3d train default"
    return Finding("default weights", not absent, detail, remedy, needed=True)


def _photo_networks(settings: Settings) -> Finding:
    folder = settings.models_folder
    absent = [network.file for network in NETWORKS if not (folder / network.file).is_file()]
    found = photo_models(folder) is not None
    detail = str(folder) if found else f"no {', '.join(absent)} in {folder}" if absent else f"damaged or of another version in {folder}"
    remedy = "crowd3d fetch people; until then people are found by the default weights, which have never seen a photograph"
    return Finding("photo networks", found, detail, remedy)


def _released_weights(settings: Settings) -> Finding:
    path = settings.crowd3dnet_weights or settings.released_weights
    remedy = f"put base_69.pkl of the Crowd3D release at {path}; until then the default weights are used"
    return Finding("released weights", path.is_file(), str(path) if path.is_file() else f"no {path}", remedy)


def _smpl(settings: Settings, gender: str) -> Finding:
    """SMPL's file, read as a run would read it: a name alone tells nothing."""
    folder = settings.smpl_model_root
    remedy = f"from https://smpl.is.tue.mpg.de, regressors from https://github.com/nkolot/SPIN, into {folder}; else the free body"
    path = find_smpl(folder, gender)
    try:
        load_body("smpl", gender, folder)
    except MissingAsset as error:
        return Finding(f"SMPL {gender}", False, str(error).split("; ")[0], remedy)
    return Finding(f"SMPL {gender}", True, str(path))


def _pose(settings: Settings) -> Finding:
    """What `process` takes without --pose_backend."""
    try:
        backend = choose_backend("auto", pose_assets(settings))
    except MissingAsset as error:
        return Finding("2D pose", False, str(error), "correct that, or choose --pose_backend embedded")
    return Finding("2D pose", True, f"auto is {backend.name}")


def _alphapose(settings: Settings) -> Finding:
    root, python = settings.alphapose_root, settings.alphapose_python
    if root is None:
        remedy = "install https://github.com/MVIG-SJTU/AlphaPose in its own environment, then set alphapose_root and alphapose_python"
        return Finding("AlphaPose", False, "alphapose_root is not set in global_setting.py", remedy)
    interpreter = shutil.which(python or "python")
    absent = [name for name in ALPHAPOSE_FILES if not (root / name).is_file()]
    if interpreter is None:
        absent.append(f"interpreter {python or 'python'}")
    remedy = f"follow AlphaPose's docs/INSTALL.md and docs/MODEL_ZOO.md in {root}; its interpreter is alphapose_python in global_setting.py"
    return Finding("AlphaPose", not absent, f"no {', '.join(absent)}" if absent else f"{root}, run by {interpreter}", remedy)


def _pytorch3d() -> Finding:
    """As a run would find it: its compiled part may be missing though the package is there."""
    remedy = "optional (--renderer pytorch3d), built from source as its INSTALL.md says; the built-in renderer draws the same"
    try:
        find_renderer("pytorch3d")
    except MissingAsset as error:
        return Finding("pytorch3d", False, str(error).split("; ")[0], remedy)
    return _package("pytorch3d", "pytorch3d", remedy)


def _package(name: str, module: str, remedy: str) -> Finding:
    if find_spec(module) is None:
        return Finding(name, False, "not installed", remedy)
    try:
        importlib.import_module(module)
        return Finding(name, True, version(module))
    except (ImportError, RuntimeError, OSError) as error:
        return Finding(name, False, f"installed but broken: {str(error).splitlines()[0]}", remedy)
    except PackageNotFoundError:
        # Its distribution has another name, or none.
        return Finding(name, True, str(getattr(sys.modules[module], "__version__", "from source")))
