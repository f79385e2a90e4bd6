"""Compiled shaders: the ground with its patches and the sky per pixel, and the surfaces that the z-buffer found."""

from __future__ import annotations

import numpy as np
from numba import njit

from crowd3d.synthetic.appearance import clothes_colour
from crowd3d.synthetic.noise import fractal, hash01, noise2

# Materials of objects.
PERSON, FLAT, FACADE, FOLIAGE, SIGN = range(5)
# Kinds of ground.
ASPHALT, TILES, BRICKS, GRASS, SLABS, STRIPES, COURT, SETTS = range(8)
# Columns of a ground patch; the shape is 0 rectangle, 1 disc, 2 everywhere.
SHAPE, CENTRE_X, CENTRE_Z, COSINE, SINE, HALF_X, HALF_Z, KIND, SCALE, COLOUR, COLOUR2, JOINT, SEED, WEAR = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    12,
    15,
    18,
    19,
)
PATCH_COLUMNS = 20
# Columns of a façade; the kind is 0 windows, 1 bands of windows, 2 blind.
WALL, GLASS, TRIM, PITCH_X, PITCH_Y, SHARE_X, SHARE_Y, PLINTH, FACADE_SEED, FACADE_KIND = 0, 3, 6, 9, 10, 11, 12, 13, 14, 15
FACADE_COLUMNS = 16


@njit(cache=True, nogil=True, fastmath=True)
def _joint(a, b, width, footprint):
    """Coverage of the joints around unit tiles at (a, b), faded when a pixel is wider than they are."""
    u, v = a - np.floor(a), b - np.floor(b)
    reach = width + footprint
    line = max(0.0, 1.0 - min(u, 1.0 - u) / reach, 1.0 - min(v, 1.0 - v) / reach)
    return min(line * 1.6, 1.0) * width / reach


@njit(cache=True, nogil=True, fastmath=True)
def _ground_point(x, z, footprint, patch, out):
    """Colour of one kind of ground at (x, z) in the patch's frame; `footprint` is the size of the pixel, metres."""
    kind, scale, seed = patch[KIND], patch[SCALE], int(patch[SEED])
    mix, joint, value = 0.0, 0.0, 1.0
    if kind == GRASS:
        mix = fractal(x, z, 0.35, footprint, 0.85, seed)
        value = 0.82 + 0.36 * fractal(x, z, 9.0, footprint * 0.6, 0.9, seed + 11)
    elif kind == STRIPES:
        mix = 1.0 if x / scale - np.floor(x / scale) < 0.5 else 0.0
        value = 0.9 + 0.2 * fractal(x, z, 1.3, footprint, 0.8, seed)
    elif kind == COURT:
        half = patch[HALF_X]
        circle = abs(np.sqrt(x * x + z * z) - 0.3 * half)
        line = min(min(abs(x), abs(abs(x) - half + 0.4)), min(circle, abs(abs(z) - patch[HALF_Z] + 0.4)))
        joint = max(0.0, min(1.0, (0.05 + 0.5 * footprint - line) / (footprint + 1e-3))) * 0.1 / (0.1 + footprint)
        mix = fractal(x, z, 0.8, footprint, 0.8, seed) * 0.6
    else:
        mix = fractal(x, z, 0.4, footprint, 0.8, seed)
        if kind in (TILES, BRICKS, SLABS, SETTS):
            a, b = x / scale, z / scale
            if kind == BRICKS:
                b *= 2.0
                a += 0.5 * (np.floor(b) % 2)
            width = 0.12 if kind == SETTS else 0.03
            fade = max(0.0, 1.0 - 0.8 * footprint / scale)
            joint = _joint(a, b, width, footprint / scale) * 0.75
            tone = hash01(int(np.floor(a)), int(np.floor(b)), seed + 5)
            value = 1.0 + (tone - 0.5) * 0.22 * fade
            if kind == SLABS:
                mix = 0.25 * mix + 0.75 * ((np.floor(a) + np.floor(b)) % 2)
        else:
            value = 0.93 + 0.14 * fractal(x, z, 7.0, footprint, 0.9, seed + 9)
    wear = patch[WEAR]
    stain = 0.6 * noise2(x * 0.07 + 31.0, z * 0.07, seed + 21) + 0.4 * noise2(x * 0.31, z * 0.31, seed + 22)
    value *= 1.0 - wear * max(0.0, stain - 0.45) * 1.4
    for k in range(3):
        c = patch[COLOUR + k] + (patch[COLOUR2 + k] - patch[COLOUR + k]) * mix
        out[k] = (c + (patch[JOINT + k] - c) * joint) * value


