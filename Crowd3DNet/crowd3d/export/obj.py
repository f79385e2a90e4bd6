"""OBJ files with the names, folders and number formats of the 2023 release: camera frame, metres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import NoPeopleFound
from crowd3d.export.mesh import GROUND_MARGIN_M
from crowd3d.files import atomic_path
from crowd3d.types import Scene

MODES = ("single", "multi", "all")
CHECKED_PEOPLE = 10
_PER_CHUNK = 100_000


def _format_rows(template: str, rows: np.ndarray) -> str:
    return "".join(
        template * len(part) % tuple(part.ravel().tolist()) for part in (rows[i : i + _PER_CHUNK] for i in range(0, len(rows), _PER_CHUNK))
    )


def _write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray, number: str) -> None:
    """Write (N, V, 3) vertices of N bodies with the same (F, 3) faces."""
    count, size = vertices.shape[:2]
    indices = (np.arange(count)[:, None, None] * size + faces + 1).reshape(-1, 3)
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(_format_rows(f"v {number} {number} {number}\n", vertices.reshape(-1, 3)))
        file.write(_format_rows("f %d %d %d\n", indices))


def _ground_quad(scene: Scene, hvip_cam_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box of the HVIPs in x and z, 2 m wider, truncated to whole metres, lifted to the plane; two triangles."""
    (left, near), (right, far) = (
        np.trunc(hvip_cam_m[:, [0, 2]].min(0) - GROUND_MARGIN_M),
        np.trunc(hvip_cam_m[:, [0, 2]].max(0) + GROUND_MARGIN_M),
    )
    x, z = np.array([left, right, right, left]), np.array([near, near, far, far])
    a, b, c, d = scene.ground.coefficients
    return np.stack([x, -(a * x + c * z + d) / b, z], -1)[None], np.array([[0, 1, 2], [0, 2, 3]])


def write_release_objs(
    folder: Path,
    name: str,
    scene: Scene,
    body: Body,
    mode: str = "all",
    tile_names: Sequence[str] | None = None,
) -> None:
    """Write the meshes that ``--save_mesh`` of the release writes into ``extract_mesh/``.

    ``multi``: ``<name>.obj`` (everybody) and ``small_check.obj`` (the first ten). ``single``:
    ``everyone_by_pathch/<tile>/<i>.obj`` and ``patch_ground.obj`` there. ``all``: both. Always: ``ground.obj``.

    Args:
        folder: where to write.
        name: name of the scene.
        scene: what to write.
        body: the body that the scene's betas belong to.
        mode: ``single``, ``multi`` or ``all``.
        tile_names: (N,) tile that each person was found in; by default `name` for everybody.

    Raises:
        NoPeopleFound: the scene is empty.
        BadOutput: the folder cannot be written.
    """
    if len(scene.people) == 0:
        raise NoPeopleFound(f"the scene of {scene.image} has nobody to export; run inference.py on a photograph with people")
    folder = Path(folder)
    vertices = scene.people.vertices_cam_m(body)
    faces = body.faces
    hvip = scene.people.hvip_cam_m
    if mode in ("multi", "all"):
        _write_obj(folder / f"{name}.obj", vertices, faces, "%.7f")
        _write_obj(folder / "small_check.obj", vertices[:CHECKED_PEOPLE], faces, "%.7f")
    if mode in ("single", "all"):
        tiles = np.full(len(vertices), name) if tile_names is None else np.asarray(tile_names)
        for tile in np.unique(tiles):
            rows = np.flatnonzero(tiles == tile)
            patch = folder / "everyone_by_pathch" / str(tile).removesuffix(".jpg")
            for number, row in enumerate(rows):
                _write_obj(patch / f"{number}.obj", vertices[row : row + 1], faces, "%f")
            _write_obj(patch / "patch_ground.obj", *_ground_quad(scene, hvip[rows]), "%f")
    _write_obj(folder / "ground.obj", *_ground_quad(scene, hvip), "%f")
