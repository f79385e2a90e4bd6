"""What people wear: one row of numbers per person, and the colour of any point of the T-pose body under them.

Clothes are functions of rest-pose coordinates: seams, stripes and faces stay sharp however coarse the mesh is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from crowd3d.bodies import Body
from crowd3d.synthetic.noise import hash01, noise2

# Columns of a row of clothes.
SKIN, HAIR, TOP, TOP2, BOTTOM, BOTTOM2, SHOE, HAT = 0, 3, 6, 9, 12, 15, 18, 21
SLEEVE_X, LEG_Y, HEM_Y, NECKLINE, PATTERN, SCALE, HAIRCUT, HAT_KIND, SEED, OPEN_X, FOLDS, TROUSERS, FACE, SOCK_Y = range(24, 38)
COLUMNS = 38
# Columns of the landmarks of a body, metres in its rest pose.
(TOP_Y, CHIN_Y, NECK_Y, SHOULDER_X, ELBOW_X, WRIST_X, HIP_Y, KNEE_Y, ANKLE_Y, HEAD_Z, EYE_Y, EYE_X, NOSE_Y, NOSE_Z, WAIST_Y, CHEST_Y,
 SOLE_Y, HIP_X) = range(18)  # fmt: skip

PLAIN, H_STRIPES, V_STRIPES, CHECKS, BLOTCHES, LOGO, GRADIENT, YOKE, VEST, DOTS = range(10)
BALD, SHORT, MEDIUM, LONG = range(4)
NO_HAT, CAP, SCARF, BEANIE = range(4)

_SKINS = np.array([[236, 204, 182], [224, 188, 164], [214, 172, 140], [198, 150, 122], [160, 112, 84], [116, 80, 58], [78, 54, 42]], float)
_SKIN_SHARE = np.array([0.18, 0.26, 0.2, 0.14, 0.1, 0.07, 0.05])
_HAIRS = np.array([[22, 19, 18], [48, 34, 26], [92, 66, 42], [168, 168, 166], [186, 152, 100], [120, 52, 28]], float)
_HAIR_SHARE = np.array([0.46, 0.24, 0.12, 0.1, 0.06, 0.02])


def landmarks(body: Body) -> np.ndarray:
    """(18,) float32 heights and widths of the rest pose by which clothes are cut."""
    joints = body.joint_template
    right_eye, left_eye, ear, nose = body.template[body.extra_vertex_ids[[1, 2, 3, 0]]]
    out = np.empty(18, np.float32)
    out[TOP_Y] = body.template[:, 1].max()
    out[CHIN_Y] = nose[1] - 0.072
    out[NECK_Y] = joints[12, 1] - 0.01
    out[[SHOULDER_X, ELBOW_X, WRIST_X]] = np.abs(joints[[16, 18, 20], 0])
    out[[HIP_Y, KNEE_Y, ANKLE_Y, WAIST_Y, CHEST_Y]] = joints[[1, 4, 7, 3, 9], 1]
    out[HEAD_Z] = ear[2]
    out[EYE_Y], out[EYE_X] = (right_eye[1] + left_eye[1]) / 2, abs(right_eye[0] - left_eye[0]) / 2
    out[NOSE_Y], out[NOSE_Z] = nose[1], nose[2]
    out[SOLE_Y] = body.template[:, 1].min()
    out[HIP_X] = abs(joints[1, 0])
    return out


def _hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(N,) in 0…1 each → (N, 3) in 0…255."""
    channel = (hue[:, None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    wave = np.clip(np.minimum(channel, 4 - channel), 0, 1)
    return 255 * value[:, None] * (1 - saturation[:, None] * wave)


def sample_fabrics(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32 colours of cloth in 0…255: mostly dark, white, grey, denim and beige, the rest anything."""
    kind = rng.choice(6, count, p=[0.33, 0.14, 0.12, 0.12, 0.08, 0.21])
    grey = np.select([kind == 0, kind == 1], [rng.uniform(14, 62, count), rng.uniform(185, 242, count)], rng.uniform(80, 170, count))
    colour = grey[:, None] + rng.normal(0, 5, (count, 3))
    denim = np.array([46, 60, 92]) * rng.uniform(0.6, 1.9, (count, 1))
    beige = np.array([176, 156, 126]) * rng.uniform(0.5, 1.25, (count, 1))
    vivid = _hsv(rng.random(count), rng.uniform(0.35, 0.95, count), rng.uniform(0.25, 0.95, count))
    for number, other in ((3, denim), (4, beige), (5, vivid)):
        colour[kind == number] = other[kind == number]
    return np.clip(colour, 6, 248).astype(np.float32)


def sample_clothes(rng: np.random.Generator, count: int, marks: np.ndarray) -> np.ndarray:
    """Dress `count` people; `marks` are the `landmarks` of their body. Returns (count, COLUMNS) float32."""
    rows = np.zeros((count, COLUMNS), np.float32)
    uniform = rng.uniform
    rows[:, SKIN : SKIN + 3] = _SKINS[rng.choice(len(_SKINS), count, p=_SKIN_SHARE)] * uniform(0.88, 1.06, (count, 1))
    rows[:, HAIR : HAIR + 3] = _HAIRS[rng.choice(len(_HAIRS), count, p=_HAIR_SHARE)] * uniform(0.8, 1.2, (count, 1))
    for column in (TOP, TOP2, BOTTOM, BOTTOM2, SHOE, HAT):
        rows[:, column : column + 3] = sample_fabrics(rng, count)
    dark = rng.random(count) < 0.45
    rows[dark, BOTTOM : BOTTOM + 3] *= 0.55
    rows[:, SHOE : SHOE + 3] *= uniform(0.4, 1.0, (count, 1))
    shoulder, elbow, wrist = marks[[SHOULDER_X, ELBOW_X, WRIST_X]]
    sleeve = rng.choice(3, count, p=[0.06, 0.38, 0.56])
    rows[:, SLEEVE_X] = np.choose(
        sleeve,
        [
            uniform(shoulder - 0.04, shoulder + 0.02, count),
            uniform(shoulder + 0.09, elbow + 0.02, count),
            uniform(wrist - 0.06, wrist + 0.04, count),
        ],
    )
    leg = rng.choice(3, count, p=[0.76, 0.1, 0.14])
    knee, ankle, hip = marks[KNEE_Y], marks[ANKLE_Y], marks[HIP_Y]
    rows[:, LEG_Y] = np.choose(
        leg, [uniform(ankle - 0.02, ankle + 0.07, count), uniform(ankle + 0.1, knee, count), uniform(knee - 0.03, hip - 0.2, count)]
    )
    rows[:, HEM_Y] = hip + uniform(-0.07, 0.06, count)
    coat = rng.random(count) < 0.12
    rows[coat, HEM_Y] = uniform(knee - 0.1, hip - 0.1, count)[coat]
    rows[:, NECKLINE] = np.where(rng.random(count) < 0.3, uniform(0.06, 0.16, count), uniform(0.0, 0.05, count))
    rows[:, PATTERN] = rng.choice(10, count, p=[0.46, 0.1, 0.05, 0.06, 0.07, 0.1, 0.04, 0.06, 0.03, 0.03])
    rows[:, SCALE] = np.exp(uniform(np.log(0.025), np.log(0.14), count))
    rows[:, HAIRCUT] = rng.choice(4, count, p=[0.06, 0.46, 0.2, 0.28])
    rows[:, HAT_KIND] = rng.choice(4, count, p=[0.83, 0.09, 0.04, 0.04])
    rows[:, SEED] = rng.integers(0, 1 << 16, count)
    rows[:, OPEN_X] = np.where(rng.random(count) < 0.16, uniform(0.02, 0.08, count), 0.0)
    rows[:, FOLDS] = uniform(0.05, 0.32, count)
    rows[:, TROUSERS] = rng.choice(4, count, p=[0.66, 0.12, 0.12, 0.1])
    rows[:, FACE] = rng.choice(5, count, p=[0.62, 0.1, 0.1, 0.14, 0.04])
    rows[:, SOCK_Y] = np.where(rng.random(count) < 0.5, ankle, ankle + uniform(0.03, 0.2, count))
    return rows


@njit(cache=True, nogil=True, fastmath=True)
def _copy(row, column, out):
    for k in range(3):
        out[k] = row[column + k]


@njit(cache=True, nogil=True, fastmath=True)
def _head_colour(x, y, z, row, m, out):
    """Hair, hat, face; fills `out` (3,)."""
    front = z - m[HEAD_Z]
    side = abs(x)
    _copy(row, SKIN, out)
    cut = row[HAIRCUT]
    hairline = m[TOP_Y] - 0.045 - 0.012 * hash01(int(x * 90), 3, row[SEED])
    behind = 0.005 if cut == SHORT else 0.03
    low = m[EYE_Y] - 0.035 if cut == SHORT else m[CHIN_Y] - 0.05
    hair = cut != BALD and (y > hairline or (front < behind and y > low) or (y > m[EYE_Y] + 0.03 and front < 0.045))
    if row[FACE] == 3.0 and cut != LONG and front > 0.02 and y < m[NOSE_Y] - 0.035:
        hair = True
    if hair:
        _copy(row, HAIR, out)
        streak = 0.8 + 0.4 * noise2(x * 160.0, y * 30.0 + z * 60.0, row[SEED])
        for k in range(3):
            out[k] *= streak
    elif front > 0.03:
        eye = (side - m[EYE_X]) ** 2 / 0.00026 + (y - m[EYE_Y]) ** 2 / 0.00007
        brow = abs(y - m[EYE_Y] - 0.022) < 0.004 and abs(side - m[EYE_X]) < 0.02
        mouth = abs(y - m[NOSE_Y] + 0.036) < 0.006 and side < 0.023
        if eye < 1.0 or brow:
            for k in range(3):
                out[k] = out[k] * 0.3 + 8.0
        elif mouth:
            out[0] *= 0.82
            out[1] *= 0.58
            out[2] *= 0.58
        if row[FACE] == 1.0 and m[CHIN_Y] - 0.02 < y < m[NOSE_Y] + 0.012 and side < 0.062:
            for k in range(3):
                out[k] = 200.0 + 12.0 * k
        if row[FACE] == 2.0 and abs(y - m[EYE_Y]) < 0.015 and side > 0.008:
            for k in range(3):
                out[k] = 22.0
    hat = row[HAT_KIND]
    covered = (hat == CAP and y > m[EYE_Y] + 0.038 - 0.12 * min(front, 0.0)) or (
        hat == BEANIE and y > m[EYE_Y] + 0.03 - 0.5 * max(-front, -0.02)
    )
    if hat == SCARF and (front < 0.045 or side > 0.058 or y > m[EYE_Y] + 0.045 or y < m[CHIN_Y] + 0.005):
        covered = True
    if covered:
        _copy(row, HAT, out)


@njit(cache=True, nogil=True, fastmath=True)
def _pattern(x, y, z, along, torso, row, m, out):
    """Colour of the upper garment; `along` runs down the torso or along the sleeve."""
    _copy(row, TOP, out)
    pattern, scale, seed = row[PATTERN], row[SCALE], row[SEED]
    second = 0.0
    if pattern == H_STRIPES:
        second = 1.0 if np.floor(along / scale) % 2 == 0 else 0.0
    elif pattern == V_STRIPES:
        second = 1.0 if np.floor((x if torso else y) / (0.5 * scale)) % 2 == 0 else 0.0
    elif pattern == CHECKS:
        second = 0.5 * (np.floor(along / scale) % 2) + 0.5 * (np.floor((x if torso else y) / scale) % 2)
    elif pattern == BLOTCHES:
        n = noise2(x / scale, y / scale + 3.0 * z, seed)
        second = 1.0 if n > 0.62 else (0.5 if n < 0.3 else 0.0)
    elif pattern == LOGO:
        flat = abs(x) < 0.11 and abs(y - m[CHEST_Y] + 0.02) < 0.085 and torso
        second = 1.0 if flat and hash01(int(np.floor(x / 0.022)), int(np.floor(y / 0.03)), seed) > 0.35 else 0.0
    elif pattern == GRADIENT:
        second = min(max((m[NECK_Y] - along) / 0.55, 0.0), 1.0) if torso else 0.0
    elif pattern == YOKE:
        second = 1.0 if (not torso) or y > m[CHEST_Y] + 0.09 else 0.0
    elif pattern == VEST and torso:
        second = 1.0 if abs(y - m[WAIST_Y] - 0.09) < 0.025 or abs(abs(x) - 0.11) < 0.02 else 0.0
    elif pattern == DOTS:
        u, v = x / scale - np.floor(x / scale) - 0.5, along / scale - np.floor(along / scale) - 0.5
        second = 1.0 if u * u + v * v < 0.07 else 0.0
    for k in range(3):
        out[k] += (row[TOP2 + k] - out[k]) * second


@njit(cache=True, nogil=True, fastmath=True)
def clothes_colour(x, y, z, row, m, out):
    """Unlit colour (3,) of the body surface at the rest-pose point (x, y, z); `row` of clothes, landmarks `m`."""
    side = abs(x)
    folds = 1.0
    if y > m[CHIN_Y] - 0.005 and side < m[SHOULDER_X]:
        _head_colour(x, y, z, row, m, out)
    elif y > m[HIP_Y] + 0.06 and side > m[SHOULDER_X] - 0.03 and y > m[CHEST_Y] - 0.12:
        if side < row[SLEEVE_X]:
            _pattern(x, y, z, side, False, row, m, out)
            folds = 1.0 + row[FOLDS] * (noise2(side * 22.0, y * 9.0 + z * 9.0, row[SEED]) - 0.5) * 2.0
        else:
            _copy(row, SKIN, out)
    elif y < m[ANKLE_Y] + 0.015:
        _copy(row, SHOE, out)
        if y < m[SOLE_Y] + 0.022:
            for k in range(3):
                out[k] = out[k] * 0.5 + (90.0 if row[TROUSERS] > 1.0 else 10.0)
    elif y > row[HEM_Y]:
        collar = m[NECK_Y] - row[NECKLINE] * (1.0 - side / 0.085)
        if (y > collar and side < 0.085 and z > m[HEAD_Z] - 0.03) or y > m[NECK_Y] + 0.015:
            _copy(row, SKIN, out)
            if row[HAT_KIND] == SCARF:
                _copy(row, HAT, out)
        else:
            _pattern(x, y, z, y, True, row, m, out)
            if z > m[HEAD_Z] and side < row[OPEN_X] * (1.0 + 0.8 * max(m[CHEST_Y] - y, 0.0)):
                _copy(row, TOP2, out)
            if row[HAIRCUT] == LONG and row[HAT_KIND] != SCARF and z < m[HEAD_Z] - 0.03 and y > m[CHEST_Y] - 0.03 and side < 0.085:
                _copy(row, HAIR, out)
            folds = 1.0 + row[FOLDS] * (noise2(x * 11.0 + z * 5.0, y * 8.0, row[SEED]) - 0.5) * 2.0
    elif y > row[LEG_Y]:
        _copy(row, BOTTOM, out)
        if row[TROUSERS] == 1.0 and side > m[HIP_X] + 0.055:
            _copy(row, BOTTOM2, out)
        elif row[TROUSERS] == 2.0:
            for k in range(3):
                out[k] *= 0.9 + 0.45 * max(0.0, 1.0 - abs(y - m[KNEE_Y] - 0.18) / 0.2) * (1.0 if z > 0.0 else 0.4)
        elif row[TROUSERS] == 3.0 and noise2(x * 14.0, y * 14.0 + z * 9.0, row[SEED]) > 0.55:
            for k in range(3):
                out[k] = 0.5 * (out[k] + row[BOTTOM2 + k])
        folds = 1.0 + row[FOLDS] * (noise2(x * 14.0 + z * 8.0, y * 11.0, row[SEED] + 7) - 0.5) * 2.0
        if abs(y - row[HEM_Y]) < 0.018:
            folds *= 0.55
    elif y < row[SOCK_Y]:
        _copy(row, SHOE, out)
        for k in range(3):
            out[k] = 255.0 - out[k] * 0.4 if row[TROUSERS] == 0.0 else out[k]
    else:
        _copy(row, SKIN, out)
    for k in range(3):
        out[k] *= folds


def cloth_thickness(rng: np.random.Generator, template_m: np.ndarray, clothes: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(N, V) float32 metres that clothes and hair add to the rest pose's surface (V, 3); nothing on hands, face and feet."""
    x, y, z = np.abs(template_m[:, 0]), template_m[:, 1], template_m[:, 2]
    loose = rng.uniform([[0.002], [0.002], [0.004]], [[0.02], [0.02], [0.03]], (3, len(clothes)))
    ramp = np.clip((y - marks[ANKLE_Y] - 0.06) / 0.15, 0, 1)
    head = y > marks[CHIN_Y] - 0.02
    torso = (y > marks[HIP_Y] - 0.05) & ~head & (y < marks[NECK_Y])
    arm = (x > marks[SHOULDER_X]) & torso
    leg = (y <= marks[HIP_Y] - 0.05) & ~arm
    hair = head & ((z < marks[HEAD_Z] + 0.02) & (y > marks[EYE_Y] - 0.04) | (y > marks[TOP_Y] - 0.06))
    sleeve = (x[None] < clothes[:, [SLEEVE_X]]) & arm
    trousers = (y[None] > clothes[:, [LEG_Y]]) & leg
    out = (
        np.where(sleeve, loose[0][:, None] * 0.8, 0.0)
        + np.where(torso & ~arm, loose[0][:, None], 0.0)
        + np.where(trousers, loose[1][:, None] * ramp, 0.0)
    )
    return (out + np.where(hair & (clothes[:, [HAIRCUT]] > 0), loose[2][:, None], 0.0)).astype(np.float32)
