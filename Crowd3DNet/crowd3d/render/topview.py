"""Map of the ground seen from above: who stands where and looks where, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies import Body
from crowd3d.bodies.joints import SHOULDERS54
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground import half_axes_95
from crowd3d.imaging import write_png
from crowd3d.render.colours import HUES, person_colours
from crowd3d.render.drawing import Colour, Text, draw_polylines, draw_shapes, draw_texts, grid_step, text_size
from crowd3d.render.metric_map import INK, LEFT, RIGHT, TOP, MapWindow, draw_grid, draw_scale_bar, mask_margins, tick_texts
from crowd3d.types import Scene

_OUTSIDE: Colour = (226, 230, 234)
_SEEN: Colour = (253, 253, 252)
_WEDGE: Colour = (236, 239, 242)
_GRID: Colour = (205, 211, 217)
_AXIS: Colour = (176, 184, 192)
_FAINT: Colour = (104, 112, 122)
_REGION: Colour = (105, 135, 185)
_TRUTH: Colour = (20, 20, 20)
_GONE: Colour = (150, 156, 164)
_UPPER: Colour = (142, 84, 168)
_LOWER: Colour = (60, 130, 110)
_LEVEL_AROUND_M = 1.2
"""A level reaches so far around everybody who is on it."""
_MOST_REGIONS = 16
"""So many people show how sure places are; those of a whole crowd would cover each other and it."""
_TRAIL_PX = 4
_BOTTOM = 150
_MAP_MAX_PX = (2200, 1900)
_MAP_MIN_PX = (1200, 640)


class Trail(NamedTuple):
    """Where somebody went.

    Attributes:
        points_m: (L, 2) metres to the right of and in front of the camera's foot, oldest first; NaN is left out.
        person: their row in the scene that is drawn, which gives the colour; −1 for somebody who is not in it.
    """

    points_m: np.ndarray
    person: int


def top_view(
    scene: Scene,
    body: Body,
    output: Path,
    truth: Scene | None = None,
    position_covariance: np.ndarray | None = None,
    trails: Sequence[Trail] = (),
) -> None:
    """Write a map of the crowd as PNG.

    Everybody is a drop whose tip shows where the shoulders face, in the colour of the overlay. Light ground is what the camera sees. What
    is around people on another level is tinted, and labelled with its height over the ground.

    Args:
        scene: what was reconstructed.
        body: body model of the scene's betas, for the direction of the shoulders.
        output: PNG file to write.
        truth: the true scene, drawn as hollow rings, if known.
        position_covariance: (N, 2, 2) square metres of each position's (right, forward), drawn as ellipses that hold 95 %; of a few
            people all over the map where there are many.
        trails: where people came from, drawn as lines.

    Raises:
        BadOutput: `output` cannot be written.
    """
    positions = map_positions(scene)
    true_positions = np.zeros((0, 2)) if truth is None else map_positions(truth)
    frame = _choose_frame(np.concatenate([positions, true_positions, *(trail.points_m for trail in trails)]))
    image = _draw_ground(frame, scene.camera, scene.ground)
    step = grid_step(float(frame.size_m.max()), 16)
    draw_grid(image, frame, step, _GRID)
    _draw_forward(image, frame)
    _draw_camera(image, frame, scene.camera, scene.ground)
    radius_px = _marker_radius_px(frame, positions)
    if position_covariance is not None:
        known = np.flatnonzero(np.isfinite(position_covariance).all(axis=(1, 2)) & _inside(frame, positions))
        shown = known[spread_out(positions[known], _MOST_REGIONS)]
        image = _draw_ellipses(image, frame, positions[shown], position_covariance[shown])
    image, level_texts = _draw_levels(image, frame, scene, positions)
    _draw_trails(image, frame, trails, person_colours(scene.people))
    if truth is not None:
        _draw_rings(image, frame.to_px(true_positions), radius_px * 1.35)
    _draw_people(image, frame.to_px(positions), facing(scene, body), person_colours(scene.people), radius_px)
    mask_margins(image, frame, _FAINT)
    beyond = int((~_inside(frame, positions)).sum())
    image = draw_texts(image, _axis_texts(frame, step) + _title_texts(scene, image.shape[1], beyond) + level_texts)
    key = "" if position_covariance is None else "95 % region" if len(positions) <= _MOST_REGIONS else "95 % region of some"
    image = _draw_legend(image, frame, step, truth is not None, key, bool(trails))
    write_png(output, image)


def map_positions(scene: Scene) -> np.ndarray:
    """(N, 2) metres to the right of and in front of the camera's foot."""
    world = scene.ground.to_world(scene.people.hvip_cam_m)
    return np.stack([world[:, 0], -world[:, 2]], axis=-1)


