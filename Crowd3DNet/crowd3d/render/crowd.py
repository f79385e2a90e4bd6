"""Bodies composited into (parts of) the photograph, with what makes them stand on its ground."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from crowd3d.bodies import Body
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.raster import Renderer, render_meshes
from crowd3d.render.blending import blend
from crowd3d.render.blurring import blur_discs, head_discs
from crowd3d.render.colours import person_colours
from crowd3d.render.drawing import draw_polylines, draw_shapes, grid_step
from crowd3d.types import Scene

OPACITY = 0.8
_BRIGHTNESS = 1.15

_CONTACT_RADII_M = (0.52, 0.38, 0.26)
_CONTACT_SHADE = 0.13
_NARROW_PX = 3.0
"""Standard deviation of a blur."""
_FOOT_SHADE, _FOOT_REACH_M = 0.4, 0.5
_EDGE_SHADE = 0.55
_EDGE_PER_HEIGHT = 1 / 180
_HVIP_RADIUS_M = 0.42
_HVIP_DOT_M = 0.11
_GRID_REACH_M = 4.0
_GRID_LIGHT = 150
"""Opacity of the white grid, of 255."""
_BLOCK_PX, _MARGIN_PX = (2400, 1200), 48
"""Bodies are drawn block by block, in buffers of some 100 MB instead of gigabytes; blocks overlap, so that no seam shows."""
_BLOCK_PEOPLE, _LEAST_BLOCK_PX = 150, 300
"""Blocks that hold more people are halved, down to that size: a body takes some megabytes while it is drawn."""
_BLOCKS_AT_ONCE = 2


@dataclass(frozen=True)
class Style:
    """How people are drawn.

    Attributes:
        with_hvip: mark everybody's HVIP by a ring on the ground and a dot.
        with_grid: draw a metric grid on the ground around the crowd.
        blur_faces: make the heads of everybody who was found unrecognisable first.
        renderer: what draws the bodies, see `crowd3d.raster.find_renderer`.
    """

    with_hvip: bool = False
    with_grid: bool = False
    blur_faces: bool = False
    renderer: Renderer = render_meshes


PLAIN = Style()


@dataclass(frozen=True)
class Crowd:
    """Everybody ready to be drawn into a picture, which may be any part of the photograph at any scale.

    Attributes:
        vertices_cam_m: (N, V, 3) float32 camera frame, metres.
        faces: (F, 3) int64.
        colours: (N, 3) uint8 RGB.
        hvip_cam_m: (N, 3) float64.
        on_ground: (N,) bool, False for people in the air.
        bounds_px: (N, 4) float64 left, top, right, bottom of a box around everybody, pixels of the picture.
        heads_px: (K, 3) float64 middle and radius of discs over the heads, of the bodies and of the keypoints, pixels of the picture.
        camera: of the picture.
        ground: of the scene.
    """

    vertices_cam_m: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    hvip_cam_m: np.ndarray
    on_ground: np.ndarray
    bounds_px: np.ndarray
    heads_px: np.ndarray
    camera: Camera
    ground: GroundPlane

    @classmethod
    def of(cls, scene: Scene, body: Body) -> Crowd:
        """Pose everybody of `scene`, for a picture that is the photograph; `body` is the model of its betas, at any level of detail."""
        people = scene.people
        vertices, joints = body.pose(people.pose_rad.astype(np.float32), people.betas)
        vertices += people.translation_cam_m[:, None].astype(np.float32)
        joints += people.translation_cam_m[:, None].astype(np.float32)
        bounds, heads = _bounds(vertices, scene.camera), head_discs(scene, joints)
        colours, on_ground = person_colours(people), people.off_ground_m == 0
        return cls(vertices, body.faces, colours, people.hvip_cam_m, on_ground, bounds, heads, scene.camera, scene.ground)

    def __len__(self) -> int:
        return len(self.colours)

    @property
    def height_px(self) -> np.ndarray:
        """(N,) larger side of everybody's box."""
        return np.maximum(self.bounds_px[:, 2] - self.bounds_px[:, 0], self.bounds_px[:, 3] - self.bounds_px[:, 1])

    def seen_in(self, left: float, top: float, size: tuple[int, int], scale: float = 1.0) -> Crowd:
        """The same people for another picture: a part of this one.

        Args:
            left, top: corner of that part, pixels of this picture.
            size: (width, height) of the new picture in its own pixels.
            scale: pixels of this picture per pixel of the new one.
        """
        camera = self.camera.part(left, top, size, scale)
        bounds, heads = (self.bounds_px - np.array([left, top, left, top])) / scale, (self.heads_px - np.array([left, top, 0.0])) / scale
        return dataclasses.replace(self, camera=camera, bounds_px=bounds, heads_px=heads)

    def visible(self) -> Crowd:
        """Those whose box, with room for the contact shadow, meets the picture."""
        box, margin = self.bounds_px, 0.35 * self.height_px
        across = (box[:, 0] - margin < self.camera.width) & (box[:, 2] + margin > 0)
        rows = across & (box[:, 1] - margin < self.camera.height) & (box[:, 3] + margin > 0)
        names = ("vertices_cam_m", "colours", "hvip_cam_m", "on_ground", "bounds_px")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def _bounds(vertices_cam_m: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 4) boxes from the corners of each body's box in space; the whole image for a body that reaches behind the camera."""
    ends = np.stack([vertices_cam_m.min(axis=1), vertices_cam_m.max(axis=1)], axis=1)
    corner = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)
    corners_px = camera.project(ends[:, corner, [0, 1, 2]])
    boxes = np.concatenate([corners_px.min(axis=1), corners_px.max(axis=1)], axis=-1)
    return np.where(np.isnan(boxes), np.array([0.0, 0.0, camera.width, camera.height]), boxes)