@njit(cache=True, nogil=True, fastmath=True)
def shade_ground(
    rotation, height, fx, fy, cx, cy, left, top, patches, shadow, shadow_tint, haze, haze_m, sky, identity, factor, row_begin, row_end, out
):
    """Colour ground and sky into rows [row_begin, row_end) of `out` (H, W, 3), whose pixel (0, 0) is pixel (left, top) of the camera.

    `rotation` (3, 3) maps camera to world directions, `shadow` (H, W) is 0…1, `haze_m` the distance of 63 % haze. Pixels that
    objects cover altogether in `identity` (H · factor, W · factor) are left alone.
    """
    colour = np.empty(3)
    for row in range(row_begin, row_end):
        for column in range(out.shape[1]):
            open_view = False
            for v in range(row * factor, (row + 1) * factor):
                for u in range(column * factor, (column + 1) * factor):
                    open_view = open_view or identity[v, u] == 0
            if not open_view:
                continue
            dx = (left + column + 0.5 - cx) / fx
            dy = (top + row + 0.5 - cy) / fy
            wx = rotation[0, 0] * dx + rotation[0, 1] * dy + rotation[0, 2]
            wy = rotation[1, 0] * dx + rotation[1, 1] * dy + rotation[1, 2]
            wz = rotation[2, 0] * dx + rotation[2, 1] * dy + rotation[2, 2]
            if wy > -1e-4:
                up = min(1.0, max(0.0, wy) * 2.5)
                cloud = fractal(wx * 6.0, wy * 14.0, 1.0, 0.0, 0.55, int(sky[6]))
                for k in range(3):
                    c = haze[k] + (sky[k] - haze[k]) * up
                    out[row, column, k] = c + (sky[3 + k] - c) * max(0.0, cloud - 0.5) * 1.5
                continue
            depth = -height / wy
            x, z = wx * depth, wz * depth
            footprint = depth / fx
            found = 0
            for p in range(patches.shape[0] - 1, -1, -1):
                shape = patches[p, SHAPE]
                if shape == 2.0:
                    found = p
                    break
                px, pz = x - patches[p, CENTRE_X], z - patches[p, CENTRE_Z]
                a = px * patches[p, COSINE] + pz * patches[p, SINE]
                b = pz * patches[p, COSINE] - px * patches[p, SINE]
                if shape == 0.0:
                    if abs(a) < patches[p, HALF_X] and abs(b) < patches[p, HALF_Z]:
                        found = p
                        break
                elif (a / patches[p, HALF_X]) ** 2 + (b / patches[p, HALF_Z]) ** 2 < 1.0:
                    found = p
                    break
            px, pz = x - patches[found, CENTRE_X], z - patches[found, CENTRE_Z]
            a = px * patches[found, COSINE] + pz * patches[found, SINE]
            b = pz * patches[found, COSINE] - px * patches[found, SINE]
            # Pixels are longer than wide on the ground; the geometric mean loses neither all joints nor the anti-aliasing.
            stretch = np.sqrt(np.sqrt(wx * wx + wy * wy + wz * wz) / -wy)
            _ground_point(a, b, footprint * stretch, patches[found], colour)
            clear = np.exp(-depth / haze_m)
            lit = 1.0 - shadow[row, column]
            for k in range(3):
                c = colour[k] * (lit + (1.0 - lit) * shadow_tint[k])
                out[row, column, k] = haze[k] + (c - haze[k]) * clear


