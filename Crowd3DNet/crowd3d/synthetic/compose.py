"""Puts people and place together: meshes in the camera frame, drawing of windows, visibility."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crowd3d.bodies import Body
from crowd3d.raster import Buffers, Meshes, draw, in_bands, kernels
from crowd3d.raster.buffers import to_window
from crowd3d.synthetic import shading
from crowd3d.synthetic.accessories import dress_up
from crowd3d.synthetic.appearance import cloth_thickness, landmarks, sample_clothes
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.people import PosedCrowd
from crowd3d.synthetic.world import World


@dataclass(frozen=True)
class Stage:
    """A place with its people, ready to be drawn.

    Attributes:
        view: camera and ground.
        world: the place.
        meshes: people first (identity n + 1 is person n), then their clothes and bags, then the place.
        shadows: (projected points, inverse depth, bounds) of everything cast on the ground.
        material, table_row: (O,) by object; a seed for foliage.
        person: (O,) int64 person that an object belongs to, −1 for none.
        clothes: (N, COLUMNS) float32.
        marks: landmarks of the body.
    """

    view: Viewpoint
    world: World
    meshes: Meshes
    shadows: Meshes
    material: np.ndarray
    table_row: np.ndarray
    person: np.ndarray
    clothes: np.ndarray
    marks: np.ndarray


def set_stage(rng: np.random.Generator, view: Viewpoint, world: World, crowd: PosedCrowd, body: Body) -> Stage:
    """Dress the people and project everything."""
    marks = landmarks(body)
    clothes = sample_clothes(rng, len(crowd), marks)
    vertices, normals = _clothed(rng, crowd, body, marks, clothes)
    count, size = vertices.shape[:2]
    extras, owner = dress_up(rng, crowd, clothes)
    parts = extras + world.parts
    people_paint = np.empty((count, size, 4), np.float32)
    people_paint[..., :3] = body.template
    people_paint[..., 3] = world.light.brightness(normals)
    points = [vertices.reshape(-1, 3)] + [p.points_m for p in parts]
    paint = [people_paint.reshape(-1, 4)] + [np.column_stack([p.paint, world.light.brightness(p.normals)]) for p in parts]
    faces = [body.faces] + [p.faces for p in parts]
    face_end = np.cumsum([len(f) for f in faces])
    vertex_end = np.cumsum([count * size] + [len(p.points_m) for p in parts])
    first_face = np.concatenate([np.zeros(count, np.int64), face_end[:-1]])
    last_face = np.concatenate([np.full(count, face_end[0]), face_end[1:]])
    first_vertex = np.concatenate([np.arange(count) * size, vertex_end[:-1]])
    last_vertex = np.concatenate([(np.arange(count) + 1) * size, vertex_end[1:]])
    total = count + len(parts)
    objects = np.stack([first_face, last_face, first_vertex, np.arange(total) + 1], axis=1).astype(np.int64)
    culls = np.arange(total) < count
    points_m = np.concatenate(points)
    all_faces = np.ascontiguousarray(np.concatenate(faces), np.int32)
    attributes = np.ascontiguousarray(np.concatenate(paint), np.float32)
    sun = world.light.to_sun
    fallen = points_m - np.maximum(points_m[:, 1:2], 0) * (sun / sun[1])
    fallen[:, 1] = 0.0

    def project(world_points: np.ndarray, closed: np.ndarray) -> Meshes:
        return Meshes.project(
            view.ground.from_world(world_points), attributes, all_faces, objects, last_vertex.astype(np.int64), closed, view.camera
        )

    return Stage(
        view=view,
        world=world,
        meshes=project(points_m, culls),
        shadows=project(fallen, np.zeros(total, bool)),
        material=np.concatenate([np.full(count, shading.PERSON), [p.material for p in parts]]).astype(np.int64),
        table_row=np.concatenate([np.arange(count), [p.row for p in parts]]).astype(np.int64),
        person=np.concatenate([np.arange(count), owner, np.full(len(world.parts), -1)]).astype(np.int64),
        clothes=clothes,
        marks=marks,
    )


def _clothed(
    rng: np.random.Generator, crowd: PosedCrowd, body: Body, marks: np.ndarray, clothes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and normals (N, V, 3) with the thickness of clothes and hair; feet, hands and face keep their place."""
    normals = np.empty_like(crowd.vertices_m)
    kernels.vertex_normals(crowd.vertices_m, body.faces, normals)
    thickness = cloth_thickness(rng, body.template, clothes, marks)
    return crowd.vertices_m + thickness[..., None] * normals, normals


def draw_window(
    stage: Stage, left: int, top: int, width: int, height: int, supersample: int, threads: int | None
) -> tuple[np.ndarray, Buffers]:
    """Draw a window of the view.

    Returns:
        (height, width, 3) float32 colours, and the buffers with `supersample` samples per pixel and axis.
    """
    light, camera = stage.world.light, stage.view.camera
    buffers = Buffers.empty(height * supersample, width * supersample, 4)
    draw(stage.meshes, buffers, left, top, 1.0 / supersample, threads)
    image = np.zeros((height, width, 3), np.float32)
    shadow = _shadow(stage, left, top, width, height, threads)
    rotation = np.ascontiguousarray(stage.view.ground.rotation_cam_world.T)
    offset = stage.view.ground.offset_m
    tint = 1.0 - light.shadow * np.array([1.0, 0.97, 0.9])
    patches = stage.world.patches.copy()
    patches[:, shading.COLOUR : shading.SEED] *= np.tile(light.colour, 3)

    def ground_band(begin: int, end: int) -> None:
        shading.shade_ground(
            rotation, offset, camera.fx, camera.fy, camera.cx, camera.cy, left, top, patches, shadow, tint, light.haze, light.haze_m,
            light.sky, buffers.identity, supersample, begin, end, image,
        )  # fmt: skip

    in_bands(height, ground_band, threads)

    def surface_band(begin: int, end: int) -> None:
        shading.shade_surfaces(
            buffers.inverse_depth, buffers.identity, buffers.attributes, stage.material, stage.table_row, stage.clothes, stage.marks,
            stage.world.facades, light.colour, light.haze, light.haze_m, camera.fx, supersample, begin, end, image,
        )  # fmt: skip

    in_bands(height, surface_band, threads)
    return image, buffers


def _shadow(stage: Stage, left: int, top: int, width: int, height: int, threads: int | None) -> np.ndarray:
    """(height, width) float32 share of direct light that is blocked on the ground."""
    mask = np.zeros((height, width), np.uint8)
    points, bounds = to_window(stage.shadows, left, top, 1.0)

    def band(begin: int, end: int) -> None:
        kernels.rasterize_mask(
            points, stage.shadows.inverse_depth, stage.shadows.faces, stage.shadows.objects, bounds, stage.shadows.culls, begin, end, mask
        )

    in_bands(height, band, threads)
    softness = 1.0 if stage.world.light.to_sun[1] < 0.94 else 3.0
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness)
