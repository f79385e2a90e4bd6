"""Training crops: small pictures of a few people, as the pipeline later cuts them from huge images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from crowd3d.bodies import Body
from crowd3d.synthetic.cameras import Viewpoint, sample_near_view, sample_view
from crowd3d.synthetic.compose import draw_window, set_stage
from crowd3d.synthetic.develop import develop, sample_development
from crowd3d.synthetic.people import MIN_SPACING_M, Placement, place_groups, pose_crowd, thin
from crowd3d.synthetic.picture_truth import PictureTruth, describe, observe, silhouettes
from crowd3d.synthetic.world import World, furnish, ground_points

MOST_PEOPLE = 30
MEAN_PEOPLE = 16.0
EMPTY_SHARE = 0.05
SUPERSAMPLE = 2
STEEP_SHARE, STEEP_RAD = 0.35, np.deg2rad(20.0)
"""So many windows at least are looked down at by more than this: most pixels of most photographs show ground that is far away."""
NEAR_SHARE = 0.3
"""So many of the others are seen from among the people. No published camera is used: those are for tests."""
LIVELY_SHARE = 0.3
LIVELY = ("run", "run", "raise", "raise", "wild", "wild", "bend", "crouch", "call", "carry")
"""What this share of the people who stand or walk do instead: a network does not learn what it hardly ever sees."""
TALLEST, TALLEST_NEAR = 0.9, 1.5
"""Height of people over the whole picture's, for cameras above a crowd and for those in it."""
_SIZES = ((19200, 6480), (19200, 6480), (26000, 15000), (6000, 4000), (3840, 2160))


@dataclass(frozen=True)
class Crop(PictureTruth):
    """A picture and what is true about it; see `PictureTruth`. Everybody of whom a pixel can be seen is listed.

    Attributes:
        image: (S, S, 3) uint8 red, green, blue.
        scene_width_px: width of the huge image that the picture is cut from, in pixels of the picture.
    """

    image: np.ndarray
    scene_width_px: float


def sample_window(rng: np.random.Generator, size: int, person_px: tuple[float, float]) -> tuple[Viewpoint, float, float]:
    """A camera, and a window of it resized to `size` in which an adult at a random place is `person_px` high.

    Returns:
        the window as a view, how many pixels of the huge image a pixel of the window covers, and how wide that image is in
        pixels of the window.
    """
    steep = rng.random() < STEEP_SHARE
    while True:
        image_size = _SIZES[rng.integers(len(_SIZES))]
        near = not steep and rng.random() < NEAR_SHARE
        view = sample_near_view(rng, image_size) if near else sample_view(rng, image_size)
        foot = rng.random(2) * image_size
        if steep and view.elevation_rad(foot) < STEEP_RAD:
            continue
        height = float(view.person_px(foot))
        if not 20 < height < (TALLEST_NEAR if near else TALLEST) * image_size[1]:
            continue
        wanted = np.exp(rng.uniform(*np.log(person_px)))
        side = size * height / wanted
        left = foot[0] - rng.uniform(0.1, 0.9) * side
        top = foot[1] - rng.uniform(0.35, 1.05) * side
        return view.window(left, top, side, size), side / size, image_size[0] * size / side


