"""A single web page that shows the crowd in 3D and loads nothing from the net."""

from __future__ import annotations

import base64
import json
import re
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
from crowd3d.ground import half_axes_95
from crowd3d.scene.heading import facing_deg
from crowd3d.types import Scene
from crowd3d.view.pack import STEP_M, far_faces, pack_body, pack_crowd

_SCRIPTS = ("start", "maths", "shaders", "crowd", "layers", "drawing", "person", "tape", "curve", "timeline", "controls", "keys")
"""Of the page, in the order in which they run."""


@dataclass(frozen=True)
class Moment:
    """Everybody in one picture, or in one state of its reconstruction.

    Attributes:
        scene: what was reconstructed.
        ids: (N,) the same for the same person in all moments.
        colours: (N, 3) uint8 RGB.
        time_s: seconds after the first picture.
        covariance: (N, 2, 2) square metres of everybody's x and z in the upright world; None for a given camera.
        figures: N lists of a name and a text for the panel of a person; () for none.
    """

    scene: Scene
    ids: np.ndarray
    colours: np.ndarray
    time_s: float = 0.0
    covariance: np.ndarray | None = None
    figures: Sequence[Sequence[tuple[str, str]]] = ()


@dataclass(frozen=True)
class Way:
    """Somebody's way on the ground.

    Attributes:
        times_s: (K,) seconds after the first picture.
        place_m: (K, 2) x and z in the upright world.
        colour: (3,) uint8 RGB.
    """

    times_s: np.ndarray
    place_m: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Curve:
    """A figure over the moments of a timeline.

    Attributes:
        name: what it is.
        unit: of the values.
        value, low, high: (T,) and the ends of its interval; NaN where it is unknown.
    """

    name: str
    unit: str
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Layers:
    """What the page can show besides bodies; None is left out.

    Attributes:
        photograph: (H, W, 3) uint8 RGB, put behind the crowd and on the ground.
        density: (R, C, 4) uint8 RGBA over the ground, one for each moment of the timeline; first row farthest from the camera, first
            column leftmost; () for none.
        density_box: x and z of its corner far left, and its width and depth, in the upright world, metres.
        legend: pairs of a CSS colour and what it means, for the density.
        paths: ways of people.
        curve: a figure over the moments of the timeline, drawn above its slider.
    """

    photograph: np.ndarray | None = None
    density: Sequence[np.ndarray] = ()
    density_box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    legend: Sequence[tuple[str, str]] = ()
    paths: Sequence[Way] = ()
    curve: Curve | None = None


def write_viewer(path: Path, title: str, timeline: Sequence[Moment], body: Body, layers: Layers, before: Moment | None = None) -> None:
    """Write the page: bodies on a metre grid, orbit, pan, zoom, the photograph's point of view, click a person for figures, a tape.

    Args:
        path: HTML file to write.
        title: heading of the page.
        timeline: the moments to go through, one for a photograph.
        body: body model of the betas; 350 kB for the low level of detail of the free body, and 0.6 kB per person and moment.
        layers: what to switch on.
        before: the state before the optimisation, to be switched to.

    Raises:
        BadOutput: `path` cannot be written.
    """
    moments = [*timeline] if before is None else [*timeline, before]
    coarse = far_faces(body)
    info = _describe(title, moments, body, len(coarse), before is not None) | _layers(layers)
    texts = {
        # "<" only occurs in strings of the JSON; escaped, no name of a photograph can end the script element.
        "INFO": json.dumps(info, separators=(",", ":")).replace("<", "\\u003c"),
        "BODY": base64.b64encode(pack_body(body, coarse)).decode("ascii"),
        "CROWD": base64.b64encode(pack_crowd([moment.scene for moment in moments], body)).decode("ascii"),
        "STYLE": _page_file("style.css"),
        "SCRIPT": "".join(_page_file(f"{name}.js") for name in _SCRIPTS),
    }
    parts = re.split(r"__([A-Z]+)__", _page_file("page.html"))
    parts[1::2] = [texts[name] for name in parts[1::2]]
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(parts), encoding="utf-8")


def _page_file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _describe(title: str, moments: list[Moment], body: Body, coarse_faces: int, with_before: bool) -> dict[str, Any]:
    """What the page needs besides bytes and layers; the last of the moments is the state before where there is one."""
    scene = moments[0].scene
    camera, ground = scene.camera, scene.ground
    feet = np.concatenate([_feet(moment.scene) for moment in moments])
    low, high = (np.quantile(feet, q, axis=0) if len(feet) else np.zeros(3) for q in (0.05, 0.95))
    extent = float(max(np.hypot(*(high - low)[[0, 2]]), 5.0))
    centre = (low + high) / 2.0
    cameras: dict[str, int] = {}
    described = []
    for moment in moments:
        seen_by = json.dumps(_camera(moment.scene.camera, moment.scene.ground, 2.0 * extent))
        described.append(_moment(moment, body) | {"camera": cameras.setdefault(seen_by, len(cameras))})
    return {
        "title": title,
        "figures": (
            f"field of view {camera.fov_x_deg:.1f}° · tilt {np.rad2deg(ground.tilt_rad):.1f}° · roll {np.rad2deg(ground.roll_rad):.1f}°"
            f" · camera {ground.offset_m:.1f} m above the ground"
        ).replace("-", "−"),
        "body": {"vertices": len(body.template), "faces": len(body.faces), "farFaces": coarse_faces, "step": STEP_M},
        "centre": [float(centre[0]), 0.9, float(centre[2])],
        "extent": extent,
        "cameras": [json.loads(text) for text in cameras],
        "timeline": described[: len(described) - with_before],
        "before": described[-1] if with_before else None,
    }