def facing(scene: Scene, body: Body) -> np.ndarray:
    """(N, 2) unit vectors (right, forward) on the map, at right angles to the line between the shoulders."""
    joints = scene.people.joints_cam_m(body.restrict())
    # The direction to the person's own left, turned a quarter about the vertical, is the way that the chest faces.
    left = (joints[:, SHOULDERS54[0]] - joints[:, SHOULDERS54[1]]) @ scene.ground.rotation_cam_world
    front = np.stack([-left[:, 2], -left[:, 0]], axis=-1)
    return front / np.maximum(np.linalg.norm(front, axis=1, keepdims=True), 1e-9)


def _choose_frame(positions: np.ndarray) -> MapWindow:
    """A window around camera and people; a few people far beyond all others do not shrink everybody else."""
    finite = positions[np.isfinite(positions).all(axis=1)]
    near = np.concatenate([finite, np.zeros((1, 2))])
    if len(finite):
        centre, reach = np.median(finite, axis=0), np.quantile(np.abs(finite - np.median(finite, axis=0)), 0.95, axis=0)
        near = near[(np.abs(near - centre) <= 2.0 * reach + 5.0).all(axis=1)]
        near = np.concatenate([near, np.zeros((1, 2))])
    low, high = near.min(axis=0), near.max(axis=0)
    pad = max(1.5, 0.04 * float((high - low).max()))
    low, high = low - pad, high + pad
    scale = float(min(*(np.array(_MAP_MAX_PX) / (high - low)), 90.0))
    size = np.maximum(high - low, np.array(_MAP_MIN_PX) / scale)
    return MapWindow(np.array([(low[0] + high[0] - size[0]) / 2.0, low[1]]), size, scale)


def _inside(frame: MapWindow, positions: np.ndarray) -> np.ndarray:
    return ((positions >= frame.low) & (positions <= frame.low + frame.size_m)).all(axis=1)


def _draw_ground(frame: MapWindow, camera: Camera, ground: GroundPlane) -> np.ndarray:
    """The blank picture: margins white, ground that the camera sees lighter than the rest."""
    width, height = frame.size_px
    image = np.full((height + TOP + _BOTTOM, width + LEFT + RIGHT, 3), 255, np.uint8)
    columns = frame.low[0] + (np.arange(0, width, 2) + 1.0) / frame.scale
    rows = frame.low[1] + (height - np.arange(0, height, 2) - 1.0) / frame.scale
    right, forward = np.meshgrid(columns, rows)
    pixels = camera.project(ground.from_world(np.stack([right, np.zeros_like(right), -forward], axis=-1)))
    x, y = pixels[..., 0], pixels[..., 1]
    seen = ((x >= 0) & (x <= camera.width) & (y >= 0) & (y <= camera.height)).astype(np.float32)
    weight = np.rint(255.0 * cv2.resize(seen, (width, height), interpolation=cv2.INTER_LINEAR)).astype(np.uint8)
    share = np.linspace(0.0, 1.0, 256)[:, None]
    shades = np.rint(np.array(_OUTSIDE) * (1.0 - share) + np.array(_SEEN) * share).astype(np.uint8)
    image[TOP : TOP + height, LEFT : LEFT + width] = cv2.LUT(cv2.merge([weight, weight, weight]), shades[None])
    return image


def _draw_levels(image: np.ndarray, frame: MapWindow, scene: Scene, positions: np.ndarray) -> tuple[np.ndarray, list[Text]]:
    """The picture with a tinted patch around the people of every level but the ground, and the patches' labels."""
    texts: list[Text] = []
    for level, height in enumerate(scene.levels_m[1:], 1):
        on_it = positions[(scene.people.plane == level) & np.isfinite(positions).all(axis=1)]
        if not len(on_it):
            continue
        mask = np.zeros(image.shape[:2], np.uint8)
        radius = _LEVEL_AROUND_M * frame.scale
        draw_shapes(mask, _discs(frame.to_px(on_it), radius), np.full(len(on_it), 255))
        # gaps narrower than a few steps belong to the level, too
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(radius) + 1,) * 2)
        there = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel) > 0
        colour = _UPPER if height > 0 else _LOWER
        image = image.copy()
        image[there] = np.rint(0.25 * np.array(colour) + 0.75 * image[there])
        cv2.drawContours(image, cv2.findContours(there.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], -1, colour, 3)
        x, y = frame.to_px(on_it[np.argmax(on_it[:, 1])])
        texts.append((f"{height:+.1f} m", (float(x), max(float(y) - radius - 8.0, TOP + 34.0)), "mb", 30, colour))
    return image, texts


