"""All metrics of one image: corrected forms first, the published forms beside them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from crowd3d.bodies import Body, load_body
from crowd3d.evaluation import metrics
from crowd3d.evaluation.matching import Pairs, match_optimal, match_published
from crowd3d.evaluation.observables import Observables, observe
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.types import Scene

Metrics = dict[str, float]
_ALMOST_NOTHING = 1e-300
"""The published matching takes the most similar prediction however little it is similar: a missed person takes a neighbour's."""


def evaluate(
    predicted: Scene,
    true: Scene,
    *,
    eligible: np.ndarray | None = None,
    visible: np.ndarray | None = None,
    body_pred: Body | None = None,
    body_true: Body | None = None,
) -> Metrics:
    """Score a reconstructed scene against the true one.

    Args:
        predicted: the reconstruction.
        true: the truth, for the same image.
        eligible: (G,) true people that must be found; by default all. A prediction that matches one of the others counts neither
            for nor against.
        visible: (G, 17) true keypoints that can be seen; by default all inside the image.
        body_pred, body_true: bodies of the two scenes; by default those that the scenes name.

    Returns:
        Name → value. Counts as such; precision, recall and f1 in 0…1; scores in percent; ``_mm``, ``_m``, ``_deg``, ``_px`` as named;
        keys that begin with ``published_`` follow the published matching and penalties. A figure that the image cannot give is NaN.

    Raises:
        MissingAsset: a scene names a body that is not there.
    """
    body_pred = body_pred or load_body(predicted.body)
    body_true = body_true or load_body(true.body)
    return score(observe(predicted, body_pred), observe(true, body_true, visible), eligible)


def score(predicted: Observables, true: Observables, eligible: np.ndarray | None = None) -> Metrics:
    """`evaluate` on what was observed; see there."""
    eligible = np.ones(len(true), bool) if eligible is None else np.asarray(eligible, bool)
    pairs, oks = assign(predicted, true)
    of_eligible = eligible[pairs[0]]
    neutral = pairs[1][~of_eligible]
    pairs = pairs[0][of_eligible], pairs[1][of_eligible]

    result = _detection(len(pairs[0]), int(eligible.sum()), len(predicted) - len(neutral))
    result |= _crowd(predicted, true, pairs, oks[pairs], result)
    result |= _bodies(predicted, true, pairs)
    result |= _positions(predicted, true, pairs)
    result |= camera_errors(predicted.camera, predicted.ground, true.camera, true.ground)
    judged = np.setdiff1d(np.arange(len(predicted)), neutral)
    result["density_error_per_m2"] = metrics.density_error(predicted.ground_xz_m[judged], true.ground_xz_m[eligible])
    return result | _published(predicted, true, np.flatnonzero(eligible), judged)


def assign(predicted: Observables, true: Observables) -> tuple[Pairs, np.ndarray]:
    """Who is whom by `match_optimal`, and the keypoint similarity (G, P) of all pairs."""
    known = np.isfinite(true.keypoints_px).all(-1)
    # Somebody who is hidden altogether can still be matched by their other joints: who finds them is not wrong.
    counted = np.where((true.counted & known).any(1, keepdims=True), true.counted & known, known)
    oks = metrics.oks_matrix(true.keypoints_px, counted, true.area_px, predicted.keypoints_px)
    return match_optimal(oks, cdist(true.ground_xz_m, predicted.ground_xz_m), counted.any(1)), oks


def _detection(matched: int, wanted: int, offered: int) -> Metrics:
    return {
        "true_people": wanted,
        "predicted_people": offered,
        "matched_people": matched,
        "precision": matched / offered if offered else float("nan"),
        "recall": matched / wanted if wanted else float("nan"),
        "f1": 2.0 * matched / (wanted + offered) if wanted + offered else float("nan"),
        "count_error": offered - wanted,
        "count_error_percent": 100.0 * (offered - wanted) / wanted if wanted else float("nan"),
    }


def _crowd(predicted: Observables, true: Observables, pairs: Pairs, similarity: np.ndarray, counts: Metrics) -> Metrics:
    p, q, recall = predicted.torso_cam_m[pairs[1]], true.torso_cam_m[pairs[0]], counts["recall"]
    result = {name: float("nan") for name in ("ppds", "pa_ppds", "pcod", "pcod_smap", "scale_score", "oks", "rp", "gigacrowd_score")}
    if counts["true_people"] >= 1:
        result["oks"] = 100.0 * recall * float(similarity.mean()) if len(p) else 0.0
        result["rp"] = metrics.redundancy(int(counts["predicted_people"]), int(counts["true_people"]))
    if counts["true_people"] >= 2:
        result["ppds"] = metrics.ppds(p, q, recall)
        result["pa_ppds"] = metrics.pa_ppds(p, q, recall)
        result["pcod"] = metrics.pcod(p[:, 2], q[:, 2], recall)
        result["pcod_smap"] = metrics.pcod_banded(p[:, 2], q[:, 2], recall)
        result["scale_score"] = metrics.scale_score(p, q)
        result["gigacrowd_score"] = metrics.gigacrowd_score(
            result["pa_ppds"], result["scale_score"], result["pcod"], result["oks"], result["rp"]
        )
    return result


def _bodies(predicted: Observables, true: Observables, pairs: Pairs) -> Metrics:
    p, q = predicted.joints_cam_m[pairs[1]], true.joints_cam_m[pairs[0]]
    pelvis_p, pelvis_q = predicted.pelvis_cam_m[pairs[1], None], true.pelvis_cam_m[pairs[0], None]
    if len(p) == 0 or not np.isfinite(q).all():
        return {"mpjpe_mm": float("nan"), "pa_mpjpe_mm": float("nan"), "world_mpjpe_mm": float("nan")}
    return {
        "mpjpe_mm": float(metrics.joint_errors_mm(p - pelvis_p, q - pelvis_q).mean()),
        "pa_mpjpe_mm": float(metrics.aligned_joint_errors_mm(p, q).mean()),
        "world_mpjpe_mm": float(metrics.joint_errors_mm(p, q).mean()),
    }


def _statistics(name: str, unit: str, errors: np.ndarray) -> Metrics:
    if len(errors) == 0:
        errors = np.array([np.nan])
    return {
        f"{name}_mean_{unit}": float(errors.mean()),
        f"{name}_median_{unit}": float(np.median(errors)),
        f"{name}_p90_{unit}": float(np.quantile(errors, 0.9)),
    }


def _nearest_neighbour_m(xz: np.ndarray) -> np.ndarray:
    """(N ≥ 2, 2) → (N,) distance to the nearest other person."""
    return cKDTree(xz).query(xz, k=2)[0][:, 1]


def _positions(predicted: Observables, true: Observables, pairs: Pairs) -> Metrics:
    p, q = predicted.ground_xz_m, true.ground_xz_m
    neighbour = np.zeros(0)
    if min(len(p), len(q)) >= 2:
        neighbour = np.abs(_nearest_neighbour_m(p)[pairs[1]] - _nearest_neighbour_m(q)[pairs[0]])
    in_camera = np.linalg.norm(predicted.position_cam_m[pairs[1]] - true.position_cam_m[pairs[0]], axis=1)
    pixels = np.linalg.norm(predicted.keypoints_px[pairs[1]] - true.keypoints_px[pairs[0]], axis=2)[true.counted[pairs[0]]]
    return {
        **_statistics("ground_error", "m", np.linalg.norm(p[pairs[1]] - q[pairs[0]], axis=1)),
        "hvip_error_median_m": _statistics("hvip", "m", in_camera)["hvip_median_m"],
        "neighbour_distance_error_median_m": _statistics("neighbour", "m", neighbour)["neighbour_median_m"],
        "reprojection_error_median_px": _statistics("reprojection", "px", pixels)["reprojection_median_px"],
    }


def camera_errors(camera: Camera, ground: GroundPlane, true_camera: Camera, true_ground: GroundPlane) -> Metrics:
    """Horizontal field of view and direction of the ground's normal in degrees, camera height in percent; all without sign."""
    cosine = np.clip(ground.normal @ true_ground.normal, -1.0, 1.0)
    height = true_ground.offset_m
    return {
        "fov_error_deg": abs(camera.fov_x_deg - true_camera.fov_x_deg),
        "normal_error_deg": float(np.rad2deg(np.arccos(cosine))),
        "camera_height_error_percent": 100.0 * abs(ground.offset_m - height) / height,
    }


def _published(predicted: Observables, true: Observables, wanted: np.ndarray, judged: np.ndarray) -> Metrics:
    """Greedy matching, OKS over all joints, 150 mm for every missed person."""
    known = np.isfinite(true.keypoints_px).all(-1)
    area = true.area_px[wanted]
    oks = metrics.oks_matrix(true.keypoints_px[wanted], known[wanted], area, predicted.keypoints_px[judged], _ALMOST_NOTHING)
    rows = match_published(oks)
    pairs = wanted[rows[0]], judged[rows[1]]
    counts = _detection(len(rows[0]), len(wanted), len(judged))
    result = _crowd(predicted, true, pairs, oks[rows], counts)
    bodies = _bodies(predicted, true, pairs)
    for name in ("mpjpe_mm", "pa_mpjpe_mm"):
        found = 0.0 if len(rows[0]) == 0 else bodies[name]
        missed = (1.0 - counts["recall"]) * metrics.MISSED_PERSON_MM
        result[name] = found * counts["recall"] + missed
    result["recall"] = counts["recall"]
    return {f"published_{name}": value for name, value in result.items()}
