"""Scoring reconstructions of photographs of which only a part is known: cameras and places, keypoints, or heads."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from crowd3d.evaluation import metrics
from crowd3d.evaluation.matching import OKS_GATE, Pairs
from crowd3d.evaluation.observables import Observables
from crowd3d.evaluation.photographs import KnownPeople, PartialTruth
from crowd3d.evaluation.scoring import Metrics, camera_errors
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.ground.simulate import truth_vector
from crowd3d.types import NOMINAL_STATURE_M, Scene

TORSO_M = 1.15
"""Height of a person of whom only the place is known, and of the middle of the torso."""
NEAR, TIMES_TALLER, PER_RATIO = 0.4, 2.2, 0.2
"""A person is found when torso centres are within this share of the stature in the image and sizes within this factor;
among several, what is off in size by a factor e counts as much as `PER_RATIO` statures of distance."""
SILHOUETTE = 0.53
"""Area of a person over that of the box, for keypoint similarity on COCO's scale; COCO's own people have it in the mean."""
LEAST_KEYPOINTS = 5
HEAD_NEAR, POINT_NEAR, LEAST_NEAR_PX = 0.16, 0.5, 8.0
"""A head, or a point somewhere on a body, is found within this share of the body's height in the image, or at least so many pixels."""
FACE, FACE_SCORE = slice(0, 5), 0.15
CAMERA_PARAMETERS = ("log_focal", "tilt", "roll", "log_height")
INTERVAL_68 = 0.9945
"""Half width of a normal distribution's 68 % interval in standard deviations."""
OF_CAMERA = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent", "focal_ratio")


def score_metric(predicted: Observables, truth: PartialTruth, covariance: np.ndarray | None = None) -> Metrics:
    """Camera, ground and places of people of whom the place is known.

    Args:
        predicted: what was reconstructed.
        truth: with camera and ground.
        covariance: (4, 4) of `CAMERA_PARAMETERS` as the reconstruction states it.

    Returns:
        Errors of the camera; ``precision`` (NaN unless everybody is annotated) and ``recall``; medians ``position_error_m`` and, as a share
        of the distance, ``position_error_percent``; ``ppds`` and ``pcod`` of places on the ground in percent; ``held_…`` 1 or 0 whether the
        stated 68 % interval of a camera parameter holds the truth, NaN without a covariance.
    """
    if truth.camera_ground is None:
        raise ValueError("the truth has no camera")
    (camera, ground), people = truth.camera_ground, truth.people
    foot = camera.project(people.position_cam_m)
    with np.errstate(invalid="ignore"):
        inside = ((foot >= 0) & (foot < (camera.width, camera.height))).all(1)
    pairs, counts = _count(_match_upright(predicted, people, camera, ground), people.visible & inside, predicted, truth)
    p, q = predicted.position_cam_m[pairs[1]], people.position_cam_m[pairs[0]]
    places_p, places_q = (plane.to_world(points)[:, [0, 2]] for plane, points in ((predicted.ground, p), (ground, q)))
    error = np.linalg.norm(places_p - places_q, axis=1)
    enough = counts["true_people"] >= 2
    return {
        **camera_errors(predicted.camera, predicted.ground, camera, ground),
        "focal_ratio": predicted.camera.fx / camera.fx,
        **counts,
        "position_error_m": _median(error),
        "position_error_percent": _median(100.0 * error / np.linalg.norm(places_q, axis=1)),
        "ppds": metrics.ppds(places_p, places_q, counts["recall"]) if enough else math.nan,
        "pcod": metrics.pcod(p[:, 2], q[:, 2], counts["recall"]) if enough else math.nan,
        **_held(truth_vector(predicted.camera, predicted.ground) - truth_vector(camera, ground), covariance),
    }