def paint(photo: np.ndarray, crowd: Crowd, style: Style = PLAIN) -> None:
    """Draw everybody into a picture, in place.

    Args:
        photo: (h, w, 3) uint8 RGB, the picture of `crowd.camera`.
        crowd: who to draw.
        style: how.
    """
    height, width = photo.shape[:2]
    if style.blur_faces:
        blur_discs(photo, crowd.heads_px)
    if style.with_grid and len(crowd):
        _paint_grid(photo, crowd)
    # One measure for the whole photograph: contours and shadows that changed from block to block would show seams.
    typical_px = float(np.median(crowd.height_px)) if len(crowd) else 0.0
    crowd = crowd.visible()
    with ThreadPoolExecutor(_BLOCKS_AT_ONCE) as painters:
        list(painters.map(lambda block: _paint_block(photo, crowd, block, typical_px, style), _blocks(crowd, (0, 0, width, height))))


def _blocks(crowd: Crowd, part: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """A part left, top, right, bottom of the picture in blocks of at most `_BLOCK_PX` and, down to `_LEAST_BLOCK_PX`, `_BLOCK_PEOPLE`."""
    left, top, right, bottom = part
    size, box = (right - left, bottom - top), crowd.bounds_px
    people = ((box[:, 0] < right) & (box[:, 2] > left) & (box[:, 1] < bottom) & (box[:, 3] > top)).sum()
    excess = max(size[0] / _BLOCK_PX[0], size[1] / _BLOCK_PX[1])
    if excess <= 1 and (people <= _BLOCK_PEOPLE or max(size) <= _LEAST_BLOCK_PX):
        return [part]
    if size[0] / _BLOCK_PX[0] >= size[1] / _BLOCK_PX[1]:
        middle = left + size[0] // 2
        halves = (left, top, middle, bottom), (middle, top, right, bottom)
    else:
        middle = top + size[1] // 2
        halves = (left, top, right, middle), (left, middle, right, bottom)
    return [block for half in halves for block in _blocks(crowd, half)]


def _paint_block(photo: np.ndarray, crowd: Crowd, inner: tuple[int, int, int, int], typical_px: float, style: Style) -> None:
    """Draw into the part left, top, right, bottom of a picture and nowhere else."""
    left, top = inner[0] - _MARGIN_PX, inner[1] - _MARGIN_PX
    size = (inner[2] - left + _MARGIN_PX, inner[3] - top + _MARGIN_PX)
    crowd = crowd.seen_in(left, top, size).visible()
    if len(crowd) == 0:
        return
    target = photo[inner[1] : inner[3], inner[0] : inner[2]]
    block = cv2.copyMakeBorder(target, _MARGIN_PX, _MARGIN_PX, _MARGIN_PX, _MARGIN_PX, cv2.BORDER_REPLICATE)
    _paint_contact(block, crowd, typical_px)
    if style.with_hvip:
        rings = _ground_discs(crowd, _HVIP_RADIUS_M)
        _draw_rings(block, rings, np.full((len(crowd), 3), 255), crowd.height_px / 40)
        _draw_rings(block, rings, crowd.colours, crowd.height_px / 80)
    _paint_bodies(block, crowd, typical_px, style.renderer)
    if style.with_hvip:
        draw_shapes(block, _ground_discs(crowd, _HVIP_DOT_M), np.full((len(crowd), 3), 255))
    target[...] = block[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]


def _draw_rings(photo: np.ndarray, outlines_px: np.ndarray, colours: np.ndarray, width_px: np.ndarray) -> None:
    width = np.clip(np.rint(width_px), 1, 30).astype(int)
    for kind in np.unique(np.column_stack([width, colours]), axis=0):
        same = (width == kind[0]) & (colours == kind[1:]).all(axis=1)
        draw_polylines(photo, outlines_px[same], tuple(kind[1:].tolist()), int(kind[0]), closed=True)


def _ground_discs(crowd: Crowd, radius_m: float) -> np.ndarray:
    """(N, 32, 2) outlines of discs on the ground around HVIPs."""
    angle = np.linspace(0.0, 2.0 * np.pi, 33)[:-1]
    axes = crowd.ground.rotation_cam_world[:, [0, 2]]
    circle = radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=-1) @ axes.T
    pixels = crowd.camera.project(crowd.hvip_cam_m[:, None] + circle)
    # What lies behind the camera collapses to a point far outside.
    return np.where(np.isfinite(pixels), pixels, -1e5)


