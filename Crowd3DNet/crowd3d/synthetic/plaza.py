"""A laid-out public square for whole pictures: paving, beds, cafés, market, rows of trees and lamps, a road and houses behind."""

from __future__ import annotations

import numpy as np

from crowd3d.bodies import Body
from crowd3d.synthetic import shading
from crowd3d.synthetic.cameras import Viewpoint
from crowd3d.synthetic.people import Placement, place_groups, thin
from crowd3d.synthetic.props import Part
from crowd3d.synthetic.world import World, furniture, make_patch, sample_facades, sample_light, skyline

SMALLEST_PERSON = 1 / 250  # of the image's width, about 77 px at 19200: nobody stands farther away
LARGEST_PERSON = 0.7  # of the image's height: nobody stands nearer
ROOM_M2 = 2.2
FAR_EDGE = 90  # percentile of the visible ground's pixels by distance where the square ends and the road begins
FARTHEST_M = 450.0


def usable_ground(view: Viewpoint, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Ground where people may stand: points (K, 2) x, z on a grid of pixels, and the area (K,) m² that each stands for."""
    c = view.camera
    u, v = np.meshgrid((np.arange(2 * rows) + 0.5) / (2 * rows) * c.width, (np.arange(rows) + 0.5) / rows * c.height)
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    points = view.ground.intersect(c, uv)
    height = view.person_px(uv)
    with np.errstate(invalid="ignore"):
        good = (height > SMALLEST_PERSON * c.width) & (height < LARGEST_PERSON * c.height)
    points = points[good]
    cell = (c.width / (2 * rows)) * (c.height / rows)
    # A pixel at depth z covers z³ / (fx fy D) square metres of a plane at distance D from the camera.
    area = cell * points[:, 2] ** 3 / (c.fx * c.fy * view.ground.offset_m)
    return view.ground.to_world(points)[:, [0, 2]], area


def has_room(view: Viewpoint, people: int) -> bool:
    """Whether `people` people find room, most of them more than 1/190 of the image's width tall."""
    points, area = usable_ground(view)
    return len(points) > 0 and float(area.sum()) > ROOM_M2 * people + 20 and float(np.percentile(np.hypot(*points.T), 98)) < FARTHEST_M


class _Layout:
    """Collects parts, seats and obstacles while a square is laid out."""

    def __init__(self, rng: np.random.Generator, facades: int, body: Body, axis_rad: float, origin: np.ndarray) -> None:
        self.rng, self.facades, self.body = rng, facades, body
        self.axis_rad, self.origin = axis_rad, origin
        self.parts: list[Part] = []
        self.seats: list[np.ndarray] = [np.zeros((0, 3))]
        self.obstacles: list[np.ndarray] = [np.zeros((0, 3))]
        self.patches: list[np.ndarray] = []

    def to_world(self, across: float, ahead: float) -> tuple[float, float]:
        """Metres across and ahead of the near edge of the square → world x, z."""
        c, s = np.cos(self.axis_rad), np.sin(self.axis_rad)
        x, z = across, -ahead
        return float(self.origin[0] + c * x + s * z), float(self.origin[1] - s * x + c * z)

    def put(self, kind: str, across: float, ahead: float, turn_rad: float = 0.0) -> None:
        """Place a piece of furniture in the square's coordinates."""
        x, z = self.to_world(across, ahead)
        parts, radius, seats = furniture(self.rng, kind, self.facades, self.body, leaves=4000)
        yaw = self.axis_rad + turn_rad
        self.parts += [p.placed(x, 0, z, yaw) for p in parts]
        c, s = np.cos(yaw), np.sin(yaw)
        self.seats.append(
            np.stack([x + c * seats[:, 0] + s * seats[:, 1], z - s * seats[:, 0] + c * seats[:, 1], seats[:, 2] + yaw], axis=1)
        )
        self.obstacles.append(np.array([[x, z, radius]]))

    def lay(
        self, kind: int, shape: float, across: float, ahead: float, half_x: float, half_z: float, **columns: np.ndarray | float
    ) -> None:
        """Lay a patch of ground; `columns` overwrite slices of its row."""
        row = make_patch(self.rng, kind, shape, *self.to_world(across, ahead), half_x, half_z, -self.axis_rad)
        for name, value in columns.items():
            first = getattr(shading, name)
            row[first : first + np.size(value)] = value
        self.patches.append(row)


def build_square(rng: np.random.Generator, view: Viewpoint, body: Body) -> World:
    """A square that fills the ground on which `usable_ground` lets people stand."""
    points, _ = usable_ground(view)
    light, facades = sample_light(rng, sunny=0.8), sample_facades(rng)
    ahead = -points[:, 1]
    near, far = float(ahead.min()), float(np.percentile(ahead, FAR_EDGE))
    depth = far - near
    half = float(np.percentile(np.abs(points[:, 0] - np.median(points[:, 0])), 97))
    layout = _Layout(rng, len(facades), body, float(rng.normal(0, 0.06)), np.array([np.median(points[:, 0]), -near]))
    unit = float(np.clip(depth / 12, 1.5, 9.0))
    _pave(rng, layout, depth, half, unit)
    _beds_and_trees(rng, layout, depth, half, unit)
    _attractions(rng, layout, depth, half, unit)
    _behind(rng, layout, depth, half)
    houses = [p.placed(*_corner(layout, depth)) for p in skyline(rng, 16.0, layout.axis_rad, len(facades), half * 2 + 60)]
    return World(
        light, np.array(layout.patches), facades, layout.parts + houses, np.concatenate(layout.seats), np.concatenate(layout.obstacles)
    )


def _corner(layout: _Layout, depth: float) -> tuple[float, float, float]:
    x, z = layout.to_world(0.0, depth)
    return x, 0.0, z


def _pave(rng: np.random.Generator, layout: _Layout, depth: float, half: float, unit: float) -> None:
    """Paving with bands of another stone, a disc in the middle, a sports court or a lawn, repairs, manholes."""
    base = int(rng.choice([shading.TILES, shading.BRICKS, shading.SLABS, shading.SETTS, shading.ASPHALT], p=[0.4, 0.2, 0.2, 0.1, 0.1]))
    layout.lay(base, 2.0, 0.0, 0.0, 1.0, 1.0, SCALE=rng.uniform(0.5, 1.6), WEAR=rng.uniform(0.2, 0.7))
    colour = layout.patches[0][shading.COLOUR : shading.COLOUR + 3]
    band = np.clip(colour * rng.choice([0.6, 0.72, 1.3]), 20, 225)
    stone = {"COLOUR": band, "COLOUR2": band * 0.94, "JOINT": band * 0.7}
    for ahead in np.arange(0.5 * unit, depth + 30, unit):
        layout.lay(shading.TILES, 0.0, 0.0, float(ahead), 400.0, 0.2, SCALE=0.4, **stone)
    for across in np.arange(-2 * half, 2 * half, 1.5 * unit):
        layout.lay(shading.TILES, 0.0, float(across), 0.5 * depth, 0.2, depth + 100, SCALE=0.4, **stone)
    for _ in range(5):
        across, ahead = rng.uniform(-half, half), rng.uniform(0, depth)
        layout.lay(shading.ASPHALT, 0.0, across, ahead, rng.uniform(0.4, 1.6), rng.uniform(0.4, 3.0))
        layout.lay(
            shading.ASPHALT,
            1.0,
            rng.uniform(-half, half),
            rng.uniform(0, depth),
            0.35,
            0.35,
            COLOUR=np.full(3, 60.0),
            COLOUR2=np.full(3, 70.0),
        )
    if rng.random() < 0.5:
        layout.lay(shading.COURT, 0.0, rng.choice([-1, 1]) * 0.75 * half, rng.uniform(0.3, 0.7) * depth, 1.6 * unit, unit)


def _beds_and_trees(rng: np.random.Generator, layout: _Layout, depth: float, half: float, unit: float) -> None:
    """Lawns with hedges and trees along both sides, lamps in rows, benches that face the square."""
    for side in (-1, 1):
        for ahead in np.arange(0.12 * depth, depth, 2.6 * unit):
            across = side * (0.62 + 0.12 * rng.random()) * half
            layout.lay(shading.GRASS, 0.0, across, float(ahead), 0.6 * unit, 0.9 * unit)
            layout.patches[-1][shading.COLOUR : shading.COLOUR + 6] *= 0.9
            for _ in range(rng.integers(0, 3)):
                layout.put("tree", across + rng.uniform(-0.4, 0.4) * unit, float(ahead) + rng.uniform(-0.7, 0.7) * unit)
            for _ in range(rng.integers(2, 6)):
                layout.put("bush", across + rng.uniform(-0.5, 0.5) * unit, float(ahead) + rng.uniform(-0.8, 0.8) * unit)
            for k in (-1, 1):
                layout.put("bench", across - side * (0.6 * unit + 0.6), float(ahead) + k * 0.45 * unit, -side * np.pi / 2)
        for ahead in np.arange(0.05 * depth, depth, 1.8 * unit):
            layout.put("lamp", side * 0.42 * half, float(ahead))
            layout.put("bollard", side * 0.42 * half + 0.8, float(ahead))


def _attractions(rng: np.random.Generator, layout: _Layout, depth: float, half: float, unit: float) -> None:
    """A monument on a disc, café terraces, a market, planters and odd pieces between."""
    across, ahead = rng.uniform(-0.3, 0.3) * half, rng.uniform(0.4, 0.65) * depth
    layout.lay(shading.SETTS, 1.0, across, ahead, 0.8 * unit, 0.8 * unit, SCALE=0.25)
    layout.put("statue", across, ahead)
    for k in range(4):
        layout.put("bench", across + 1.0 * unit * np.sin(k * np.pi / 2), ahead - 1.0 * unit * np.cos(k * np.pi / 2), k * np.pi / 2)
    for _ in range(rng.integers(1, 3)):
        x, z = rng.uniform(-0.5, 0.5) * half, rng.uniform(0.25, 0.9) * depth
        for i in range(rng.integers(2, 4)):
            for j in range(rng.integers(2, 4)):
                layout.put("parasol", x + 3.2 * i + rng.normal(0, 0.2), z + 3.4 * j + rng.normal(0, 0.2))
    x, z = rng.uniform(-0.5, 0.3) * half, rng.uniform(0.65, 0.95) * depth
    for i in range(rng.integers(0, 6)):
        layout.put("tent", x + 5.0 * i, z, 0.0)
    for _ in range(14):
        kind = str(rng.choice(["planter", "sign", "bollard", "fence", "pole", "bench", "tree", "lamp"]))
        layout.put(kind, rng.uniform(-0.9, 0.9) * half, rng.uniform(0.08, 1.0) * depth, rng.choice(4) * np.pi / 2)


def _behind(rng: np.random.Generator, layout: _Layout, depth: float, half: float) -> None:
    """A road with parked cars, a crossing and trees between the square and the houses."""
    layout.lay(shading.ASPHALT, 0.0, 0.0, depth + 6, 400.0, 4.0, COLOUR=np.full(3, 78.0), COLOUR2=np.full(3, 90.0))
    layout.lay(shading.STRIPES, 0.0, rng.uniform(-0.4, 0.4) * half, depth + 6, 2.5, 4.0, SCALE=1.0, COLOUR2=np.full(3, 84.0))
    layout.lay(shading.ASPHALT, 0.0, 0.0, depth + 2, 400.0, 0.15, COLOUR=np.full(3, 160.0), COLOUR2=np.full(3, 175.0))
    across = -1.6 * half
    while across < 1.6 * half:
        layout.put("car" if rng.random() < 0.7 else "tree", across, depth + rng.choice([4.0, 8.5]), rng.normal(0, 0.04))
        across += rng.uniform(6, 14)


def place_people(rng: np.random.Generator, view: Viewpoint, world: World, people: int) -> Placement:
    """Exactly `people` people whose feet are in the picture: on seats, in groups near attractions and everywhere else."""
    points, area = usable_ground(view)
    square = -points[:, 1] < np.percentile(-points[:, 1], FAR_EDGE)
    points, area = points[square], area[square]
    share = area**0.55 / (area**0.55).sum()
    jitter = np.sqrt(area)[:, None]
    spacing = 0.45
    seats = world.seats_m[rng.random(len(world.seats_m)) < 0.45]
    found = Placement(seats[:, :2], seats[:, 2], np.full(len(seats), "sit")).take(rng.permutation(len(seats)))
    found = found.take(in_picture(view, found))
    found = found.take(np.arange(min(len(found.kind), people // 6)))
    while len(found.kind) < people:
        rows = rng.choice(len(points), people, p=share)
        anchors = points[rows] + rng.uniform(-0.5, 0.5, (people, 2)) * jitter[rows]
        gather = rng.random(people) < 0.25
        centres = anchors[rng.integers(0, max(3, people // 40), people)]
        anchors[gather] = (centres + rng.normal(0, 3.5, (people, 2)))[gather]
        more = place_groups(rng, anchors, 0.45)
        more = more.take(in_picture(view, more))
        taken = np.concatenate([world.obstacles_m, np.insert(found.xz_m, 2, 0.25, axis=1)])
        free = thin(more.xz_m, np.full(len(more.kind), spacing), taken[:, :2], taken[:, 2])
        found = found.joined(more.take(np.nonzero(free)[0][: people - len(found.kind)]))
    return found


def in_picture(view: Viewpoint, placement: Placement) -> np.ndarray:
    """(N,) whether feet are inside the picture and heights within the limits of `usable_ground`."""
    c = view.camera
    foot = view.camera.project(view.ground.from_world(np.insert(placement.xz_m, 1, 0.0, axis=1)))
    with np.errstate(invalid="ignore"):
        height = view.person_px(np.nan_to_num(foot, nan=-1e6))
        inside = (foot > [0.004 * c.width, 0]).all(axis=1) & (foot < [0.996 * c.width, 0.995 * c.height]).all(axis=1)
        return inside & (height > SMALLEST_PERSON * c.width) & (height < LARGEST_PERSON * c.height)