def _place(rng: np.random.Generator, view: Viewpoint, world: World, people: int, farthest: float) -> Placement:
    """About `people` people around the visible ground, none inside furniture, none far too small or too near, some of them lively."""
    sociability = rng.uniform(0.0, 0.9)
    anchors = ground_points(rng, view, people, margin=0.12, below=0.7)
    if rng.random() < 0.3 and len(anchors) > 2:
        # A tight knot of people: anchors drawn together around one of them.
        anchors = anchors[0] + (anchors - anchors[0]) * rng.uniform(0.05, 0.4)
    placement = place_groups(rng, anchors, sociability)
    seats = world.seats_m[rng.random(len(world.seats_m)) < rng.uniform(0.2, 1.0)]
    sitting = Placement(seats[:, :2], seats[:, 2], np.full(len(seats), "sit"))
    spacing = np.full(len(placement.kind), rng.uniform(MIN_SPACING_M, 0.7))
    free = thin(placement.xz_m, spacing, world.obstacles_m[:, :2], world.obstacles_m[:, 2])
    together = placement.take(free).joined(sitting)
    foot = view.ground.from_world(np.stack([together.xz_m[:, 0], np.zeros(len(together.kind)), together.xz_m[:, 1]], axis=1))
    height = np.nan_to_num(view.person_px(np.nan_to_num(view.camera.project(foot), nan=-1e6)))
    size = view.camera.height
    order = rng.permutation(len(height))
    good = (height > 0.07 * size) & (height < 1.5 * size) & (foot[:, 2] > 1.5) & (np.hypot(*together.xz_m.T) < farthest)
    rows = order[good[order]][:MOST_PEOPLE]
    chosen = together.take(rows)
    lively = (chosen.kind != "sit") & (rng.random(len(rows)) < LIVELY_SHARE)
    return replace(chosen, kind=np.where(lively, rng.choice(LIVELY, len(rows)), chosen.kind))


def degrade(rng: np.random.Generator, image: np.ndarray, scale: float) -> np.ndarray:
    """Lens blur, exposure, white balance, noise and JPEG of a camera whose image was reduced by `scale`; float32 → uint8."""
    blur = np.hypot(rng.uniform(0.5, 1.6) / scale, rng.choice([0.0, rng.uniform(0.2, 1.1)]))
    if blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), float(blur))
    noise = rng.uniform(0, 9) / max(scale, 1.0) + rng.choice([0.0, rng.uniform(0, 4)])
    development = sample_development(rng, noise)
    pixels = np.empty(image.shape, np.uint8)
    develop(image, development.curve, rng.standard_normal(image.shape, np.float32), development.noise, 0, len(image), pixels)
    if rng.random() < 0.75:
        # OpenCV takes the channels for blue, green, red; only the weights of chroma subsampling differ.
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(40, 97))]
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR))
    return pixels


def sample_crop(
    rng: np.random.Generator,
    body: Body,
    size: int = 256,
    person_px: tuple[float, float] = (40, 160),
    empty_share: float = EMPTY_SHARE,
) -> Crop:
    """A random crop of a random crowd.

    Args:
        rng: source of randomness; the same state gives the same crop.
        body: who is drawn; the free body, whose clothes are cut to it: "free_low" is enough for people up to 300 px.
        size: side of the picture in pixels.
        person_px: height range, logarithmic, of an adult at the place that the crop is cut for; others follow perspective.
        empty_share: share of crops without people, with more furniture and trees instead.
    """
    view, scale, scene_width = sample_window(rng, size, person_px)
    empty = rng.random() < empty_share
    probes = ground_points(rng, view, 40)
    farthest = float(np.percentile(np.hypot(*probes.T), 90)) if len(probes) else 30.0
    skyline = farthest * float(np.exp(rng.uniform(0.0, 1.4))) + 2 if rng.random() < 0.8 else None
    world = furnish(rng, view, body, int(rng.integers(4, 14) if empty else rng.poisson(2.2)), int(rng.integers(0, 5)), skyline)
    people = 0 if empty else int(min(1 + rng.geometric(1 / MEAN_PEOPLE), MOST_PEOPLE))
    placement = _place(rng, view, world, people, 0.9 * skyline if skyline else np.inf)
    if empty:
        placement = placement.take(np.zeros(0, int))
    crowd = pose_crowd(rng, body, placement)
    stage = set_stage(rng, view, world, crowd, body)
    image, buffers = draw_window(stage, 0, 0, size, size, SUPERSAMPLE, threads=1)
    seen = observe(stage, crowd, buffers, 0, 0, SUPERSAMPLE)
    truth = describe(stage, crowd, body, seen, silhouettes(stage, len(crowd)))
    kept = seen.pixels >= 4
    rows = {name: array[kept] for name, array in truth.arrays().items()}
    pixels = degrade(rng, image, scale)
    return Crop(camera=truth.camera, ground=truth.ground, image=pixels, scene_width_px=scene_width, **rows)