def _paint_contact(photo: np.ndarray, crowd: Crowd, typical_px: float) -> None:
    """Soft dark discs under everybody who touches the ground: without them bodies seem to float."""
    light = np.full(photo.shape[:2], 255, np.uint8)
    for number, radius_m in enumerate(_CONTACT_RADII_M, start=1):
        shade = round(255 * (1.0 - _CONTACT_SHADE) ** number)
        discs = _ground_discs(crowd, radius_m)[crowd.on_ground]
        draw_shapes(light, discs, np.full((len(discs), 1), shade))
    soft = _blurred(light, float(np.clip(0.018 * typical_px, 0.5, _MARGIN_PX / 3.5)))
    cv2.multiply(photo, cv2.merge([soft, soft, soft]), dst=photo, scale=1 / 255)


def _blurred(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur, a wide one at a resolution at which it is narrow."""
    factor = max(1, int(sigma_px / _NARROW_PX))
    small = cv2.resize(image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma_px / factor), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _paint_bodies(photo: np.ndarray, crowd: Crowd, typical_px: float, renderer: Renderer) -> None:
    """Draw the bodies into `photo`."""
    height_m = crowd.vertices_cam_m @ crowd.ground.normal.astype(np.float32) + np.float32(crowd.ground.offset_m)
    # The lower a point, the less sky it sees: ambient occlusion by the ground, in one line.
    open_sky = 1.0 - _FOOT_SHADE * np.clip(1.0 - height_m / _FOOT_REACH_M, 0.0, 1.0)
    colours = (_BRIGHTNESS * crowd.colours[:, None].astype(np.float32)) * open_sky[..., None]
    drawn, identity, _ = renderer(crowd.vertices_cam_m, crowd.faces, colours, crowd.camera)
    edge_px = max(1, round(typical_px * _EDGE_PER_HEIGHT))
    drawn = cv2.multiply(drawn, cv2.merge([_between(identity, edge_px)] * 3), scale=1 / 255)
    mask = (identity > 0).astype(np.uint8) * 255
    # Outside its silhouette a body is black, so that the soft rim becomes a dark contour and hides the stairs of the z-buffer.
    rim = cv2.GaussianBlur(cv2.dilate(mask, np.ones((edge_px + 2, edge_px + 2), np.uint8)), (0, 0), 0.6)
    blend(photo, drawn, identity, rim, OPACITY, _EDGE_SHADE)


def _between(identity: np.ndarray, width_px: int) -> np.ndarray:
    """(h, w) uint8, 255 inside a person and darker along the borders between people."""
    border = np.zeros(identity.shape, np.uint8)
    border[:, 1:] |= (identity[:, 1:] != identity[:, :-1]).astype(np.uint8)
    border[1:] |= (identity[1:] != identity[:-1]).astype(np.uint8)
    wide = cv2.dilate(border, np.ones((width_px, width_px), np.uint8))
    return cv2.GaussianBlur((255 - wide * round(255 * _EDGE_SHADE)).astype(np.uint8), (0, 0), 0.6)


def _paint_grid(photo: np.ndarray, crowd: Crowd) -> None:
    """Lines on the ground, at least `_GRID_REACH_M` beyond nearly everybody."""
    world = crowd.ground.to_world(crowd.hvip_cam_m)[:, [0, 2]]
    low, high = np.quantile(world, 0.02, axis=0) - _GRID_REACH_M, np.quantile(world, 0.98, axis=0) + _GRID_REACH_M
    step = grid_step(float((high - low).max()), 24)
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
    x, z = (np.arange(a, b + step / 2, step) for a, b in zip(low, high, strict=True))
    fine = np.linspace(0.0, 1.0, 65)
    along_z = np.stack(np.broadcast_arrays(x[:, None], 0.0, low[1] + fine * (high[1] - low[1])), axis=-1)
    along_x = np.stack(np.broadcast_arrays(low[0] + fine * (high[0] - low[0]), 0.0, z[:, None]), axis=-1)
    pixels = crowd.camera.project(crowd.ground.from_world(np.concatenate([along_z, along_x])))
    segments = np.stack([pixels[:, :-1], pixels[:, 1:]], axis=2).reshape(-1, 2, 2)
    segments = segments[np.isfinite(segments).all(axis=(1, 2))]
    lines = np.zeros(photo.shape[:2], np.uint8)
    draw_polylines(lines, segments, (_GRID_LIGHT,) * 3, max(1, round(crowd.camera.fx / 7000)))
    rows, columns = np.nonzero(lines)
    weight = lines[rows, columns, None] / np.float32(255)
    photo[rows, columns] = np.rint(photo[rows, columns] * (1.0 - weight) + 255.0 * weight)
