"""One small sound file of every kind that the program reads."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.numpy import save_file

from crowd3d.files import write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import simulate_crowd
from crowd3d.imaging import write_jpeg
from crowd3d.settings import load_settings
from torture_cases.commands import run_all
from torture_cases.kinds import halves

SIZE = (480, 270)
CAMERA, GROUND = Camera.from_focal(430.0, SIZE), GroundPlane.from_angles(0.35, 0.02, 6.0)
PEOPLE = 12
PICTURES = 3
"""Of the sequence and of the video."""


def make_good_inputs(folder: Path) -> None:
    """Make them, and the results of a photograph, unless they are there."""
    if (folder / "done").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    picture = cv2.resize(np.random.default_rng(5).integers(0, 255, (27, 48, 3), dtype=np.uint8), SIZE)
    _pictures(folder, picture)
    crowd = simulate_crowd(CAMERA, GROUND, PEOPLE, np.random.default_rng(7)).keypoints
    np.save(folder / "keypoints.npy", crowd)
    np.savez(folder / "keypoints.npz", keypoints=crowd)
    people = [{"image_id": "photo.png", "category_id": 1, "score": 0.9, "keypoints": person.ravel().tolist()} for person in crowd]
    write_json(folder / "keypoints.json", people)
    write_json(folder / "sequence.json", [{**one, "image_id": f"frame_{number}.png"} for number in range(PICTURES) for one in people])
    _cameras(folder)
    shutil.copy(load_settings().pretrained_root / "lifter.safetensors", folder / "lifter.safetensors")
    save_file({"weight": np.zeros((3, 3), np.float32)}, folder / "weights.safetensors")
    torch.save({f"module.layer.{number}": torch.zeros(4) for number in range(3)}, folder / "weights.pkl")
    run_all(halves(folder, folder / "run", [], ["--save_mesh"]), folder / "said.txt")
    (folder / "done").touch()


def _pictures(folder: Path, picture: np.ndarray) -> None:
    for suffix in ("png", "tif", "webp", "bmp", "gif", "jp2", "ppm", "avif"):
        with contextlib.suppress(cv2.error):
            cv2.imwrite(str(folder / f"photo.{suffix}"), picture)
    write_jpeg(folder / "photo.jpg", picture)
    (folder / "sequence").mkdir()
    writer = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, SIZE)  # type: ignore[attr-defined]
    for number in range(PICTURES):
        writer.write(picture + np.uint8(number))
        cv2.imwrite(str(folder / "sequence" / f"frame_{number}.png"), picture + np.uint8(number))
    writer.release()


def _cameras(folder: Path) -> None:
    write_json(folder / "camera.json", {"camera": asdict(CAMERA), "ground": GROUND.coefficients.tolist()})
    (folder / "cameras.txt").write_text(f"1 PINHOLE {SIZE[0]} {SIZE[1]} 430 430 240 135\n")
    matrix = "{rows: 3, cols: 3, data: [430, 0, 240, 0, 430, 135, 0, 0, 1]}"
    (folder / "ros.yaml").write_text(f"image_width: {SIZE[0]}\nimage_height: {SIZE[1]}\ncamera_matrix: {matrix}\n")