def _feet(scene: Scene) -> np.ndarray:
    """(N, 3) where people stand in the upright world; below the body's origin where no HVIP is known."""
    feet = scene.ground.to_world(scene.people.hvip_cam_m)
    below = scene.ground.to_world(scene.people.translation_cam_m) * [1.0, 0.0, 1.0]
    return np.where(np.isfinite(feet).all(axis=1, keepdims=True), feet, below)


def _moment(moment: Moment, body: Body) -> dict[str, Any]:
    """Columns over people."""
    scene, people = moment.scene, moment.scene.people
    feet = _feet(scene)
    vertices = scene.ground.to_world(people.vertices_cam_m(body))
    columns = {
        "x": feet[:, 0],
        "y": feet[:, 1],
        "z": feet[:, 2],
        "stature": body.stature_m(people.betas),
        "score": people.score,
        "top": vertices[..., 1].max(axis=1),
        "facing": facing_deg(scene),
    }
    covariance = np.full((len(people), 2, 2), np.nan) if moment.covariance is None else moment.covariance
    known = np.isfinite(covariance).all((1, 2)).tolist()
    sure = np.where(np.array(known, bool)[:, None, None], covariance, 0.0)
    axes = np.round(half_axes_95(sure), 3).reshape(-1, 4).tolist()
    sigma = np.round(np.sqrt(np.diagonal(sure, axis1=1, axis2=2)), 3).tolist()
    entries: dict[str, Any] = {name: np.round(column, 3).tolist() for name, column in columns.items()}
    if scene.ground_covariance is not None:
        entries["scaleSigma"] = round(float(np.sqrt(scene.ground_covariance[3, 3])), 4)
    return entries | {
        "label": scene.image,
        "time": moment.time_s,
        "id": moment.ids.tolist(),
        "colour": moment.colours.ravel().tolist(),
        "sigma": [one if fine else None for one, fine in zip(sigma, known, strict=True)],
        "spread": [one if fine else None for one, fine in zip(axes, known, strict=True)],
        "more": [list(figures) for figures in moment.figures],
    }


def _layers(layers: Layers) -> dict[str, Any]:
    """The page's entries for `Layers`."""
    entries: dict[str, Any] = {
        "paths": [
            {
                "time": np.round(way.times_s, 3).tolist(),
                "x": np.round(way.place_m[:, 0], 3).tolist(),
                "z": np.round(way.place_m[:, 1], 3).tolist(),
                "colour": way.colour.tolist(),
            }
            for way in layers.paths
        ]
    }
    if layers.photograph is not None:
        entries["photo"] = _data_url(layers.photograph, ".jpg", "image/jpeg")
    if layers.density:
        x, z, width, depth = layers.density_box
        images = [_data_url(one, ".png", "image/png") for one in layers.density]
        entries["density"] = {"images": images, "low": [x, z], "size": [width, depth], "legend": [list(pair) for pair in layers.legend]}
    if layers.curve is not None:
        one = layers.curve
        columns = {name: [_known(value) for value in getattr(one, name)] for name in ("value", "low", "high")}
        entries["curve"] = {"name": one.name, "unit": one.unit, **columns}
    return entries


def _known(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _data_url(image: np.ndarray, suffix: str, kind: str) -> str:
    """(H, W, 3) RGB or (H, W, 4) RGBA as a picture inside of the page."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    fine, data = cv2.imencode(suffix, cv2.cvtColor(image, order))
    if not fine:
        raise BadOutput(f"a picture of {image.shape[1]}x{image.shape[0]} pixels could not be encoded for the page")
    return f"data:{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


def _camera(camera: Camera, ground: GroundPlane, reach_m: float) -> dict[str, Any]:
    return {
        "height": ground.offset_m,
        "back": (-ground.rotation_cam_world[2]).tolist(),
        "right": ground.rotation_cam_world[0].tolist(),
        "tanX": camera.width / 2.0 / camera.fx,
        "tanY": camera.height / 2.0 / camera.fy,
        "corners": _corners(camera, ground, reach_m).tolist(),
        "matrix": _photo_matrix(camera, ground).T.ravel().tolist(),
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