@njit(cache=True, nogil=True, fastmath=True)
def _facade_point(u, v, row, out):
    """Colour of a wall at u metres along it and v metres above the ground."""
    seed = int(row[FACADE_SEED])
    grime = 0.86 + 0.28 * noise2(u * 0.7, v * 0.35, seed) - 0.1 * max(0.0, 1.0 - v / 1.5)
    a, b = u / row[PITCH_X], (v - row[PLINTH]) / row[PITCH_Y]
    i, j = int(np.floor(a)), int(np.floor(b))
    fa, fb = abs(a - i - 0.5) * 2.0, abs(b - j - 0.5) * 2.0
    kind = row[FACADE_KIND]
    inside = fb < row[SHARE_Y] and (fa < row[SHARE_X] or kind == 1.0)
    framed = fb < row[SHARE_Y] + 0.09 and (fa < row[SHARE_X] + 0.09 or kind == 1.0)
    if v < row[PLINTH]:
        inside = fa < 0.8 and v < row[PLINTH] * 0.78 and kind != 2.0
        framed = inside
    elif kind == 2.0:
        inside, framed = False, False
    if inside:
        tone = 0.45 + 0.9 * hash01(i, j, seed) + (0.35 if hash01(i, j, seed + 3) > 0.86 else 0.0)
        reflection = 0.8 + 0.4 * noise2(u * 0.9 + 0.5 * v, v * 0.8, seed + 6)
        mullion = 0.6 if abs(fa) < 0.05 or (kind == 1.0 and fa > 0.94) else 1.0
        for k in range(3):
            out[k] = row[GLASS + k] * tone * reflection * mullion
    elif framed:
        for k in range(3):
            out[k] = row[TRIM + k] * grime
    else:
        course = 0.96 if b - j > 0.97 else 1.0
        for k in range(3):
            out[k] = row[WALL + k] * grime * course


@njit(cache=True, nogil=True, fastmath=True)
def _surface(kind, row, a, y, x, leaf_px, clothes, marks, facades, out):
    """Unlit colour (3,) of a surface with attributes `a` at sample (y, x)."""
    if kind == PERSON:
        clothes_colour(a[0], a[1], a[2], clothes[row], marks, out)
    elif kind == FACADE:
        _facade_point(a[0], a[1], facades[row], out)
    elif kind == SIGN:
        ink = hash01(int(np.floor(a[0] * 7.0)), int(np.floor(a[1] * 5.0)), row) > 0.6
        for k in range(3):
            out[k] = facades[row, (GLASS if ink else WALL) + k]
    else:
        tone = 1.0
        if kind == FOLIAGE:
            # Leaves are smaller than the triangles that carry them: noise fixed to the picture at the size of a leaf.
            leaf = max(1.0, leaf_px)
            tone = 0.7 + 0.6 * noise2(x / leaf, y / leaf, row)
        for k in range(3):
            out[k] = a[k] * tone


@njit(cache=True, nogil=True, fastmath=True)
def shade_surfaces(
    inverse_depth,
    identity,
    attributes,
    material,
    table_row,
    clothes,
    marks,
    facades,
    light,
    haze,
    haze_m,
    fx,
    factor,
    row_begin,
    row_end,
    image,
):
    """Put surfaces over the ground in rows [row_begin, row_end) of `image` (H, W, 3); buffers have `factor` samples per pixel and axis.

    Attributes are rest-pose x, y, z and brightness for people, u, v, unused, brightness for façades, and r, g, b, brightness
    for the rest; `material` and `table_row` (row of clothes or of façades) are indexed by identity − 1. A pixel that shows one
    object is shaded once, at the mean of its samples.
    """
    colour = np.empty(3)
    mean = np.empty(4)
    total = np.empty(3)
    samples = factor * factor
    for y in range(row_begin, row_end):
        for x in range(image.shape[1]):
            first = identity[y * factor, x * factor]
            same = True
            for v in range(y * factor, (y + 1) * factor):
                for u in range(x * factor, (x + 1) * factor):
                    same = same and identity[v, u] == first
            if same and first == 0:
                continue
            steps = 1 if same else factor
            total[:] = 0.0
            for v in range(steps):
                for u in range(steps):
                    number = identity[y * factor + v, x * factor + u] - 1
                    if number < 0:
                        for k in range(3):
                            total[k] += image[y, x, k] / samples
                        continue
                    mean[:] = 0.0
                    depth = 0.0
                    taken = factor if same else 1
                    for q in range(taken):
                        for p in range(taken):
                            depth += inverse_depth[y * factor + v + q, x * factor + u + p]
                            for k in range(4):
                                mean[k] += attributes[y * factor + v + q, x * factor + u + p, k]
                    depth /= taken * taken
                    for k in range(4):
                        mean[k] /= taken * taken
                    _surface(material[number], table_row[number], mean, y, x, 0.12 * depth * fx, clothes, marks, facades, colour)
                    clear = np.exp(-1.0 / (depth * haze_m))
                    share = 1.0 if same else 1.0 / samples
                    for k in range(3):
                        total[k] += share * (haze[k] + (colour[k] * mean[3] * light[k] - haze[k]) * clear)
            for k in range(3):
                image[y, x, k] = total[k]
