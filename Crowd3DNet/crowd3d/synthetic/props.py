"""Triangle meshes of things that stand in public places, in local coordinates: y up, foot at the origin, metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowd3d.synthetic.shading import FACADE, FLAT, FOLIAGE, SIGN


@dataclass(frozen=True)
class Part:
    """A mesh of one material.

    Attributes:
        points_m: (V, 3) float64.
        normals: (V, 3) float64 unit.
        paint: (V, 3) float64 red, green, blue in 0…255, or u, v, 0 in metres for façades and signs.
        faces: (F, 3) int64.
        material: one of `crowd3d.synthetic.shading`.
        row: row of the façade table, or a seed.
    """

    points_m: np.ndarray
    normals: np.ndarray
    paint: np.ndarray
    faces: np.ndarray
    material: int = FLAT
    row: int = 0

    def placed(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw_rad: float = 0.0) -> Part:
        """Turned about the vertical, then moved."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        return Part(self.points_m @ turn.T + [x, y, z], self.normals @ turn.T, self.paint, self.faces, self.material, self.row)


def merge(parts: list[Part]) -> Part:
    """One part out of several of the same material."""
    offsets = np.cumsum([0] + [len(p.points_m) for p in parts[:-1]])
    return Part(
        np.concatenate([p.points_m for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.paint for p in parts]),
        np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=True)]),
        parts[0].material,
        parts[0].row,
    )


def quads(corners: np.ndarray, colour: np.ndarray, material: int = FLAT, row: int = 0) -> Part:
    """Flat quadrilaterals (Q, 4, 3), counter-clockwise from outside; `colour` (3,) or (Q, 3)."""
    count = len(corners)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
    normal = a[:, [1, 2, 0]] * b[:, [2, 0, 1]] - a[:, [2, 0, 1]] * b[:, [1, 2, 0]]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    faces = (np.arange(count)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    paint = np.repeat(np.broadcast_to(colour, (count, 3)), 4, axis=0)
    return Part(corners.reshape(-1, 3), np.repeat(normal, 4, axis=0), paint, faces, material, row)


_BOX = np.array(
    [[[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], [[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0]],
     [[1, 0, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]], [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]],
     [[0, 1, 1], [1, 1, 1], [1, 1, 0], [0, 1, 0]], [[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]], float
)  # fmt: skip


def box(width: float, height: float, depth: float, colour: np.ndarray, y: float = 0.0, x: float = 0.0, z: float = 0.0) -> Part:
    """Axis-aligned box whose bottom centre is at (x, y, z)."""
    return quads(_BOX * [width, height, depth] + [x - width / 2, y, z - depth / 2], np.asarray(colour, float))


def lathe(radii: np.ndarray, heights: np.ndarray, colour: np.ndarray, sides: int = 8) -> Part:
    """Surface of revolution through (radius, height) pairs from bottom to top; `colour` (3,) or (R, 3) per ring."""
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(angle), np.zeros(sides), -np.sin(angle)], axis=1)
    rings = len(radii)
    points = ring[None] * np.asarray(radii)[:, None, None] + np.asarray(heights)[:, None, None] * np.array([0, 1.0, 0])
    slope = np.gradient(np.asarray(radii, float)) / (np.gradient(np.asarray(heights, float)) + 1e-9)
    normals = ring[None] - slope[:, None, None] * np.array([0, 1.0, 0])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    k = (j + 1) % sides
    a, b, c, d = i * sides + j, i * sides + k, (i + 1) * sides + k, (i + 1) * sides + j
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    paint = np.repeat(np.broadcast_to(colour, (rings, 3)), sides, axis=0).astype(float)
    return Part(points.reshape(-1, 3), normals.reshape(-1, 3), paint, faces)


def pole(radius: float, height: float, colour: np.ndarray) -> Part:
    """Upright cylinder."""
    return lathe(np.array([radius, radius * 0.8, 1e-3]), np.array([0.0, height, height + 0.01]), colour)