def score_keypoints(predicted: Observables, keypoints_px: np.ndarray, truth: PartialTruth) -> Metrics:
    """Keypoint similarity of everybody with at least five known keypoints.

    Args:
        predicted: what was reconstructed.
        keypoints_px: (P, 17, 2) what was seen of the same people.
        truth: with keypoints and boxes.

    Returns:
        ``oks_2d`` and ``oks_body``: mean over true people of the similarity of the best assignment of keypoints that were seen and of
        projected bodies, in 0…1, 0 for the missed; ``precision`` and ``recall`` of people by `OKS_GATE` of either.
    """
    people = truth.people
    known = people.keypoints_px[..., 2] > 0
    wanted = people.visible & (known.sum(1) >= LEAST_KEYPOINTS)
    area = SILHOUETTE * (people.box_px[:, 2:] - people.box_px[:, :2]).prod(1)
    similarity = {
        name: metrics.oks_matrix(people.keypoints_px[..., :2], known & wanted[:, None], np.nan_to_num(area), points)
        for name, points in (("oks_2d", keypoints_px), ("oks_body", predicted.keypoints_px))
    }
    either = np.maximum(*similarity.values())
    rows = linear_sum_assignment(either, maximize=True)
    near = either[rows] >= OKS_GATE
    _, counts = _count((rows[0][near], rows[1][near]), wanted, predicted, truth)
    count = max(int(wanted.sum()), 1)
    best = {name: float(values[linear_sum_assignment(values, maximize=True)].sum()) / count for name, values in similarity.items()}
    return {**(best if wanted.any() else dict.fromkeys(best, math.nan)), **counts}


def score_heads(predicted: Observables, keypoints_px: np.ndarray, truth: PartialTruth) -> Metrics:
    """Precision, recall and F1 of heads, or of points somewhere on a body.

    Args:
        predicted: what was reconstructed.
        keypoints_px: (P, 17, 3) what was seen of the same people; the face is where these say, else where the body has it.
        truth: with a head or a point of everybody.
    """
    people = truth.people
    by_head = np.isfinite(people.head_px).all(1)
    marked = np.where(by_head[:, None], people.head_px, people.point_px)
    height = _height_px(predicted)
    near = np.where(by_head[:, None], HEAD_NEAR, POINT_NEAR) * height
    off = cdist(marked, _heads_px(predicted, keypoints_px)) / np.maximum(near, LEAST_NEAR_PX)
    pairs = _assign(off, off < 1.0)
    _, counts = _count(pairs, people.visible & np.isfinite(marked).all(1), predicted, truth)
    return counts


def score_photograph(kind: str, scene: Scene, predicted: Observables, truth: PartialTruth) -> Metrics:
    """The figures of a picture of one of the kinds that have a truth.

    Args:
        kind: one of `photographs.KINDS`, not ``picture``.
        scene: the reconstruction.
        predicted: what `observables.observe` sees of it.
        truth: what is known.
    """
    seen = scene.people.keypoints_px
    if kind == "metric":
        return score_metric(predicted, truth, scene.ground_covariance)
    if kind == "keypoints":
        return score_keypoints(predicted, seen[..., :2], truth)
    return score_heads(predicted, seen, truth)


def score_nobody(kind: str, truth: PartialTruth, image_size: tuple[int, int]) -> Metrics:
    """The figures of a picture that was refused: nobody was found, and nothing is known of the camera."""
    camera, ground = truth.camera_ground or (Camera.from_fov(60.0, image_size), GroundPlane.from_angles(0.0, 0.0, 1.0))
    points, joints = np.zeros((0, 3)), np.zeros((0, 14, 3))
    keypoints = np.zeros((0, 17, 2))
    nobody = Observables(camera, ground, points, points, keypoints, np.zeros((0, 17), bool), np.zeros(0), joints, points)
    if kind == "metric":
        return score_metric(nobody, truth) | dict.fromkeys(OF_CAMERA, math.nan)
    return score_keypoints(nobody, keypoints, truth) if kind == "keypoints" else score_heads(nobody, np.zeros((0, 17, 3)), truth)


