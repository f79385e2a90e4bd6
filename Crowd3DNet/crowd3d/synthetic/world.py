"""Furnishes the place that a camera sees: ground, light, weather, buildings, trees, street furniture, cars, statues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.bodies import Body
from crowd3d.raster.kernels import vertex_normals
from crowd3d.synthetic import props, shading
from crowd3d.synthetic.appearance import sample_fabrics
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.poses import sample_poses
from crowd3d.synthetic.props import Part

MAX_DISTANCE_M = 420.0


@dataclass(frozen=True)
class Light:
    """Weather of a place.

    Attributes:
        to_sun: (3,) unit, world frame.
        ambient: 0…1 share of light without direction.
        shadow: 0…1 how much darker shadows are.
        colour: (3,) gain of direct light.
        haze: (3,) colour of distant air, 0…255.
        haze_m: distance at which 63 % is haze.
        sky: (7,) colour overhead, colour of clouds, seed.
    """

    to_sun: np.ndarray
    ambient: float
    shadow: float
    colour: np.ndarray
    haze: np.ndarray
    haze_m: float
    sky: np.ndarray

    def brightness(self, normals: np.ndarray) -> np.ndarray:
        """(..., 3) world normals → (...) brightness, about 1 for lit horizontal ground."""
        diffuse = np.clip(normals @ self.to_sun, 0, None) / max(self.to_sun[1], 0.35)
        return self.ambient * (0.72 + 0.28 * normals[..., 1]) + (1 - self.ambient) * np.minimum(diffuse, 1.35)


@dataclass(frozen=True)
class World:
    """Everything but the people.

    Attributes:
        light: weather.
        patches: (P, 20) ground, see `crowd3d.synthetic.shading`; later ones lie on top.
        facades: (R, 16) looks of walls and signs.
        parts: meshes in the world frame.
        seats_m: (S, 3) x, z of free seats on benches and the yaw that they face.
        obstacles_m: (T, 3) x, z, radius of discs where nobody stands.
    """

    light: Light
    patches: np.ndarray
    facades: np.ndarray
    parts: list[Part]
    seats_m: np.ndarray
    obstacles_m: np.ndarray


def ground_points(rng: np.random.Generator, view: Viewpoint, count: int, margin: float = 0.15, below: float = 0.5) -> np.ndarray:
    """Up to `count` ground points (K, 2) x, z seen by a view or a `margin` beside and `below` it (fractions of its size)."""
    c = view.camera
    u = rng.uniform(-margin * c.width, (1 + margin) * c.width, count)
    v = rng.uniform(-0.05 * c.height, (1 + below) * c.height, count)
    uv = np.stack([u, v], axis=1)
    points = view.ground.intersect(c, uv)
    world = view.ground.to_world(points)[:, [0, 2]]
    good = np.isfinite(points[:, 2]) & (np.hypot(*np.nan_to_num(world, nan=1e9).T) < MAX_DISTANCE_M) & (points[:, 2] > 1.5)
    return world[good]


def sample_light(rng: np.random.Generator, sunny: float = 0.6) -> Light:
    """Weather that is sunny with the given probability, else overcast."""
    sun = rng.random() < sunny
    azimuth, elevation = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(22, 72) if sun else rng.uniform(72, 88))
    to_sun = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    warm = rng.uniform(0.9, 1.08)
    grey = rng.uniform(150, 225)
    overhead = np.array([110, 150, 205]) * rng.uniform(0.7, 1.1) if sun else np.full(3, grey)
    return Light(
        to_sun=to_sun,
        ambient=rng.uniform(0.42, 0.62) if sun else rng.uniform(0.65, 0.9),
        shadow=rng.uniform(0.35, 0.65) if sun else rng.uniform(0.08, 0.3),
        colour=np.array([warm, 1.0, 2 - warm]) * rng.uniform(0.9, 1.1),
        haze=np.clip(np.array([grey, grey + 4, grey + 12]), 0, 245),
        haze_m=float(np.exp(rng.uniform(np.log(250), np.log(5000)))),
        sky=np.concatenate([overhead, np.full(3, rng.uniform(215, 248)), [rng.integers(1 << 15)]]),
    )


def make_patch(
    rng: np.random.Generator, kind: int, shape: float, x: float, z: float, half_x: float, half_z: float, yaw: float
) -> np.ndarray:
    """A row of the patch table with random colours that suit its kind of ground; `shape` 0 rectangle, 1 disc, 2 everywhere."""
    row = np.zeros(shading.PATCH_COLUMNS)
    grey = rng.uniform(65, 165)
    colours = np.clip(
        grey * np.exp(rng.normal(0, 0.14, (3, 1))) + rng.normal(0, 5, (3, 3)) + np.array([1, 0, -1]) * rng.uniform(-4, 16), 12, 235
    )
    if kind == shading.GRASS:
        colours[:2] = np.array([[70, 96, 44], [112, 118, 66]]) * rng.uniform(0.65, 1.25)
    elif kind == shading.COURT:
        colours[0] = np.array([[60, 110, 84], [150, 74, 56], [70, 96, 140], [90, 120, 60], [120, 122, 124]])[rng.integers(5)] * rng.uniform(
            0.7, 1.15
        )
        colours[1], colours[2] = colours[0] * 0.88, np.full(3, 225)
    elif kind == shading.ASPHALT and rng.random() < 0.6:
        colours = colours * 0.6
    elif kind == shading.STRIPES:
        colours[0] = rng.uniform(205, 235)
    colours[2] = colours[2] if kind == shading.COURT else colours[0] * rng.choice([0.55, 0.7, 1.35])
    row[: shading.COLOUR] = [shape, x, z, np.cos(yaw), np.sin(yaw), half_x, half_z, kind, np.exp(rng.uniform(np.log(0.3), np.log(2.2)))]
    if kind == shading.BRICKS or kind == shading.SETTS:
        row[shading.SCALE] = rng.uniform(0.15, 0.4)
    elif kind == shading.STRIPES:
        row[shading.SCALE] = rng.choice([1.0, 0.9, 0.3])
    row[shading.COLOUR : shading.SEED] = np.clip(colours, 8, 240).ravel()
    row[shading.SEED], row[shading.WEAR] = rng.integers(1 << 15), rng.uniform(0, 0.9)
    return row


def sample_patches(rng: np.random.Generator, spots: np.ndarray, size_m: float, base_yaw: float) -> np.ndarray:
    """Base ground, and patches of other ground (beds, roads, courts, crossings, repairs) around the spots (K, 2)."""
    kind = int(rng.choice(8, p=[0.22, 0.26, 0.13, 0.1, 0.14, 0.0, 0.04, 0.11]))
    base = make_patch(rng, kind, 2.0, rng.uniform(-50, 50), rng.uniform(-50, 50), 20.0, 12.0, base_yaw)
    rows = [base]
    for x, z in spots:
        kind = int(rng.choice(8, p=[0.2, 0.14, 0.1, 0.2, 0.1, 0.1, 0.06, 0.1]))
        half = size_m * np.exp(rng.uniform(np.log(0.08), np.log(1.0), 2))
        if rng.random() < 0.35:
            half[0] = 60.0
            half[1] = rng.choice([0.08, 0.25, 1.5, 3.5])
        disc = rng.random() < 0.25 and half[0] < 60
        rows.append(make_patch(rng, kind, float(disc), x, z, half[0], half[1], base_yaw + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.02)))
    return np.array(rows)


def sample_facades(rng: np.random.Generator, count: int = 8) -> np.ndarray:
    """(count, 16) looks of walls."""
    rows = np.zeros((count, shading.FACADE_COLUMNS))
    wall = np.array(
        [[186, 172, 150], [168, 110, 86], [200, 198, 192], [120, 122, 126], [208, 190, 150], [150, 140, 130], [228, 224, 214]], float
    )
    rows[:, :3] = wall[rng.integers(0, len(wall), count)] * rng.uniform(0.7, 1.1, (count, 1)) + rng.normal(0, 6, (count, 3))
    rows[:, 3:6] = np.array([70, 84, 98]) * rng.uniform(0.5, 1.5, (count, 1)) + rng.normal(0, 6, (count, 3))
    rows[:, 6:9] = np.clip(rows[:, :3] * rng.uniform(0.6, 1.3, (count, 1)), 0, 245)
    rows[:, 9] = rng.uniform(1.4, 4.2, count)
    rows[:, 10] = rng.uniform(2.7, 4.2, count)
    rows[:, 11] = rng.uniform(0.3, 0.8, count)
    rows[:, 12] = rng.uniform(0.35, 0.75, count)
    rows[:, 13] = rng.uniform(2.6, 5.0, count)
    rows[:, 14] = rng.integers(0, 1 << 15, count)
    rows[:, 15] = rng.choice(3, count, p=[0.68, 0.22, 0.1])
    return np.clip(rows, 0, 1 << 15)


def skyline(rng: np.random.Generator, distance: float, yaw: float, facades: int, spread: float) -> list[Part]:
    """A broken row of buildings with trees before it, across the view at `distance`."""
    parts: list[Part] = []
    x = -spread
    while x < spread:
        width, height, depth = rng.uniform(9, 46), np.exp(rng.uniform(np.log(5), np.log(34))), rng.uniform(10, 25)
        back = distance + rng.uniform(0, 14) + depth / 2
        for part in props.building(width, height, depth, np.full(3, rng.uniform(70, 150)), int(rng.integers(facades))):
            parts.append(part.placed(x + width / 2, 0, -back).placed(yaw_rad=yaw))
        x += width + (rng.uniform(3, 15) if rng.random() < 0.35 else 0.0)
    return parts


def furniture(
    rng: np.random.Generator, kind: str, facades: int, body: Body, leaves: int = 900
) -> tuple[list[Part], float, np.ndarray]:
    """Parts, radius kept free of people, and local seats (S, 3) of one thing."""
    none = np.zeros((0, 3))
    if kind == "tree":
        height = np.exp(rng.uniform(np.log(3), np.log(11)))
        return props.tree(rng, height, leaves), 0.3, none
    if kind == "lamp":
        return props.lamp(rng), 0.2, none
    if kind == "pole":
        return [props.pole(rng.uniform(0.03, 0.09), rng.uniform(1.5, 7), rng.uniform(40, 200) * np.ones(3))], 0.15, none
    if kind == "sign":
        return props.sign(rng, int(rng.integers(facades))), 0.9, none
    if kind == "car":
        return props.car(rng, np.clip(sample_fabrics(rng, 1)[0] * 1.1, 10, 240)), 2.3, none
    if kind == "parasol":
        seats = np.array([[np.sin(a) * 0.85, np.cos(a) * 0.85, a + np.pi] for a in rng.uniform(0, 6.28) + np.arange(4) * np.pi / 2])
        wood = np.array([96, 84, 72])
        chair = props.merge([props.box(0.42, 0.05, 0.42, wood, 0.4), props.box(0.07, 0.4, 0.07, wood), props.box(0.36, 0.03, 0.36, wood)])
        chairs = [chair.placed(x, 0, z, yaw) for x, z, yaw in seats]
        cloth = props.parasol(rng, sample_fabrics(rng, 1)[0].astype(float), rng.uniform(1.1, 1.9), rng.uniform(2.2, 2.8))
        return [*cloth, *props.table(rng), props.merge(chairs)], 0.5, seats
    if kind == "bench":
        length = rng.uniform(1.4, 3.2)
        along = np.arange(-length / 2 + 0.35, length / 2 - 0.2, 0.58)
        return props.bench(rng, length), 0.8, np.stack([along, np.full_like(along, 0.02), np.zeros_like(along)], axis=1)
    if kind == "fence":
        return props.fence(rng, rng.uniform(2, 9)), 0.4, none
    if kind == "planter":
        return props.planter(rng), 1.3, none
    if kind == "bush":
        return props.bush(rng, rng.uniform(0.7, 2.6), rng.uniform(0.5, 1.6)), 0.9, none
    if kind == "tent":
        return props.tent(rng, sample_fabrics(rng, 1)[0].astype(float)), 1.6, none
    if kind == "statue":
        return statue(rng, body), 0.8, none
    return props.bin_or_bollard(rng), 0.4, none


def statue(rng: np.random.Generator, body: Body) -> list[Part]:
    """A stone or bronze figure on a plinth: looks like a person and is none."""
    pose, betas = sample_poses(rng, rng.choice(["stand", "raise", "hips", "wild", "walk"], 1)), rng.normal(size=(1, 10))
    vertices = body.pose(pose.astype(np.float32), betas)[0]
    normals = np.empty_like(vertices)
    vertex_normals(vertices, body.faces, normals)
    stone = np.array([[150, 146, 138], [70, 80, 70], [92, 74, 54], [205, 202, 196]])[rng.integers(4)] * rng.uniform(0.7, 1.1)
    size, plinth = rng.uniform(0.9, 1.7), rng.uniform(0.1, 1.8)
    points = (vertices[0] - [0, vertices[0, :, 1].min(), 0]) * size + [0, plinth, 0]
    figure = Part(points, normals[0].astype(np.float64), np.broadcast_to(stone, points.shape), body.faces)
    return [figure, props.box(0.9, plinth, 0.9, np.array([140, 138, 132]) * rng.uniform(0.6, 1.2))]


FURNITURE = {"tree": 0.16, "lamp": 0.1, "pole": 0.08, "sign": 0.08, "car": 0.08, "parasol": 0.07, "bench": 0.14, "fence": 0.06,
             "planter": 0.06, "bush": 0.06, "tent": 0.03, "statue": 0.03, "bollard": 0.05}  # fmt: skip


def furnish(rng: np.random.Generator, view: Viewpoint, body: Body, things: int, patches: int, skyline_m: float | None = None) -> World:
    """A random place for a view: about `things` pieces of street furniture, and buildings across it at `skyline_m` if given."""
    light, facades = sample_light(rng), sample_facades(rng)
    yaw = rng.uniform(-np.pi, np.pi)
    spots = ground_points(rng, view, things, 0.15, 0.5)
    # A thing so near that a person there would fill the picture would hide everything, and a tree hides more than a bench.
    near = view.person_px(view.camera.project(view.ground.from_world(np.insert(spots, 1, 0.0, axis=1))))
    kinds = rng.choice(np.array(list(FURNITURE)), len(spots), p=list(FURNITURE.values()))
    bulky = np.isin(kinds, ["tree", "tent", "car", "parasol"])
    apart = np.nan_to_num(near, nan=np.inf) < np.where(bulky, 0.4, 0.8) * view.camera.height
    spots, kinds = spots[apart], kinds[apart]
    ground = ground_points(rng, view, patches, 0.1, 0.2)
    extent = float(np.ptp(ground, axis=0).mean()) if len(ground) > 1 else 8.0
    parts: list[Part] = [] if skyline_m is None else skyline(rng, skyline_m, rng.normal(0, 0.25), len(facades), 1.2 * skyline_m)
    seats, obstacles = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for (x, z), kind in zip(spots, kinds, strict=True):
        pieces, radius, local = furniture(rng, str(kind), len(facades), body)
        turn = yaw + rng.choice(4) * np.pi / 2 + rng.normal(0, 0.15)
        parts += [p.placed(x, 0, z, turn) for p in pieces]
        c, s = np.cos(turn), np.sin(turn)
        seats.append(np.stack([x + c * local[:, 0] + s * local[:, 1], z - s * local[:, 0] + c * local[:, 1], local[:, 2] + turn], axis=1))
        obstacles.append(np.array([[x, z, radius]]))
    rows = sample_patches(rng, ground, min(extent, 25.0), yaw)
    return World(light, rows, facades, parts, np.concatenate(seats), np.concatenate(obstacles))