def tree(rng: np.random.Generator, height: float, leaves: int = 900) -> list[Part]:
    """Trunk, and a crown of random leaf triangles, denser outside and darker inside and below."""
    trunk_height = height * rng.uniform(0.25, 0.4)
    trunk = lathe(
        np.array([0.035, 0.025, 0.012]) * height * 0.6,
        np.array([0.0, trunk_height, height * 0.7]),
        np.array([84, 68, 52]) * rng.uniform(0.6, 1.2),
    )
    lobes = rng.integers(3, 8)
    centres = rng.normal(0, [0.13, 0.1, 0.13], (lobes, 3)) * height + [0, (trunk_height + height) / 2, 0]
    radius = height * rng.uniform(0.12, 0.24, lobes)
    lobe = rng.integers(0, lobes, leaves)
    direction = rng.normal(size=(leaves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shell = rng.uniform(0.55, 1.0, leaves) ** 0.5
    centre = centres[lobe] + direction * (radius[lobe] * shell)[:, None]
    size = height * rng.uniform(0.5, 1.35, (leaves, 1, 1)) / np.sqrt(leaves)
    points = centre[:, None] + rng.normal(size=(leaves, 3, 3)) * size
    normals = 0.7 * direction + [0, 0.4, 0]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    green = np.array([[58, 86, 38], [76, 98, 44], [48, 74, 44], [110, 112, 50], [134, 96, 44]], float)[
        rng.choice(5, p=[0.3, 0.3, 0.2, 0.14, 0.06])
    ]
    tone = (0.45 + 0.55 * shell) * rng.uniform(0.75, 1.2, leaves)
    crown = Part(
        points.reshape(-1, 3),
        np.repeat(normals, 3, axis=0),
        np.repeat(green * tone[:, None], 3, axis=0),
        np.arange(3 * leaves).reshape(-1, 3),
        FOLIAGE,
        int(rng.integers(1 << 15)),
    )
    return [trunk, crown]


def bush(rng: np.random.Generator, width: float, height: float) -> list[Part]:
    """A hedge or shrub without trunk."""
    crown = tree(rng, 1.0, 400)[1]
    low, high = crown.points_m.min(axis=0), crown.points_m.max(axis=0)
    points = (crown.points_m - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]) / (high - low) * [width, height, width * 0.8]
    return [Part(points, crown.normals, crown.paint, crown.faces, FOLIAGE, crown.row)]


def lamp(rng: np.random.Generator) -> list[Part]:
    """Street lamp with one or two arms."""
    height, colour = rng.uniform(3.5, 9), np.array([70, 74, 78]) * rng.uniform(0.5, 1.6)
    parts = [pole(0.08, height, colour), box(0.28, 0.6, 0.28, colour)]
    for side in (1, -1)[: rng.integers(1, 3)]:
        parts += [
            box(1.2, 0.06, 0.06, colour, height, side * 0.6),
            box(0.6, 0.12, 0.24, np.array([205, 205, 196]), height - 0.06, side * 1.1),
        ]
    return [merge(parts)]


def sign(rng: np.random.Generator, row: int) -> list[Part]:
    """Board on posts; `row` of the façade table gives its colours."""
    width, height, foot = rng.uniform(0.5, 2.6), rng.uniform(0.4, 1.8), rng.uniform(0.2, 2.2)
    grey = np.array([110, 112, 115.0])
    posts = [pole(0.04, foot + height, grey).placed(x=x) for x in (-0.45 * width, 0.45 * width)]
    board = box(width, height, 0.08, grey, foot)
    board.paint[:, 0] = board.points_m[:, 0] + board.points_m[:, 2]
    board.paint[:, 1] = board.points_m[:, 1]
    return [merge(posts), Part(board.points_m, board.normals, board.paint, board.faces, SIGN, row)]


def car(rng: np.random.Generator, paint: np.ndarray) -> list[Part]:
    """Saloon, hatchback or van: an extruded side view with dark glass and wheels."""
    length, width, height = rng.uniform(3.7, 5.1), rng.uniform(1.68, 1.9), rng.choice([1.46, 1.6, 2.0])
    van = height > 1.9
    hood, front, back = (0.12, 0.16, 0.97) if van else (0.26, 0.38, rng.uniform(0.8, 0.95))
    x = np.array([0.0, 0.01, hood, front, back, 0.995, 1.0]) * length - length / 2
    top = np.array([0.55, 0.78, 0.95 if not van else 1.1, height, height * 0.985, 0.95, 0.55])
    parts = []
    for i in range(6):
        strip = np.array(
            [[x[i], top[i], width / 2], [x[i + 1], top[i + 1], width / 2], [x[i + 1], top[i + 1], -width / 2], [x[i], top[i], -width / 2]]
        )
        glass = i in (2, 4)
        parts.append(quads(strip[None], np.array([38, 44, 50]) if glass else paint))
        for side in (1, -1):
            wall = np.array(
                [
                    [x[i], 0.22, side * width / 2],
                    [x[i + 1], 0.22, side * width / 2],
                    [x[i + 1], top[i + 1], side * width / 2],
                    [x[i], top[i], side * width / 2],
                ]
            )
            parts.append(quads(wall[None, ::side], paint))
            if i == 3:
                z = side * (width / 2 + 0.01)
                pane = np.array([[x[3] - 0.3, 1.0, z], [x[4] + 0.15, 1.0, z], [x[4] - 0.1, height - 0.1, z], [x[3] + 0.1, height - 0.1, z]])
                parts.append(quads(pane[None, ::side], np.array([34, 40, 46])))
    for end in (-1, 1):
        light = np.array([232, 232, 222]) if end < 0 else np.array([150, 24, 20])
        parts.append(box(0.05, 0.5, width * 0.98, paint * 0.8, 0.24, end * length / 2))
        parts += [box(0.07, 0.14, 0.3, light, 0.6, end * length / 2, side * width * 0.36) for side in (-1, 1)]
    wheel = lathe(
        np.array([1e-3, 0.31, 0.31, 0.18, 1e-3]), np.array([0, 0.01, 0.2, 0.21, 0.2]), np.array([[20, 20, 22]] * 3 + [[120, 120, 124]] * 2)
    )
    for axle in (-0.31, 0.31):
        for side in (-1, 1):
            p = wheel.points_m[:, [0, 2, 1]] * [1, 1, side] + [axle * length, 0.32, side * (width / 2 - 0.18)]
            n = wheel.normals[:, [0, 2, 1]] * [1, 1, side]
            parts.append(Part(p, n, wheel.paint, wheel.faces if side < 0 else wheel.faces[:, ::-1]))
    return [merge(parts)]


def parasol(rng: np.random.Generator, colour: np.ndarray, radius: float, height: float) -> list[Part]:
    """Café parasol or, small, a hand-held umbrella; alternate segments may be lighter."""
    sides = 8
    canopy = lathe(
        np.array([radius, radius * 0.55, 0.02]), np.array([height - 0.34 * radius, height - 0.12 * radius, height]), colour, sides
    )
    segments = canopy.points_m[canopy.faces].reshape(-1, 3)
    stripes = rng.random() < 0.4
    tone = np.where((np.arange(len(canopy.faces)) % sides) % 2 == 0, 1.0, 1.5 if stripes else 0.97)
    paint = np.clip(np.repeat(colour * tone[:, None], 3, axis=0), 0, 250)
    canopy = Part(segments, canopy.normals[canopy.faces].reshape(-1, 3), paint, np.arange(len(segments)).reshape(-1, 3))
    return [merge([canopy, pole(0.015 + 0.012 * radius, height, np.array([120, 118, 112]))])]


def bench(rng: np.random.Generator, length: float) -> list[Part]:
    """Bench along x, facing +z, seat 0.43 m high, with or without a back."""
    wood = np.array([128, 94, 62]) * rng.uniform(0.6, 1.3) if rng.random() < 0.6 else np.array([130, 130, 132]) * rng.uniform(0.6, 1.2)
    parts = [
        box(length, 0.06, 0.45, wood, 0.37),
        box(0.08, 0.37, 0.4, wood * 0.5, x=-0.4 * length),
        box(0.08, 0.37, 0.4, wood * 0.5, x=0.4 * length),
    ]
    if rng.random() < 0.6:
        parts.append(box(length, 0.38, 0.05, wood, 0.45, z=-0.24))
    return [merge(parts)]


def table(rng: np.random.Generator) -> list[Part]:
    """Round café table."""
    top = np.array([190, 186, 178]) * rng.uniform(0.4, 1.2)
    return [lathe(np.array([0.2, 0.03, 0.03, 0.38, 0.38, 1e-3]), np.array([0.0, 0.03, 0.7, 0.71, 0.74, 0.745]), top, 10)]


def fence(rng: np.random.Generator, length: float) -> list[Part]:
    """Crowd barrier or railing along x."""
    steel = np.array([150, 154, 158]) * rng.uniform(0.5, 1.2)
    height = rng.uniform(0.9, 1.2)
    bars = np.arange(-length / 2, length / 2, 0.22 if length < 12 else 0.4)
    return [merge([box(length, 0.05, 0.05, steel, y) for y in (0.15, height)] + [box(0.03, height, 0.03, steel, x=float(b)) for b in bars])]


def planter(rng: np.random.Generator) -> list[Part]:
    """Stone trough with shrubs."""
    width = rng.uniform(0.8, 3.0)
    stone = np.array([150, 146, 138]) * rng.uniform(0.6, 1.2)
    return [box(width, 0.5, width * 0.7, stone), *[p.placed(y=0.4) for p in bush(rng, width * 0.95, rng.uniform(0.4, 1.1))]]


def bin_or_bollard(rng: np.random.Generator) -> list[Part]:
    """Waste bin, bollard or small kiosk column."""
    radius, height = rng.choice([[0.09, 0.9], [0.25, 0.95], [0.6, 2.6], [0.16, 0.6]])
    colour = np.array([[60, 66, 62], [140, 140, 140], [40, 70, 50], [150, 60, 40]])[rng.integers(4)] * rng.uniform(0.6, 1.3)
    return [
        lathe(
            np.array([radius, radius, radius * 1.1, radius * 0.5, 1e-3]),
            np.array([0, height * 0.85, height * 0.9, height, height + 0.01]),
            colour,
            10,
        )
    ]


def tent(rng: np.random.Generator, colour: np.ndarray) -> list[Part]:
    """Market stall: four posts, a pyramid roof, a counter."""
    side, eaves = rng.uniform(2.4, 4.5), rng.uniform(2.1, 2.5)
    roof = lathe(np.array([side * 0.72, 0.02]), np.array([eaves, eaves + side * 0.3]), colour, 4).placed(yaw_rad=np.pi / 4)
    valance = lathe(np.array([side * 0.72, side * 0.72]), np.array([eaves - 0.25, eaves + 0.001]), colour * 0.9, 4).placed(
        yaw_rad=np.pi / 4
    )
    posts = [pole(0.04, eaves, np.array([170, 170, 172])).placed(sx * side * 0.48, 0, sz * side * 0.48) for sx in (-1, 1) for sz in (-1, 1)]
    return [merge([roof, valance, *posts, box(side * 0.9, 0.9, 0.6, np.array([190, 180, 165]) * rng.uniform(0.4, 1.1), z=side * 0.3)])]


def building(width: float, height: float, depth: float, roof: np.ndarray, row: int) -> list[Part]:
    """Block of flats or offices; walls take their look from row `row` of the façade table."""
    walls = quads(_BOX[:4] * [width, height, depth] - [width / 2, 0, depth / 2], np.zeros(3), FACADE, row)
    walls.paint[:, 0] = np.repeat([0.0, width + depth, width, -depth], 4) + np.tile([0, 1, 1, 0], 4) * np.repeat(
        [width, width, depth, depth], 4
    )
    walls.paint[:, 1] = walls.points_m[:, 1]
    return [walls, quads(_BOX[4:5] * [width, height, depth] - [width / 2, 0, depth / 2], roof)]