def _match_upright(predicted: Observables, people: KnownPeople, camera: Camera, ground: GroundPlane) -> Pairs:
    """Who is whom, by place and size in the image: places in metres must not decide, or a wrong camera would cost recall."""
    foot, torso, top = (camera.project(people.position_cam_m + height * ground.normal) for height in (0.0, TORSO_M, NOMINAL_STATURE_M))
    tall = np.linalg.norm(top - foot, axis=1)[:, None]
    found_foot, found_torso = (predicted.camera.project(points) for points in (predicted.position_cam_m, predicted.torso_cam_m))
    size, found_size = (np.linalg.norm(a - b, axis=1) for a, b in ((torso, foot), (found_torso, found_foot)))
    ratio = np.abs(np.log(np.maximum(found_size, 1e-6)[None] / size[:, None]))
    off = np.linalg.norm(torso[:, None] - found_torso[None], axis=2) / tall
    return _assign(off + PER_RATIO * ratio, (off < NEAR) & (ratio < math.log(TIMES_TALLER)))


def _assign(cost: np.ndarray, allowed: np.ndarray) -> Pairs:
    """As many pairs as possible among the allowed, of the smallest total cost; costs are below 9."""
    rows = linear_sum_assignment(np.where(allowed, cost, 9.0))
    kept = allowed[rows]
    return rows[0][kept], rows[1][kept]


def _count(pairs: Pairs, wanted: np.ndarray, predicted: Observables, truth: PartialTruth) -> tuple[Pairs, Metrics]:
    """The pairs of wanted people, and precision, recall and F1; whom is found in place of somebody unwanted counts neither way."""
    right = wanted[pairs[0]]
    neutral = np.zeros(len(predicted), bool)
    neutral[pairs[1][~right]] = True
    pairs = pairs[0][right], pairs[1][right]
    alone = np.ones(len(predicted), bool)
    alone[pairs[1]] = False
    ignored = np.concatenate([truth.ignored_px, truth.people.box_px[~wanted]])
    neutral |= alone & _inside_any(predicted.camera.project(predicted.torso_cam_m), ignored)
    matched, true, offered = len(pairs[0]), int(wanted.sum()), len(predicted) - int(neutral.sum())
    judged = truth.complete
    counts = {
        "true_people": float(true),
        "predicted_people": float(offered),
        "matched_people": float(matched),
        "precision": matched / offered if judged and offered else math.nan,
        "recall": matched / true if true else math.nan,
        "f1": 2.0 * matched / (true + offered) if judged and true + offered else math.nan,
    }
    return pairs, counts


def _inside_any(points_px: np.ndarray, boxes_px: np.ndarray) -> np.ndarray:
    """(P, 2), (B, 4) → (P,) bool."""
    with np.errstate(invalid="ignore"):
        inside = (points_px[:, None] >= boxes_px[None, :, :2]) & (points_px[:, None] <= boxes_px[None, :, 2:])
    return np.any(np.all(inside, axis=2), axis=1)


def _held(off: np.ndarray, covariance: np.ndarray | None) -> Metrics:
    """Whether each camera parameter, wrong by `off` (4,), is within its stated 68 % interval."""
    names = [f"held_{name}" for name in CAMERA_PARAMETERS]
    if covariance is None:
        return dict.fromkeys(names, math.nan)
    held = np.abs(off) <= INTERVAL_68 * np.sqrt(np.diag(covariance))
    return dict(zip(names, held.astype(float).tolist(), strict=True))


def _height_px(predicted: Observables) -> np.ndarray:
    """(P,) extent of the projected joints in the image, the larger side: people may lie."""
    points = predicted.keypoints_px
    return np.nan_to_num((np.fmax.reduce(points, 1) - np.fmin.reduce(points, 1)).max(1))


def _heads_px(predicted: Observables, keypoints_px: np.ndarray) -> np.ndarray:
    """(P, 2) middle of the face's keypoints that were seen, else of those of the body."""
    weight = (keypoints_px[:, FACE, 2:] > FACE_SCORE).astype(np.float64)
    total = weight.sum(1)
    seen = (np.nan_to_num(keypoints_px[:, FACE, :2]) * weight).sum(1) / np.maximum(total, 1.0)
    return np.where(total > 0, seen, predicted.keypoints_px[:, FACE].mean(1))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan
