"""Things that people wear or carry and that change their outline: skirts and coats, rucksacks, bags, suitcases, umbrellas."""

from __future__ import annotations

import numpy as np

from crowd3d.synthetic import appearance, props
from crowd3d.synthetic.people import PosedCrowd
from crowd3d.synthetic.poses import STANDING
from crowd3d.synthetic.props import Part

_SIDES = 14


def _skirts(rng: np.random.Generator, crowd: PosedCrowd, rows: np.ndarray, colours: np.ndarray) -> list[Part]:
    """Skirts and long coats: rings around both thighs from the waist to a hem above or below the knee."""
    joints = crowd.joints_m[rows].astype(np.float64)
    count, levels = len(rows), 5
    length = rng.uniform(0.7, 1.7, (count, 1, 1)) * np.linspace(0, 1, levels)[None, :, None]
    upper = np.clip(length, 0, 1)
    lower = np.clip(length - 1, 0, 1)
    legs = [
        joints[:, None, h] + upper * (joints[:, k] - joints[:, h])[:, None] + lower * (joints[:, a] - joints[:, k])[:, None]
        for h, k, a in ((1, 4, 7), (2, 5, 8))
    ]
    up = (joints[:, 3] - (joints[:, 1] + joints[:, 2]) / 2)[:, None] * np.array([1.0, 0.8, 0.3, 0.0, 0.0])[None, :, None]
    centre = (legs[0] + legs[1]) / 2 + up
    across = (legs[0] - legs[1]) / 2
    down = joints[:, [4]] + joints[:, [5]] - joints[:, [1]] - joints[:, [2]]
    side = across / (np.linalg.norm(across, axis=2, keepdims=True) + 1e-6)
    front = np.cross(down, side)
    front /= np.linalg.norm(front, axis=2, keepdims=True) + 1e-6
    flare = rng.uniform(0.0, 0.09, (count, 1, 1)) * np.linspace(0, 1, levels)[None, :, None]
    slim = np.linalg.norm(across, axis=2, keepdims=True)
    width = slim + np.array([0.07, 0.095, 0.1, 0.1, 0.1])[None, :, None] + flare
    depth = np.array([0.115, 0.135, 0.135, 0.13, 0.13])[None, :, None] + flare
    angle = np.arange(_SIDES) * 2 * np.pi / _SIDES
    around = np.cos(angle)[:, None] * side[:, :, None] + np.zeros(3)
    outward = around * width[:, :, None] + np.sin(angle)[:, None] * front[:, :, None] * depth[:, :, None]
    points = centre[:, :, None] + outward
    normals = outward / (np.linalg.norm(outward, axis=3, keepdims=True) + 1e-9)
    i, j = np.meshgrid(np.arange(levels - 1), np.arange(_SIDES), indexing="ij")
    a, b, c, d = i * _SIDES + j, i * _SIDES + (j + 1) % _SIDES, (i + 1) * _SIDES + (j + 1) % _SIDES, (i + 1) * _SIDES + j
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    pleats = 1 + rng.uniform(0, 0.18, (count, 1, 1)) * np.where(np.arange(_SIDES) % 2, 1, -1)[None, :, None]
    paint = np.clip(np.broadcast_to((colours[:, None] * pleats)[:, None], points.shape), 4, 250)
    return [Part(p.reshape(-1, 3), n.reshape(-1, 3), q.reshape(-1, 3), faces) for p, n, q in zip(points, normals, paint, strict=True)]


def _attached(part: Part, rotation: np.ndarray, origin: np.ndarray) -> Part:
    return Part(part.points_m @ rotation.T + origin, part.normals @ rotation.T, part.paint, part.faces, part.material, part.row)


def _torso_frames(crowd: PosedCrowd) -> np.ndarray:
    """(N, 3, 3) columns left, up, forward of the chest."""
    joints = crowd.joints_m.astype(np.float64)
    up = joints[:, 12] - joints[:, 3]
    left = joints[:, 16] - joints[:, 17]
    forward = np.cross(left, up)
    left = np.cross(up, forward)
    axes = np.stack([left, up, forward], axis=2)
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def dress_up(rng: np.random.Generator, crowd: PosedCrowd, clothes: np.ndarray, umbrellas: float = 0.02) -> tuple[list[Part], np.ndarray]:
    """Extra meshes for a crowd.

    Returns:
        parts, and (len(parts),) person that each belongs to. Worn things count as the person; what is carried counts as
        nobody (−1) and merely hides people. Parts of one person follow each other.
    """
    count = len(crowd)
    draw = rng.random((5, count))
    upright = np.isin(crowd.kind, [*STANDING, "walk"])
    skirted = np.nonzero(upright & (draw[0] < 0.16))[0]
    colours = np.where(
        draw[0][skirted, None] < 0.08,
        clothes[skirted, appearance.TOP : appearance.TOP + 3],
        clothes[skirted, appearance.BOTTOM : appearance.BOTTOM + 3],
    )
    worn = dict(zip(skirted.tolist(), _skirts(rng, crowd, skirted, colours.astype(float)), strict=True)) if len(skirted) else {}
    frames = _torso_frames(crowd)
    hands = crowd.joints_m[:, 22:24].astype(np.float64)
    parts: list[Part] = []
    owner: list[int] = []
    for n in range(count):
        if n in worn:
            parts.append(worn[n])
            owner.append(n)
        if draw[1, n] < 0.13:
            size = rng.uniform([0.24, 0.32, 0.12], [0.34, 0.5, 0.24])
            pack = props.box(
                size[0],
                size[1],
                size[2],
                clothes[n, appearance.HAT : appearance.HAT + 3].astype(float),
                -0.3 * size[1],
                0,
                -0.13 - size[2] / 2,
            )
            parts.append(_attached(pack, frames[n], crowd.joints_m[n, 9].astype(np.float64) + 0.06 * frames[n, :, 1]))
            owner.append(n)
    for n in np.nonzero(upright & (draw[2] < 0.16))[0].tolist():
        size = rng.uniform([0.22, 0.2, 0.08], [0.42, 0.42, 0.2])
        bag = props.box(size[0], size[1], size[2], rng.choice([0.4, 1.0]) * clothes[n, appearance.TOP2 : appearance.TOP2 + 3].astype(float))
        hand = hands[n, rng.integers(2)]
        parts.append(bag.placed(hand[0], max(hand[1] - size[1] - 0.06, 0.02), hand[2], crowd.yaw_rad[n] + np.pi / 2))
    for n in np.nonzero(upright & (draw[3] < 0.04))[0].tolist():
        size = rng.uniform([0.35, 0.5, 0.2], [0.5, 0.75, 0.3])
        where = crowd.joints_m[n, 0, [0, 2]] - 0.55 * frames[n, [0, 2], 2]
        case = props.box(size[0], size[1], size[2], rng.uniform(20, 150, 3), 0.06)
        parts.append(case.placed(where[0], 0, where[1], crowd.yaw_rad[n]))
    for n in np.nonzero(upright & (draw[4] < umbrellas))[0].tolist():
        top = float(crowd.vertices_m[n, :, 1].max())
        cloth = props.parasol(rng, rng.uniform(15, 200, 3), rng.uniform(0.45, 0.6), top + 0.25)
        parts += [
            _attached(p, np.eye(3), np.array([crowd.joints_m[n, 15, 0], 0.0, crowd.joints_m[n, 15, 2]]) + 0.1 * frames[n, :, 0])
            for p in cloth
        ]
    return parts, np.concatenate([owner, np.full(len(parts) - len(owner), -1)]).astype(np.int64)
