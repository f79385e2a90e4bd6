"""A single web page that shows the crowd in 3D and loads nothing from the net."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crowd3d.bodies import Body
from crowd3d.errors import BadOutput
from crowd3d.files import atomic_path
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Scene

_CHI2_95 = 5.991
"""95 % quantile of χ² with two degrees of freedom."""
STEP_M = 1e-4
"""Positions are stored as int16 multiples of 0.1 mm around each person's centre: ±3.2 m."""


@dataclass(frozen=True)
class Layers:
    """What the page can show besides bodies; None is left out.

    Attributes:
        photograph: (H, W, 3) uint8 RGB, put behind the crowd and on the ground.
        density: (R, C, 4) uint8 RGBA over the ground, first row farthest from the camera, first column leftmost.
        density_box: x and z of its corner far left, and its width and depth, in the upright world, metres.
        legend: pairs of a CSS colour and what it means, for the density.
        covariance: (N, 2, 2) square metres of everybody's x and z in the upright world, drawn as ellipses that hold 95 %.
        figures: N lists of a name and a text for the panel of a person.
    """

    photograph: np.ndarray | None = None
    density: np.ndarray | None = None
    density_box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    legend: Sequence[tuple[str, str]] = ()
    covariance: np.ndarray | None = None
    figures: Sequence[Sequence[tuple[str, str]]] | None = None


def write_viewer(scene: Scene, body: Body, colours: np.ndarray, path: Path, layers: Layers | None = None) -> None:
    """Write the page: bodies on a metre grid, orbit, pan, zoom, the photograph's point of view, click a person for figures, a tape.

    Args:
        scene: what was reconstructed.
        body: body model of the scene's betas; the low level of detail keeps the page small (8 kB per person).
        colours: (N, 3) uint8 RGB of everybody.
        path: HTML file to write.
        layers: photograph, density and uncertainty to switch on.

    Raises:
        BadOutput: `path` cannot be written.
    """
    vertices = scene.ground.to_world(scene.people.vertices_cam_m(body))
    info = _describe(scene, vertices, body) | _layers(scene, layers or Layers())
    for person, more in zip(info["people"], info.pop("of_people"), strict=True):
        person |= more
    page = resources.files(__package__).joinpath("viewer.html").read_text(encoding="utf-8")
    # "<" only occurs in strings of the JSON; escaped, no name of a photograph can end the script element.
    text = json.dumps(info, separators=(",", ":")).replace("<", "\\u003c")
    mesh = base64.b64encode(pack_mesh(vertices, body.faces, colours)).decode("ascii")
    head, rest = page.split("__INFO__")
    middle, tail = rest.split("__MESH__")
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(head + text + middle + mesh + tail, encoding="utf-8")


def _layers(scene: Scene, layers: Layers) -> dict[str, Any]:
    """The page's entries for `Layers`."""
    entries: dict[str, Any] = {"of_people": [{} for _ in range(len(scene.people))]}
    if scene.ground_covariance is not None:
        entries["scale_sigma"] = round(float(np.sqrt(scene.ground_covariance[3, 3])), 4)
    if layers.photograph is not None:
        entries["photo"] = _data_url(layers.photograph, ".jpg", "image/jpeg")
    if layers.density is not None:
        x, z, width, depth = layers.density_box
        image = _data_url(layers.density, ".png", "image/png")
        entries["density"] = {"image": image, "low": [x, z], "size": [width, depth], "legend": [list(pair) for pair in layers.legend]}
    for row, more in enumerate(entries["of_people"]):
        if layers.figures is not None:
            more["more"] = list(layers.figures[row])
        if layers.covariance is not None and np.isfinite(layers.covariance[row]).all():
            value, vector = np.linalg.eigh(layers.covariance[row])
            more["spread"] = np.round(vector * np.sqrt(_CHI2_95 * np.maximum(value, 0.0)), 3).ravel().tolist()
    return entries


