"""``all_result.pkl``: what the published network wrote per tile, key by key."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.bodies.joints import PELVIS54, torso_centre
from crowd3d.bodies.unpickle import DAMAGED
from crowd3d.errors import MissingAsset
from crowd3d.files import atomic_path
from crowd3d.geometry import Camera
from crowd3d.types import People, TileLayout

GRID = 64

_FIELDS: dict[str, tuple[tuple[int, ...], type]] = {
    "pose": ((72,), np.float32),
    "betas": ((10,), np.float32),
    "pj2d": ((71, 2), np.float64),
    "pj2d_org": ((71, 2), np.float64),
    "center_conf": ((1,), np.float32),
    "centers_pred": ((2,), np.int64),
    "center": ((2,), np.int64),
    "torso_center": ((2,), np.int64),
    "hvip2d_org": ((2,), np.float64),
    "hvip2d_in_scene": ((2,), np.float64),
    "hvip3d": ((3,), np.float64),
    "tc3d": ((3,), np.float64),
    "final_trans": ((3,), np.float64),
}


@dataclass(frozen=True)
class ReleaseResults:
    """N results of single tiles, before they are merged.

    Attributes:
        tile_name: (N,) str file name of the tile that saw the person.
        pose: (N, 72) float32 axis-angle. betas: (N, 10) float32.
        pj2d: (N, 71, 2) float64 SMPL-54 and H36M-17 joints in the tile, −1…1. pj2d_org: the same in tile pixels.
        center_conf: (N, 1) float32 score.
        centers_pred: (N, 2) int64 x, y cell of the 64 × 64 grid. center: the same in tile pixels.
        torso_center: (N, 2) int64 tile pixels.
        hvip2d_org, hvip2d_in_scene: (N, 2) float64 tile pixels, scene pixels.
        hvip3d, tc3d: (N, 3) float64 metres, camera frame: HVIP and torso centre.
        final_trans: (N, 3) float64 what the mesh needs whose joint 49 is the origin.
    """

    tile_name: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    pj2d: np.ndarray
    pj2d_org: np.ndarray
    center_conf: np.ndarray
    centers_pred: np.ndarray
    center: np.ndarray
    torso_center: np.ndarray
    hvip2d_org: np.ndarray
    hvip2d_in_scene: np.ndarray
    hvip3d: np.ndarray
    tc3d: np.ndarray
    final_trans: np.ndarray

    def __len__(self) -> int:
        return len(self.pose)


def release_results(
    people: People,
    joints_cam_m: np.ndarray,
    cells: np.ndarray,
    tile_index: np.ndarray,
    tile_names: list[str],
    layout: TileLayout,
    camera: Camera,
) -> ReleaseResults:
    """Express per-tile people in the release's fields.

    Args:
        people: N people, not yet merged.
        joints_cam_m: (N, 71, 3) their SMPL-54 and H36M-17 joints in the camera frame.
        cells: (N, 2) x, y of their peaks in the 64 × 64 grid of the tile.
        tile_index: (N,) row of `layout` that saw them.
        tile_names: file name of every tile.
        layout: the tiles.
        camera: intrinsics of the scene.
    """
    boxes = layout.boxes[tile_index]
    corner = boxes[:, [1, 0]].astype(np.float64)
    size = (boxes[:, 2] - boxes[:, 0]).astype(np.float64)[:, None]
    joints_px = camera.project(joints_cam_m) - corner[:, None]
    torso_cam = torso_centre(joints_cam_m[:, :54])
    return ReleaseResults(
        tile_name=np.array(tile_names, dtype=np.str_)[tile_index],
        pose=people.pose_rad.reshape(-1, 72).astype(np.float32),
        betas=people.betas.astype(np.float32),
        pj2d=2.0 * joints_px / size[:, None] - 1.0,
        pj2d_org=joints_px,
        center_conf=people.score[:, None].astype(np.float32),
        centers_pred=cells.astype(np.int64),
        center=np.clip(np.rint(cells * size / GRID), 0, size).astype(np.int64),
        torso_center=np.rint(camera.project(torso_cam) - corner).astype(np.int64),
        hvip2d_org=people.hvip_px - corner,
        hvip2d_in_scene=people.hvip_px.astype(np.float64),
        hvip3d=people.hvip_cam_m.astype(np.float64),
        tc3d=torso_cam,
        final_trans=joints_cam_m[:, PELVIS54].astype(np.float64),
    )


class _PortablePickler(pickle.Pickler):
    """Stores arrays as calls of ``numpy.array``, the one constructor whose name every NumPy version since the release knows."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.array, (value.tolist(), value.dtype.str)
        return NotImplemented


def write_all_result(path: Path, results: ReleaseResults) -> None:
    """Write ``{tile name: [person, …]}``; tiles without people are absent.

    Raises:
        BadOutput: the folder cannot be written.
    """
    tiles: dict[str, list[dict[str, np.ndarray]]] = {}
    columns = {key: getattr(results, key) for key in _FIELDS}
    for row, name in enumerate(results.tile_name.tolist()):
        tiles.setdefault(name, []).append({key: column[row] for key, column in columns.items()})
    buffer = io.BytesIO()
    _PortablePickler(buffer, protocol=4).dump(tiles)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy", "array"),
    ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays and plain containers; whatever else a file asks for is refused before it runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def read_all_result(path: Path) -> ReleaseResults:
    """Read ``all_result.pkl``, the release's or ours, executing nothing that it might contain.

    Raises:
        MissingAsset: absent, truncated, not this format, or asking for more than arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            tiles = _ArrayUnpickler(file, encoding="latin1").load()
        people = [person for tile in tiles.values() for person in tile]
        columns: dict[str, np.ndarray] = {
            key: np.array([person[key] for person in people], dtype).reshape(len(people), *shape) for key, (shape, dtype) in _FIELDS.items()
        }
        names = np.array([name for name, tile in tiles.items() for _ in tile], dtype=np.str_)
    except (OSError, pickle.UnpicklingError, *DAMAGED) as error:
        told = str(error) or type(error).__name__
        raise MissingAsset(f"{path} is not an all_result.pkl: {told}; write it again with single_image/inference.py") from error
    return ReleaseResults(tile_name=names, **columns)