def _draw_forward(image: np.ndarray, frame: MapWindow) -> None:
    """The line straight ahead of the camera."""
    axis = np.array([[[0.0, frame.low[1]], [0.0, frame.low[1] + frame.size_m[1]]]])
    draw_polylines(image, np.floor(frame.to_px(axis)) + 0.5, _AXIS, 2)


def _draw_camera(image: np.ndarray, frame: MapWindow, camera: Camera, ground: GroundPlane) -> None:
    """The camera's foot and the two edges of what it sees."""
    corners_px = np.array([[0.0, camera.height], [camera.width, camera.height]])
    # corners that the lens does not show: as without a lens
    edges = np.where(np.isnan(camera.rays(corners_px)), camera.ideal.rays(corners_px), camera.rays(corners_px))
    world = edges @ ground.rotation_cam_world
    direction = np.stack([world[:, 0], -world[:, 2]], axis=-1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    corners = ground.intersect(camera, corners_px)
    reach = np.linalg.norm(ground.to_world(corners)[:, [0, 2]], axis=1, keepdims=True)
    # A camera that looks at the horizon has no near corners: the edges then end at the border of the map.
    ends = direction * np.where(np.isfinite(reach), reach, 2.0 * float(frame.size_m.max()))
    origin = np.zeros((2, 2))
    draw_polylines(image, frame.to_px(np.stack([origin, ends], axis=1)), _FAINT, 2)
    size = 17.0 / frame.scale
    opening = direction * 2.4 * size
    draw_shapes(image, frame.to_px(np.stack([[0.0, 0.0], opening[0], opening[1]])[None]), np.array([_FAINT]))
    draw_shapes(image, _discs(frame.to_px(np.zeros((1, 2))), 9.0), np.array([INK]))


def _discs(centres_px: np.ndarray, radius_px: float) -> np.ndarray:
    angle = np.linspace(0.0, 2.0 * np.pi, 33)[:-1]
    return centres_px[:, None] + radius_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _drops(centres_px: np.ndarray, directions: np.ndarray, radius_px: float) -> np.ndarray:
    """(N, K, 2) outlines: a disc with a tip towards (right, forward)."""
    open_angle = np.deg2rad(52.0)
    angle = np.linspace(open_angle, 2.0 * np.pi - open_angle, 24)
    outline = np.concatenate([np.stack([np.cos(angle), np.sin(angle)], axis=-1), [[1.0 / np.cos(open_angle) + 0.2, 0.0]]])
    along = directions * (1.0, -1.0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    return centres_px[:, None] + radius_px * (outline[:, :1] * along[:, None] + outline[:, 1:] * across[:, None])


def _marker_radius_px(frame: MapWindow, positions: np.ndarray) -> float:
    """Real size where there is room, larger where that is too small to see, smaller again where people would cover each other."""
    finite = positions[np.isfinite(positions).all(axis=1)]
    spacing_m = float(np.median(cKDTree(finite).query(finite, k=2)[0][:, 1])) if len(finite) > 1 else 1.0
    return float(np.clip(0.55 * spacing_m * frame.scale, 6.0, max(11.0, 0.3 * frame.scale)))


def _draw_people(image: np.ndarray, centres_px: np.ndarray, directions: np.ndarray, colours: np.ndarray, radius_px: float) -> None:
    drops = _drops(centres_px, directions, radius_px)
    shown = np.flatnonzero(np.isfinite(drops).all(axis=(1, 2)))
    far_first = shown[np.argsort(centres_px[shown, 1], kind="stable")]
    draw_shapes(image, drops[far_first], colours[far_first], INK)


def _draw_rings(image: np.ndarray, centres_px: np.ndarray, radius_px: float) -> None:
    draw_polylines(image, _discs(centres_px[np.isfinite(centres_px).all(axis=1)], radius_px), _TRUTH, 2, closed=True)


def spread_out(points: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most `most` points (N, 2): that nearest to the origin, then always that which is farthest from those chosen."""
    chosen = np.argsort(np.linalg.norm(points, axis=1), kind="stable")[:1].tolist()
    apart = np.full(len(points), np.inf)
    while len(chosen) < min(most, len(points)):
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(apart)))
    return np.array(chosen, int)


def _draw_ellipses(image: np.ndarray, frame: MapWindow, positions: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    circle = _discs(np.zeros((1, 2)), 1.0)[0]
    outline = frame.to_px(positions[:, None] + np.einsum("nij,kj->nki", half_axes_95(covariance), circle))
    filled = image.copy()
    draw_shapes(filled, outline, np.tile(_REGION, (len(outline), 1)))
    blended = cv2.addWeighted(filled, 0.35, image, 0.65, 0.0)
    draw_polylines(blended, outline, _REGION, 1, closed=True)
    return blended


def _draw_trails(image: np.ndarray, frame: MapWindow, trails: Sequence[Trail], colours: np.ndarray) -> None:
    """Those who are still there above those who have left."""
    for trail in sorted(trails, key=lambda trail: trail.person):
        points = trail.points_m[np.isfinite(trail.points_m).all(axis=1)]
        if len(points) > 1:
            colour = _GONE if trail.person < 0 else tuple(colours[trail.person].tolist())
            draw_polylines(image, frame.to_px(points)[None], colour, _TRAIL_PX)


def _axis_texts(frame: MapWindow, step: int) -> list[Text]:
    under = (LEFT + frame.size_px[0] / 2.0, TOP + frame.size_px[1] + 50)
    return [*tick_texts(frame, step, " m"), ("metres to the right of the camera", under, "mt", 24, _FAINT)]


def _title_texts(scene: Scene, width_px: int, beyond: int) -> list[Text]:
    count = len(scene.people)
    title = f"{count} {'person' if count == 1 else 'people'} on the ground of {scene.image}"
    figures = camera_figures(scene) + (f" · {beyond} beyond this map" if beyond else "")
    lines = [(title, 46, 42, INK), (figures, 102, 26, _FAINT)]
    room = width_px - LEFT - RIGHT
    fitted = [(text, y, min(size, size * room // text_size(text, size)[0]), colour) for text, y, size, colour in lines]
    return [(text, (LEFT, y), "lm", size, colour) for text, y, size, colour in fitted]


def camera_figures(scene: Scene) -> str:
    """One line about camera and ground, with standard deviations where they are known."""
    camera, ground, covariance = scene.camera, scene.ground, scene.ground_covariance
    values = np.array([camera.fov_x_deg, np.rad2deg(ground.tilt_rad), np.rad2deg(ground.roll_rad), ground.offset_m])
    if covariance is None:
        sigma = np.ones(4)
    else:
        # d(FOV)/d(log f) of a centred camera is −sin(FOV); height enters the covariance as its logarithm.
        slope = np.array([np.rad2deg(np.sin(np.deg2rad(values[0]))), np.rad2deg(1.0), np.rad2deg(1.0), ground.offset_m])
        sigma = slope * np.sqrt(np.diag(covariance))
    digits = np.where(sigma < 0.095, 2, 1)
    spread = ["" if covariance is None else f" ± {s:.{d}f}" for s, d in zip(sigma, digits, strict=True)]
    fov, tilt, roll, height = (f"{value:.{d}f}{s}" for value, s, d in zip(values, spread, digits, strict=True))
    return f"field of view {fov}° · tilt {tilt}° · roll {roll}° · camera {height} m above the ground"


def _draw_legend(image: np.ndarray, frame: MapWindow, step: int, truth: bool, regions: str, trails: bool) -> np.ndarray:
    """Below the map: scale bar at the right, marker key at the left; `regions` are called so, empty for none."""
    y = TOP + frame.size_px[1] + 118
    texts = [draw_scale_bar(image, frame, step, y)]
    x = LEFT + 14.0
    paths = ["path so far", "path of somebody who left"] * trails
    names = ["person, tip: facing", *(["true position"] * truth), *filter(None, [regions]), *paths]
    for name in names:
        centre = np.array([[x, y]])
        if name == "true position":
            _draw_rings(image, centre, 11.0)
        elif name == regions:
            draw_shapes(image, _discs(centre, 11.0), np.array([[198, 208, 226]]), _REGION)
        elif name.startswith("path"):
            colour = _GONE if "left" in name else tuple(HUES[1].tolist())
            draw_polylines(image, (centre + np.array([[-12.0, 0.0], [14.0, 0.0]]))[None], colour, _TRAIL_PX)
        else:
            draw_shapes(image, _drops(centre, np.array([[1.0, 0.0]]), 10.0), HUES[1:2], INK)
        texts.append((name, (x + 28, y), "lm", 24, _FAINT))
        x += 28 + text_size(name, 24)[0] + 44
    return draw_texts(image, texts)