def _data_url(image: np.ndarray, suffix: str, kind: str) -> str:
    """(H, W, 3) RGB or (H, W, 4) RGBA as a picture inside of the page."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    fine, data = cv2.imencode(suffix, cv2.cvtColor(image, order))
    if not fine:
        raise BadOutput(f"a picture of {image.shape[1]}x{image.shape[0]} pixels could not be encoded for the page")
    return f"data:{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def pack_mesh(vertices_world_m: np.ndarray, faces: np.ndarray, colours: np.ndarray) -> bytes:
    """Little-endian: centres (N, 3) float32, faces (F, 3) uint32, RGBA (N, 4) uint8, vertices minus centre (N, V, 3) int16 in `STEP_M`."""
    centre = ((vertices_world_m.min(axis=1) + vertices_world_m.max(axis=1)) / 2.0).astype("<f4")
    offset = np.rint((vertices_world_m - centre[:, None]) / STEP_M)
    rgba = np.concatenate([colours, np.full((len(colours), 1), 255)], axis=1).astype(np.uint8)
    quantised = np.clip(offset, -32767, 32767).astype("<i2")
    return b"".join(part.tobytes() for part in (centre, faces.astype("<u4"), rgba, quantised))


def _describe(scene: Scene, vertices_world_m: np.ndarray, body: Body) -> dict[str, Any]:
    camera, ground, count = scene.camera, scene.ground, len(scene.people)
    feet = ground.to_world(scene.people.hvip_cam_m)
    known = np.isfinite(feet).all(axis=1)
    low, high = (np.quantile(feet[known], q, axis=0) if known.any() else np.zeros(3) for q in (0.05, 0.95))
    stature_m = body.stature_m(scene.people.betas)
    columns = np.column_stack([feet[:, [0, 2]], stature_m, scene.people.score, vertices_world_m[..., 1].max(axis=1)])
    extent = float(max(np.hypot(*(high - low)[[0, 2]]), 5.0))
    centre = (low + high) / 2.0
    return {
        "title": f"{count} {'person' if count == 1 else 'people'} of {scene.image}",
        "figures": (
            f"field of view {camera.fov_x_deg:.1f}° · tilt {np.rad2deg(ground.tilt_rad):.1f}° · roll {np.rad2deg(ground.roll_rad):.1f}°"
            f" · camera {ground.offset_m:.1f} m above the ground"
        ),
        "vertices": vertices_world_m.shape[1],
        "faces": len(body.faces),
        "step": STEP_M,
        "people": [dict(zip(("x", "z", "stature", "score", "top"), row, strict=True)) for row in np.round(columns, 3).tolist()],
        "centre": [float(centre[0]), 0.9, float(centre[2])],
        "extent": extent,
        "camera": {
            "height": ground.offset_m,
            "back": (-ground.rotation_cam_world[2]).tolist(),
            "tanX": camera.width / 2.0 / camera.fx,
            "tanY": camera.height / 2.0 / camera.fy,
            "corners": _corners(camera, ground, 2.0 * extent).tolist(),
            "matrix": _photo_matrix(camera, ground).T.ravel().tolist(),
        },
    }


def _photo_matrix(camera: Camera, ground: GroundPlane) -> np.ndarray:
    """(4, 4) from the upright world to shares of the photograph's width and height, from its top left, times depth."""
    pixels = np.diag([1.0 / camera.width, 1.0 / camera.height, 1.0]) @ camera.K
    matrix = np.zeros((4, 4))
    matrix[[0, 1, 3], :3] = pixels @ ground.rotation_cam_world
    matrix[[0, 1, 3], 3] = pixels @ (-ground.offset_m * ground.normal)
    return matrix


def _corners(camera: Camera, ground: GroundPlane, reach_m: float) -> np.ndarray:
    """(4, 3) where the rays of the image's corners meet the ground; `reach_m` along the ray where that is farther or never."""
    corners_px = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], np.float64)
    rays = np.where(np.isnan(camera.rays(corners_px)), camera.ideal.rays(corners_px), camera.rays(corners_px))
    met = ground.intersect(camera, corners_px)
    nearest_m = np.nan_to_num(np.linalg.norm(ground.intersect(camera, np.array([camera.cx, camera.height]))))
    length = np.linalg.norm(rays, axis=1, keepdims=True)
    depth = np.where(np.isnan(met[:, 2:]), np.inf, met[:, 2:])
    return ground.to_world(rays * np.minimum(depth, (nearest_m + reach_m) / length))
