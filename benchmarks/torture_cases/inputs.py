"""Damaged inputs: each is read or refused in one line, within bounds of time and memory."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import shutil
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.errors import Crowd3DError
from crowd3d.imaging import GigapixelImage
from crowd3d.model.lifter import read_lifter
from crowd3d.pipeline.folders import MidFolder
from crowd3d.pipeline.frames import read_frames
from crowd3d.pipeline.infer import read_observations
from crowd3d.pipeline.network import NetworkChoice
from crowd3d.pipeline.process import look, part_of
from crowd3d.pipeline.stages import Owner, Run
from crowd3d.pipeline.world import World
from crowd3d.scene import read_all_result, validate_predict_json
from crowd3d.scene.camera_files import read_camera_file
from crowd3d.settings import load_settings
from crowd3d.types import Scene
from torture_cases.commands import LEAST_S, MOST_MB, SERVER
from torture_cases.damages import DAMAGES
from torture_cases.good import SIZE

Reader = Callable[[Path], object]


def readers(good: Path) -> dict[str, Reader]:
    """Kind of file, by its name → what the commands do with it."""
    photo = GigapixelImage(good / "photo.png")
    pictures = {path.name: picture_reader for path in good.glob("photo.*")}
    keypoints = dict.fromkeys(("keypoints.npy", "keypoints.npz", "keypoints.json"), partial(keypoint_reader, photo))
    cameras = dict.fromkeys(("camera.json", "cameras.txt", "ros.yaml"), camera_reader)
    weights = dict.fromkeys(("weights.safetensors", "weights.pkl"), lambda path: NetworkChoice.of(path, None).load())
    result = "run/res/photo"
    return {
        **pictures,
        **keypoints,
        **cameras,
        **weights,
        "lifter.safetensors": read_lifter,
        "video.avi": lambda path: read_frames(path, path.parent / "store", 5.0),
        f"{result}/scene.json": lambda path: Scene.load(path.parent),
        f"{result}/scene.npz": lambda path: Scene.load(path.parent),
        f"{result}/predict.json": validate_predict_json,
        f"{result}/lifted/camera_ground.json": World.load,
        f"{result}/manifest.json": manifest_reader,
        "run/mid/observations.npz": lambda path: read_observations(MidFolder(path.parent)),
        "run/mid/joints_2d_alphapose_merge.npy": lambda path: read_observations(MidFolder(path.parent)),
        "run/mid/optim_annots_scale.pkl": read_all_result,
    }


def picture_reader(path: Path) -> None:
    image = GigapixelImage(path)
    image.exif_focal_px(), image.exif_trust()
    width, height = image.size
    image.reduced(max(1.0, max(width, height) / 1000))
    list(image.crops(np.array([[0, 0, min(height, 512), min(height, 512)]]), 128))


def keypoint_reader(photo: GigapixelImage, path: Path) -> None:
    look(photo, part_of(load_settings(), "file", "auto", "cpu", path))


def camera_reader(path: Path) -> None:
    read_camera_file(path, "photo.png").for_image(SIZE)


def manifest_reader(path: Path) -> None:
    with Run(path.parent, Owner("/photo.png", "0")):
        pass


def damaged_input(good: Path, work: Path, rng: random.Random) -> dict[str, Any]:
    """One file, damaged, read in a process of its own."""
    name = rng.choice(sorted(readers(good)))
    source = good / name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source.parent, work) if "/" in name else work.mkdir()
    path = work / source.name
    how = rng.choice(DAMAGES)
    path.write_bytes(how(bytearray(source.read_bytes()), rng))
    receiver, sender = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=guarded, args=(good, name, path, sender))
    process.start()
    sender.close()
    process.join(LEAST_S)
    result: dict[str, Any] = {"outcome": "hang"}
    if process.is_alive():
        process.kill()
    else:
        try:
            result = receiver.recv() if receiver.poll() else {"outcome": f"crash {process.exitcode}"}
        except EOFError:
            result = {"outcome": f"crash {process.exitcode}"}
    process.join()
    return {"what": source.name, "how": how.__name__, **result}


def guarded(good: Path, name: str, path: Path, sender: Any) -> None:
    """Read, within bounds, and send what became of it."""
    pages = Path("/proc/self/statm")
    if pages.is_file():
        limit = (MOST_MB << 20) + int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    result: dict[str, Any]
    with Path(os.devnull).open("w") as quiet, contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(io.StringIO()):
        try:
            readers(good)[name](path)
            result = {"outcome": "read"}
        except (Crowd3DError, OSError) as error:
            text = str(error)
            result = {"outcome": "refused" if len(text) < 1500 else "long", "text": text[:300]}
        except BaseException:  # noqa: BLE001 - whatever a user would see as a traceback
            result = {"outcome": "traceback", "text": traceback.format_exc()[-1500:]}
    sender.send({**result, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})
