"""The three files in which the 2023 release keeps camera and ground, and its 0.1 m step from ankles to soles.

The release estimates a plane through the ankle midpoints (``ground_mid/mid``) and lowers it by 0.1 m (``ground_mid/ground``), which
is what its later stages read. Here the plane of the soles is estimated; it goes to ``ground_mid/ground`` as it is, and
``ground_mid/mid`` gets the plane 0.1 m above it, so that both folders relate to each other as in the release.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.files import read_array, write_npy
from crowd3d.geometry import Camera, GroundPlane

ANKLE_TO_SOLE_M = 0.1


def trans_ground(coefficients: np.ndarray, down_m: float = ANKLE_TO_SOLE_M) -> np.ndarray:
    """(4,) plane A, B, C, D → the same plane with B ≤ 0, `down_m` metres lower: D grows by ``down_m · |(A, B, C)|``."""
    plane = np.array(coefficients, np.float64).reshape(4)
    if plane[1] > 0:
        plane = -plane
    plane[3] += down_m * np.linalg.norm(plane[:3])
    return plane


def write_release_files(folder: Path, camera: Camera, ground: GroundPlane) -> None:
    """Write ``ground.npy`` float32 (4,), ``cam_para.npy`` float32 (3, 3) and ``scene_shape.npy`` int64 [width, height].

    Raises:
        BadOutput: the folder cannot be written.
    """
    write_npy(folder / "ground.npy", ground.coefficients.astype(np.float32))
    write_npy(folder / "cam_para.npy", camera.K.astype(np.float32))
    write_npy(folder / "scene_shape.npy", np.array([camera.width, camera.height], np.int64))


def write_release_ground(ankles_folder: Path, soles_folder: Path, camera: Camera, soles: GroundPlane) -> None:
    """Write both folders of the release, ``ground_mid/mid`` and ``ground_mid/ground``, from the plane of the soles.

    Raises:
        BadOutput: a folder cannot be written.
    """
    write_release_files(ankles_folder, camera, GroundPlane(soles.normal, soles.offset_m - ANKLE_TO_SOLE_M))
    write_release_files(soles_folder, camera, soles)


def read_release_ground(folder: Path) -> tuple[Camera, GroundPlane]:
    """Camera and plane of a folder with the three files; the plane may have any scale, the camera ends up above it.

    Raises:
        MissingAsset: a file is absent, unreadable or of the wrong shape.
    """
    arrays = []
    for name, shape in (("ground.npy", (4,)), ("cam_para.npy", (3, 3)), ("scene_shape.npy", (2,))):
        try:
            array = read_array(folder / name)
        except (OSError, ValueError) as error:
            raise MissingAsset(f"cannot read {folder / name}: {error}; run single_image/process.py first") from error
        if array.shape != shape:
            raise MissingAsset(f"{folder / name} has shape {array.shape}, expected {shape}; write it again with process.py")
        arrays.append(array.astype(np.float64))
    plane, intrinsics, size = arrays
    return Camera.from_K(intrinsics, (int(size[0]), int(size[1]))), GroundPlane.from_coefficients(plane)
